"""Workers of a cluster: the same table as without them, also when one is lost; clear words where they are missing."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from archatlas.data import DataConfig, load_data
from archatlas.errors import ArtifactMismatchError, ConfigError
from archatlas.evaluation import EvaluationConfig, Evaluator
from archatlas.records import Evaluation
from archatlas.spaces.digits import digits
from archatlas.store import EvaluationStore
from archatlas.testing.tiny import untrained_supernet
from archatlas.workers import RayConfig, Subject, fanned_out, portable

DATA = DataConfig(train_images=64)
CONFIG = EvaluationConfig(recalibration_images=32, validation_images=40)
SUPERNET = untrained_supernet(digits())
ROWS = digits().all_architectures()[np.random.default_rng(0).permutation(729)[:48]]


def subject(**changed: object) -> Subject:
    weights = safetensors.torch.save({name: value.contiguous() for name, value in SUPERNET.state_dict().items()})
    facts = {"space": "digits", "data": DATA, "digest": load_data(DATA).digest, "evaluation": CONFIG}
    return Subject(**facts | {"weights": weights} | changed)


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
            yield from subject().walker().walk(rows, chunk)


def test_jobs_walked_elsewhere_give_the_same_table(tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert table(tmp_path / "a") == table(tmp_path / "b", Lost())
    finally:
        torch.set_num_threads(threads)


def test_a_worker_refuses_other_images():
    with pytest.raises(ArtifactMismatchError, match="are not those of the run .* the same path on every machine"):
        subject(data=DATA.model_copy(update={"seed": 1})).walker()


def test_paths_are_made_absolute_for_workers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    space, data = portable("my_space.yaml", DataConfig(name="folder", path=Path("images")))
    assert (space, data.path) == (str(tmp_path / "my_space.yaml"), tmp_path / "images")
    assert portable("digits", data)[0] == "digits"


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'archatlas\[ray\]'"), fanned_out("ray", RayConfig(), subject):
        pass


def _workers() -> list[int]:
    """Return the processes of our Ray workers that are walking now."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            name = process.read_bytes()
        except OSError:
            continue
        if name.startswith(b"ray::_Worker"):
            found.append(int(process.parent.name))
    return found


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds workers in /proc")
def test_ray_gives_the_serial_table_also_when_a_worker_is_killed(tmp_path, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        serial = table(tmp_path / "serial")
        killed: list[int] = []

        def kill_one(done: int, total: int, **_: float) -> None:
            if done == 20:
                killed.append(_workers()[0])
                os.kill(killed[0], signal.SIGKILL)

        with fanned_out("ray", RayConfig(workers=2), subject) as workers:
            assert signal.getsignal(signal.SIGTERM) is handler
            assert table(tmp_path / "ray", workers) == serial
            assert table(tmp_path / "killed", workers, kill_one) == serial
        assert killed
    finally:
        torch.set_num_threads(threads)
