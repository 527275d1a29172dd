"""The main job and its single stages."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from archatlas.cli.predictors import predict_scores, print_report
from archatlas.errors import ConfigError

if TYPE_CHECKING:  # torch takes seconds to import; `--help` must not
    from archatlas.session import Run

ConfigArgument = Annotated[
    Path | None, typer.Argument(metavar="[CONFIG]", help="YAML file of settings; without one: the embedded digits.")
]
RunOption = Annotated[
    Path | None, typer.Option("--run", metavar="DIR", help="Run directory; default runs/<name of the config>.")
]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Run directory.")]


@contextmanager
def opened_run(config: Path | None, run: Path) -> Iterator[Run]:
    """Open a run by the given settings, or by those that it was made with.

    Of several processes, the first one goes on after the block and tells what came out; the others end there.
    """
    from archatlas.cli.console import TerminalConsole
    from archatlas.config import load_config
    from archatlas.session import open_run

    held = run / "config.yaml"
    settings = load_config(config or (held if held.exists() else None))
    with open_run(settings, run, TerminalConsole()) as opened:
        yield opened
    if not opened.directory.leads:
        raise typer.Exit


def run(config: ConfigArgument = None, run: RunOption = None) -> None:
    """Do everything: train a super-network, score sub-networks, fit, search, train the winner.

    The same command continues a stopped run. Examples: `archatlas run`, `archatlas run my.yaml --run runs/mine`.
    """
    from archatlas import pipeline

    path = run or Path("runs") / (config.stem if config else "digits")
    with opened_run(config, path) as opened:
        result = pipeline.run_all(opened)
    _show(result, path)


def init(
    space: Annotated[str, typer.Option(help="Built-in space, or your own .py or .yaml file.")] = "digits",
    data: Annotated[
        str, typer.Option(help="digits, cifar10, fashion-mnist, a directory of class folders, or module:function.")
    ] = "digits",
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")] = Path("archatlas.yaml"),
) -> None:
    """Write a commented configuration. Example: `archatlas init --space fairnas --data ./images`."""
    from archatlas.config import dump_config, parse_config
    from archatlas.files import write_text
    from archatlas.spaces.user import load_space
    from archatlas.usercode import FUNCTION_PATTERN

    if output.exists():
        raise ConfigError(f"{output} exists already; name another file with --output.")
    load_space(space)
    chosen = {"name": "folder", "path": data}
    if data in {"digits", "cifar10", "fashion-mnist"}:
        chosen = {"name": data}
    elif re.match(FUNCTION_PATTERN, data):
        chosen = {"name": "dataset", "dataset": data, "path": "."}
    write_text(output, dump_config(parse_config({"space": space, "data": chosen}, source="the command line")))
    typer.echo(f"wrote {output}; next: archatlas run {output}")


def train(run: RunArgument, config: ConfigArgument = None) -> None:
    """Train the super-network of a run. Example: `archatlas train runs/mine my.yaml`."""
    from archatlas import pipeline

    with opened_run(config, run) as opened:
        pipeline.train_stage(opened)


def evaluate(
    run: RunArgument,
    architectures: Annotated[list[str] | None, typer.Argument(help="Such as 201120; none: a sample.")] = None,
    count: Annotated[int, typer.Option(min=1, help="Size of the sample.")] = 100,
) -> None:
    """Score sub-networks with the super-network.

    Examples: `archatlas evaluate runs/digits 201120 222222`, `archatlas evaluate runs/digits --count 500`.
    """
    from archatlas import pipeline
    from archatlas.records import format_architecture, parse_architecture

    asked = [parse_architecture(text) for text in architectures or []]
    with opened_run(None, run) as opened:
        evaluations = pipeline.evaluate_stage(opened, asked, count)
    distinct = {evaluation.architecture: evaluation for evaluation in evaluations}
    if len(distinct) < len(evaluations):
        typer.echo(f"{len(evaluations)} asked, {len(distinct)} distinct networks", err=True)
    typer.echo("architecture,loss,accuracy")
    for evaluation in distinct.values():
        text = format_architecture(evaluation.architecture)
        typer.echo(f"{text},{evaluation.loss:.6f},{evaluation.accuracy:.4f}")


def search(run: RunArgument) -> None:
    """Search the space with the trained super-network. Example: `archatlas search runs/digits`."""
    from archatlas import pipeline

    with opened_run(None, run) as opened:
        found = pipeline.search_stage(opened)
    for finalist in found["finalists"][:10]:
        typer.echo(_line(finalist))


def fit(
    run: Annotated[Path | None, typer.Argument(metavar="[RUN]", help="Run directory.")] = None,
    table: Annotated[Path | None, typer.Option(help="CSV with the columns architecture and score instead.")] = None,
    space: Annotated[str | None, typer.Option(help="Space of the table.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Directory for the fit of a table.")] = None,
) -> None:
    """Fit the predictor to every scored sub-network of a run, or to your own table; writes predictor and atlas.

    Examples: `archatlas fit runs/digits`, `archatlas fit --table scores.csv --space nas-bench-macro -o fitted`.
    """
    if run is not None and table is None:
        from archatlas import pipeline

        with opened_run(None, run) as opened:
            report = pipeline.fit_stage(opened)
        print_report(report)
    elif run is None and table is not None and space is not None and output is not None:
        from archatlas.fitting import fit_table
        from archatlas.predictors import PredictorConfig
        from archatlas.spaces.user import load_space

        print_report(fit_table(table, load_space(space), PredictorConfig(), seed=0, directory=output))
    else:
        raise ConfigError("archatlas fit takes a run directory, or --table with --space and --output.")


def predict(
    predictor: Annotated[Path, typer.Argument(metavar="PREDICTOR", help="Directory such as RUN/predictor.")],
    architectures: Annotated[list[str], typer.Argument(help="Such as 201120.")],
    space: Annotated[str, typer.Option(help="The space that it was fitted on.")],
) -> None:
    """Print predictions of a saved predictor as CSV.

    Example: `archatlas predict fitted/predictor 22212220 00000000 --space nas-bench-macro`.
    """
    from archatlas.records import parse_architecture
    from archatlas.spaces.user import load_space

    predict_scores(predictor, load_space(space), [parse_architecture(text) for text in architectures])


def retrain(
    run: RunArgument,
    architecture: Annotated[str | None, typer.Argument(help="Such as 201120; none: the search's winner.")] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="CONFIG", help="YAML file of settings; none: those of the run.")
    ] = None,
) -> None:
    """Train a network as its recipe says and test it once.

    Examples: `archatlas retrain runs/digits 201120`, `archatlas retrain runs/mine 201120 --config my.yaml`.
    """
    from archatlas import pipeline
    from archatlas.records import parse_architecture

    with opened_run(config, run) as opened:
        text = architecture or pipeline.search_stage(opened)["finalists"][0]["architecture"]
        chosen = parse_architecture(text)
        opened.space.validate(chosen)
        result = pipeline.retrain_stage(opened, chosen)
    typer.echo(
        f"{text}: test accuracy {result.test_accuracy:.2%} on {result.test_images:,} images, "
        f"{result.test_balanced_accuracy:.2%} mean over classes"
    )


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (run, init, train, evaluate, search, fit, predict, retrain):
        app.command()(command)


def _line(finalist: dict[str, Any]) -> str:
    costs = ", ".join(f"{name} {value:,.0f}" for name, value in finalist["costs"].items())
    return (
        f"{finalist['architecture']}  one-shot accuracy {finalist['one_shot_accuracy']:.2%}, predicted score "
        f"{finalist['predicted_score']:.3f}, {costs}"
    )


def _show(result: dict[str, Any], path: Path) -> None:
    """Print what came out, and what to do next: a table on a terminal, plain lines elsewhere."""
    from archatlas.cli.console import print_facts
    from archatlas.reporting.html import REPORT_FILE
    from archatlas.reporting.style import cost_label, format_cost

    held_out, text = result["held_out"], result["architecture"]
    budgets = result["budgets"]
    limits = {name: f"   (at most {format_cost(budgets[name])})" if name in budgets else "" for name in result["costs"]}
    facts = {
        "network": text,
        **{cost_label(name): format_cost(value) + limits[name] for name, value in result["costs"].items()},
        "test accuracy": f"{result['test_accuracy']:.2%} stand-alone, on {result['test_images']:,} images",
        "balanced": f"{result['test_balanced_accuracy']:.2%} mean over classes",
        "one-shot": f"{result['one_shot_accuracy']:.2%} with the weights of the super-network",
        "fit": f"held-out tau {held_out['tau']:.3f} to measured scores, which are not the truth",
        "files": str(path),
    }
    following = {
        "look at it": str(path / REPORT_FILE),
        "every budget": shlex.join(["archatlas", "pareto", str(path)]),
        "one budget": shlex.join(["archatlas", "query", str(path), f"macs <= {result['costs']['macs'] * 0.8:.2g}"]),
        "this network": shlex.join(["archatlas", "describe", str(path), text]),
    }
    print_facts("What came out", facts)
    print_facts("What to do next", following)
