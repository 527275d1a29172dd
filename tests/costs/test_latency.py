from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from archatlas.costs.agreement import agreement
from archatlas.costs.budgets import LatencyConfig, record_table
from archatlas.costs.choices import choosing, likely_choices
from archatlas.costs.importing import read_measurements
from archatlas.costs.jobs import Plan
from archatlas.costs.latency import BLOCK, CHOSEN, FITTED, HELD_OUT, LATENCY, load_latency
from archatlas.costs.macs import count_costs
from archatlas.costs.measuring import conditions_of, measure, time_networks
from archatlas.costs.parts import check_on_half, sum_of_parts, table_of_parts
from archatlas.costs.whole import table_of_networks
from archatlas.errors import ArtifactMismatchError, DataError
from archatlas.records import Budget, CostTable, WindowTerms, as_array, format_architecture, parse_architecture
from archatlas.spaces.base import ChainNetwork
from archatlas.spaces.nas_bench_macro import nas_bench_macro
from archatlas.testing.devices import KnownDevice
from archatlas.testing.tiny import tiny_space

SPACE = tiny_space()
PLAN = Plan(batch=1, repeats=2, fitted=8, held_out=10, chosen=0, parts=True, seed=0)
CONDITIONS = conditions_of(SPACE, KnownDevice(), 1)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return measure(SPACE, KnownDevice(), PLAN, tmp_path_factory.mktemp("latency") / "log.jsonl")


@pytest.fixture(scope="module")
def table(rows):
    return table_of_parts(SPACE, CONDITIONS, rows, "2026-01-01T00:00:00+00:00")


def known_ms(architecture) -> float:
    return KnownDevice().milliseconds(SPACE.build(architecture))


def test_every_distinct_operator_is_timed_once_and_no_op_takes_no_time(rows):
    device = KnownDevice()
    blocks = [(row.block, row.operator) for row in rows if row.part == BLOCK]
    mbconvs = ["mbconv_e2_k3", "mbconv_e3_k5"]
    assert sorted(blocks) == sorted([(0, "identity"), *((b, name) for b in range(3) for name in mbconvs)])
    by_block = {(row.block, row.operator): row for row in rows if row.part == BLOCK}
    assert by_block[1, "mbconv_e2_k3"].ms == by_block[2, "mbconv_e2_k3"].ms
    assert by_block[1, "mbconv_e2_k3"].count == 10
    assert by_block[1, "mbconv_e3_k5"].ms == pytest.approx(device.milliseconds(SPACE.blocks[1].build(2)))
    assert [row.part for row in rows if row.architecture].count(HELD_OUT) == 10
    assert len({row.architecture for row in rows if row.architecture}) == 18


def test_the_model_predicts_every_network_of_a_device_that_adds_up(table):
    everything = SPACE.canonical(SPACE.all_architectures())
    truth = [known_ms(tuple(map(int, row))) for row in everything]
    np.testing.assert_allclose(table.cost(everything), truth, rtol=1e-6)
    assert table.agreement.mape < 1e-6
    assert table.agreement.tau == pytest.approx(1.0)
    assert table.warning is None


def test_a_measurement_continues_where_it_was_stopped(rows, tmp_path):
    log, device = tmp_path / "log.jsonl", KnownDevice()

    class Stop(Exception):
        pass

    def stop(done, total, **figures):
        if done == 20:
            raise Stop

    with pytest.raises(Stop):
        measure(SPACE, device, PLAN, log, monitor=stop)
    lines = log.read_text().splitlines()
    assert len(lines) == 21
    log.write_text("\n".join(lines)[:-9])  # the last line was cut short
    before = device.prepared
    again = measure(SPACE, device, PLAN, log)
    assert [dataclasses.replace(a, ms=0, lower_ms=0, upper_ms=0) for a in again] == [
        dataclasses.replace(b, ms=0, lower_ms=0, upper_ms=0) for b in rows
    ]
    np.testing.assert_allclose([row.ms for row in again], [row.ms for row in rows])
    assert device.prepared - before <= 7 + 18  # each at most once
    keys = [json.loads(line)["key"] for line in log.read_text().splitlines()[1:]]
    assert len(keys) == len(set(keys)) == 2 * (7 + 18)


class Cached(KnownDevice):
    """A device on which weights take three times as long in a whole network as in a part."""

    def milliseconds(self, module) -> float:
        slow = 3.0 if isinstance(module, ChainNetwork) else 1.0
        weights = sum(parameter.numel() for parameter in module.parameters())
        return super().milliseconds(module) + (slow - 1.0) * 1e-6 * weights


def test_weights_that_cost_more_in_a_whole_network_have_a_price_of_their_own(tmp_path):
    plan = dataclasses.replace(PLAN, fitted=12)
    slower = table_of_parts(SPACE, CONDITIONS, measure(SPACE, Cached(), plan, tmp_path / "log.jsonl"), "")
    everything = SPACE.canonical(SPACE.all_architectures())
    truth = [Cached().milliseconds(SPACE.build(tuple(map(int, row)))) for row in everything]
    np.testing.assert_allclose(slower.cost(everything), truth, rtol=1e-6)
    assert "+2 ms per million weights" in slower.model


def test_chosen_networks_are_timed_too_and_count_for_the_margin_alone(rows, table, tmp_path):
    plan, device = dataclasses.replace(PLAN, fitted=5, held_out=6, chosen=3), KnownDevice()
    asked = {}

    def choose(measured):
        asked["rows"] = measured
        chosen = likely_choices(SPACE, table.cost, 3, known={row.architecture for row in measured}, seed=0)
        assert chosen == choosing(SPACE, CONDITIONS, plan)(measured)
        return chosen

    again = measure(SPACE, device, plan, tmp_path / "log.jsonl", choose=choose)
    chosen = [row for row in again if row.part == CHOSEN]
    assert asked["rows"] == again[: -len(chosen)]
    assert len(chosen) == 3
    assert not {row.architecture for row in chosen} & {row.architecture for row in asked["rows"]}
    slow = [dataclasses.replace(row, ms=1.2 * row.ms) if row.part == CHOSEN else row for row in again]
    found = table_of_parts(SPACE, CONDITIONS, slow, "").agreement
    assert (found.networks, found.chosen) == (6, 3)
    assert found.margin == pytest.approx(0.2)
    assert found.worst < 1e-6
    prepared = device.prepared
    assert [row.ms for row in measure(SPACE, device, plan, tmp_path / "log.jsonl", choose=choose)] == [
        row.ms for row in again
    ]
    assert device.prepared == prepared  # all of it was in the log


def test_likely_choices_are_best_trade_offs_over_the_range():
    space = nas_bench_macro()
    cost = count_costs(space)["macs"]
    chosen = likely_choices(space, cost, 20, known=(), seed=0)
    ms = cost(as_array([parse_architecture(text) for text in chosen]))
    shares = (ms - cost.minimum) / (cost.maximum - cost.minimum)
    assert len(set(chosen)) == 20
    assert (np.diff(ms) >= 0).all()
    assert 0.1 <= shares[0] < 0.25
    assert 0.75 < shares[-1] <= 0.9
    free = CostTable(name=LATENCY, fixed=0.0, entries=tuple(np.array([1.0, 1.0, -9.0]) for _ in range(8)))
    lured = likely_choices(space, free, 20, known=chosen, seed=0)  # the table says that operator 2 gives time back
    assert np.mean([text.count("2") for text in lured]) > 1.2 * np.mean([text.count("2") for text in chosen])
    assert not set(lured) & set(chosen)


def test_conditions_are_never_mixed(tmp_path):
    log = tmp_path / "log.jsonl"
    measure(SPACE, KnownDevice(), dataclasses.replace(PLAN, parts=False), log)
    with pytest.raises(ArtifactMismatchError, match="device 'known' instead of 'other'.*delete that file"):
        measure(SPACE, KnownDevice("other"), dataclasses.replace(PLAN, parts=False), log)
    larger = SPACE.for_task(in_channels=1, num_classes=4, resolution=16)
    with pytest.raises(ArtifactMismatchError, match="resolution 8 instead of 16"):
        measure(larger, KnownDevice(), dataclasses.replace(PLAN, parts=False), log)


def test_a_saved_table_is_the_same(table, tmp_path):
    table.save(tmp_path / "t.parquet")
    loaded = load_latency(tmp_path / "t.parquet")
    assert loaded.facts == table.facts
    assert loaded.rows == table.rows
    np.testing.assert_array_equal(loaded.cost(SPACE.all_architectures()), table.cost(SPACE.all_architectures()))
    loaded.check(SPACE)


def test_tables_of_another_space_task_or_resolution_are_refused(table):
    for task, message in (
        ({"resolution": 16}, "tiny at 8x8; expected tiny at 16x16.*--resolution 16"),
        ({"num_classes": 5}, "other blocks, operators, channels or classes.*5 classes"),
    ):
        other = SPACE.for_task(**{"in_channels": 1, "num_classes": 4, "resolution": 8} | task)
        with pytest.raises(ArtifactMismatchError, match=message):
            table.check(other)


def test_what_is_no_table_is_refused(tmp_path):
    with pytest.raises(ArtifactMismatchError, match="does not exist; make it with: archatlas latency measure"):
        load_latency(tmp_path / "none.parquet")
    (tmp_path / "bad.parquet").write_text("block,operator")
    with pytest.raises(ArtifactMismatchError, match="no latency table"):
        load_latency(tmp_path / "bad.parquet")


def test_too_little_agreement_says_so(rows):
    rng = np.random.default_rng(0)
    noisy = [dataclasses.replace(r, ms=r.ms * rng.uniform(0.5, 2)) if r.part == HELD_OUT else r for r in rows]
    table = table_of_parts(SPACE, CONDITIONS, noisy, "")
    assert "agrees too little with whole networks: MAPE" in table.warning
    plain = [row for row in rows if not row.architecture]
    assert "not compared with whole networks" in table_of_parts(SPACE, CONDITIONS, plain, "").warning
    with pytest.raises(DataError, match="Expected at least 5 whole networks to correct"):
        table_of_parts(SPACE, CONDITIONS, [r for r in rows if r.part != HELD_OUT], "")


def test_agreement_by_hand():
    found = agreement(np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.5, 2.0]))
    assert found.mape == pytest.approx((0 + 0.2 + 1.0) / 3)
    assert found.worst == pytest.approx(1.0)
    assert found.margin == pytest.approx(0.25)
    assert found.tau == pytest.approx(1 / 3)
    luckless = agreement(np.array([1.0, 2.0]), np.array([1.0, 2.0]), (np.array([2.0, 4.0]), np.array([2.2, 6.0])))
    assert (luckless.worst, luckless.chosen) == (0.0, 2)
    assert luckless.margin == pytest.approx(0.5)
    assert "95 % take at most 50.0% more than predicted, also of 2 such as a search returns" in str(luckless)


def test_missing_operators_and_impossible_times_are_named(rows):
    lacking = [row for row in rows if (row.block, row.operator) != (2, "mbconv_e3_k5") and row.part != "stem"]
    with pytest.raises(DataError, match="lacks stem, operator mbconv_e3_k5 of block 2; add rows"):
        sum_of_parts(SPACE, lacking)
    for bad in (-1.0, float("nan"), float("inf")):
        (row,) = [r for r in rows if (r.block, r.operator) == (1, "mbconv_e2_k3")]
        with pytest.raises(DataError, match=r"milliseconds.*operator mbconv_e2_k3 of block 1; got"):
            dataclasses.replace(row, ms=bad)


def test_budgets_keep_the_margin_free(table):
    assert LatencyConfig().load(SPACE) is None
    slow = dataclasses.replace(table, agreement=dataclasses.replace(table.agreement, margin=0.25))
    budgets = [Budget(cost="macs", upper=10.0), Budget(cost=LATENCY, upper=10.0)]
    assert [b.upper for b in LatencyConfig().tightened(budgets, slow)] == [10.0, 8.0]
    assert [b.upper for b in LatencyConfig(margin=2.0).tightened(budgets, slow)] == [10.0, pytest.approx(10 / 1.5)]
    assert [b.upper for b in LatencyConfig().tightened(budgets, None)] == [10.0, 10.0]


def test_a_run_keeps_to_one_device(table, tmp_path):
    record_table(tmp_path, table)
    assert json.loads((tmp_path / "latency.json").read_text())["device"] == "known"
    record_table(tmp_path, dataclasses.replace(table, date="later"))
    other = dataclasses.replace(table, conditions=dataclasses.replace(table.conditions, device="phone", threads=4))
    with pytest.raises(ArtifactMismatchError, match=r"device 'known', not 'phone'; threads 1, not 4.*another run dir"):
        record_table(tmp_path, other)


def test_networks_are_timed_again(table):
    times = time_networks(SPACE, KnownDevice(), ["012", "222"], batch=1)
    assert times["222"].median_ms == pytest.approx(known_ms((2, 2, 2)))


# --- imported tables


def csv_of(tmp_path, *lines):
    path = tmp_path / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def parts_csv(rows, tmp_path):
    lines = ["block,operator,latency_ms,device"]
    for row in rows:
        if not row.architecture:
            lines.append(f"{row.part if row.part in {'stem', 'head'} else row.block},{row.operator},{row.ms},known")
    return csv_of(tmp_path, *lines)


def test_a_csv_of_operators_gives_the_same_table(rows, table, tmp_path):
    read = read_measurements(parts_csv(rows, tmp_path), SPACE, CONDITIONS)
    whole = check_on_half([r for r in rows if r.architecture], seed=1)
    assert [r.part for r in whole].count(HELD_OUT) == 9
    again = table_of_parts(SPACE, CONDITIONS, [*read, *whole], "")
    np.testing.assert_allclose(again.cost(SPACE.all_architectures()), table.cost(SPACE.all_architectures()), rtol=1e-6)


def test_operators_may_be_numbers(tmp_path):
    (row,) = read_measurements(csv_of(tmp_path, "block,operator,latency_ms", "1,2,0.5"), SPACE, CONDITIONS)
    assert (row.block, row.operator, row.ms) == (1, "mbconv_e3_k5", 0.5)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["block,time", "1,2"], "line 1: expected the columns block, operator, latency_ms"),
        (["block,operator,latency_ms", "7,0,1"], "line 2: expected block 0 to 2, stem or head, got '7'"),
        (["block,operator,latency_ms", "1,conv,1"], "block 1 of tiny takes 0 = identity, .*got 'conv'"),
        (["block,operator,latency_ms", "1,1,-3"], "line 2: Expected milliseconds, .*block 1; got -3.0"),
        (["block,operator,latency_ms", "1,1,nan"], "line 2: Expected milliseconds"),
        (["block,operator,latency_ms", "1,1,fast"], "line 2: expected milliseconds, got 'fast'"),
        (["block,operator,latency_ms", "1,1,1", "1,mbconv_e2_k3,1"], "line 3: .* stands in line 2 already"),
        (["architecture,latency_ms", "0123,1"], "line 2: tiny has 3 blocks"),
    ],
)
def test_bad_csv_is_refused_by_line(lines, message, tmp_path):
    with pytest.raises(DataError, match=message):
        read_measurements(csv_of(tmp_path, *lines), SPACE, CONDITIONS)


def test_a_csv_of_two_devices_is_refused(tmp_path):
    path = csv_of(tmp_path, "architecture,latency_ms,device", "000,1,known", "111,2,phone")
    with pytest.raises(ArtifactMismatchError, match="line 3: device 'phone', expected 'known'"):
        read_measurements(path, SPACE, CONDITIONS)


def test_whole_networks_alone_make_a_table(rows, tmp_path):
    networks = [r for r in rows if r.architecture] * 2
    seen = {}

    def learn(architectures, values):
        seen["fitted"] = len(values)
        return WindowTerms(radius=1, terms=(np.zeros((3, 3)), np.zeros((3, 3, 3)), np.zeros((3, 3))), offset=2.0)

    table = table_of_networks(SPACE, learn, CONDITIONS, networks, "", seed=0)
    assert seen["fitted"] == 36 - 7
    assert table.agreement.networks == 7
    assert [r.part for r in table.rows].count(FITTED) == 29
    assert table.cost.of((0, 1, 2)) == 2.0
    table.save(tmp_path / "w.parquet")
    assert load_latency(tmp_path / "w.parquet").cost.terms.radius == 1
    with pytest.raises(DataError, match="at least 20 whole networks to learn latency from, got 5"):
        table_of_networks(SPACE, learn, CONDITIONS, networks[:5], "", seed=0)


def test_texts_of_networks_are_canonical(rows):
    texts = [row.architecture for row in rows if row.architecture]
    canonical = SPACE.canonical(as_array([parse_architecture(text) for text in texts]))
    assert [format_architecture(tuple(map(int, row))) for row in canonical] == texts
