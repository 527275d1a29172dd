"""Where the time went, and with what the run was made."""

from __future__ import annotations

from datetime import UTC, datetime

from archatlas.records import STAGES
from archatlas.reporting.page import Cell, Section, Table
from archatlas.reporting.reading import RunFacts
from archatlas.reporting.sections.answer import continue_command

_MEANING = {
    "train": "training the super-network",
    "search": "scoring sub-networks, fitting between the rounds",
    "fit": "the final fit and the atlas",
    "retrain": "training the chosen network on its own",
}
_NOT_SURROUNDINGS = ("time", "event", "space", "data")


def time_section(facts: RunFacts) -> Section:
    """List the seconds of every stage over all sessions."""
    total = sum(facts.seconds.values()) or 1.0
    rows = tuple(
        (
            stage,
            _MEANING[stage],
            _state(facts, stage),
            Cell(text=duration(facts.seconds.get(stage, 0.0)), bar=facts.seconds.get(stage, 0.0) / total),
        )
        for stage in STAGES
    )
    table = Table(
        caption="Stages, over all sessions",
        header=("stage", "what it does", "state", "time"),
        rows=(*rows, ("total", "", "", duration(sum(facts.seconds.values())))),
    )
    unfinished = facts.next_stage is not None
    return Section(
        name="time",
        title="Where the time went",
        missing=f"The stage {facts.next_stage} is not done." if unfinished else "",
        tables=(table,),
        notes=("A session that was killed does not count the time since its stage began.",),
        commands=(continue_command(facts),) if unfinished else (),
    )


def setup_section(facts: RunFacts) -> Section:
    """List versions, seeds and hardware, and the settings in full."""
    opened = [event for event in facts.events if event.get("event") == "opened"]
    latest = opened[-1] if opened else {}
    rows = [("sessions", f"{len(opened)}")]
    if opened:
        rows += [("first opened", _moment(opened[0]["time"])), ("last opened", _moment(latest["time"]))]
    rows += [(key, f"{value}") for key, value in latest.items() if key not in _NOT_SURROUNDINGS]
    seeds = [("seed of the run", str(facts.settings.get("seed")))]
    if "data" in facts.settings:
        seeds.append(("seed of the data split", str(facts.settings["data"].get("seed"))))
    digests = [(f"digest of the {name}", str(latest[name])) for name in ("space", "data") if name in latest]
    return Section(
        name="setup",
        title="Versions, seeds, hardware",
        text=("Of the last session. The digests name space and images: equal digests, equal content.",),
        tables=(Table(caption="Surroundings", rows=(*rows, *seeds, *digests)),),
        code=(("config.yaml: every setting", facts.settings_text),),
    )


def duration(seconds: float) -> str:
    """Return a time span for reading."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:.0f} h {minutes:.0f} min"
    return f"{minutes:.0f} min {rest:.0f} s" if minutes else f"{rest:.1f} s"


def _state(facts: RunFacts, stage: str) -> str:
    if stage in facts.outdated:
        return "done, but older than what it was made from"
    if stage in facts.done:
        return "done"
    return "not finished" if stage in facts.seconds else "not begun"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")
