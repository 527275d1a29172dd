from __future__ import annotations

import numpy as np
import pytest

from archatlas.records import as_array
from archatlas.search.config import SamplingConfig
from archatlas.search.problem import measured_score
from archatlas.search.rounds import sample_in_rounds
from archatlas.search.sampling import uniform
from archatlas.testing.search_oracle import Known, graph_of, problem_of


def sample(known, *, seed=0, log=lambda line: None, **settings):
    config = SamplingConfig(**settings)
    free = [range(count) for count in known.graph.num_choices]

    def score(rows):
        return np.array([measured_score(evaluation) for evaluation in known(rows)])

    problem = problem_of(known, seed=seed, log=log)
    return sample_in_rounds(problem, known.graph, lambda n, rng: uniform(free, n, rng), score, config)


def test_twenty_samples_of_eighteen_networks_are_eighteen_with_a_message():
    lines: list[str] = []
    sampled = sample(Known(graph_of((2, 3, 3))), log=lines.append, round_size=20, floor=20, ceiling=20)
    assert len(sampled.scores) == len(np.unique(sampled.architectures, axis=0)) == 18
    assert "All 18 distinct networks that the design reaches are measured." in lines


def test_networks_that_are_the_same_are_measured_once():
    known = Known(graph_of((3, 3, 3), idle=True))
    sampled = sample(known, round_size=27, floor=27, ceiling=27)
    assert len(sampled.scores) == 1 + 2 + 4 + 8
    assert set(known.measured.values()) == {1}
    np.testing.assert_array_equal(known.graph.canonical(sampled.architectures), sampled.architectures)


def test_sampling_stops_when_nothing_moves_any_more():
    sampled = sample(Known(graph_of((4,) * 5)), round_size=50, floor=100, ceiling=1000)
    assert 100 <= len(sampled.scores) < 1000
    last = sampled.rounds[-1]
    assert last.order_tau >= 0.9
    assert last.shortlist_overlap >= 0.6
    assert [r.samples for r in sampled.rounds] == [50 * (i + 1) for i in range(len(sampled.rounds))]


def test_the_floor_is_measured_even_if_everything_is_settled():
    sampled = sample(Known(graph_of((4,) * 5)), round_size=50, floor=300, ceiling=1000, heldout_change=1.0, order_tau=0)
    assert len(sampled.scores) >= 300


def test_the_ceiling_is_never_passed():
    known = Known(graph_of((4,) * 5), interaction=3.0)  # mostly noise: never settles
    sampled = sample(known, round_size=40, floor=50, ceiling=130, order_tau=1.0, shortlist_overlap=1.0)
    assert len(sampled.scores) == 130
    assert sum(known.measured.values()) == 130
    assert [r.samples for r in sampled.rounds] == [40, 80, 120, 130]


def test_a_fixed_number_of_samples():
    sampled = sample(Known(graph_of((4,) * 5)), round_size=100, floor=100, ceiling=100)
    assert len(sampled.scores) == 100
    assert len(sampled.rounds) == 1
    assert np.isnan(sampled.rounds[0].heldout_tau)


def test_each_round_is_predicted_before_it_is_fitted():
    """On pure noise the agreement with fresh rounds is nil; with rows that were fitted it would not be."""
    known = Known(graph_of((4,) * 5), interaction=50.0)
    rounds = sample(known, round_size=60, floor=600, ceiling=600).rounds
    assert abs(np.mean([r.heldout_tau for r in rounds[1:]])) < 0.12
    additive = sample(Known(graph_of((4,) * 5)), round_size=60, floor=600, ceiling=600).rounds
    assert min(r.heldout_tau for r in additive[2:]) > 0.9


def test_the_same_seed_measures_the_same_samples():
    first, again, other = (sample(Known(graph_of((4,) * 5)), seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.architectures, again.architectures)
    np.testing.assert_array_equal(first.scores, again.scores)
    assert first.rounds[1:] == again.rounds[1:]
    assert not np.array_equal(first.architectures, other.architectures)


def test_a_ceiling_below_the_floor_is_refused():
    with pytest.raises(ValueError, match=r"ceiling \(10\) must be at least floor \(20\)"):
        SamplingConfig(floor=20, ceiling=10)


def test_rows_are_architectures():
    sampled = sample(Known(graph_of((2, 3, 3))), round_size=6, floor=6, ceiling=12)
    assert sampled.architectures.dtype == as_array([(0,)]).dtype
