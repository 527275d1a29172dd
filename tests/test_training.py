from __future__ import annotations

import csv
import functools
import os
import signal
import socket

import numpy as np
import pytest
import torch
import torch.multiprocessing
from lightning_fabric import Fabric
from sklearn.metrics import balanced_accuracy_score
from torch import nn

from archatlas.config import HardwareConfig
from archatlas.measurement import measure
from archatlas.records import silent
from archatlas.session import launch
from archatlas.stopping import Stopped, signals_stop
from archatlas.testing.tiny import tiny_data, tiny_space, untrained_supernet
from archatlas.training import TrainingConfig, seeded, train

CPU = functools.partial(Fabric, accelerator="cpu", devices=1)
CONFIG = TrainingConfig(epochs=2, batch_size=16, warmup_epochs=1.0, ema_decay=0.9, checkpoint_seconds=0.0)


class Interrupt(Exception):
    """Stands for a kill."""


def network() -> nn.Module:
    """A stand-alone network with dropout, so that the random state of torch matters too."""
    with seeded(3):
        return nn.Sequential(tiny_space().build((1, 2, 1)), nn.Dropout(0.2))


def fit(directory, *, config=CONFIG, monitor=silent, model=None, split=None, seed=0, fabric=None):
    model = model or network()
    history = train(
        model,
        lambda step: [model],
        split or tiny_data(train=200).train,
        config,
        fabric=fabric or CPU(),
        seed=seed,
        directory=directory,
        monitor=monitor,
    )
    return model, history


def stop_at(step):
    def monitor(done, total, **figures):
        if done == step:
            raise Interrupt

    return monitor


def assert_equal(a: nn.Module, b: nn.Module) -> None:
    for (name, x), y in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        assert torch.equal(x, y), name


def without_speed(history):
    return [{name: value for name, value in epoch.items() if name != "images_per_second"} for epoch in history]


@pytest.mark.parametrize("ema_decay", [None, 0.9])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_stopped_and_continued_run_ends_with_the_same_weights(tmp_path, optimizer, ema_decay):
    config = CONFIG.model_copy(update={"optimizer": optimizer, "learning_rate": 0.01, "ema_decay": ema_decay})
    undisturbed, history = fit(tmp_path / "a", config=config)
    assert len(history) == 2
    for step in (10, 20):  # 12 steps per epoch: in mid-epoch each time
        with pytest.raises(Interrupt):
            fit(tmp_path / "b", config=config, monitor=stop_at(step))
    done = []
    continued, continued_history = fit(tmp_path / "b", config=config, monitor=lambda d, t, **_: done.append((d, t)))
    assert done == [(20, 24)]  # of 24 steps only what was missing
    assert_equal(continued, undisturbed)
    assert without_speed(continued_history) == without_speed(history)


def test_a_finished_run_is_not_trained_again(tmp_path):
    trained, history = fit(tmp_path)
    again, again_history = fit(tmp_path, monitor=stop_at(10))
    assert_equal(trained, again)
    assert again_history == history


@pytest.mark.parametrize("damage", ["truncate", "empty", "zeros", "text"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, damage):
    undisturbed, _ = fit(tmp_path / "a")
    with pytest.raises(Interrupt):
        fit(tmp_path / "b", monitor=stop_at(20))
    newest = tmp_path / "b" / "checkpoint.pt"
    content = newest.read_bytes()
    damaged = {"truncate": content[: len(content) // 2], "empty": b"", "zeros": bytes(len(content)), "text": b"no" * 99}
    newest.write_bytes(damaged[damage])
    done = []
    continued, _ = fit(tmp_path / "b", monitor=lambda d, t, **_: done.append(d))
    assert done == [20]  # from step 18, not from the start
    assert_equal(continued, undisturbed)


def test_a_checkpoint_of_another_length_is_not_continued(tmp_path):
    fit(tmp_path, config=CONFIG.model_copy(update={"epochs": 1}))
    done = []
    fit(tmp_path, monitor=lambda d, t, **_: done.append(d))
    assert done == [10, 20]


def test_checkpoints_come_at_their_interval_and_at_the_end(tmp_path):
    config = CONFIG.model_copy(update={"checkpoint_seconds": 3600.0})
    with pytest.raises(Interrupt):
        fit(tmp_path, config=config, monitor=stop_at(20))
    assert not list(tmp_path.iterdir())
    fit(tmp_path, config=config)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_the_log_of_a_continued_training_is_that_of_an_undisturbed_one(tmp_path):
    config = CONFIG.model_copy(update={"log": "csv"})
    _, history = fit(tmp_path / "a", config=config)
    with pytest.raises(Interrupt):
        fit(tmp_path / "b", config=config, monitor=stop_at(20))
    fit(tmp_path / "b", config=config)
    tables = []
    for run in "ab":
        with (tmp_path / run / "log" / "metrics.csv").open() as stream:
            tables.append([(int(row["step"]), float(row["loss"])) for row in csv.DictReader(stream)])
    assert tables[0] == tables[1] == [(1, history[0]["loss"]), (2, history[1]["loss"])]


def test_golden_loss_of_twenty_steps(tmp_path):
    """A change of the loop that is meant to change nothing must give this curve."""
    losses = []
    supernet = untrained_supernet(tiny_space())
    paths = [(0, 1, 2), (2, 2, 1), (1, 0, 0)]
    forwards = [functools.partial(supernet, architecture=path) for path in paths]
    data = tiny_data(train=160)
    train(
        supernet,
        lambda step: forwards,
        data.train,
        TrainingConfig(epochs=2, batch_size=16, learning_rate=0.05, label_smoothing=0.1, warmup_epochs=0.5),
        fabric=CPU(),
        seed=1,
        directory=tmp_path,
        monitor=lambda done, total, **figures: losses.append(figures["loss"]),
    )
    np.testing.assert_allclose(losses, GOLDEN, rtol=1e-3)


GOLDEN = [1.4318988, 1.3779431]


def test_the_first_update_is_the_one_of_plain_torch(tmp_path):
    images, labels = next(tiny_data().train.epoch(batch_size=64, seed=7, epoch=0, device="cpu"))
    config = TrainingConfig(
        epochs=1, batch_size=64, learning_rate=0.1, weight_decay=0.0, warmup_epochs=0.0, clip_grad_norm=None
    )
    ours, reference = tiny_space().build((1, 1, 0)), tiny_space().build((1, 1, 0))
    reference.load_state_dict(ours.state_dict())
    fit(tmp_path, model=ours, config=config, split=tiny_data().train, seed=7)
    nn.functional.cross_entropy(reference(images), labels).backward()
    for a, b in zip(ours.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(a, b - 0.1 * 1.9 * b.grad, rtol=1e-4, atol=1e-6)  # Nesterov's first step


def test_the_average_of_the_weights_follows_its_rule(tmp_path):
    """timm's warm-up: decay min(d, 1 - (1 + step)^(-2/3)) at each update, applied to parameters and buffers."""
    seen: list[torch.Tensor] = []
    model = network()
    config = CONFIG.model_copy(update={"epochs": 1, "learning_rate": 0.05})
    weight = model[0].head[3].weight

    def forwards(step):
        seen.append(weight.detach().clone())
        return [model]

    arguments = {"fabric": CPU(), "seed": 0, "monitor": silent}
    train(model, forwards, tiny_data(train=200).train, config, directory=tmp_path / "a", **arguments)
    plain, _ = fit(tmp_path / "b", config=config.model_copy(update={"ema_decay": None}))
    seen.append(plain[0].head[3].weight.detach())
    average = seen[0]
    for step, value in enumerate(seen[1:], 1):
        decay = min(0.9, max(0.0, 1 - (1 + max(0, step - 1)) ** (-2 / 3)))
        average = decay * average + (1 - decay) * value
    torch.testing.assert_close(model[0].head[3].weight.detach(), average, rtol=1e-4, atol=1e-6)


def test_seeding_leaves_the_global_state_alone():
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    with seeded(5):
        first = torch.rand(2)
    with seeded(5):
        assert torch.equal(torch.rand(2), first)
    # the two blocks above are invisible outside of them
    assert torch.equal(torch.rand(3), expected)


def test_measuring_equals_the_definition():
    data, model = tiny_data(validation=45), network()
    found = measure(model, data.validation, fabric=CPU(), batch_size=16)
    images, labels = next(data.validation.ordered(batch_size=45, device="cpu"))
    with torch.inference_mode():
        logits = model.eval()(images)
    assert found.loss == pytest.approx(float(nn.functional.cross_entropy(logits, labels)), rel=1e-5)
    assert found.accuracy == int((logits.argmax(1) == labels).sum()) / 45
    assert found.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, logits.argmax(1)))
    assert found.num_images == 45


@pytest.mark.parametrize(
    "setting", [{"epochs": 0}, {"learning_rate": 0.0}, {"batch_size": 1}, {"label_smoothing": 1.0}, {"unknown": 1}]
)
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        TrainingConfig(**setting)


def test_a_signal_is_held_back_until_the_step_is_saved(tmp_path):
    undisturbed, _ = fit(tmp_path / "a")
    config = CONFIG.model_copy(update={"checkpoint_seconds": 3600.0})

    def monitor(done, total, **figures):
        if done == 10:
            os.kill(os.getpid(), signal.SIGTERM)

    with signals_stop(), pytest.raises(Stopped) as stopped:
        fit(tmp_path / "b", config=config, monitor=monitor)
    assert stopped.value.exit_code == 143
    assert torch.load(tmp_path / "b" / "checkpoint.pt", weights_only=True)["step"] == 10
    done = []
    continued, _ = fit(tmp_path / "b", config=config, monitor=lambda d, t, **_: done.append(d))
    assert done == [20]
    assert_equal(continued, undisturbed)


PATHS = [(0, 1, 2), (2, 2, 1), (1, 0, 0)]
SHARED = TrainingConfig(epochs=2, batch_size=16, learning_rate=0.02, warmup_epochs=0.0, checkpoint_seconds=0.0)


def train_paths(directory, fabric, monitor=silent):
    """Train a super-network, one path per step: most operators get no gradient in a step."""
    supernet = untrained_supernet(tiny_space())
    history = train(
        supernet,
        lambda step: [functools.partial(supernet, architecture=PATHS[step % len(PATHS)])],
        tiny_data(train=96).train,
        SHARED,
        fabric=fabric,
        seed=0,
        directory=directory,
        monitor=monitor,
    )
    return supernet, history


def _train_as_one_of_two(rank: int, port: int, directory) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "LOCAL_RANK": str(rank)}
    os.environ |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "test"}
    fabric = launch(HardwareConfig(accelerator="cpu", threads=1))
    assert fabric.world_size == 2
    supernet, history = train_paths(directory / "two", fabric)
    torch.save({"weights": supernet.state_dict(), "loss": [e["loss"] for e in history]}, directory / f"{rank}.pt")
    with pytest.raises(Interrupt):
        train_paths(directory / "changing", fabric, stop_at(10))


@pytest.mark.slow
def test_two_processes_train_like_one_and_one_may_continue_them(tmp_path):
    alone, history = train_paths(tmp_path / "one", CPU())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    torch.multiprocessing.start_processes(
        _train_as_one_of_two,
        args=(port, tmp_path),
        nprocs=2,
        start_method="spawn" if torch.cuda.is_available() else "fork",  # a fork has imported everything
    )
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    continued, continued_history = train_paths(tmp_path / "changing", CPU())
    assert first["loss"] == second["loss"]
    for losses in (first["loss"], [epoch["loss"] for epoch in continued_history]):
        np.testing.assert_allclose(losses, [epoch["loss"] for epoch in history], rtol=1e-4)
    for name, value in alone.state_dict().items():
        assert torch.equal(first["weights"][name], second["weights"][name])
        torch.testing.assert_close(first["weights"][name], value, rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(continued.state_dict()[name], value, rtol=1e-3, atol=1e-5)
    assert not list((tmp_path / "two").glob(".*"))  # written once, by the first
