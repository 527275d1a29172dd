from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
import pytest
from test_factored_atlas import make

from archatlas.atlas import enumerate_space, load_atlas
from archatlas.atlas.factored import FactoredAtlas
from archatlas.atlas.networks import write_networks
from archatlas.errors import ArtifactMismatchError, ConfigError, InfeasibleBudgetError
from archatlas.records import Budget, Prediction, format_architecture, parse_architecture
from archatlas.testing.atlas_oracle import random_graph


@dataclass(frozen=True)
class Fitted:
    atlas: FactoredAtlas

    @property
    def graph(self):
        return self.atlas.graph

    def predict(self, architectures):
        mean = self.atlas.order.screen(architectures)
        return Prediction(mean=mean, std=np.abs(mean) / 10)

    def rank(self, architectures):
        return self.atlas.order(architectures)


@pytest.fixture(params=range(6))
def both(request, tmp_path):
    atlas, truth = make([2, 3, 1], request.param, (1, 0), (0.3, None)[request.param % 2])
    return atlas, enumerate_space(Fitted(atlas), tmp_path / "atlas"), truth


def test_both_forms_answer_alike(both):
    factored, enumerated, truth = both
    assert enumerated.size == factored.size == len(truth.scores)
    scores = lambda scored: [score for _, score in scored]  # noqa: E731
    np.testing.assert_allclose(scores(enumerated.top(20)), scores(factored.top(20)), atol=1e-9)
    budgets = [Budget(cost=n, upper=float(np.quantile(truth.costs[n], 0.6))) for n in ("macs", "latency_ms")]
    assert enumerated.best(budgets).score == pytest.approx(factored.best(budgets).score)
    within = [[[0]] + [list(range(n)) for n in factored.graph.num_choices[1:]]]
    np.testing.assert_allclose(scores(enumerated.top(9, within=within)), scores(factored.top(9, within=within)))
    for one, other in zip(enumerated.pareto("macs", 30), factored.pareto("macs", 30), strict=True):
        assert one.score == pytest.approx(other.score)
    np.testing.assert_allclose(
        [(s.minimum, s.maximum) for s in enumerated.summaries()], [(s.minimum, s.maximum) for s in factored.summaries()]
    )
    np.testing.assert_array_equal(enumerated.score(truth.architectures), truth.scores)
    np.testing.assert_array_equal(enumerated.costs(truth.architectures)["macs"], truth.costs["macs"])


def test_percentile_and_density_are_exact(both):
    factored, atlas, truth = both
    for each, chosen in itertools.product((factored, atlas), range(0, len(truth.scores), 7)):
        share = each.percentile(tuple(truth.architectures[chosen]))
        assert share.lower == share.upper == truth.better(truth.scores[chosen]) / len(truth.scores)
        share = each.percentile(tuple(truth.architectures[chosen]), "macs")
        near = (truth.costs["macs"] >= share.band[0]) & (truth.costs["macs"] <= share.band[1])
        assert share.lower == share.upper == (truth.scores[near] > truth.scores[chosen]).mean()
    density = atlas.density("macs")
    assert density.total == len(truth.scores)
    binned = np.repeat(density.score.centres, density.counts.sum(axis=0))
    assert np.abs(binned - np.sort(truth.scores)).max() <= density.score.error + 1e-12


def test_an_impossible_budget_says_what_is_attainable(both):
    _, atlas, truth = both
    cheapest = truth.costs["macs"].min()
    with pytest.raises(InfeasibleBudgetError, match="smallest attainable macs is") as caught:
        atlas.best([Budget(cost="macs", upper=cheapest / 2)])
    assert caught.value.attainable == cheapest


def test_saved_copied_and_loaded(both, tmp_path):
    _, atlas, _ = both
    atlas.save(tmp_path / "copy")
    for directory in (tmp_path / "atlas", tmp_path / "copy"):
        loaded = load_atlas(directory, atlas.graph)
        np.testing.assert_array_equal(loaded.scores, atlas.scores)
        assert loaded.best() == atlas.best()
    (tmp_path / "copy" / "networks.parquet").write_bytes(b"PAR1")
    with pytest.raises(ArtifactMismatchError, match=r"networks\.parquet is missing or damaged"):
        load_atlas(tmp_path / "copy")


def test_more_than_ten_operators_read_back(tmp_path):
    graph = random_graph((12, 11), np.random.default_rng(0))
    write_networks(tmp_path / "n.parquet", graph, lambda a: {"score": a.sum(axis=1).astype(float)})
    import pyarrow.parquet as pq

    texts = pq.read_table(tmp_path / "n.parquet")["architecture"].to_pylist()
    assert len(texts) == 132
    assert [parse_architecture(text) for text in texts] == [(a, b) for a in range(12) for b in range(11)]
    assert texts[131] == format_architecture((11, 10))


def test_large_spaces_are_not_enumerated(tmp_path):
    graph = replace(random_graph((6,) * 19, np.random.default_rng(0)), name="large")
    with pytest.raises(ConfigError, match=r"large has 609,359,740,010,496 architectures; at most 20,000,000"):
        write_networks(tmp_path / "n.parquet", graph, lambda a: {})
    assert not list(tmp_path.iterdir())
