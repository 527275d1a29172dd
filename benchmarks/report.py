"""How large a report is, how long writing it takes, and how long Chromium takes to open it.

Without `--run` it reports a fit to synthetic scores of `fairnas` (6^19 networks). Opening ends with the load event: by
then the text and every figure in view are drawn. Needs Playwright (extra `dev`) and a chromium on PATH.

    python benchmarks/report.py [--quick] [--run runs/digits]
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from playwright.sync_api import sync_playwright

from archatlas.costs.macs import count_costs
from archatlas.fitting import fit_scores
from archatlas.predictors import PredictorConfig
from archatlas.reporting.html import write_report
from archatlas.spaces import chain_graph
from archatlas.spaces.user import load_space

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def fitted(directory: Path, predictor: str, count: int) -> Path:
    """Fit synthetic scores of fairnas: main effects, a trend with MACs, noise."""
    space = load_space("fairnas")
    graph = chain_graph(space, count_costs(space))
    rng = np.random.default_rng(0)
    rows = graph.canonical(space.sample(count, rng))
    effects = [rng.normal(size=choices) for choices in graph.num_choices]
    scores = sum(effect[column] for effect, column in zip(effects, rows.T, strict=True))
    macs = graph.costs["macs"](rows)
    scores = scores + (macs - macs.mean()) / macs.std() + rng.normal(size=count)
    config = PredictorConfig.model_validate({"name": predictor})
    fit_scores(graph, rows, scores, config, seed=0, directory=directory)
    return directory


def opening(page: Path, repeats: int) -> dict[str, float]:
    """Return median seconds to the load event, and of them the CPU seconds of the page's main thread."""
    walls, tasks = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        for _ in range(repeats):
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            tab = context.new_page()
            session = context.new_cdp_session(tab)
            session.send("Performance.enable", {"timeDomain": "threadTicks"})
            started = time.perf_counter()
            tab.goto(page.resolve().as_uri())
            walls.append(time.perf_counter() - started)
            metrics = {entry["name"]: entry["value"] for entry in session.send("Performance.getMetrics")["metrics"]}
            tasks.append(metrics["TaskDuration"])
            context.close()
        browser.close()
    return {"open_seconds": median(walls), "open_cpu_seconds": median(tasks)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a ridge fit, one opening")
    parser.add_argument("--run", type=Path, help="report this run instead")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        predictor, count = ("ridge", 200) if arguments.quick else ("window_gcn", 500)
        run = arguments.run or fitted(Path(folder), predictor, count)
        started, cpu = time.perf_counter(), time.process_time()
        page = write_report(run, Path(folder) / "report.html")
        figures = {"write_seconds": time.perf_counter() - started, "write_cpu_seconds": time.process_time() - cpu}
        figures |= {"megabytes": page.stat().st_size / 1e6} | opening(page, 1 if arguments.quick else 5)
    for name, value in figures.items():
        print(f"{name:<20} {value:8.2f}")
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
