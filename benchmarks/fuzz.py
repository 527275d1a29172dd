"""Feed mutated configurations, tables, saved files and SQL conditions to the command line.

Each input is a sound one with a few random changes. The command must end with 0 or with one message and code 2:
no traceback, no hang, and no file written outside the run directory. The last line of standard output is one JSON
object.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import yaml

SETTINGS = """
data: {train_images: 64}
hardware: {accelerator: cpu, threads: 1}
supernet: {epochs: 1, checkpoint_seconds: 3600}
evaluation: {recalibration_images: 16, validation_images: 20}
predictor: {name: ridge}
search: {shortlist: 4, sampling: {round_size: 15, floor: 30, ceiling: 30}}
retraining: {epochs: 1, checkpoint_seconds: 3600}
"""
CONDITIONS = (
    "macs <= 1e6 and params < 40e3",
    "score > 0 or architecture like '2%'",
    "macs between 1e5 and 1e6 and length(architecture) = 6",
    "case when macs < 1e6 then score > 0 else true end",
)
PIECES = (
    *("'", '"', ";", "--", "/*", "(", ")", "\\", "\x00", "é", "select", "from", "union", "drop table networks", ","),
    *("copy networks to '{outside}'", "attach '{outside}'", "read_csv('/etc/passwd')", "pragma", "1e999", "null"),
    *(
        "install httpfs",
        "load",
        "getenv('HOME')",
        "~",
        "::",
        "[",
        "{{",
        "}}",
        "\n",
        "macs",
        "0x",
        "$1",
        "?",
        "in (1,2)",
    ),
)
WORDS = ("macs", "params", "score", "architecture", "<", ">=", "=", "<>", "and", "or", "not", "1e6", "0", "-3", "'2'")
SCALARS = (None, True, -1, 0, 1, 3, 0.5, 1e309, float("nan"), "", "x", "../../outside", [], {}, [1], {"a": 1}, "\u0000")
SECONDS = 60
"""A command that takes longer hangs."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="60 inputs, under a minute")
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    count = 60 if arguments.quick else arguments.inputs
    with tempfile.TemporaryDirectory() as directory:
        print(json.dumps(campaign(Path(directory), count, random.Random(arguments.seed))))


def campaign(directory: Path, count: int, rng: random.Random) -> dict[str, object]:
    """Feed `count` inputs; return what came of them, and print each that went wrong."""
    inside, outside = directory / "inside", directory / "outside"
    inside.mkdir()
    outside.mkdir()
    os.chdir(outside)
    (inside / "sound.yaml").write_text(SETTINGS)
    run = inside / "run"
    assert _command(["run", str(inside / "sound.yaml"), "--run", str(run)])[0] == 0
    assert _command(["query", str(run), "macs <= 1e6"])[0] == 0
    kinds = (_configuration, _table, _saved_file, _condition)
    codes: collections.Counter[str] = collections.Counter()
    failures, slowest, before = 0, 0.0, _files(outside)
    for number in range(count):
        work = inside / "work"
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(run, work / "run")
        kind = kinds[number % len(kinds)]
        arguments = kind(work, rng)
        started = time.monotonic()
        code, shown = _command(arguments)
        slowest = max(slowest, time.monotonic() - started)
        strays = _files(outside) - before
        codes[f"{kind.__name__.strip('_')} {code}"] += 1
        if code not in (0, 2) or "Traceback" in shown or strays or (code == 2 and not shown.strip()):
            failures += 1
            print(f"{kind.__name__} {number}: code {code}, strays {strays}, {arguments}\n{shown[-2000:]}", flush=True)
    return {"inputs": count, "failures": failures, "ends": dict(sorted(codes.items())), "slowest_s": round(slowest, 1)}


def _configuration(work: Path, rng: random.Random) -> list[str]:
    """Change values, keys or bytes of the settings; opening the run and fitting are what reads them."""
    settings = yaml.safe_load((work / "run" / "config.yaml").read_text())
    for _ in range(rng.randint(1, 3)):
        section = settings
        while True:
            key = rng.choice(list(section))
            if isinstance(section[key], dict) and section[key] and rng.random() < 0.9:
                section = section[key]
                continue
            break
        if key in {"devices", "num_nodes", "workers", "threads", "accelerator"}:
            continue  # starts processes
        change = rng.choice(SCALARS)
        if rng.random() < 0.2:
            section[f"{key}{rng.choice('xyz')}"] = section.pop(key)
        else:
            section[key] = change
    text = yaml.safe_dump(settings)
    if rng.random() < 0.3:
        text = _mutated(text.encode(), rng).decode("utf-8", "surrogateescape")
    path = work / "mutated.yaml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    (work / "run" / "config.yaml").write_bytes(path.read_bytes())
    return ["fit", str(work / "run")]


def _table(work: Path, rng: random.Random) -> list[str]:
    rows = [("".join(rng.choice("012") for _ in range(6)), rng.gauss(0, 1)) for _ in range(40)]
    text = "architecture,score\n" + "".join(f"{a},{s}\n" for a, s in rows)
    path = work / "table.csv"
    path.write_bytes(_mutated(text.encode(), rng))
    return ["fit", "--table", str(path), "--space", "digits", "-o", str(work / "fitted")]


def _saved_file(work: Path, rng: random.Random) -> list[str]:
    """Damage one file of a finished run, then ask something that reads it."""
    run = work / "run"
    files = [path for path in sorted(run.rglob("*")) if path.is_file() and path.name != ".lock"]
    path = rng.choice(files)
    path.write_bytes(_mutated(path.read_bytes(), rng))
    commands = (
        ["fit", str(run)],
        ["query", str(run), "macs <= 1e6"],
        ["pareto", str(run), "--levels", "8"],
        ["describe", str(run), "012012"],
        ["evaluate", str(run), "012012"],
        ["run", "--run", str(run), str(run / "config.yaml")],
        ["predict", str(run / "predictor"), "012012", "--space", "digits"],
    )
    return rng.choice(commands)


def _condition(work: Path, rng: random.Random) -> list[str]:
    text = rng.choice(CONDITIONS)
    for _ in range(rng.choice((1, 1, 2, 4))):
        if rng.random() < 0.5:  # one word for another
            words = text.split(" ")
            words[rng.randrange(len(words))] = rng.choice(PIECES + WORDS).format(outside=Path.cwd() / "stray")
            text = " ".join(words)
            continue
        place = rng.randrange(len(text) + 1)
        end = place if rng.random() < 0.6 else min(len(text), place + rng.randint(1, 8))
        text = text[:place] + rng.choice(PIECES).format(outside=Path.cwd() / "stray") + text[end:]
    return ["query", str(work / "run"), "--", text.replace("\x00", "\\0") if rng.random() < 0.5 else text]


def _mutated(content: bytes, rng: random.Random) -> bytes:
    """Cut, flip, repeat or insert bytes."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        place = rng.randrange(len(data) + 1)
        what = rng.randrange(6)
        if what == 0:
            del data[place:]
        elif what == 1 and data:
            data[place % len(data)] ^= 1 << rng.randrange(8)
        elif what == 2:
            data[place:place] = rng.randbytes(rng.randint(1, 30))
        elif what == 3:
            data[place:place] = rng.choice((b"nan", b"-1", b"1e999", b"{", b"]", b'"', b"\n", b",", b"null", b"../"))
        elif what == 4:
            del data[place : place + rng.randint(1, 40)]
        elif data:
            data[place % len(data)] = rng.choice(b"0123456789-.,:e")
    return bytes(data)


def _command(arguments: list[str]) -> tuple[int | str, str]:
    """Run a command in this process; return its exit code, or what it raised, and what it showed."""
    from archatlas.cli import main as command_line

    sys.argv = ["archatlas", *arguments]
    shown = io.StringIO()
    code: int | str = 0
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown), _limited():
        try:
            command_line()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        except BaseException as error:
            code = type(error).__name__
            shown.write(traceback.format_exc())
    return code, shown.getvalue()


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    def hangs(_: int, __: FrameType | None) -> None:
        raise TimeoutError(f"took more than {SECONDS} s")

    before: Callable[..., object] | int | None = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _files(directory: Path) -> set[str]:
    return {str(path) for path in directory.rglob("*")}


if __name__ == "__main__":
    main()
