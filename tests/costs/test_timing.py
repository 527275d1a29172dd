from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from torch import nn

from archatlas.costs.timing import clock_of, time_calls
from archatlas.costs.timing_onnx import OnnxBackend, export_onnx
from archatlas.costs.timing_torch import TorchBackend
from archatlas.errors import ConfigError
from archatlas.testing.tiny import tiny_space


class Steps:
    """A clock that a call moves by the next of some durations."""

    def __init__(self, *seconds: float) -> None:
        self.now, self.calls, self.seconds = 0.0, 0, seconds

    def clock(self) -> float:
        return self.now

    def call(self) -> None:
        self.now += self.seconds[self.calls % len(self.seconds)]
        self.calls += 1


def test_a_steady_call_is_timed_exactly_and_no_longer_than_needed():
    steps = Steps(2e-3)
    timing = time_calls(steps.call, clock=steps.clock)
    assert (timing.median_ms, timing.lower_ms, timing.upper_ms) == pytest.approx((2.0, 2.0, 2.0))
    assert timing.count == 10


def test_quick_calls_are_repeated_within_a_sample():
    steps = Steps(1e-6)
    timing = time_calls(steps.call, clock=steps.clock)
    assert timing.median_ms == pytest.approx(1e-3)
    assert steps.calls >= 10 * 1000


def test_an_unsteady_call_is_sampled_until_the_median_is_certain():
    rng = np.random.default_rng(0)
    steps = Steps(*(2e-3 * (1 + 0.2 * rng.standard_normal(10_000))))
    timing = time_calls(steps.call, clock=steps.clock, most_seconds=100.0)
    assert timing.median_ms == pytest.approx(2.0, rel=0.03)
    # 0.93 * 1.35 * 0.2 / sqrt(n) < 0.01
    assert 400 <= timing.count <= 900
    coarse = Steps(1e-3, 9e-3)
    assert time_calls(coarse.call, clock=coarse.clock, sample_ms=0.5, most_seconds=0.0).count == 10


def test_one_thread_of_a_cpu_is_timed_by_its_own_time():
    assert clock_of(cpu=True, threads=1) is time.thread_time
    assert clock_of(cpu=True, threads=2) is time.perf_counter
    assert clock_of(cpu=False, threads=1) is time.perf_counter


@pytest.mark.parametrize("backend", [OnnxBackend(), TorchBackend(threads=torch.get_num_threads())])
def test_both_backends_time_more_work_as_more_time(backend):
    def ms(channels: int) -> float:
        call = backend.prepare(nn.Conv2d(channels, channels, 3, padding=1), (1, channels, 16, 16))()
        return time_calls(call, clock=backend.clock, most_seconds=0.05).median_ms

    assert 4 * ms(8) < ms(96)
    assert backend.runtime.split()[0] in {"onnxruntime", "torch"}
    assert backend.device


def test_the_exported_network_computes_the_same():
    import onnxruntime

    space = tiny_space()
    network = space.build((1, 2, 0)).eval()
    session = onnxruntime.InferenceSession(export_onnx(network, (2, 1, 8, 8)), providers=["CPUExecutionProvider"])
    images = torch.randn(2, 1, 8, 8)
    (logits,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    with torch.inference_mode():
        np.testing.assert_allclose(logits, network(images).numpy(), atol=1e-5)


def test_devices_that_are_not_there_are_refused():
    with pytest.raises(ConfigError, match="ONNX Runtime can use, got 'TPU'; this one has .*CPUExecutionProvider"):
        OnnxBackend(provider="TPU")
    with pytest.raises(ConfigError, match="torch can use, got 'tpu'"):
        TorchBackend(kind="tpu")
