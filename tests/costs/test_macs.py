from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from archatlas.costs.macs import count, count_costs
from archatlas.records import as_array, parse_architecture
from archatlas.spaces.digits import digits
from archatlas.spaces.mobile import fairnas, mobile_cifar
from archatlas.spaces.nas_bench_macro import nas_bench_macro
from archatlas.testing.tiny import tiny_space

TABLES = Path(os.environ.get("ARCHATLAS_TABLES", Path(__file__).parents[3] / "shared" / "data"))
MACRO_TABLE = TABLES / "nas_bench_macro_cifar10.json"
FAIRNAS = fairnas()
tables_of = cache(count_costs)


def test_known_layers_are_counted_by_hand():
    with torch.device("meta"):
        assert count(nn.Conv2d(3, 8, 3, padding=1), (1, 3, 10, 10)) == (3 * 8 * 9 * 100, 3 * 8 * 9 + 8, (1, 8, 10, 10))
        assert count(nn.Conv2d(8, 8, 5, 2, 2, groups=8, bias=False), (1, 8, 10, 10)) == (
            8 * 25 * 25,
            8 * 25,
            (1, 8, 5, 5),
        )
        assert count(nn.Linear(7, 3), (1, 7)) == (21, 24, (1, 3))
        assert count(nn.BatchNorm2d(8), (1, 8, 4, 4)) == (0, 16, (1, 8, 4, 4))
        assert count(nn.Identity(), (1, 8, 4, 4)) == (0, 0, (1, 8, 4, 4))


@pytest.mark.parametrize("space", [tiny_space(), digits(), nas_bench_macro(), mobile_cifar(), FAIRNAS])
def test_whole_networks_cost_what_the_tables_add_up_to(space):
    tables = tables_of(space)
    for architecture in space.sample(2, np.random.default_rng(0)).tolist():
        with torch.device("meta"):
            network = space.build(tuple(architecture))
            macs, params, output = count(network, (1, space.in_channels, space.resolution, space.resolution))
        assert output == (1, space.num_classes)
        assert (tables["macs"].of(tuple(architecture)), tables["params"].of(tuple(architecture))) == (macs, params)


@pytest.mark.parametrize(
    ("text", "params", "macs"),
    [
        ("2023500551311335354", 4_651_352, 388_122_848),  # FairNAS-A
        ("1010312031032054534", 4_506_272, 345_297_632),  # FairNAS-B
        ("1020000003000055334", 4_397_864, 321_024_992),  # FairNAS-C
    ],
)
def test_the_published_fairnas_networks(text, params, macs):
    tables = tables_of(FAIRNAS)
    architecture = parse_architecture(text)
    assert (tables["params"].of(architecture), tables["macs"].of(architecture)) == (params, macs)


def test_the_best_network_of_nas_bench_macro():
    tables = count_costs(nas_bench_macro())
    assert tables["params"].of((2, 2, 2, 1, 2, 2, 2, 0)) == 1_985_514
    assert tables["macs"].of((2, 2, 2, 1, 2, 2, 2, 0)) == 85_164_544


@pytest.mark.tables
def test_all_networks_of_nas_bench_macro_equal_the_public_table():
    if not MACRO_TABLE.exists():
        pytest.skip(f"{MACRO_TABLE} is not there; name its folder in ARCHATLAS_TABLES")
    published = json.loads(MACRO_TABLE.read_text())
    tables = count_costs(nas_bench_macro())
    rows = as_array([parse_architecture(text) for text in published])
    assert len(rows) == 6561
    np.testing.assert_array_equal(tables["params"](rows), [entry["params"] for entry in published.values()])
    np.testing.assert_array_equal(tables["macs"](rows), [entry["flops"] for entry in published.values()])
