from __future__ import annotations

import numpy as np
import pytest

from archatlas.atlas import tabulate
from archatlas.records import TwoStageTerms
from archatlas.reporting.figures import Marks, map_figure
from archatlas.testing.atlas_oracle import random_graph, random_terms


@pytest.fixture(scope="module")
def atlas():
    rng = np.random.default_rng(0)
    choices = (3,) * 6
    graph = random_graph(choices, rng)
    order = TwoStageTerms(screen=random_terms(choices, 1, rng), rank=random_terms(choices, 0, rng), threshold=1.0)
    return tabulate(graph, order)


def test_the_map_shows_every_network_once(atlas):
    figure = map_figure(atlas.density("macs"), atlas.pareto("macs"))
    heat, line = figure.data
    assert heat.customdata.sum() == atlas.size == 729
    assert line.line.shape == "hv"
    assert max(line.y) == atlas.best().score
    assert min(line.y) >= atlas.density("macs").score.centres[0] - atlas.density("macs").score.error


def test_marks_are_thinned_and_named(atlas):
    many = Marks(costs=np.arange(9_000.0), scores=np.arange(9_000.0), names=[f"<{i}>" for i in range(9_000)])
    one = Marks(costs=np.array([1.0]), scores=np.array([2.0]), names=["000000"])
    figure = map_figure(atlas.density("macs"), samples=many, chosen=one)
    names = [trace.name for trace in figure.data]
    assert names == ["all networks", "measured networks (9,000)", "chosen network"]
    assert len(figure.data[1].x) == 2_000
    assert figure.data[1].x[-1] == 8_999
