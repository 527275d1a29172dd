"""Curves of the two trainings: the super-network's, and the chosen network's own."""

from __future__ import annotations

from archatlas.records import format_architecture
from archatlas.reporting.charts import curve_figure
from archatlas.reporting.page import Picture, Section, Table, command
from archatlas.reporting.reading import RunFacts
from archatlas.reporting.sections.answer import continue_command
from archatlas.training import Progress


def training_section(facts: RunFacts) -> Section:
    """Draw the training loss of the super-network and of the chosen network."""
    gaps, pictures = [], []
    if facts.supernet is None:
        gaps.append("The training of the super-network has left no checkpoint yet.")
    else:
        epochs = facts.settings["supernet"]["epochs"]
        pictures.append(_picture("supernet", "Super-network", facts.supernet, epochs, stand_alone=False))
    if facts.retraining is None:
        gaps.append("No network is trained on its own yet.")
    else:
        name = format_architecture(facts.trained.architecture) if facts.trained is not None else "the chosen network"
        epochs = facts.settings["retraining"]["epochs"]
        pictures.append(_picture("retraining", f"Stand-alone: {name}", facts.retraining, epochs, stand_alone=True))
    missing = [continue_command(facts)] if gaps else []
    if facts.retraining is None and "search" in facts.done:
        missing.append(command("Train the chosen network only", "retrain", facts.path))
    return Section(
        name="training",
        title="Training curves",
        missing=" ".join(gaps),
        text=(
            "Loss on training images, mean of each epoch. The two trainings minimise different losses: do not compare.",
        ),
        pictures=tuple(pictures),
        commands=tuple(missing),
    )


def _picture(name: str, title: str, progress: Progress, epochs: int, *, stand_alone: bool) -> Picture:
    history = progress.history
    state = "" if progress.share == 1.0 else f", stopped after {progress.share:.0%} of its steps"
    alt = f"{title}: {len(history)} of {epochs} epochs{state}."
    if history:
        alt += f" The training loss went from {history[0]['loss']:.3f} to {history[-1]['loss']:.3f}."
    rows = tuple(
        (
            f"{record['epoch']:.0f}",
            f"{record['loss']:.4f}",
            f"{record['learning_rate']:.2g}",
            f"{record['images_per_second']:,.0f}",
        )
        for record in history
    )
    header = ("epoch", "training loss", "learning rate", "images per second")
    return Picture(
        name=name,
        figure=curve_figure(history, epochs, stand_alone=stand_alone),
        title=title,
        alt=alt,
        caption=alt,
        table=Table(caption=f"{title}, by epoch", header=header, rows=rows, folded=True),
    )
