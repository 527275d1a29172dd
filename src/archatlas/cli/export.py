"""The chosen network as files that work alone: `export`, `predict-images`."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archatlas.cli.run import opened_run
from archatlas.errors import ConfigError, DataError

if TYPE_CHECKING:  # torch and ONNX Runtime take seconds to import; `--help` must not
    from archatlas.exporting.export import Export, OnnxFile
    from archatlas.exporting.prediction import ImagePrediction


class Format(StrEnum):
    """How predictions are printed."""

    CSV = "csv"
    JSON = "json"


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run directory with a trained network.")],
    onnx: Annotated[
        Path | None, typer.Option("--onnx", metavar="FILE", help="Where to; default RUN/export/net.onnx.")
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Also write FILE.int8.onnx, quantised by ONNX Runtime.")] = False,
    calibration_images: Annotated[
        int, typer.Option(min=1, help="Training images that set the ranges of the int8 network.")
    ] = 256,
) -> None:
    """Write the trained network of a run as ONNX, and as weights with a JSON file that rebuilds it.

    ONNX Runtime is checked against torch on validation images first. Preprocessing and class names are in the files.
    Example: `archatlas export runs/digits --onnx net.onnx --int8`.
    """
    from archatlas.exporting.card import describe_network
    from archatlas.exporting.export import export_network
    from archatlas.retraining import load_network, load_result

    if not (run / "network" / "network.json").is_file():
        raise ConfigError(f"{run} holds no trained network; train one with: archatlas retrain {run}")
    with opened_run(None, run) as opened:
        if not opened.fabric.is_global_zero:
            return
        network, trained = load_network(opened.space, run / "network"), load_result(run / "network")
        card = describe_network(
            network,
            opened.space,
            trained.architecture,
            opened.data,
            space_name=opened.config.space,
            test_accuracy=trained.test_accuracy,
            test_images=trained.test_images,
        )
        target = onnx or run / "export" / "net.onnx"
        done = export_network(network, card, opened.data, target, calibration_images=calibration_images * int8)
        opened.directory.event("exported", onnx=str(target), architecture=card.architecture)
    _show(done, card.architecture, card.test_accuracy, card.test_images)


def predict_images(
    network: Annotated[Path, typer.Argument(metavar="NET", help="An exported .onnx or .json file.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files of any size and mode.")],
    format: Annotated[Format, typer.Option("--format", help="csv or json.")] = Format.CSV,
    space: Annotated[
        str | None, typer.Option(help="Space file of a .json network of your own space; its code is run.")
    ] = None,
) -> None:
    """Print class and probability of each image. The .onnx file is all it needs: no run directory, no space.

    Images that cannot be read are named at the end, with exit code 2; the others are predicted all the same.
    Example: `archatlas predict-images net.onnx photos/*.png`.
    """
    from archatlas.exporting.classifiers import open_classifier
    from archatlas.exporting.prediction import predict_images

    unreadable: list[ImagePrediction] = []
    good = _readable(predict_images(open_classifier(network, space), images), unreadable)
    rows = ({"image": str(one.path), "class": one.label, "probability": one.probability} for one in good)
    if format is Format.JSON:
        typer.echo(json.dumps(list(rows), indent=2))
    else:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(("image", "class", "probability"))
        writer.writerows(row.values() for row in rows)
    if unreadable:
        names = "\n".join(f"  {one.path}: {one.error}" for one in unreadable)
        raise DataError(f"{len(unreadable)} of {len(images)} images cannot be read:\n{names}")


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(export)
    app.command("predict-images")(predict_images)


def _readable(predictions: Iterator[ImagePrediction], unreadable: list[ImagePrediction]) -> Iterator[ImagePrediction]:
    """Yield predictions, and put aside the files that have none."""
    for prediction in predictions:
        if prediction.error is None:
            yield prediction
        else:
            unreadable.append(prediction)


def _show(done: Export, architecture: str, test_accuracy: float, test_images: int) -> None:
    typer.echo(f"network         {architecture}, test accuracy {test_accuracy:.2%} on {test_images:,} images")
    agreement = ", ".join(f"{value:.1e} at batch {batch}" for batch, value in done.differences.items())
    typer.echo(f"checked         ONNX Runtime and torch differ in a logit by at most {agreement}")
    for name, file in (("onnx", done.onnx), ("int8", done.int8)):
        if file is not None:
            typer.echo(f"{name:<15} {_described(file)}")
    typer.echo(f"rebuild         archatlas.load({str(done.card)!r})")
    typer.echo(f"try it          archatlas predict-images {done.onnx.path} IMAGE...")


def _described(file: OnnxFile) -> str:
    lower, upper = file.latency_range_ms
    measured = "" if file.accuracy is None else f", validation accuracy {file.accuracy:.2%}"
    return (
        f"{file.path}, {file.size_bytes / 1e3:,.0f} kB, {file.latency_ms:.3f} ms for one image (quartiles "
        f"{lower:.3f} to {upper:.3f}, CPU threads: {file.threads}){measured}"
    )
