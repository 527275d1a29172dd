from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from archatlas.errors import ArtifactMismatchError, ConfigError, InvalidArchitectureError
from archatlas.explorer import load_knowledge
from archatlas.explorer.explorer import differing
from archatlas.records import Budget, as_array


@pytest.fixture(params=["explorer", "enumerated"])
def asked(request):
    return request.getfixturevalue(request.param)


def test_every_budget_gets_the_best_networks_by_brute_force(asked, truth):
    levels = [np.quantile(truth.costs[name], np.linspace(0, 1, 5)) for name in ("macs", "params")]
    for macs, params in product(*levels):
        budgets = [Budget(cost="macs", upper=macs), Budget(cost="params", upper=params)]
        reply = asked.reply(budgets)
        expected = truth.top_scores(10, budgets)
        assert [answer.score for answer in reply.best] == expected.tolist()
        assert reply.proven == len(expected)
        if len(expected):
            assert reply.best[0].certificate.gap == 0
            assert all(answer.costs["macs"] <= macs and answer.costs["params"] <= params for answer in reply.best)
        else:
            assert "smallest attainable" in reply.problem


def test_an_impossible_budget_is_answered_with_what_is_attainable(asked, truth):
    reply = asked.reply([Budget(cost="macs", upper=1.0)])
    assert reply.best == ()
    assert f"smallest attainable macs is {truth.costs['macs'].min():,.0f}" in reply.problem


def test_a_network_is_described_by_what_is_known_of_it(asked, truth, graph):
    for row, score in zip(truth.architectures, truth.scores, strict=True):
        view = asked.network(tuple(map(int, row)))
        assert view.predicted == score
        share = truth.better(score) / len(truth.scores)
        assert view.better.lower <= share <= view.better.upper
        for name, total in view.costs.items():
            assert total == graph.costs[name].of(view.architecture)
            added = view.fixed[name] + sum(block.costs[name] for block in view.blocks)
            assert added == pytest.approx(total)
        names = [graph.operator_names[i][o] for i, o in enumerate(view.architecture)]
        assert [block.operator for block in view.blocks] == names
    assert view.blocks[0].shape == "8 to 12, stride 2"
    assert view.blocks[1].shape == "12 to 12"


def test_predicted_measured_and_stand_alone_are_kept_apart(explorer, enumerated):
    view = explorer.network((1, 1, 1))
    assert view.measured.accuracy == pytest.approx(0.6)
    assert view.stand_alone.test_accuracy == 0.75
    assert explorer.network((2, 2, 2)).measured is None  # scored with another super-network
    assert explorer.network((2, 2, 2)).stand_alone is None
    assert enumerated.network((1, 1, 1)).measured is None


def test_screened_networks_are_told(explorer, order, truth):
    stopped = order.screen(truth.architectures) < order.threshold
    assert 0 < stopped.sum() < len(stopped)
    told = [explorer.network(tuple(map(int, row))).screened for row in truth.architectures]
    assert told == stopped.tolist()
    np.testing.assert_array_equal(explorer.heights(truth.architectures.tolist()), order.rank(truth.architectures))


def test_front_and_density_are_those_of_the_atlas(asked, truth):
    front = asked.front("macs")
    assert max(answer.score for answer in front) == truth.scores.max()
    for answer in front:
        cheaper = truth.costs["macs"] <= answer.costs["macs"]
        assert answer.score == truth.scores[cheaper].max()
    assert asked.density("params").total == len(truth.scores)
    assert asked.front("macs") is front


def test_text_becomes_a_network_of_the_space(explorer):
    assert explorer.parse("1-0-2") == (1, 2, 0)  # blocks 1 and 2 swap: the same network
    for text in ("12", "333", "1110", "x", ""):
        with pytest.raises(InvalidArchitectureError):
            explorer.parse(text)


def test_differing_blocks(explorer):
    assert differing(explorer.network((1, 2, 1)), explorer.network((1, 1, 1))) == (False, True, False)


def test_a_large_space_is_answered_too(large):
    reply = large.reply([Budget(cost="macs", upper=9.0), Budget(cost="latency_ms", upper=12.0)])
    assert len(reply.best) == reply.proven == 10
    scores = large.atlas.score(as_array([answer.architecture for answer in reply.best]))
    assert scores.tolist() == sorted(scores, reverse=True)


def test_what_cannot_be_explored_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="is no run directory"):
        load_knowledge(tmp_path / "none")
    with pytest.raises(ArtifactMismatchError, match=r"atlas\.json"):
        load_knowledge(tmp_path)
