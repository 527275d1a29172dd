"""What a worker needs to score sub-networks: its part of the walk over the trie."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from safetensors.torch import load

from archatlas.evaluation import EvaluationConfig, Walker
from archatlas.supernet import SuperNet
from archatlas.workers.pool import Work
from archatlas.workers.task import Task


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scoring:
    """Scoring of the sub-networks of one super-network (a `Subject`).

    Args:
        task: Space and images.
        evaluation: Images, precision.
        weights: Of the super-network, as safetensors.
    """

    task: Task
    evaluation: EvaluationConfig
    weights: bytes

    def start(self, device: torch.device) -> Work:
        """Load space, images and weights; a job is a sub-tree of the walk.

        Raises:
            ArtifactMismatchError: If the images here are not those of the run.
        """
        space, data = self.task.load()
        supernet = SuperNet(space)
        supernet.load_state_dict(load(self.weights))
        return Walker(supernet, data, self.evaluation, device=device).walk
