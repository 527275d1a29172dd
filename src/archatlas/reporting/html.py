"""The report: one HTML file that needs nothing else, neither files beside it nor a network."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from archatlas.files import write_text
from archatlas.records import STAGES
from archatlas.reporting.page import Section
from archatlas.reporting.reading import RunFacts, read_run
from archatlas.reporting.sections import RUN_SECTIONS, TABLE_SECTIONS

REPORT_FILE = "report.html"


def write_report(run: Path, output: Path | None = None) -> Path:
    """Write the report of a run, finished or not, and return its path.

    Args:
        run: Run directory, or the directory of a table's fit.
        output: File to write; None for `report.html` in the run directory.

    Raises:
        ConfigError: If `run` is neither.
        ArtifactMismatchError: If a file of the run is damaged.
    """
    facts = read_run(run)
    sections = [section(facts) for section in (TABLE_SECTIONS if facts.is_table else RUN_SECTIONS)]
    path = output if output is not None else run / REPORT_FILE
    write_text(path, render(facts, sections))
    return path


def render(facts: RunFacts, sections: list[Section]) -> str:
    """Return the page. Every text of the run is escaped; figures are embedded as data, not as code."""
    environment = Environment(
        loader=PackageLoader("archatlas.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    figures = {picture.name: figure_data(picture.figure) for section in sections for picture in section.pictures}
    title = f"{facts.graph.name if facts.graph is not None else facts.path.name}"
    if facts.data is not None:
        title += f" on {facts.data['name']}"
    return environment.get_template("report.html.j2").render(
        title=title,
        facts=facts,
        stages=STAGES,
        sections=sections,
        figures=figures,
        plotly=Markup(get_plotlyjs()) if figures else "",
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def figure_data(figure: go.Figure) -> Markup:
    """Return a figure as JSON that cannot end the script element that holds it."""
    described = json.dumps(json.loads(figure.to_json()), separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        described = described.replace(character, f"\\u{ord(character):04x}")
    return Markup(described)
