"""The walk equals the naive loop, whatever the chunks, the order and the manners of the operators."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from pydantic import ValidationError
from torch import nn

from archatlas.errors import ConfigError, InvalidArchitectureError
from archatlas.evaluation import EvaluationConfig, Evaluator, Walker
from archatlas.evaluation.probe import probe
from archatlas.measurement import measure
from archatlas.spaces import Operator
from archatlas.spaces.digits import digits
from archatlas.spaces.nas_bench_macro import nas_bench_macro
from archatlas.spaces.operators import IDENTITY
from archatlas.store import EvaluationStore
from archatlas.testing.evaluation_oracle import Loop, read_images, recalibrate
from archatlas.testing.tiny import NUM_NETWORKS, tiny_data, tiny_space, untrained_supernet

CPU = torch.device("cpu")
CONFIG = EvaluationConfig(recalibration_images=24)
EVERYTHING = [tuple(row) for row in tiny_space().all_architectures().tolist()]


def evaluator(directory, supernet, data, config=CONFIG, *, digest="weights", kind=Evaluator):
    store = EvaluationStore(directory / "evaluations.sqlite")
    return kind(supernet, digest, data, config, store=store, device=CPU)


def assert_equals_the_loop(evaluations, supernet, data, config=CONFIG):
    images = read_images(data, config, CPU)
    alone = Loop(supernet, images)
    for ours in evaluations:
        theirs = alone(ours.architecture)
        assert ours.accuracy == theirs.accuracy
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-5)
        assert ours.num_images == theirs.num_images


class CountingWalker(Walker):
    """Counts block passes."""

    def _apply(self, module, features, num_reference, statistics, edge):
        CountingEvaluator.passes += 0 <= edge[0] < len(self.space.blocks)
        return super()._apply(module, features, num_reference, statistics, edge)


class CountingEvaluator(Evaluator):
    """An evaluator that walks with a counting walker."""

    passes = 0

    def __init__(self, supernet, digest, data, config, *, store, device):
        super().__init__(supernet, digest, data, config, store=store, device=device)
        self._walker = CountingWalker(supernet, data, config, device=device)


def test_the_oracle_normalises_every_layer_by_its_own_batch():
    """With all validation images as reference, each BN output has the mean and deviation that its parameters say."""
    supernet, data = untrained_supernet(tiny_space()), tiny_data()
    images = read_images(data, CONFIG, CPU)
    seen = []
    network = supernet.extract((1, 2, 1))
    with torch.inference_mode():
        recalibrate(network, images.reference)
        for norm in network.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.register_forward_hook(lambda n, _, output: seen.append((n, output.clone())))
        network(images.reference)
    assert len(seen) == 2 + 3 * 3
    for norm, output in seen:
        torch.testing.assert_close(output.mean((0, 2, 3)), norm.bias.data, atol=1e-4, rtol=1e-4)
        deviation = output.std((0, 2, 3), correction=0)
        torch.testing.assert_close(deviation, norm.weight.data.abs(), atol=1e-2, rtol=1e-2)


def test_the_oracle_leaves_nothing_of_one_network_in_the_next():
    supernet, data = untrained_supernet(tiny_space()), tiny_data()
    images = read_images(data, CONFIG, CPU)
    alone = Loop(supernet, images)
    for architecture in ((1, 2, 1), (2, 2, 0), (1, 2, 1)):
        network = supernet.extract(architecture).to(memory_format=torch.channels_last)
        with torch.inference_mode():
            recalibrate(network, images.reference)
            logits = network(images.validation)
        assert alone(architecture).loss == pytest.approx(float(nn.functional.cross_entropy(logits, images.labels)))


def test_the_walk_equals_the_loop_on_the_whole_space(tmp_path):
    supernet, data = untrained_supernet(tiny_space()), tiny_data()
    evaluations = evaluator(tmp_path, supernet, data)(EVERYTHING)
    canonical = tiny_space().canonical(tiny_space().all_architectures()).tolist()
    assert [list(e.architecture) for e in evaluations] == canonical
    assert_equals_the_loop(evaluations, supernet, data)
    assert len({e.loss for e in evaluations}) == NUM_NETWORKS


def test_chunks_change_nothing(tmp_path):
    supernet, data = untrained_supernet(tiny_space()), tiny_data(validation=45)
    per_image = 4 * probe(supernet).numbers_per_image / 2**30
    whole = evaluator(tmp_path / "whole", supernet, data)(EVERYTHING)
    for images in (25, 31, 60):  # of 24 + 45
        config = CONFIG.model_copy(update={"memory_gib": per_image * (images + 0.5)})
        chunked = evaluator(tmp_path / str(images), supernet, data, config)
        plan = chunked.plan(EVERYTHING)
        assert plan.chunk == images
        assert plan.peak_gib == pytest.approx(per_image * images)
        for ours, theirs in zip(chunked(EVERYTHING), whole, strict=True):
            assert ours.architecture == theirs.architecture
            assert ours.accuracy == theirs.accuracy
            assert ours.loss == pytest.approx(theirs.loss, rel=1e-5)


@pytest.mark.parametrize("images", [7, 45])
def test_without_recalibration_images_the_running_statistics_of_the_super_network_serve(tmp_path, images):
    supernet, data = untrained_supernet(tiny_space()), tiny_data(validation=45)
    supernet.train()(torch.randn(32, data.channels, data.resolution, data.resolution), EVERYTHING[-1])
    per_image = 4 * probe(supernet).numbers_per_image / 2**30
    config = EvaluationConfig(recalibration_images=0, memory_gib=per_image * (images + 0.5))
    fabric = Fabric(accelerator="cpu", devices=1)
    for ours in evaluator(tmp_path, supernet, data, config)(EVERYTHING):
        alone = measure(supernet.extract(ours.architecture), data.validation, fabric=fabric)
        assert (ours.accuracy, ours.loss) == (alone.accuracy, pytest.approx(alone.loss, rel=1e-5))


def test_one_recalibration_image_is_refused():
    with pytest.raises(ValidationError, match="one image has no spread"):
        EvaluationConfig(recalibration_images=1)


def test_a_memory_bound_that_holds_no_image_is_refused(tmp_path):
    supernet = untrained_supernet(tiny_space())
    per_image = 4 * probe(supernet).numbers_per_image / 2**30
    config = CONFIG.model_copy(update={"memory_gib": per_image * 24.5})
    with pytest.raises(ConfigError, match=r"24 recalibration images and one .*recalibration_images to at most 23"):
        evaluator(tmp_path, supernet, tiny_data(), config).plan(EVERYTHING)


class InPlaceResidual(nn.Module):
    """Adds to its input in place: siblings in the trie must not see it."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.residual = in_channels == out_channels and stride == 1

    def forward(self, features):
        result = self.norm(self.conv(features))
        if not self.residual:
            return result
        features += result
        return features


def activation_first(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """An operator whose first layer overwrites its input."""
    return nn.Sequential(
        nn.ReLU(inplace=True), nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
    )


WRITERS = (IDENTITY, Operator(name="residual", build=InPlaceResidual), Operator(name="act", build=activation_first))


def test_operators_that_write_into_their_input_do_not_disturb_siblings(tmp_path):
    space = tiny_space(WRITERS)
    supernet, data = untrained_supernet(space), tiny_data()
    assert probe(supernet).mutating == {(0, 2), (1, 1), (1, 2), (2, 1), (2, 2)}  # (block, operator)
    assert_equals_the_loop(evaluator(tmp_path, supernet, data)(EVERYTHING), supernet, data)


def test_a_head_that_writes_into_its_input_does_not_disturb_siblings(tmp_path):
    """The last block may be an identity, so that the head sees what siblings still need."""

    def head(num_classes: int) -> nn.Module:
        return nn.Sequential(nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, num_classes))

    space = dataclasses.replace(tiny_space(WRITERS), head=head)
    supernet, data = untrained_supernet(space), tiny_data()
    assert (3, 0) in probe(supernet).mutating
    assert_equals_the_loop(evaluator(tmp_path, supernet, data)(EVERYTHING), supernet, data)


def test_scoring_changes_neither_the_super_network_nor_other_scores(tmp_path):
    supernet, data = untrained_supernet(tiny_space()), tiny_data()
    supernet.train()
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    a, b = (1, 2, 1), (2, 1, 0)
    scores = [
        evaluator(tmp_path / str(i), supernet, data)([architecture])[0] for i, architecture in enumerate((a, b, a))
    ]
    one = evaluator(tmp_path / "one", supernet, data)
    again = [one([architecture])[0] for architecture in (a, b, a)]
    together = evaluator(tmp_path / "both", supernet, data)([a, b])
    assert scores[0] == scores[2] == again[0] == again[2]
    assert scores[1] == again[1]
    for ours, theirs in zip(together, scores[:2], strict=True):
        assert (ours.accuracy, ours.loss) == (theirs.accuracy, pytest.approx(theirs.loss, rel=1e-6))
    assert supernet.training
    assert supernet.state_dict().keys() == before.keys()
    for name, value in supernet.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_walk_takes_the_passes_that_it_announces(tmp_path):
    supernet, data = untrained_supernet(tiny_space()), tiny_data()
    walker = evaluator(tmp_path, supernet, data, kind=CountingEvaluator)
    plan = walker.plan(EVERYTHING)
    assert len(plan.rows) == NUM_NETWORKS
    assert plan.passes_alone == NUM_NETWORKS * 3
    CountingEvaluator.passes = 0
    walker(EVERYTHING)
    assert CountingEvaluator.passes == plan.passes == 3 + 9 + 21


def test_nothing_is_evaluated_twice(tmp_path):
    supernet, data = untrained_supernet(tiny_space()), tiny_data()
    walker = evaluator(tmp_path, supernet, data, kind=CountingEvaluator)
    seen = []
    first = walker(EVERYTHING[:10], monitor=lambda done, total, **_: seen.append((done, total)))
    stored = len({e.architecture for e in first})
    assert seen == [(i + 1, stored) for i in range(stored)]
    CountingEvaluator.passes = 0
    assert walker(EVERYTHING[:10]) == first
    assert CountingEvaluator.passes == 0
    everything = walker(EVERYTHING)
    assert everything[:10] == first
    assert walker.store.repeated() == 0
    assert len(walker.store.all(walker.scope)) == NUM_NETWORKS


@pytest.mark.parametrize("chunked", [False, True])
def test_a_stopped_walk_goes_on_where_it_was(tmp_path, chunked):
    supernet, data = untrained_supernet(tiny_space()), tiny_data()
    per_image = 4 * probe(supernet).numbers_per_image / 2**30
    config = CONFIG.model_copy(update={"memory_gib": per_image * 40} if chunked else {})
    undisturbed = evaluator(tmp_path / "a", supernet, data, config)(EVERYTHING)

    def stop(done, total, **_):
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluator(tmp_path / "b", supernet, data, config)(EVERYTHING, monitor=stop)
    walker = evaluator(tmp_path / "b", supernet, data, config)
    assert len(walker.store.all(walker.scope)) == 7
    assert len(walker.plan(EVERYTHING).rows) == NUM_NETWORKS - 7
    for ours, theirs in zip(walker(EVERYTHING), undisturbed, strict=True):
        assert (ours.architecture, ours.accuracy) == (theirs.architecture, theirs.accuracy)
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-6)
    assert walker.store.repeated() == 0


def test_scores_of_other_weights_images_or_settings_are_not_reused(tmp_path):
    supernet, data = untrained_supernet(tiny_space()), tiny_data()
    evaluator(tmp_path, supernet, data)(EVERYTHING)
    other_settings = CONFIG.model_copy(update={"recalibration_images": 32})
    others = [
        evaluator(tmp_path, supernet, data, digest="others"),
        evaluator(tmp_path, supernet, tiny_data(seed=1)),
        evaluator(tmp_path, supernet, data, other_settings),
    ]
    assert [len(other.plan(EVERYTHING).rows) for other in others] == [NUM_NETWORKS] * 3
    more_memory = evaluator(tmp_path, supernet, data, CONFIG.model_copy(update={"memory_gib": 3.0}))
    assert len(more_memory.plan(EVERYTHING).rows) == 0


def test_a_part_of_the_validation_images(tmp_path):
    supernet, data = untrained_supernet(tiny_space()), tiny_data()
    config = CONFIG.model_copy(update={"validation_images": 17})
    evaluations = evaluator(tmp_path, supernet, data, config)(EVERYTHING[::4])
    assert {e.num_images for e in evaluations} == {17}
    assert_equals_the_loop(evaluations, supernet, data, config)


def test_bfloat16_is_close(tmp_path):
    supernet, data = untrained_supernet(tiny_space()), tiny_data()
    exact = evaluator(tmp_path / "32", supernet, data)(EVERYTHING)
    lower = evaluator(tmp_path / "16", supernet, data, CONFIG.model_copy(update={"precision": "bfloat16"}))(EVERYTHING)
    assert any(a.loss != b.loss for a, b in zip(exact, lower, strict=True))
    np.testing.assert_allclose([e.loss for e in lower], [e.loss for e in exact], rtol=0.05)


def test_illegal_architectures_and_empty_requests(tmp_path):
    walker = evaluator(tmp_path, untrained_supernet(tiny_space()), tiny_data())
    with pytest.raises(InvalidArchitectureError, match="Block 1 of tiny"):
        walker([(0, 0, 0), (0, 7, 0)])
    assert walker.store.all(walker.scope) == {}
    assert walker([]) == []


@pytest.mark.slow
def test_the_walk_equals_the_loop_on_all_digits_networks(tmp_path):
    space = digits()
    supernet = untrained_supernet(space)
    data = tiny_data(num_classes=10, train=16, validation=16)
    config = EvaluationConfig(recalibration_images=8)
    everything = space.all_architectures()
    evaluations = evaluator(tmp_path, supernet, data, config)(everything[space.is_canonical(everything)])
    assert_equals_the_loop(evaluations, supernet, data, config)


@pytest.mark.slow
def test_the_walk_equals_the_loop_on_random_nas_bench_macro_networks(tmp_path):
    space = nas_bench_macro().for_task(in_channels=3, num_classes=10, resolution=8)
    supernet = untrained_supernet(space)
    data = tiny_data(num_classes=10, channels=3, train=40, validation=40)
    config = EvaluationConfig(recalibration_images=32)
    rows = np.unique(space.canonical(space.sample(40, np.random.default_rng(0))), axis=0)
    evaluations = evaluator(tmp_path, supernet, data, config)(rows)
    assert_equals_the_loop(evaluations, supernet, data, config)
