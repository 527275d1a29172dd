"""Networks such as searches under a latency budget return.

A search takes the best score that a budget admits. Among networks of like score it takes the one that the table calls
quickest, so it finds those whose latency the table underrates: random networks do not tell how far its answers are off.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from archatlas.costs.jobs import Plan
from archatlas.costs.latency import Conditions, Measured
from archatlas.costs.macs import count_costs
from archatlas.costs.measuring import Choose
from archatlas.costs.parts import table_of_parts
from archatlas.records import Cost, Floats, as_array, format_architecture
from archatlas.spaces import ChainSpace

_DRAWS = 20
_LOWEST, _HIGHEST = 0.1, 0.9


def choosing(space: ChainSpace, conditions: Conditions, plan: Plan) -> Choose:
    """Return what picks the chosen networks of a plan: by the table that all other times make."""

    def choose(rows: tuple[Measured, ...]) -> list[str]:
        cost = table_of_parts(space, conditions, rows, "").cost
        return likely_choices(space, cost, plan.chosen, known={row.architecture for row in rows}, seed=plan.seed)

    return choose


def likely_choices(space: ChainSpace, cost: Cost, count: int, *, known: Collection[str], seed: int) -> list[str]:
    """Return networks that searches would find if scores were these: larger is better, the rest is chance.

    What is largest for a sum over blocks `score - price * cost` is largest in each block, and it is the best under the
    budget that it just keeps. Scores are the square root of MACs and as much chance, prices are chance.

    Args:
        space: The space.
        cost: Milliseconds of every network, a sum over blocks.
        count: How many. A space with fewer such networks gives fewer.
        known: Networks, as text, that are left out.
        seed: Of scores and prices.

    Returns:
        Distinct networks as text, evenly spread in the order of their cost, from a tenth to nine tenths of its range.
    """
    rng = np.random.default_rng(seed)
    sizes = [_standard(np.sqrt(entry)) for entry in count_costs(space)["macs"].entries]
    spread = np.sqrt(np.mean([entry.var() for entry in cost.terms.terms]))
    found = []
    for price in np.exp(rng.uniform(np.log(0.1), np.log(10.0), _DRAWS * count)) / spread:
        scores = [size + rng.standard_normal(len(size)) for size in sizes]
        found.append([int(np.argmax(s - price * c)) for s, c in zip(scores, cost.terms.terms, strict=True)])
    networks = np.unique(space.canonical(as_array(found)), axis=0)
    texts = np.array([format_architecture(tuple(map(int, row))) for row in networks])
    ms = cost(networks)
    low, high = (cost.minimum + share * (cost.maximum - cost.minimum) for share in (_LOWEST, _HIGHEST))
    eligible = (ms >= low) & (ms <= high) & ~np.isin(texts, list(known))
    ordered = texts[eligible][np.argsort(ms[eligible], kind="stable")]
    picked = np.unique(np.linspace(0, len(ordered) - 1, min(count, len(ordered))).round().astype(int))
    return [str(text) for text in ordered[picked]]


def _standard(values: Floats) -> Floats:
    centred = values - values.mean()
    return np.asarray(centred / (centred.std() or 1.0))
