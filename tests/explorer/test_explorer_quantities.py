from __future__ import annotations

import pytest

from archatlas.atlas import CostSummary, Percentile
from archatlas.explorer.quantities import quantity
from archatlas.explorer.sentences import share


def _quantity(name, minimum, maximum):
    return quantity(CostSummary(name=name, minimum=minimum, median=minimum, maximum=maximum, median_error=0))


@pytest.mark.parametrize(
    ("minimum", "maximum", "unit"),
    [(247_129_856, 557_405_696, "million"), (10_042, 85_190, "thousand"), (0.2, 3.1, ""), (2e9, 9e9, "billion")],
)
def test_a_slider_covers_the_range_in_even_steps(minimum, maximum, unit):
    found = _quantity("macs", minimum, maximum)
    assert found.unit == unit
    assert minimum <= found.low * found.scale < minimum + 1.001 * found.step * found.scale
    assert maximum <= found.high * found.scale < maximum + 1.001 * found.step * found.scale
    assert 80 <= (found.high - found.low) / found.step <= 201
    assert found.limit(found.high) is None
    assert found.limit(None) is None
    assert found.limit(found.low) == found.low * found.scale
    assert found.shown(found.limit(found.low)) == pytest.approx(found.low)
    assert found.shown(None) == found.high


def test_latency_keeps_its_unit_and_a_single_value_has_a_slider():
    assert _quantity("latency_ms", 2.0, 80.0).text(8.25) == "8.25 ms"
    single = _quantity("macs", 5.0, 5.0)
    assert single.low <= single.high


@pytest.mark.parametrize(
    ("lower", "upper", "text"),
    [
        (0.0, 0.0, "no other is predicted to be better"),
        (0.25, 0.25, "25.00% are predicted to be better"),
        (0.0, 1.64e-15, "at most 1 in 610 trillion are predicted to be better"),
        (0.0, 0.02, "at most 2.00% are predicted to be better"),
        (0.0, 1.0, "not known: too few networks to compare with"),
        (0.0, 2e-4, "at most 1 in 5,000 are predicted to be better"),
    ],
)
def test_shares_in_words(lower, upper, text):
    assert share(Percentile(lower=lower, upper=upper)) == text
