"""Shares, certificates and budgets in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from archatlas.atlas import Percentile
from archatlas.explorer.explorer import Reply
from archatlas.explorer.quantities import Quantity
from archatlas.records import Budget, Evaluation
from archatlas.retraining import RetrainResult

_WORDS = ((1e15, "quadrillion"), (1e12, "trillion"), (1e9, "billion"), (1e6, "million"))


def share(percentile: Percentile) -> str:
    """Say which share of the networks is predicted to be better."""
    low, high = percentile.lower, percentile.upper
    if high >= 1 and low < 1:
        return "not known: too few networks to compare with"
    if high == 0:
        return "no other is predicted to be better"
    if low == high or (low > 0 and _amount(low) == _amount(high)):
        return f"{_amount(high)} are predicted to be better"
    return f"at most {_amount(high)} are predicted to be better"


def _amount(part: float) -> str:
    return f"{part:.2%}" if part >= 1e-3 else f"1 in {_rounded(1 / part)}"


def _rounded(number: float) -> str:
    scale, word = next(((s, w) for s, w in _WORDS if number >= s), (1.0, ""))
    return f"{float(f'{number / scale:.2g}'):,.12g} {word}".rstrip()


def budgets(asked: Sequence[Budget], quantities: Mapping[str, Quantity]) -> str:
    """Say which budgets hold."""
    if not asked:
        return "without a budget"
    parts = (f"{quantities[b.cost].label} up to {quantities[b.cost].text(b.upper)}" for b in asked)
    return "with " + " and ".join(parts)


def proof(reply: Reply) -> str:
    """Say how sure it is that no admissible network has a higher predicted score."""
    gap = reply.best[0].certificate.gap
    if gap == 0:
        return "proven: no network within the budgets has a higher predicted score"
    return f"no network within the budgets has a predicted score more than {gap:.2g} higher"


def measured(evaluation: Evaluation | None) -> str:
    """Say what the super-network measured."""
    if evaluation is None:
        return "not measured"
    return (
        f"accuracy {evaluation.accuracy:.2%}, loss {evaluation.loss:.4f} on {evaluation.num_images:,} validation "
        "images, with the weights of the super-network"
    )


def stand_alone(result: RetrainResult | None) -> str:
    """Say what training on its own gave."""
    if result is None:
        return "not trained"
    return f"test accuracy {result.test_accuracy:.2%} on {result.test_images:,} images, trained on its own"
