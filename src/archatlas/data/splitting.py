"""Fixed, stratified splits.

Legend: `N` images, `K` classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archatlas.data.base import SPLIT, Indices, Labels, random_stream
from archatlas.errors import DataError


def stratified_counts(available: Indices, total: int, *, reserve: int = 0) -> Indices:
    """Share `total` images among the classes in proportion, each share rounded up or down.

    A class gets at least one image where `total` allows it, and at least `reserve` of its images are left over.

    Args:
        available: Images per class, `(K,)`.
        total: How many to take.
        reserve: How many images of each class must stay.

    Returns:
        How many to take of each class, `(K,)`, adding up to `total`.

    Raises:
        DataError: If there are not enough images.
    """
    limit = np.maximum(available - reserve, 0)
    if total > limit.sum():
        raise DataError(f"Expected at least {total} images, only {limit.sum()} are free. Lower the number of images.")
    ideal = total * available / available.sum()
    counts: Indices = np.minimum(np.floor(ideal).astype(np.int64), limit)
    if total >= len(available):
        counts = np.maximum(counts, np.minimum(limit, 1))
    while (missing := total - int(counts.sum())) != 0:
        step = 1 if missing > 0 else -1
        movable = counts < limit if step > 0 else counts > 1
        need = np.where(movable, step * (ideal - counts), -np.inf)
        counts[int(need.argmax())] += step
    return counts


def stratified_split(labels: Labels, sizes: Sequence[int | None], *, num_classes: int, seed: int) -> list[Indices]:
    """Draw disjoint stratified parts; a part does not depend on the sizes of those after it.

    Args:
        labels: Class of every image, `(N,)`.
        sizes: Images per part, in order of drawing; None takes all that are left.
        num_classes: `K`.
        seed: Same seed, same parts.

    Returns:
        One shuffled index array per part.

    Raises:
        DataError: If a class has too few images, or all classes together.
    """
    counts = np.bincount(labels, minlength=num_classes)
    if counts.min() < len(sizes):
        raise DataError(
            f"Class {int(counts.argmin())} has {counts.min()} images; it needs at least {len(sizes)} to appear in "
            f"each of {len(sizes)} splits. Add images or take the class out."
        )
    stream = random_stream(SPLIT, seed)
    members = [stream.permutation(np.flatnonzero(labels == k)) for k in range(num_classes)]
    taken = np.zeros(num_classes, dtype=np.int64)
    parts = []
    for place, size in enumerate(sizes):
        free = counts - taken
        share = free if size is None else stratified_counts(free, size, reserve=len(sizes) - 1 - place)
        chosen = [members[k][taken[k] : taken[k] + share[k]] for k in range(num_classes)]
        parts.append(stream.permutation(np.concatenate(chosen)))
        taken = taken + share
    return parts
