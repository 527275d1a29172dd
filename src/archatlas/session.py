"""An open run: settings checked against space and data, the directory held, the hardware started."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy  # type: ignore[attr-defined]
from lightning_fabric.utilities.exceptions import MisconfigurationException

from archatlas.atlas.storage import graph_facts
from archatlas.config import Config, HardwareConfig, dump_config
from archatlas.costs.budgets import record_table
from archatlas.costs.hardware import cpu_name
from archatlas.costs.latency import LATENCY, LatencyTable
from archatlas.costs.macs import count_costs
from archatlas.data import ImageData, load_data
from archatlas.errors import ConfigError
from archatlas.evaluation import Evaluator, scope_of
from archatlas.files import write_json
from archatlas.records import Architecture, Architectures, Budget, Cost, Evaluation, Monitor, silent
from archatlas.run_directory import RunDirectory, fingerprint
from archatlas.spaces import ChainSpace, SpaceGraph, chain_graph
from archatlas.spaces.user import load_space
from archatlas.store import EvaluationStore
from archatlas.supernet import load_supernet, weights_digest
from archatlas.training import TrainingConfig
from archatlas.workers import Scoring, Task, fanned_out


class Console(Protocol):
    """What a run tells its user."""

    def log(self, line: str) -> None:
        """Show one line."""

    def monitor(self, title: str, unit: str) -> AbstractContextManager[Monitor]:
        """Return a context manager that yields the monitor of one stage."""


class _Unheard:
    """The console of every process but the first (a `Console`)."""

    def log(self, line: str) -> None:
        """Drop one line."""

    def monitor(self, title: str, unit: str) -> AbstractContextManager[Monitor]:  # noqa: ARG002
        """Show nothing."""
        return nullcontext(silent)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """An open run: its settings, and everything that is made from them alone."""

    config: Config
    space: ChainSpace
    data: ImageData
    graph: SpaceGraph
    latency: LatencyTable | None
    fabric: Fabric
    directory: RunDirectory
    console: Console

    @property
    def path(self) -> Path:
        """The run directory."""
        return self.directory.path

    @property
    def limits(self) -> tuple[Budget, ...]:
        """The budgets of a search: latency is cut by the table's margin, so that it holds when measured again."""
        return self.config.latency.tightened(self.config.limits, self.latency)

    @property
    def task(self) -> Task:
        """Where workers find space and images."""
        return Task(space=self.config.space, data=self.config.data, digest=self.data.digest).absolute()

    @property
    def costed_from(self) -> str:
        """Fingerprint of the costs that were measured; empty where none were."""
        return fingerprint(self.latency.digest_parts) if self.latency else ""

    @property
    def trained_from(self) -> str:
        """Fingerprint of all that the super-network depends on."""
        return self.training_fingerprint(self.config.supernet)

    def training_fingerprint(self, training: TrainingConfig, *parts: Any) -> str:
        """Return the fingerprint of all that a training depends on: space, images, settings, seed, and `parts`."""
        settings = training.model_dump(exclude={"checkpoint_seconds", "log"})
        images = [self.data.digest, self.config.data.augmentation]
        return fingerprint(
            self.space.digest, images, settings, self.config.hardware.precision, self.config.seed, *parts
        )

    @property
    def searched_from(self) -> str:
        """Fingerprint of all that the search result depends on."""
        config = self.config
        costs = [config.budgets, self.costed_from, [budget.upper for budget in self.limits]]
        parts = [part.model_dump() for part in (config.predictor, config.search)]
        return fingerprint(self.trained_from, config.evaluation.digest, parts, costs, config.seed)


@contextmanager
def open_run(config: Config, path: Path, console: Console) -> Iterator[Run]:
    """Open a run directory: check the settings against space and data, and keep other processes out.

    Raises:
        ConfigError: If the settings do not fit together, or another process holds the directory.
        DataError: If the images are missing or broken.
        ArtifactMismatchError: If the directory belongs to another run.
    """
    space = load_space(config.space)
    fabric = launch(config.hardware)
    console = console if fabric.is_global_zero else _Unheard()
    with fabric.rank_zero_first():
        data = load_data(config.data)
    for name in data.skipped:
        console.log(f"left out, cannot be read: {name}")
    space = space.for_task(in_channels=data.channels, num_classes=data.num_classes, resolution=data.resolution)
    costs: dict[str, Cost] = dict(count_costs(space))
    latency = config.latency.load(space)
    if latency is not None:
        costs[LATENCY] = latency.cost
    for cost in config.budgets:
        if cost not in costs:
            raise ConfigError(
                f"budgets names the cost {cost!r}; this run has {', '.join(costs)}." + _HINT.get(cost, "")
            )
    graph = chain_graph(space, costs)
    run_directory = RunDirectory(path, console.log, leads=fabric.is_global_zero, share=fabric.broadcast)
    with run_directory.owned() as directory:
        directory.claim(f"space {config.space} on {config.data.name} ({data.digest})", dump_config(config))
        if directory.leads:
            write_json(path / "data.json", data.summary())
            write_json(path / "space.json", {"digest": graph.digest, "graph": graph_facts(graph)})
        if latency is not None:
            _announce(directory, latency, config)
        directory.event("opened", space=space.digest, data=data.digest, **surroundings(fabric))
        yield Run(
            config=config,
            space=space,
            data=data,
            graph=graph,
            latency=latency,
            fabric=fabric,
            directory=directory,
            console=console,
        )


_HINT = {LATENCY: " Measure it with archatlas latency measure, and name the table: latency.table."}


def _announce(directory: RunDirectory, latency: LatencyTable, config: Config) -> None:
    """Record which latency table the run uses, and say how far it can be trusted."""
    if not directory.leads:
        return
    record_table(directory.path, latency)
    directory.event("latency table", **latency.facts)
    if latency.warning:
        directory.log(f"warning: {latency.warning}")
    for asked, cut in zip(config.limits, config.latency.tightened(config.limits, latency), strict=True):
        if cut.upper < asked.upper:
            directory.log(
                f"{asked.cost} <= {asked.upper:g} is searched as <= {cut.upper:.4g}: the margin of the latency table"
            )


def launch(hardware: HardwareConfig) -> Fabric:
    """Return Fabric with its processes started: by Fabric, or before by `torchrun` or `fabric run`.

    Raises:
        ConfigError: If the machine has no such devices, or a launcher was given other settings.
    """
    devices, num_nodes = _processes(hardware)
    try:
        fabric = Fabric(
            accelerator=hardware.accelerator,
            devices=devices,
            num_nodes=num_nodes,
            # While the first process searches, the others wait for it.
            strategy=DDPStrategy(timeout=timedelta(days=30)) if devices * num_nodes > 1 else "auto",
            precision=hardware.precision,
        )
        if "LT_CLI_USED" not in os.environ:  # `fabric run` has it launched already
            fabric.launch()
    except (ValueError, RuntimeError, MisconfigurationException) as error:
        raise ConfigError(f"The settings of hardware cannot be used here: {error}") from error
    if hardware.threads is not None:  # after the launch, which sets them too
        torch.set_num_threads(hardware.threads)
    return fabric


def _processes(hardware: HardwareConfig) -> tuple[int, int]:
    """Return processes per machine and machines; what a launcher started counts for more than the settings."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return hardware.devices, hardware.num_nodes
    here = int(os.environ["LOCAL_WORLD_SIZE"])
    return here, int(os.environ["WORLD_SIZE"]) // here


def surroundings(fabric: Fabric) -> dict[str, Any]:
    """Return what a run was made with: versions and hardware, ready for JSON."""
    packages = ("archatlas", "torch", "torchvision", "timm", "torch-geometric", "lightning-fabric", "numpy")
    device = fabric.device
    return {
        **{package: version(package) for package in packages},
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type} {cpu_name()}",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "processes": fabric.world_size,
    }


def scored(run: Run) -> dict[Architecture, Evaluation]:
    """Return every score that the run's store holds of its super-network."""
    digest = weights_digest(run.space, run.path / "supernet")
    return _store(run).all(scope_of(digest, run.data, run.config.evaluation))


@contextmanager
def measuring(run: Run) -> Iterator[Callable[[Architectures], list[Evaluation]]]:
    """Yield the function that scores sub-networks into the run's store and shows its progress.

    Raises:
        ConfigError: If the workers that the settings ask for cannot be had.
    """
    supernet, digest = load_supernet(run.space, run.path / "supernet")
    device = run.fabric.device
    config = run.config.evaluation
    with fanned_out(run.config.workers, run.config.ray, partial(_scoring, run)) as workers:
        score = Evaluator(supernet, digest, run.data, config, store=_store(run), device=device, fan_out=workers)
        yield _shown(run, score)


def _scoring(run: Run) -> Scoring:
    weights = (run.path / "supernet" / "weights.safetensors").read_bytes()
    return Scoring(task=run.task, evaluation=run.config.evaluation, weights=weights)


def _shown(run: Run, score: Evaluator) -> Callable[[Architectures], list[Evaluation]]:
    def measure(architectures: Architectures) -> list[Evaluation]:
        plan = score.plan(architectures)
        if len(plan.rows) == 0:
            return score(architectures, plan=plan)
        run.console.log(
            f"scoring {len(plan.rows):,} sub-networks: {plan.passes:,} block passes instead of {plan.passes_alone:,}, "
            f"at most {plan.peak_gib:.2f} GiB"
        )
        with run.console.monitor("sub-networks", "network") as monitor:
            return score(architectures, plan=plan, monitor=monitor)

    return measure


def _store(run: Run) -> EvaluationStore:
    return EvaluationStore(run.path / "evaluations.sqlite", run.console.log)
