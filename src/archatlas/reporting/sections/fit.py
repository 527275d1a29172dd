"""The fit: predicted against measured scores, and its agreement beside that of trivial orders."""

from __future__ import annotations

import math

from archatlas.predictors.report import NOT_THE_TRUTH, FitReport
from archatlas.reporting.charts import agreement_figure, correlation_figure
from archatlas.reporting.page import Cell, Picture, Section, Table, command
from archatlas.reporting.reading import RunFacts
from archatlas.reporting.sections.answer import continue_command

TRIVIAL = ("macs", "params", "depth")


def agreement_section(facts: RunFacts) -> Section:
    """Draw measured against predicted scores, held-out ones apart."""
    title = "Measured against predicted"
    if facts.fit is None:
        return _missing(facts, "agreement", title)
    fit = facts.fit
    alt = (
        f"Predicted against measured score of {len(fit.points):,} networks, {fit.num_held_out:,} of them held out. "
        f"Kendall's tau on the held-out ones is {fit.rows[0].tau:.3f}."
    )
    held_out = [point for point in fit.points if point.held_out]
    rows = tuple(
        (
            point.architecture,
            Cell(text=f"{point.measured:.4f}", mark="measured"),
            Cell(text=f"{point.predicted:.3f}", mark="predicted"),
        )
        for point in sorted(held_out, key=lambda point: -point.predicted)[:100]
    )
    table = Table(
        caption=f"Held-out networks, best predicted first ({len(rows)} of {len(held_out)})",
        header=("network", "measured", "predicted"),
        rows=rows,
        folded=True,
    )
    picture = Picture(
        name="agreement-figure",
        figure=agreement_figure(fit.points),
        title=fit.rows[0].name,
        alt=alt,
        caption=alt,
        table=table,
    )
    unit = "the score of your table" if facts.is_table else "minus the validation loss of the super-network"
    return Section(
        name="agreement",
        title=title,
        text=(
            f"Measured is {unit}, predicted the flexible score of the fit. Both are drawn as normal scores: 0 is the "
            "middle network, 1 one standard deviation better. Only the held-out networks tell how well the fit "
            "predicts: it never saw them.",
        ),
        pictures=(picture,),
    )


def correlation_section(facts: RunFacts) -> Section:
    """Draw rank correlations with held-out scores: the fit, ridge, and orders that need no fit at all."""
    title = "How well the orders agree with measured scores"
    if facts.fit is None:
        return _missing(facts, "correlation", title)
    fit = facts.fit
    rows = tuple(
        (_explained(row.name), f"{row.tau:.3f}", f"{row.rho:.3f}", f"{row.top_overlap:.3f}") for row in fit.rows
    )
    table = Table(
        caption=f"Agreement with {fit.num_held_out:,} held-out measured scores",
        header=("order", "Kendall's tau", "Spearman's rho", f"shared best tenth ({max(1, fit.num_held_out // 10)})"),
        rows=rows,
    )
    best = max(fit.rows, key=lambda row: row.tau)
    alt = f"Bars of Kendall's tau for {len(fit.rows)} orders; the highest is {best.name} with {best.tau:.3f}."
    picture = Picture(
        name="correlation-figure",
        figure=correlation_figure(fit.rows, TRIVIAL),
        title="Rank correlation with held-out measured scores",
        alt=alt,
        caption=f"{alt} Hatched: orders that need no fit.",
    )
    return Section(
        name="correlation",
        title=title,
        text=_verdict(fit),
        tables=(table,),
        pictures=(picture,),
        notes=(
            f"{fit.rule} The two-stage order, (rank) in the figure, is the one that search and atlas use.",
            *(() if facts.is_table else (NOT_THE_TRUTH,)),
        ),
    )


def noise(count: int) -> float:
    """Return the standard deviation of Kendall's tau between unrelated orders of `count` networks."""
    return math.sqrt(2 * (2 * count + 5) / (9 * count * (count - 1))) if count > 1 else 1.0


def _verdict(fit: FitReport) -> tuple[str, ...]:
    """Say whether the predictor beats its yardsticks, and how far chance goes."""
    mine, others = fit.rows[0], [row for row in fit.rows[1:] if not row.name.startswith(fit.rows[0].name)]
    spread = noise(fit.num_held_out)
    rival = max(others, key=lambda row: row.tau)
    if mine.tau > rival.tau:
        words = (
            f"{mine.name} agrees best with what was measured: tau {mine.tau:.3f}, next {rival.name} {rival.tau:.3f}."
        )
    else:
        words = (
            f"{rival.name} agrees with what was measured at least as well as {mine.name}: tau {rival.tau:.3f} to "
            f"{mine.tau:.3f}."
        )
    chance = (
        f"With {fit.num_held_out:,} held-out networks a tau of unrelated orders scatters by {spread:.2f} around 0; "
        "smaller differences between orders say little."
    )
    return words, chance


def _explained(name: str) -> str:
    known = {"macs": "macs (more is better)", "params": "params (more is better)", "depth": "depth (deeper is better)"}
    return known.get(name, name.replace(" (rank)", ", two-stage order"))


def _missing(facts: RunFacts, name: str, title: str) -> Section:
    enough = "search" in facts.done or len(facts.evaluations) >= 20
    commands = [continue_command(facts)]
    if enough:
        commands.append(command("Fit what is scored so far", "fit", facts.path))
    missing = "Nothing is fitted yet." if enough else "Nothing is fitted yet: too few sub-networks are scored."
    return Section(name=name, title=title, missing=missing, commands=tuple(commands))
