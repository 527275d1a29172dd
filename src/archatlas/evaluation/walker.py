"""The depth-first walk over the trie of architectures, with the images that recalibrate BN riding along.

Legend: `R` reference images (BN recalibration), `V` validation images, `L` choice blocks.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import nn

from archatlas.data import ImageData
from archatlas.evaluation.probe import probe
from archatlas.evaluation.recalibration import Recalibration, Statistics, replace_norms
from archatlas.records import Architectures, Evaluation
from archatlas.supernet import SuperNet

_CPU_SLICE = 64
"""Validation images that go through a module together: what fits a CPU's caches is 1.4 times faster."""


class EvaluationConfig(BaseModel):
    """How sub-networks are scored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recalibration_images: int = Field(
        default=512,
        ge=0,
        description="training images that set the BN statistics, 0 = the super-network's own, which fit no path",
    )
    validation_images: int | None = Field(default=None, ge=1, description="validation images per score, null = all")
    precision: Literal["float32", "bfloat16"] = Field(default="float32", description="of the forward passes")
    memory_gib: float = Field(default=2.0, gt=0, description="bound on the activations that a walk may hold")

    @field_validator("recalibration_images")
    @classmethod
    def _enough(cls, count: int) -> int:
        if count == 1:
            raise ValueError(
                "one image has no spread to normalise by: take at least 2, or 0 for the super-network's own"
            )
        return count

    @property
    def digest(self) -> str:
        """Names the settings that change a score; the memory bound does not."""
        text = f"{self.recalibration_images} {self.validation_images} {self.precision}"
        return hashlib.sha256(text.encode()).hexdigest()[:12]


class Walker:
    """Scores sub-networks of one super-network on one data set; works on a private copy that it never changes.

    Args:
        supernet: The trained super-network.
        data: Reference images come from its training split, without augmentation; scores from its validation split.
        config: Images, precision.
        device: Where the walk runs.
    """

    def __init__(self, supernet: SuperNet, data: ImageData, config: EvaluationConfig, *, device: torch.device) -> None:
        self.space, self.data, self.config, self.device = supernet.space, data, config, device
        self._probe = probe(supernet)
        self._recalibration = Recalibration()
        self._network = copy.deepcopy(supernet).eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if config.recalibration_images:
            replace_norms(self._network, self._recalibration)
        self._slice = _CPU_SLICE if device.type == "cpu" else 2**30
        self.num_reference = min(config.recalibration_images, len(data.train))
        self.num_images = min(config.validation_images or len(data.validation), len(data.validation))

    @property
    def gib_per_image(self) -> float:
        """Activations that a walk holds at once, per image."""
        return 4 * self._probe.numbers_per_image / 2**30

    def walk(self, rows: Architectures, chunk: int) -> Iterator[Evaluation]:
        """Score one job.

        Args:
            rows: `(A, L)`, canonical, distinct, sorted.
            chunk: Most images per pass; the reference images are part of the first pass.

        Yields:
            Evaluations in the order of rows, each as soon as it has seen all its images.
        """
        loss, correct = np.zeros(len(rows)), np.zeros(len(rows))
        chunked = self.num_reference + self.num_images > chunk
        statistics: dict[tuple[int, int], Statistics] | None = {} if chunked else None
        start = 0
        while start < self.num_images:
            stop = min(start + chunk - (self.num_reference if start == 0 else 0), self.num_images)
            images, labels = self._batch(start, stop)
            for row, logits in self._leaves(rows, images, self.num_reference if start == 0 else 0, statistics):
                loss[row] += float(nn.functional.cross_entropy(logits, labels, reduction="sum"))
                correct[row] += int((logits.argmax(1) == labels).sum())
                if stop == self.num_images:
                    yield Evaluation(
                        architecture=tuple(rows[row].tolist()),
                        loss=loss[row] / self.num_images,
                        accuracy=correct[row] / self.num_images,
                        num_images=self.num_images,
                    )
            start = stop

    def _batch(self, start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return images (the reference images first where `start` is 0) and the labels of the validation images."""
        images, labels = _gather(
            self.data.validation.ordered(batch_size=512, start=start, stop=stop, device=self.device)
        )
        if start == 0 and self.num_reference:
            ordered = self.data.train.ordered(batch_size=512, stop=self.num_reference, device=self.device)
            images = torch.cat([_gather(ordered)[0], images])
        return images.contiguous(memory_format=torch.channels_last), labels

    def _leaves(
        self,
        rows: Architectures,
        images: torch.Tensor,
        num_reference: int,
        statistics: dict[tuple[int, int], Statistics] | None,
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Walk the trie depth first; yield row number and logits `(V, classes)` of the validation images.

        `statistics` holds the BN statistics of each edge, named by its depth and first row, for the chunks that follow:
        written when there are reference images, read when there are none, None without further chunks. The stack holds
        edges still to be walked; features are freed with the last edge that refers to them.
        """
        length = len(self.space.blocks)
        stem = self._apply(self._network.stem, images, num_reference, statistics, (-1, 0))
        stack = _edges(rows, 0, 0, len(rows), stem)
        del stem, images
        while stack:
            depth, first, last, features = stack.pop()
            choice = int(rows[first, depth])
            operator = self._network.operator(depth, choice)
            if (depth, choice) in self._probe.mutating:
                features = features.clone()
            features = self._apply(operator, features, num_reference, statistics, (depth, first))
            if depth + 1 < length:
                stack += _edges(rows, depth + 1, first, last, features)
            else:
                if (length, 0) in self._probe.mutating:
                    features = features.clone()
                logits = self._apply(self._network.head, features, num_reference, statistics, (length, first))
                yield first, logits[num_reference:].float()

    @torch.inference_mode()
    def _apply(
        self,
        module: nn.Module,
        features: torch.Tensor,
        num_reference: int,
        statistics: dict[tuple[int, int], Statistics] | None,
        edge: tuple[int, int],
    ) -> torch.Tensor:
        if isinstance(module, nn.Identity):
            return features
        parts: list[torch.Tensor] = []
        lower = self.config.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=lower):
            collected: Statistics = []
            if num_reference:
                with self._recalibration.collect() as collected:
                    parts.append(module(features[:num_reference]))
            elif self.num_reference:
                assert statistics is not None
                collected = statistics[edge]
            if statistics is not None:
                statistics[edge] = collected
            for images in torch.split(features[num_reference:], self._slice):
                with self._recalibration.apply(collected):
                    parts.append(module(images))
        return torch.cat(parts)


def _edges(
    rows: Architectures, depth: int, first: int, last: int, features: torch.Tensor
) -> list[tuple[int, int, int, torch.Tensor]]:
    """Return the edges below a node that spans rows `first` to `last`, the last one first."""
    column = rows[first:last, depth]
    starts = first + np.flatnonzero(np.concatenate([[True], column[1:] != column[:-1]]))
    ends = [*starts[1:].tolist(), last]
    return [(depth, a, b, features) for a, b in zip(starts.tolist(), ends, strict=True)][::-1]


def _gather(batches: Iterator[tuple[torch.Tensor, torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
    pairs = list(batches)
    return torch.cat([images for images, _ in pairs]), torch.cat([labels for _, labels in pairs])
