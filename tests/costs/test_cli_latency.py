"""`archatlas latency` and the run that uses its table."""

from __future__ import annotations

import csv
import io
import json
import sys

import numpy as np
import pytest

from archatlas import cli
from archatlas.cli.console import TerminalConsole
from archatlas.config import parse_config
from archatlas.costs.latency import load_latency
from archatlas.errors import ArtifactMismatchError, ConfigError
from archatlas.session import open_run
from archatlas.spaces.digits import digits
from archatlas.testing.devices import KnownDevice


def main(monkeypatch, *arguments) -> int:
    monkeypatch.setattr(sys, "argv", ["archatlas", "latency", *map(str, arguments)])
    monkeypatch.setattr(cli.latency, "_backend", lambda *_: KnownDevice())
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def made(monkeypatch, path, *options) -> None:
    counts = () if "--whole" in options else ("--networks", 10, "--held-out", 10, "--chosen", 5)
    assert main(monkeypatch, "measure", "--space", "digits", "-o", path, *counts, "--repeats", 1, *options) == 0


def test_measure_then_predict(tmp_path, monkeypatch, capsys):
    path = tmp_path / "t.parquet"
    made(monkeypatch, path)
    told = capsys.readouterr().out
    assert "sum of operators" in told
    assert "10 held-out networks: MAPE 0.00%, tau 1.000" in told
    assert "also of 5 such as a search returns" in told
    assert list(tmp_path.iterdir()) == [path]
    assert main(monkeypatch, "predict", path, "000000", "222222") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    truth = [KnownDevice().milliseconds(digits().build((o,) * 6)) for o in (0, 2)]
    np.testing.assert_allclose([float(row["latency_ms"]) for row in rows], truth, rtol=1e-6)
    assert main(monkeypatch, "predict", path, "0000") == 2
    assert "has 6 blocks with 3, 3, 3, 3, 3, 3 operators" in capsys.readouterr().err
    assert main(monkeypatch, "measure", "--space", "digits", "-o", path) == 2
    assert "exists already" in capsys.readouterr().err


def test_whole_networks_measured_and_imported(tmp_path, monkeypatch, capsys):
    made(monkeypatch, tmp_path / "w.parquet", "--whole", 30)
    assert "learnt from 24 whole networks" in capsys.readouterr().out
    table = load_latency(tmp_path / "w.parquet")
    assert table.agreement.mape < 0.02
    lines = ["architecture,latency_ms", *(f"{row.architecture},{row.ms}" for row in table.rows)]
    (tmp_path / "w.csv").write_text("\n".join(lines))
    options = ("--space", "digits", "--device", "phone", "-o", tmp_path / "p.parquet")
    assert main(monkeypatch, "import", tmp_path / "w.csv", *options, "--radius", 1) == 0
    imported = load_latency(tmp_path / "p.parquet")
    assert (imported.conditions.device, imported.cost.terms.radius) == ("phone", 1)


def test_operators_imported(tmp_path, monkeypatch, capsys):
    made(monkeypatch, tmp_path / "t.parquet")
    rows = load_latency(tmp_path / "t.parquet").rows
    parts = [
        f"{row.part if row.part != 'block' else row.block},{row.operator},{row.ms}"
        for row in rows
        if not row.architecture
    ]
    (tmp_path / "p.csv").write_text("\n".join(["block,operator,latency_ms", *parts]))
    options = ("--space", "digits", "--device", "phone")
    assert main(monkeypatch, "import", tmp_path / "p.csv", *options, "-o", tmp_path / "a.parquet") == 0
    assert "not compared with whole networks" in capsys.readouterr().err
    nets = [f"{row.architecture},{row.ms}" for row in rows if row.architecture]
    (tmp_path / "n.csv").write_text("\n".join(["architecture,latency_ms", *nets]))
    checked = ("--networks", tmp_path / "n.csv", "-o", tmp_path / "b.parquet")
    assert main(monkeypatch, "import", tmp_path / "p.csv", *options, *checked) == 0
    assert load_latency(tmp_path / "b.parquet").agreement.mape < 1e-6
    (tmp_path / "bad.csv").write_text("\n".join(["block,operator,latency_ms", *parts[:-1]]))
    assert main(monkeypatch, "import", tmp_path / "bad.csv", *options, "-o", tmp_path / "c.parquet") == 2
    assert "lacks operator mbconv" in capsys.readouterr().err
    assert not (tmp_path / "c.parquet").exists()


def config_of(**settings):
    return parse_config({"hardware": {"accelerator": "cpu"}} | settings, source="test")


def test_a_run_records_its_table_and_keeps_the_margin_free(tmp_path, monkeypatch):
    made(monkeypatch, tmp_path / "t.parquet", "--classes", 10)
    table = load_latency(tmp_path / "t.parquet")
    settings = {"latency": {"table": str(tmp_path / "t.parquet")}, "budgets": {"macs": 1e6, "latency_ms": 0.05}}
    with open_run(config_of(**settings), tmp_path / "run", TerminalConsole()) as run:
        assert set(run.graph.costs) == {"macs", "params", "latency_ms"}
        assert [budget.upper for budget in run.limits] == pytest.approx([1e6, 0.05 / (1 + table.margin)])
        before = run.searched_from
    recorded = json.loads((tmp_path / "run" / "latency.json").read_text())
    assert recorded["device"] == "known"
    assert recorded["held_out"]["networks"] == 10
    with open_run(config_of(), tmp_path / "other", TerminalConsole()) as run:
        assert run.searched_from != before
        assert run.costed_from == ""
    with (
        pytest.raises(ConfigError, match=r"budgets names the cost 'latency_ms'; .*archatlas latency measure"),
        open_run(config_of(budgets={"latency_ms": 1.0}), tmp_path / "x", TerminalConsole()),
    ):
        pass


def test_a_run_refuses_a_table_of_another_resolution(tmp_path, monkeypatch):
    made(monkeypatch, tmp_path / "t.parquet", "--resolution", 16)
    config = config_of(latency={"table": str(tmp_path / "t.parquet")})
    with (
        pytest.raises(ArtifactMismatchError, match="digits at 16x16; expected digits at 8x8"),
        open_run(config, tmp_path / "run", TerminalConsole()),
    ):
        pass
