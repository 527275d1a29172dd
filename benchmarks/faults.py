"""Kill the digits run at random moments, continue it, and compare the end with an undisturbed run.

Every process is a fork of this one, which has imported everything, so that kills fall into the stages and not into
imports; each then does what `archatlas run CONFIG --run DIR` does, from its start. A run is killed at a moment drawn
evenly over the length of an undisturbed run, continued and killed again, until one continuation comes through.

Units that may not be done twice: evaluations (the store counts them), and stages (the events count them). What is lost
with a kill is the unit under way: one evaluation, or the updates since the last checkpoint.

The last line of standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import collections
import json
import math
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

SETTINGS = """
data: {train_images: 256}
hardware: {accelerator: cpu, threads: 1}
supernet: {epochs: 6, checkpoint_seconds: 0.1}
evaluation: {recalibration_images: 64, validation_images: 100}
predictor: {training: {members: 2}}
search: {shortlist: 6, sampling: {round_size: 20, floor: 40, ceiling: 40}}
retraining: {epochs: 6, checkpoint_seconds: 0.1}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few kills, under a minute")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    kills = 4 if arguments.quick else arguments.kills
    import archatlas.cli.console
    import archatlas.pipeline  # noqa: F401

    with tempfile.TemporaryDirectory() as directory:
        print(json.dumps(campaign(Path(directory), kills, random.Random(arguments.seed))))


def campaign(directory: Path, kills: int, moments: random.Random) -> dict[str, object]:
    """Return how many runs were killed how often, and what became of them."""
    settings = directory / "faults.yaml"
    settings.write_text(SETTINGS)
    started = time.monotonic()
    undisturbed = directory / "undisturbed"
    _ended(_start(settings, undisturbed), within=math.inf)
    length = time.monotonic() - started
    expected, table = (undisturbed / "result.json").read_bytes(), _table(undisturbed)
    print(f"undisturbed: {length:.1f} s, {len(table)} evaluations", flush=True)

    where: collections.Counter[str] = collections.Counter()
    done = completed = identical = repeated = runs = 0
    while done < kills:
        run, killed = directory / f"run{runs}", 0
        runs += 1
        while True:
            within = moments.uniform(0, length) if done < kills else math.inf
            status = _ended(_start(settings, run), within)
            if status != -signal.SIGKILL:
                break
            where[_stage(run)] += 1
            done, killed = done + 1, killed + 1
        completed += status == 0
        same = status == 0 and (run / "result.json").read_bytes() == expected and _values(_table(run)) == _values(table)
        identical += same
        repeated += _repeated(run)
        print(f"run {runs}: killed {killed} times, exit code {status}, identical {same}", flush=True)
    return {
        "kills": done,
        "runs": runs,
        "completed": completed,
        "identical": identical,
        "repeated_units": repeated,
        "killed_in": dict(where),
        "seconds": round(time.monotonic() - started),
    }


def _start(settings: Path, run: Path) -> int:
    """Fork a process that does the main job; return its number."""
    process = os.fork()
    if process:
        return process
    from archatlas.cli import main as command_line

    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    log = os.open(run.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 2)
    sys.argv = ["archatlas", "run", str(settings), "--run", str(run)]
    code = 1
    try:
        command_line()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        os._exit(code)


def _ended(process: int, within: float) -> int:
    """Return the exit code of a process, which is killed after so many seconds."""
    deadline = time.monotonic() + within
    while not os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        if time.monotonic() >= deadline:
            os.kill(process, signal.SIGKILL)
            break
        time.sleep(0.002)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def _stage(run: Path) -> str:
    """Return the stage that a killed run was in."""
    try:
        stages = json.loads((run / "stages.json").read_text())
    except FileNotFoundError:
        return "start"
    finished = [name for name, stage in stages.items() if isinstance(stage, dict) and stage["done"]]
    return ("train", "search", "fit", "retrain", "end")[len(finished)]


def _table(run: Path) -> list[tuple[object, ...]]:
    with sqlite3.connect(run / "evaluations.sqlite") as connection:
        return connection.execute("SELECT * FROM evaluations ORDER BY supernet, architecture").fetchall()


def _values(rows: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    return [row[:-1] for row in rows]  # without the count of how often each was made


def _repeated(run: Path) -> int:
    """Return how many evaluations and stages were done more than once."""
    lines = map(json.loads, (run / "events.jsonl").read_text().splitlines())
    stages = collections.Counter(line["stage"] for line in lines if line["event"] == "stage done")
    return sum(int(row[-1]) - 1 for row in _table(run)) + sum(count - 1 for count in stages.values())


if __name__ == "__main__":
    main()
