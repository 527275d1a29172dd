"""Fill the tables of docs/evidence/search.md, macro.md and predictors.md from the rows of benchmarks.

    python scripts/evidence_pages.py search.json nb201.json macro.json predictors.json

Whatever stands in a page between `<!-- table: NAME -->` and `<!-- end -->` is replaced; tables without rows stay.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

PAGES = tuple(Path("docs/evidence") / name for name in ("search.md", "macro.md", "predictors.md"))
Rows = list[dict[str, Any]]


def spread(rows: Rows, column: str, digits: int) -> str:
    """Return mean and standard deviation of a column, the latter left out where there is one row."""
    values = np.array([row[column] for row in rows], dtype=float)
    mean = f"{values.mean():.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {values.std():.{digits}f}"


def grouped(rows: Rows, *columns: str) -> dict[tuple[Any, ...], Rows]:
    """Return rows by the values of columns, in the order of their first appearance."""
    groups: dict[tuple[Any, ...], Rows] = {}
    for row in rows:
        groups.setdefault(tuple(row[column] for column in columns), []).append(row)
    return groups


def found(rows: Rows, task: str) -> list[str]:
    """Best true accuracy by searcher and number of trainings."""
    mine = [row for row in rows if row["task"] == task and "tau" not in row and row["trainings"]]
    counts = sorted({row["trainings"] for row in mine})
    lines = [f"| searcher | {' | '.join(map(str, counts))} |", "| --- |" + " --- |" * len(counts)]
    for (searcher,), same in grouped(mine, "predictor").items():
        cells = [spread([row for row in same if row["trainings"] == count], "true_best", 2) for count in counts]
        lines.append(f"| {searcher} | {' | '.join(cells)} |")
    return lines if mine else []


def segments(rows: Rows) -> list[str]:
    """What searches of the macro table find with equal numbers of one-shot evaluations."""
    mine = [row for row in rows if "tau" not in row and not row["trainings"]]
    lines = ["| search | evaluations | accuracy of the best | its rank | ten finalists |", "| --- |" + " --- |" * 4]
    for (name,), same in grouped(mine, "predictor").items():
        cells = [spread(same, c, d) for c, d in (("n", 0), ("true_best", 2), ("true_rank", 0), ("true_top10_mean", 2))]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines if mine else []


def orders(rows: Rows, task: str, *, calibrated: bool) -> list[str]:
    """How well orders of the whole table agree with the truth."""
    mine = [row for row in rows if row["task"] == task and "tau" in row]
    mine = [row for row in mine if row["predictor"].startswith("calibrated") == calibrated]
    columns = (
        *(("tau", 3), ("tau_top_half", 3), ("tau_top10", 3), ("rho", 3), ("r", 3)),
        *(("true_best", 2), ("true_rank", 0), ("true_top10_mean", 2), ("true_top100_mean", 2)),
    )
    titles = "networks | tau | top half | top 10 % | rho | r | best | its rank | ten best | hundred best"
    first = "labels" if calibrated else "samples"
    lines = [f"| order | {first} | {titles} |", "| --- |" + " --- |" * (len(columns) + 2)]
    for (name, count, networks), same in grouped(
        mine, "predictor", "trainings" if calibrated else "n", "networks"
    ).items():
        distinct = list({json.dumps(row | {"unit": "", "fit_s": 0, "peak_mib": 0}): row for row in same}.values())
        cells = [spread(distinct, column, digits) for column, digits in columns]
        lines.append(f"| {name} | {count} | {networks} | {' | '.join(cells)} |")
    return lines if mine else []


def true_labels(rows: Rows) -> list[str]:
    """Tau over held-out networks by predictor and number of labels."""
    mine = [row for row in rows if row["task"] == "macro_true"]
    counts = sorted({row["n"] for row in mine if row["n"]})
    lines = [
        f"| predictor | {' | '.join(f'{n} labels' for n in counts)} | seconds |",
        "| --- |" + " --- |" * (len(counts) + 1),
    ]
    for (name,), same in grouped([row for row in mine if row["n"]], "predictor").items():
        cells = [spread([row for row in same if row["n"] == n], "tau", 3) for n in counts]
        seconds = spread([row for row in same if row["n"] == counts[-1]], "fit_s", 2)
        lines.append(f"| {name} | {' | '.join(cells)} | {seconds} |")
    for (name,), same in grouped([row for row in mine if not row["n"]], "predictor").items():
        lines.append(f"| {name} | {spread(same[:1], 'tau', 3)} |" + " |" * len(counts))
    return lines if mine else []


def one_shot(rows: Rows, task: str) -> list[str]:
    """Agreement with the truth of raw scores and fits to the scores of a table's super-networks."""
    mine = [row for row in rows if row["task"] == task]
    columns = (
        *(("tau", 3), ("tau_top_half", 3), ("tau_top10", 3)),
        *(("true_best", 2), ("true_top10_mean", 3), ("true_top100_mean", 2), ("fit_s", 2)),
    )
    titles = "tau | top half | top 10 % | best | ten best | hundred best | seconds"
    lines = [f"| order | {titles} |", "| --- |" + " --- |" * len(columns)]
    for (name,), same in grouped(mine, "predictor").items():
        cells = [spread(same, column, digits) for column, digits in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines if mine else []


def tables(everything: Rows) -> dict[str, list[str]]:
    """Return the lines of every table by name; only the rows of `bench predictors` have no unit."""
    rows = [row for row in everything if "unit" in row]
    compared = [row for row in everything if "unit" not in row]
    fair = [row for row in rows if row.get("sampler") == "fair"]
    others = [row for row in rows if row.get("sampler") != "fair"]
    return {
        "true labels": true_labels(compared),
        "one-shot macro": one_shot(compared, "macro_one_shot"),
        "one-shot nb201": one_shot(compared, "nb201_one_shot"),
        "found macro": found(rows, "macro_one_shot"),
        "found nb201": found(rows, "nb201_one_shot"),
        "segments": segments(rows),
        "nb201": orders(rows, "nb201_one_shot", calibrated=False),
        "nb201 calibrated": orders(rows, "nb201_one_shot", calibrated=True),
        "macro table calibrated": orders(rows, "macro_one_shot", calibrated=True),
        "macro": orders(others, "macro_cifar10", calibrated=False),
        "macro calibrated": orders(others, "macro_cifar10", calibrated=True),
        "macro fair": orders(fair, "macro_cifar10", calibrated=False),
        "macro fair calibrated": orders(fair, "macro_cifar10", calibrated=True),
    }


def main() -> None:
    """Fill the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="+", type=Path, help="what `archatlas bench ... --json` wrote")
    rows = [row for path in parser.parse_args().rows for row in json.loads(path.read_text())]
    for page in PAGES:
        text = page.read_text()
        for name, lines in tables(rows).items():
            block = f"<!-- table: {name} -->"
            if lines:
                new = "\n".join([block, "", *lines, "", "<!-- end -->"])
                text = re.sub(re.escape(block) + r".*?<!-- end -->", lambda _, new=new: new, text, flags=re.DOTALL)
        page.write_text(text)


if __name__ == "__main__":
    main()
