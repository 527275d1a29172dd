"""The report as text: of a finished run, of stopped ones, of a table's fit, with hostile names."""

from __future__ import annotations

import json
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from archatlas import cli
from archatlas.errors import ArtifactMismatchError, ConfigError
from archatlas.fitting import fit_scores
from archatlas.predictors import PredictorConfig
from archatlas.predictors.metrics import kendall_tau
from archatlas.reporting.html import write_report
from archatlas.reporting.reading import read_run
from archatlas.reporting.sections.answer import interval
from archatlas.reporting.sections.fit import noise
from archatlas.reporting.sections.network import network_links
from archatlas.testing.atlas_oracle import random_graph


class Page(HTMLParser):
    """The visible text of a page, its headings, and the pictures' alternative texts."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.headings: list[str] = []
        self.alts: list[str] = []
        self.tags: list[str] = []
        self.inside: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "br"):
            self.inside.append(tag)
        if dict(attrs).get("role") == "img":
            self.alts.append(dict(attrs)["aria-label"] or "")

    def handle_endtag(self, tag: str) -> None:
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self.inside and self.inside[-1] in ("script", "style"):
            return
        self.words.append(data)
        if self.inside and self.inside[-1] in ("h1", "h2", "h3"):
            self.headings.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def _read(run: Path, output: Path) -> Page:
    return Page(write_report(run, output).read_text(encoding="utf-8"))


def test_a_run_ends_with_a_report_of_itself(finished: Path, tmp_path: Path) -> None:
    page = _read(finished, tmp_path / "again.html")
    assert Page((finished / "report.html").read_text(encoding="utf-8")).headings == page.headings
    result = json.loads((finished / "result.json").read_text())
    assert result["architecture"] in page.text
    assert f"{result['costs']['macs']:,.0f} of at most 2,000,000" in page.text
    assert f"{result['test_accuracy']:.2%} of 300 test images" in page.text
    assert f"{result['one_shot_accuracy']:.2%} of the validation images" in page.text
    assert f"tau {result['held_out']['tau']:.3f}" in page.text or f"{result['held_out']['tau']:.3f}" in page.text
    assert "not agreement with the truth" in page.text
    assert "incomplete" not in page.text
    assert len(page.alts) == 8 == len(set(page.alts))
    assert min(map(len, page.alts)) > 40
    assert {"macs (more is better)", "depth (deeper is better)"} <= {word.strip() for word in page.words}
    assert f"archatlas describe {finished} {result['architecture']}" in page.text


def test_measured_predicted_and_stand_alone_differ_in_word_and_shape(finished: Path) -> None:
    source = (finished / "report.html").read_text(encoding="utf-8")
    marks = re.findall(r'class="mark ([a-z-]+)"><span aria-hidden="true">(.)</span> ([a-z-]+)<', source)
    assert {mark for mark in marks} == {
        ("measured", "●", "measured"),
        ("predicted", "◆", "predicted"),
        ("stand-alone", "■", "stand-alone"),
    }


def test_the_file_needs_nothing_else(finished: Path) -> None:
    source = (finished / "report.html").read_text(encoding="utf-8")
    without_plotly = re.sub(r"<script>/\*\*.*?</script>", "", source, flags=re.S)
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!#)""", without_plotly)
    assert "default-src 'none'" in source
    assert source.count("plotly.js v") == 1
    assert len(source) < 10e6


@pytest.mark.parametrize(
    ("kept", "missing", "command"),
    [
        (
            (),
            "The training of the super-network has left no checkpoint yet",
            "archatlas run {run}/config.yaml --run {run}",
        ),
        (("train",), "No network is chosen yet", "archatlas run {run}/config.yaml --run {run}"),
        (("train", "search"), "There is no atlas yet", "archatlas fit {run}"),
        (("train", "search", "fit"), "The network is not trained on its own yet", "archatlas retrain {run}"),
    ],
)
def test_a_stopped_run_says_what_is_missing_and_how_to_get_it(
    kept: tuple[str, ...], missing: str, command: str, finished: Path, tmp_path: Path
) -> None:
    run = tmp_path / "stopped"
    shutil.copytree(finished, run)
    stages = json.loads((run / "stages.json").read_text())
    outputs = {"train": ["supernet"], "search": ["search.json"], "fit": ["fit.json", "atlas"], "retrain": ["network"]}
    for stage in outputs.keys() - set(kept):
        stages[stage]["done"] = False
        for name in outputs[stage]:
            shutil.rmtree(run / name) if (run / name).is_dir() else (run / name).unlink()
    (run / "stages.json").write_text(json.dumps(stages))
    (run / "report.html").unlink()
    page = _read(run, run / "report.html")
    assert missing in page.text
    assert command.format(run=run) in page.text
    assert "incomplete" in page.text
    assert ("41 sub-networks" in page.text or "sub-networks were scored" in page.text) == ("train" in kept)


def test_half_a_line_of_a_killed_process_is_left_out(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "killed"
    shutil.copytree(finished, run)
    whole = len(read_run(run).events)
    with (run / "events.jsonl").open("a") as stream:
        stream.write('{"time": 17')
    assert len(read_run(run).events) == whole


def test_results_older_than_what_they_were_made_from_are_named(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "older"
    shutil.copytree(finished, run)
    assert read_run(run).outdated == ()
    with (run / "events.jsonl").open("a") as stream:
        stream.write(json.dumps({"time": 1.0, "event": "stage done", "stage": "search", "seconds": 1.0}) + "\n")
    assert read_run(run).outdated == ("fit", "retrain")
    assert "an earlier stage was done again: fit, retrain" in _read(run, run / "report.html").text


def test_a_fit_of_a_table_has_a_report_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    graph = random_graph((3,) * 5, rng)
    rows = np.unique(rng.integers(0, 3, (80, 5)), axis=0).astype(np.uint8)
    config = PredictorConfig.model_validate({"name": "ridge"})
    fit_scores(graph, rows, rows.sum(axis=1) + rng.normal(size=len(rows)), config, seed=0, directory=tmp_path)
    page = _read(tmp_path, tmp_path / "report.html")
    assert "Fit of your own table" in page.text
    assert "super-network measured" not in page.text
    assert "Measured is the score of your table" in page.text


def test_directories_without_a_run_and_damaged_files_get_one_message(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match="holds no run of archatlas"):
        read_run(tmp_path)
    run = tmp_path / "damaged"
    shutil.copytree(finished, run)
    (run / "fit.json").write_text("{")
    (run / "report.html").unlink()
    with pytest.raises(ArtifactMismatchError, match=r"fit.json is damaged"):
        write_report(run)
    assert not (run / "report.html").exists()
    monkeypatch.setattr(sys, "argv", ["archatlas", "report", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    assert "holds no run of archatlas" in capsys.readouterr().err


def test_the_drawing_adds_up_to_the_costs() -> None:
    rng = np.random.default_rng(1)
    graph = random_graph((3, 2, 4), rng)
    links = network_links(graph, (2, 1, 3))
    assert [link.label for link in links] == ["fixed", "block 0", "block 1", "block 2"]
    for i, (name, table) in enumerate(graph.costs.items()):
        shown = sum(float(link.bars[i][1].replace(",", "")) for link in links)
        assert shown == pytest.approx(table.of((2, 1, 3)), rel=2e-3), name
        assert max(link.bars[i][2] for link in links) == 1.0


def test_spreads_are_those_of_the_books() -> None:
    low, high = interval(0.9, 100)  # Wilson 1927
    assert (low, high) == (pytest.approx(0.8256, abs=1e-4), pytest.approx(0.9448, abs=1e-4))
    rng = np.random.default_rng(0)
    taus = [kendall_tau(rng.normal(size=24), rng.normal(size=24)) for _ in range(400)]
    assert noise(24) == pytest.approx(np.std(taus), rel=0.12)


def test_hostile_names_are_text(finished: Path, hostile: Path, hostile_names: tuple[str, ...]) -> None:
    page = _read(hostile, hostile / "report.html")
    clean = Page((finished / "report.html").read_text(encoding="utf-8"))
    for name in hostile_names:
        assert " ".join(name.split()) in page.text
    assert sorted(set(page.tags)) == sorted(set(clean.tags))
    assert page.tags.count("script") == clean.tags.count("script")
    assert "<i>run" in page.text
