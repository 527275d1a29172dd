"""The only image-training loop; super-network and stand-alone training both use it.

Every random decision of a step is a pure function of `(seed, step)`, for which torch's generators are seeded anew at
each step, and a checkpoint holds all the rest, so a run that was stopped and continued ends with the same weights as
an undisturbed one on the same machine.

With several processes each sees its part of every batch and runs the same forwards; gradients are averaged over
processes before the update, for just those parameters that the step used. Nothing is wrapped, so super-networks with
unused operators need no special strategy. BN takes its statistics over all processes, so that any number of them
trains the same network; a training may be continued by another number. Mixup and CutMix alone pair the images of one
process, so with them the number of processes matters.
"""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from safetensors import SafetensorError
from safetensors.torch import load, save
from timm.optim import create_optimizer_v2, list_optimizers  # type: ignore[attr-defined]
from timm.scheduler import create_scheduler_v2  # type: ignore[attr-defined]
from timm.utils import ModelEmaV3  # type: ignore[attr-defined]
from torch import nn

from archatlas.curves import Curves, LogFormat
from archatlas.data import Split
from archatlas.data.base import STEP, random_seed
from archatlas.errors import ArtifactMismatchError
from archatlas.files import atomic_path, write_bytes
from archatlas.objective import Objective
from archatlas.records import Monitor
from archatlas.stopping import Stopped, deferred
from archatlas.synchronised import synchronise_norms

Forward = Callable[[torch.Tensor], torch.Tensor]
"""From images `(B, C, H, W)` to logits `(B, classes)`."""

Epoch = dict[str, float]
"""`epoch`, mean training `loss`, `learning_rate` at its end, `images_per_second`."""


FORMAT = 1
_AGREE_EVERY = 5
"""Steps between two questions to the other processes whether to save or to stop: each waits for all devices."""


class TrainingConfig(BaseModel):
    """Optimiser, schedule and length of a training."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(default=30, ge=1, description="passes over the training images")
    batch_size: int = Field(default=128, ge=2, description="images per update, over all processes")
    optimizer: str = Field(default="sgd", description="any optimiser of timm")
    learning_rate: float = Field(default=0.1, gt=0, description="peak learning rate")
    weight_decay: float = Field(default=5e-4, ge=0, description="not applied to biases and BN")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="momentum of SGD, first beta of Adam-like optimisers")
    schedule: Literal["cosine", "tanh", "poly"] = Field(
        default="cosine", description="one of timm's schedules, stepped per update"
    )
    warmup_epochs: float = Field(default=1.0, ge=0, description="linear warm-up")
    label_smoothing: float = Field(default=0.0, ge=0, lt=1, description="of the cross-entropy")
    clip_grad_norm: float | None = Field(default=5.0, gt=0, description="largest norm of the gradient, null = off")
    ema_decay: float | None = Field(default=None, gt=0, lt=1, description="keep an average of the weights, null = off")
    checkpoint_seconds: float = Field(default=30.0, ge=0, description="time between checkpoints")
    log: LogFormat = Field(
        default="none", description="write loss, learning rate and speed per epoch into log/: csv, tensorboard or none"
    )

    @field_validator("log")
    @classmethod
    def _installed(cls, kind: LogFormat) -> LogFormat:
        if kind == "tensorboard" and find_spec("tensorboard") is None:
            raise ValueError("needs TensorBoard, which is not installed: pip install 'archatlas[tensorboard]', or csv")
        return kind

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> TrainingConfig:
        if self.optimizer in {"sgd", "nesterov"} and self.momentum == 0:
            raise ValueError(f"timm's {self.optimizer} is Nesterov's and needs momentum > 0; without, name: momentum")
        return self

    @field_validator("optimizer")
    @classmethod
    def _known(cls, name: str) -> str:
        known = [str(optimizer) for optimizer in list_optimizers()]
        if name not in known:
            raise ValueError(f"timm has no optimiser of this name; it has {', '.join(known)}")
        return name


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's global generators inside the block and restore them afterwards."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


def train(
    network: nn.Module,
    forwards: Callable[[int], Sequence[Forward]],
    split: Split,
    config: TrainingConfig,
    *,
    fabric: Fabric,
    seed: int,
    directory: Path,
    monitor: Monitor,
    objective: Objective | None = None,
) -> list[Epoch]:
    """Train `network` in place, continuing from the checkpoint in `directory` if there is one.

    Args:
        network: Holds the parameters; moved to the device of `fabric`. With `ema_decay` it ends with the averages.
        forwards: For a step, the forward passes whose gradients are summed before the update.
        split: Training images.
        config: Optimiser, schedule, length.
        fabric: Device, precision and processes.
        seed: Of order and augmentation of the images and of dropout.
        directory: Receives `checkpoint.pt` (and the one before it, should the newest be damaged).
        monitor: Told of every step.
        objective: What is minimised; None: cross-entropy with the label smoothing of `config`.

    Returns:
        One record per epoch.

    Raises:
        Stopped: If a signal asked for it; the checkpoint of the last step is written then.
    """
    with seeded(seed), deferred() as signal:
        objective = objective or Objective(label_smoothing=config.label_smoothing)
        trainer = _Trainer(network, split, config, fabric, objective, seed)
        trainer.restore(directory)
        curves = Curves(config.log if fabric.is_global_zero else "none", directory, trainer.history)
        for epoch in range(trainer.step // trainer.steps_per_epoch, config.epochs):
            batches = split.epoch(
                batch_size=config.batch_size,
                seed=seed,
                epoch=epoch,
                start=trainer.step % trainer.steps_per_epoch,
                rank=fabric.global_rank,
                world_size=fabric.world_size,
                device=fabric.device,
            )
            for images, labels in batches:
                trainer.update(forwards(trainer.step), images, labels)
                if trainer.step % 10 == 0:  # reading the loss waits for the device
                    monitor(trainer.step, trainer.total_steps, epoch=epoch + 1, loss=trainer.mean_loss)
                if trainer.step % trainer.steps_per_epoch == 0:
                    trainer.end_epoch()
                    curves.add(trainer.history[-1])
                trainer.save_if_due(directory, signal())
        curves.close()
        if trainer.ema is not None:
            network.load_state_dict(trainer.ema.module.state_dict())
    return trainer.history


class _Trainer:
    """State of one training: what a checkpoint saves and restores."""

    def __init__(
        self, network: nn.Module, split: Split, config: TrainingConfig, fabric: Fabric, objective: Objective, seed: int
    ) -> None:
        self.network = fabric.to_device(network)
        self.network.to(memory_format=torch.channels_last)
        self.network.train()
        if fabric.world_size > 1:
            synchronise_norms(self.network, fabric.device)
        self.config, self.fabric, self.objective, self.seed = config, fabric, objective, seed
        self.steps_per_epoch = split.batches_per_epoch(config.batch_size)
        self.total_steps = self.steps_per_epoch * config.epochs
        optimizer = create_optimizer_v2(
            self.network,
            opt=config.optimizer,
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            momentum=config.momentum,
        )
        self.schedule, _ = create_scheduler_v2(
            optimizer,
            sched=config.schedule,
            num_epochs=config.epochs,
            warmup_epochs=config.warmup_epochs,  # type: ignore[arg-type]
            warmup_prefix=True,
            updates_per_epoch=self.steps_per_epoch,
            step_on_epochs=False,
        )
        prepared = fabric.setup_optimizers(optimizer)
        assert not isinstance(prepared, tuple)
        self.optimizer = prepared
        self.ema = ModelEmaV3(self.network, decay=config.ema_decay, use_warmup=True) if config.ema_decay else None
        self.step = 0
        self.history: list[Epoch] = []
        self.loss_sum = torch.zeros((), device=fabric.device)
        self.seconds = 0.0
        self.saved_at = self.stepped_at = time.monotonic()

    @property
    def mean_loss(self) -> float:
        """Mean training loss of the epoch so far."""
        done = self.step - len(self.history) * self.steps_per_epoch
        return float(self.loss_sum) / max(1, done)

    def update(self, forwards: Sequence[Forward], images: torch.Tensor, labels: torch.Tensor) -> None:
        """One step: all forwards, one update."""
        torch.manual_seed(random_seed(STEP, self.seed, self.step, self.fabric.global_rank))  # dropout, drop path
        self.schedule.step_update(self.step)
        self.optimizer.zero_grad()
        images = images.contiguous(memory_format=torch.channels_last)
        with self.fabric.autocast():
            images, targets = self.objective.prepare(images, labels, seed=self.seed, step=self.step)
        for forward in forwards:
            with self.fabric.autocast():
                loss = self.objective(forward(images), targets)
            self.fabric.backward(loss)
            self.loss_sum += loss.detach() / len(forwards)
        self._average_gradients()
        if self.config.clip_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip_grad_norm)
        self.optimizer.step()
        self.step += 1
        if self.ema is not None:
            self.ema.update(self.network, step=self.step)

    def _average_gradients(self) -> None:
        if self.fabric.world_size == 1:
            return
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        flat = self.fabric.all_reduce(torch.cat([g.flatten() for g in gradients]), reduce_op="mean")
        assert isinstance(flat, torch.Tensor)
        for gradient, part in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def end_epoch(self) -> None:
        """Close the books of an epoch."""
        self.seconds += time.monotonic() - self.stepped_at
        images = self.steps_per_epoch * self.config.batch_size
        self.history.append(
            {
                "epoch": len(self.history) + 1,
                "loss": float(self.fabric.all_reduce(self.loss_sum, reduce_op="mean")) / self.steps_per_epoch,  # type: ignore[arg-type]
                "learning_rate": float(self.optimizer.param_groups[0]["lr"]),
                "images_per_second": images / max(self.seconds, 1e-9),
            }
        )
        self.loss_sum.zero_()
        self.seconds, self.stepped_at = 0.0, time.monotonic()

    def save_if_due(self, directory: Path, signal: int | None) -> None:
        """Write a checkpoint when the last one is old enough, at the end, and before a signal stops the training."""
        due = time.monotonic() - self.saved_at >= self.config.checkpoint_seconds
        due, signal = self._agree(due, signal)
        if due or signal or self.step == self.total_steps:
            self._save(directory)
        if signal:
            raise Stopped(signal)

    def _agree(self, due: bool, signal: int | None) -> tuple[bool, int | None]:
        """Return what all processes do: whether the first wants a checkpoint, and the signal that any one has."""
        if self.fabric.world_size == 1:
            return due, signal
        if self.step % _AGREE_EVERY and self.step != self.total_steps:
            return False, None
        mine = torch.tensor([int(due and self.fabric.is_global_zero), signal or 0], device=self.fabric.device)
        torch.distributed.all_reduce(mine, torch.distributed.ReduceOp.MAX)
        return bool(mine[0]), int(mine[1]) or None

    def _save(self, directory: Path) -> None:
        """Write a checkpoint: the first process does, of what all of them know."""
        state = self._state()
        newest = directory / "checkpoint.pt"
        if self.fabric.is_global_zero and newest.exists():
            os.replace(newest, directory / "checkpoint.previous.pt")
        if self.fabric.is_global_zero:
            with atomic_path(newest) as temporary, temporary.open("wb") as stream:
                torch.save(state, stream)
        self.fabric.barrier()
        self.saved_at = time.monotonic()

    def _state(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "step": self.step,
            "total_steps": self.total_steps,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "ema": self.ema.state_dict() if self.ema is not None else None,
            "history": self.history,
            "loss_sum": self.fabric.all_reduce(self.loss_sum.clone(), reduce_op="mean"),
            "seconds": self.seconds + time.monotonic() - self.stepped_at,
        }

    def restore(self, directory: Path) -> None:
        """Continue from the newest checkpoint that can be read, if there is one."""
        for name in ("checkpoint.pt", "checkpoint.previous.pt"):
            state = _read_checkpoint(directory / name)
            if state is None or state["total_steps"] != self.total_steps:
                continue
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            if self.ema is not None:
                self.ema.load_state_dict(state["ema"])
            self.step, self.history, self.seconds = state["step"], state["history"], state["seconds"]
            self.loss_sum.copy_(state["loss_sum"])
            return


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a training has come: share of its steps, 0 to 1, and one record per finished epoch."""

    share: float
    history: list[Epoch]


def read_progress(directory: Path) -> Progress | None:
    """Return how far the training in `directory` had come at its newest checkpoint; None without one."""
    for name in ("checkpoint.pt", "checkpoint.previous.pt"):
        state = _read_checkpoint(directory / name)
        if state is not None:
            return Progress(share=state["step"] / state["total_steps"], history=state["history"])
    return None


def _read_checkpoint(path: Path) -> dict[str, Any] | None:
    """Return a checkpoint, or None where there is none or a power loss cut it short."""
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError):
        return None
    return state


def save_weights(network: nn.Module, path: Path) -> None:
    """Write parameters and buffers as safetensors, whole or not at all."""
    write_bytes(path, save({name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}))


def load_weights(network: nn.Module, path: Path) -> None:
    """Read into a network what `save_weights` wrote.

    Raises:
        ArtifactMismatchError: If the file is missing or damaged, or is not one of this network.
    """
    try:
        network.load_state_dict(load(path.read_bytes()))
    except (OSError, SafetensorError, RuntimeError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise ArtifactMismatchError(
            f"{path} is missing, damaged or of another network ({reason}); run the stage that writes it again."
        ) from error
