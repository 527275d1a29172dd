from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archatlas.data.splitting import stratified_counts, stratified_split
from archatlas.errors import DataError


@given(st.lists(st.integers(1, 60), min_size=2, max_size=8), st.integers(0, 2), st.data())
def test_shares_add_up_stay_in_bounds_and_are_proportional(available, reserve, data):
    available = np.array(available)
    limit = np.maximum(available - reserve, 0)
    total = data.draw(st.integers(0, int(limit.sum())))
    counts = stratified_counts(available, total, reserve=reserve)
    assert counts.sum() == total
    assert (counts >= 0).all()
    assert (counts <= limit).all()
    if total >= len(available):
        assert (counts[limit > 0] >= 1).all()
    if reserve == 0:
        ideal = total * available / available.sum()
        assert (np.abs(counts - ideal) < 1 + (ideal < 1).sum()).all()


@pytest.mark.parametrize("seed", range(5))
def test_parts_are_disjoint_stratified_and_leave_nothing_out(seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(4), (40, 30, 20, 10)))
    test, validation, train = stratified_split(labels, [20, 10, None], num_classes=4, seed=seed)
    assert np.bincount(labels[test]).tolist() == [8, 6, 4, 2]
    assert np.bincount(labels[validation]).tolist() == [4, 3, 2, 1]
    assert np.bincount(labels[train]).tolist() == [28, 21, 14, 7]
    assert sorted(np.concatenate([test, validation, train]).tolist()) == list(range(100))


def test_a_limit_on_training_changes_neither_validation_nor_test():
    labels = np.repeat(np.arange(3), 30)
    full = stratified_split(labels, [9, 9, None], num_classes=3, seed=1)
    less = stratified_split(labels, [9, 9, 12], num_classes=3, seed=1)
    assert full[0].tolist() == less[0].tolist()
    assert full[1].tolist() == less[1].tolist()
    assert set(less[2]) < set(full[2])


def test_same_seed_same_parts_other_seed_other_parts():
    labels = np.repeat(np.arange(3), 30)
    first, again, other = (stratified_split(labels, [9, None], num_classes=3, seed=s)[0].tolist() for s in (1, 1, 2))
    assert first == again != other


def test_parts_are_shuffled_so_that_their_beginning_is_a_fair_sample():
    (part,) = stratified_split(np.repeat(np.arange(4), 100), [None], num_classes=4, seed=0)
    counts = np.bincount(np.repeat(np.arange(4), 100)[part[:100]], minlength=4)
    assert counts.min() > 10


def test_a_rare_class_appears_in_every_part():
    labels = np.repeat([0, 1], [1000, 3])
    parts = stratified_split(labels, [150, 150, None], num_classes=2, seed=0)
    assert [int((labels[part] == 1).sum()) for part in parts] == [1, 1, 1]


def test_too_few_images_are_refused():
    with pytest.raises(DataError, match="Class 1 has 2 images; it needs at least 3"):
        stratified_split(np.repeat([0, 1], [5, 2]), [1, 1, None], num_classes=2, seed=0)
    with pytest.raises(DataError, match="at least 9 images, only 8 are free"):
        stratified_split(np.repeat([0, 1], 5), [9, None], num_classes=2, seed=0)
