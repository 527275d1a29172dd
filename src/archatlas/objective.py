"""What a training step minimises: cross-entropy of (mixed) images and labels, and the distance to a teacher.

Legend: `B` images of a batch, `C` channels, `H`, `W` size, `K` classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from timm.data import Mixup  # type: ignore[attr-defined]
from torch.nn import functional

from archatlas.data.base import MIX, borrowed_generators, random_seed

Teacher = Callable[[torch.Tensor], torch.Tensor]
"""From normalised images `(B, C, H, W)` to logits `(B, K)`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Targets:
    """What the logits of a batch are compared with.

    Args:
        labels: Class indices `(B,)`, or probabilities `(B, K)` of mixed images.
        teacher: Logits of the teacher `(B, K)`, if there is one.
    """

    labels: torch.Tensor
    teacher: torch.Tensor | None


class Objective:
    """The loss of a training, and how its batches are mixed.

    With a teacher (Hinton et al. 2015) it is `(1 - w) CE + w T^2 KL(teacher / T || student / T)`; the teacher sees the
    same mixed images. Images are mixed with others of their process, so mixing depends on the number of processes.

    Args:
        label_smoothing: Of the cross-entropy, 0 to 1.
        mixup: Alpha of mixup (Zhang et al. 2018), 0 = off.
        cutmix: Alpha of CutMix (Yun et al. 2019), 0 = off; with both, each batch takes one of them at random.
        num_classes: `K`; needed to mix labels.
        teacher: A network that is not trained.
        weight: `w`, of the teacher, 0 to 1.
        temperature: `T`, above 0.
    """

    def __init__(
        self,
        *,
        label_smoothing: float,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        num_classes: int = 0,
        teacher: Teacher | None = None,
        weight: float = 0.0,
        temperature: float = 1.0,
    ) -> None:
        self._label_smoothing, self._num_classes = label_smoothing, num_classes
        self._teacher, self._weight, self._temperature = teacher, weight, temperature
        self._mix: Mixup | None = None
        if mixup or cutmix:
            self._mix = Mixup(  # type: ignore[no-untyped-call]
                mixup_alpha=mixup, cutmix_alpha=cutmix, label_smoothing=0.0, num_classes=num_classes
            )

    def prepare(
        self, images: torch.Tensor, labels: torch.Tensor, *, seed: int, step: int
    ) -> tuple[torch.Tensor, Targets]:
        """Return the images to train on and their targets: a pure function of batch, seed and step.

        Args:
            images: `(B, C, H, W)`; may be changed in place.
            labels: `(B,)`.
            seed: Of the training.
            step: Number of the update.
        """
        if self._mix is not None:
            labels = self._mixed(self._mix, images, labels, random_seed(MIX, seed, step))
        with torch.no_grad():
            teacher = None if self._teacher is None else self._teacher(images).float()
        return images, Targets(labels=labels, teacher=teacher)

    def _mixed(self, mix: Mixup, images: torch.Tensor, labels: torch.Tensor, seed: int) -> torch.Tensor:
        """Mix images in place, the first with the last and so on, and return their labels `(B, K)`."""
        even = len(images) // 2 * 2  # timm mixes pairs; of an odd batch the last image stays as it is
        with borrowed_generators() as seed_with:
            seed_with(seed)
            _, mixed = mix(images[:even], labels[:even])
        return torch.cat([mixed, functional.one_hot(labels[even:], self._num_classes).to(mixed)])

    def __call__(self, logits: torch.Tensor, targets: Targets) -> torch.Tensor:
        """Return the mean loss of logits `(B, K)`, in nats."""
        loss = functional.cross_entropy(logits, targets.labels, label_smoothing=self._label_smoothing)
        if targets.teacher is None:
            return loss
        softened = functional.log_softmax(logits.float() / self._temperature, dim=1)
        wanted = functional.log_softmax(targets.teacher / self._temperature, dim=1)
        distance = functional.kl_div(softened, wanted, reduction="batchmean", log_target=True)
        return (1 - self._weight) * loss + self._weight * self._temperature**2 * distance
