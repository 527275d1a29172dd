from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archatlas.errors import ArchAtlasError, InfeasibleBudgetError, InvalidArchitectureError
from archatlas.records import (
    Certificate,
    CostTable,
    Prediction,
    TwoStageTerms,
    WindowCost,
    WindowTerms,
    as_array,
    format_architecture,
    parse_architecture,
    silent,
)


@given(st.lists(st.integers(0, 12), min_size=1, max_size=30).map(tuple))
def test_an_architecture_is_read_back_from_its_text(architecture):
    if architecture == (10,) or (len(architecture) == 1 and architecture[0] > 9):
        return  # a single block of ten and more operators has no separator to tell it from digits
    assert parse_architecture(format_architecture(architecture)) == architecture


@pytest.mark.parametrize("text", ["2-0-11", "2,0,11", " 2 0  11 ", "(2, 0, 11)", "[2, 0, 11]"])
def test_separators_that_users_type_are_understood(text):
    assert parse_architecture(text) == (2, 0, 11)


@pytest.mark.parametrize("text", ["", "abc", "1x2", "1.5", "²3", "--"])
def test_text_that_is_no_architecture_is_refused_with_an_example(text):
    with pytest.raises(InvalidArchitectureError, match="Expected an architecture such as 20135 or 10-2-3"):
        parse_architecture(text)


def test_batches_are_bytes():
    batch = as_array([(1, 2), (0, 255)])
    assert batch.dtype == np.uint8
    assert as_array(batch) is batch
    for wrong in ([(256, 0)], np.array([[0, -1]]), [(10**30, 0)]):
        with pytest.raises(InvalidArchitectureError, match="between 0 and 255, got"):
            as_array(wrong)


def test_records_are_frozen_and_their_arrays_read_only():
    mean = np.zeros(2)
    prediction = Prediction(mean=mean, std=np.ones(2))
    mean[0] = 5.0
    assert prediction.mean[0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        prediction.mean[0] = 1.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        prediction.mean = mean
    with pytest.raises(ValueError, match=r"must be \(A,\)"):
        Prediction(mean=np.zeros(2), std=np.zeros(3))


def test_a_cost_table_adds_up_and_its_prefix_counts_the_cheapest_rest():
    table = CostTable(name="macs", fixed=10.0, entries=(np.array([1, 2]), np.array([30, 20, 40]), np.array([500])))
    everything = list(itertools.product(range(2), range(3), range(1)))
    costs = [10 + (1, 2)[a] + (30, 20, 40)[b] + 500 for a, b, _ in everything]
    assert table(as_array(everything)).tolist() == costs
    assert [table.of(a) for a in everything] == costs
    assert (table.minimum, table.maximum) == (min(costs), max(costs))
    for length in range(1, 4):
        prefix = table.prefix(length)
        heads = as_array(list(itertools.product(*(range(c) for c in (2, 3, 1)[:length]))))
        expected = [min(c for a, c in zip(everything, costs, strict=True) if a[:length] == tuple(h)) for h in heads]
        assert prefix(heads).tolist() == expected
    assert table(as_array([(1, 0)])).tolist() == [42.0]


@pytest.mark.parametrize("radius", [0, 1, 2, 5])
def test_window_terms_are_sums_over_windows(radius):
    rng, choices = np.random.default_rng(0), (2, 3, 2, 4)
    shapes = [choices[max(0, i - radius) : i + radius + 1] for i in range(4)]
    terms = WindowTerms(radius=radius, terms=tuple(rng.normal(size=shape) for shape in shapes), offset=0.5)
    assert terms.num_choices == choices
    everything = list(itertools.product(*map(range, choices)))
    naive = [
        0.5 + sum(t[a[max(0, i - radius) : i + radius + 1]] for i, t in enumerate(terms.terms)) for a in everything
    ]
    np.testing.assert_allclose(terms(as_array(everything)), naive)


def test_window_terms_of_a_wrong_shape_are_refused():
    with pytest.raises(ValueError, match="term 1 must have 2 axes"):
        WindowTerms(radius=1, terms=(np.zeros((2, 2)), np.zeros(2)))


def test_two_stages_put_every_survivor_above_all_others():
    rng = np.random.default_rng(1)
    screen = WindowTerms(radius=0, terms=(rng.normal(size=4), rng.normal(size=4)))
    rank = WindowTerms(radius=0, terms=(rng.normal(size=4), rng.normal(size=4)))
    everything = as_array(list(itertools.product(range(4), range(4))))
    threshold = float(np.quantile(screen(everything), 0.7))
    scores = TwoStageTerms(screen=screen, rank=rank, threshold=threshold)(everything)
    kept = screen(everything) >= threshold
    assert scores[kept].min() > scores[~kept].max()
    np.testing.assert_array_equal(np.argsort(scores[~kept]), np.argsort(screen(everything)[~kept]))
    np.testing.assert_array_equal(scores[kept], rank(everything)[kept])
    unscreened = TwoStageTerms(screen=screen, rank=rank, threshold=-np.inf)
    np.testing.assert_array_equal(unscreened(everything), rank(everything))


def test_small_records():
    assert Certificate(lower=1.0, upper=1.5).gap == 0.5
    silent(1, 2, loss=0.3)


def test_an_infeasible_budget_names_what_is_attainable():
    error = InfeasibleBudgetError("macs", 1e6, 2_345_678.0)
    assert isinstance(error, ArchAtlasError)
    assert isinstance(error, ValueError)
    assert (error.cost, error.upper, error.attainable) == ("macs", 1e6, 2_345_678.0)
    assert "macs <= 1,000,000; the smallest attainable macs is 2,345,678" in str(error)


@pytest.mark.parametrize("radius", [0, 1, 2])
@pytest.mark.parametrize("counts", [(3,), (2, 3), (3, 2, 4), (2, 3, 2, 3, 2)])
def test_a_cost_over_windows_is_minimised_exactly(radius, counts):
    rng = np.random.default_rng(radius)
    shapes = [counts[max(0, i - radius) : i + radius + 1] for i in range(len(counts))]
    terms = WindowTerms(radius=radius, terms=tuple(rng.normal(size=shape) for shape in shapes), offset=2.0)
    cost = WindowCost(name="latency_ms", terms=terms)
    everything = as_array(np.indices(counts).reshape(len(counts), -1).T)
    values = cost(everything)
    assert (cost.minimum, cost.maximum) == pytest.approx((values.min(), values.max()))
    assert cost.of(tuple(everything[-1])) == values[-1]
    for length in range(1, len(counts) + 1):
        heads = as_array(np.indices(counts[:length]).reshape(length, -1).T)
        cheapest = [values[(everything[:, :length] == head).all(axis=1)].min() for head in heads]
        np.testing.assert_allclose(cost.prefix(length)(heads), cheapest)
        assert cost.prefix(length).minimum == pytest.approx(cost.minimum)


def test_a_table_is_a_cost_over_windows_of_one_block():
    table = CostTable(name="macs", fixed=10.0, entries=(np.array([1.0, 2.0]), np.array([30.0, 20.0, 40.0])))
    same = WindowCost(name="macs", terms=table.terms)
    rows = as_array([(0, 0), (1, 2), (0, 1)])
    np.testing.assert_array_equal(same(rows), table(rows))
    assert (same.minimum, same.maximum) == (table.minimum, table.maximum)
    assert same.prefix(1).of((1,)) == table.prefix(1).of((1,))
