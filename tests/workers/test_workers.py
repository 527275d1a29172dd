"""Workers of a cluster: the same table as without them, also when one is lost; clear words where they are missing."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from archatlas.data import DataConfig, load_data
from archatlas.errors import ArtifactMismatchError, ConfigError, WorkerError
from archatlas.evaluation import EvaluationConfig, Evaluator
from archatlas.records import Architectures, Evaluation
from archatlas.retraining import RetrainingConfig
from archatlas.spaces.digits import digits
from archatlas.store import EvaluationStore
from archatlas.testing.tiny import untrained_supernet
from archatlas.workers import RayConfig, RayWorkers, Scoring, Task, Trainings, connected, fanned_out
from archatlas.workers.pool import Work

DATA = DataConfig(train_images=64)
CONFIG = EvaluationConfig(recalibration_images=32, validation_images=40)
SUPERNET = untrained_supernet(digits())
ROWS = digits().all_architectures()[np.random.default_rng(0).permutation(729)[:48]]
TASK = Task(space="digits", data=DATA, digest=load_data(DATA).digest)
CPU = torch.device("cpu")
SHORT = RetrainingConfig(epochs=6, batch_size=16, warmup_epochs=1.0, checkpoint_seconds=0.0)


def scoring() -> Scoring:
    weights = safetensors.torch.save({name: value.contiguous() for name, value in SUPERNET.state_dict().items()})
    return Scoring(task=TASK, evaluation=CONFIG, weights=weights)


def trainings(directory: Path, task: Task = TASK) -> Trainings:
    return Trainings(task=task, settings=SHORT, precision="32-true", seed=0, directory=directory)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@dataclass(frozen=True, slots=True, kw_only=True)
class Several:
    """A subject that does one thing or another, so that all tests share their workers: each takes seconds to start."""

    scoring: Scoring
    trainings: Trainings

    def start(self, device: torch.device) -> Work:
        score, train = self.scoring.start(device), self.trainings.start(device)

        def work(rows: Architectures, what: str, *arguments: int) -> Iterator[Evaluation]:
            if what == "score":
                yield from score(rows, *arguments)
            elif what == "train":
                yield from train(rows)
            elif what == "refuse":
                raise ArtifactMismatchError("The images are others.")
            else:
                os.kill(os.getpid(), signal.SIGKILL)

        return work


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of trainings that every worker sees."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def workers(shared: Path) -> Iterator[RayWorkers]:
    """Two workers of a Ray on this machine."""
    pytest.importorskip("ray")
    config = RayConfig(workers=2, retries=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        handler = signal.getsignal(signal.SIGTERM)
        with connected(config) as ray:
            assert signal.getsignal(signal.SIGTERM) is handler
            workers = RayWorkers(ray, config, Several(scoring=scoring(), trainings=trainings(shared)))
            yield workers
            workers.close()


def table(directory: Path, fan_out: object = None, monitor: Callable[..., None] = lambda *_: None) -> list[Evaluation]:
    data, device = load_data(DATA), torch.device("cpu")
    store = EvaluationStore(directory / "evaluations.sqlite")
    evaluator = Evaluator(SUPERNET, "weights", data, CONFIG, store=store, device=device, fan_out=fan_out)
    found = evaluator(ROWS, monitor=monitor)
    assert store.repeated() == 0
    return found


class Lost:
    """Stands for Ray's workers: splits the jobs and does them here."""

    num_jobs = 3

    def __call__(self, jobs, chunk):
        assert len(jobs) == 3
        for rows in reversed(jobs):
            yield from scoring().start(CPU)(rows, chunk)


def test_jobs_walked_elsewhere_give_the_same_table(tmp_path):
    assert table(tmp_path / "a") == table(tmp_path / "b", Lost())


def test_a_worker_refuses_other_images(tmp_path):
    other = Task(space="digits", data=DATA.model_copy(update={"seed": 1}), digest=TASK.digest)
    with pytest.raises(ArtifactMismatchError, match="are not those of the run .* the same path on every machine"):
        trainings(tmp_path, other).start(CPU)


def test_paths_are_made_absolute_for_workers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    task = Task(space="my_space.yaml", data=DataConfig(name="folder", path=Path("images")), digest="").absolute()
    assert (task.space, task.data.path) == (str(tmp_path / "my_space.yaml"), tmp_path / "images")
    assert TASK.absolute().space == "digits"


def test_trainings_use_the_directory_of_the_run_only_where_it_is_seen(tmp_path):
    seen, unseen = tmp_path / "seen", tmp_path / "unseen"
    seen.mkdir()
    (here,), (elsewhere,) = (list(trainings(path).start(CPU)(ROWS[:1])) for path in (seen, unseen))
    assert here == elsewhere
    assert [path.name for path in seen.iterdir()] == ["".join(map(str, ROWS[0]))]
    assert not unseen.exists()


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'archatlas\[ray\]'"), fanned_out("ray", RayConfig(), scoring):
        pass


def _workers() -> list[int]:
    """Return the processes of our Ray workers that are at work now."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            name = process.read_bytes()
        except OSError:
            continue
        if name.startswith(b"ray::_Worker"):
            found.append(int(process.parent.name))
    return found


needs_processes = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds workers in /proc")
slow = pytest.mark.slow
quiet = pytest.mark.filterwarnings("default")  # of Ray itself


class Scorers:
    """The workers, asked to score (a `FanOut`)."""

    def __init__(self, workers: RayWorkers) -> None:
        self._workers, self.num_jobs = workers, workers.num_jobs

    def __call__(self, jobs, chunk):
        return self._workers(jobs, "score", chunk)


@slow
@quiet
@needs_processes
def test_ray_gives_the_serial_table_also_when_a_worker_is_killed(tmp_path, workers):
    killed: list[int] = []

    def kill_one(done: int, total: int, **_: float) -> None:
        if done == 20:
            killed.append(_workers()[0])
            os.kill(killed[0], signal.SIGKILL)

    serial = table(tmp_path / "serial")
    assert table(tmp_path / "ray", Scorers(workers)) == serial
    assert table(tmp_path / "killed", Scorers(workers), kill_one) == serial
    assert killed


@slow
@quiet
@needs_processes
def test_ray_trains_as_one_process_does_also_when_a_worker_is_killed(tmp_path, shared, workers):
    rows = ROWS[:3]
    killed: list[Path] = []

    def kill_one() -> None:
        """Kill a worker in the middle of a training: as soon as there is a checkpoint."""
        while not (found := list(shared.glob("*/checkpoint.pt"))):
            time.sleep(0.01)
        os.kill(_workers()[0], signal.SIGKILL)
        killed.extend(found)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    found = list(workers([rows[i : i + 1] for i in range(3)], "train"))
    killer.join()
    serial = list(trainings(tmp_path / "serial").start(CPU)(rows))
    assert sorted(found, key=str) == sorted(serial, key=str)
    assert killed


@slow
@quiet
def test_what_a_worker_refuses_and_workers_lost_again_and_again_end_the_run(workers):
    with pytest.raises(WorkerError, match=r"A worker stopped: The images are others\."):
        list(workers([ROWS[:1]], "refuse"))
    with pytest.raises(WorkerError, match="2 workers were lost over the same networks"):
        list(workers([ROWS[:1]], "die"))
