"""How fast the explorer answers on fairnas (6^19 architectures) after a slider has moved, on one core.

Fits a WindowGCN to synthetic scores, then moves the sliders to places not asked before. `answer_ms` is what the server
computes for a move: the ten best with proof, their place in the space, the drawing of the best. `round_trip_ms` is what
the user waits: from the key press on the slider in Chromium until the answer stands on the page. Without Chromium it is
null. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from archatlas.atlas import FactoredAtlas, tabulate
from archatlas.costs.macs import count_costs
from archatlas.explorer import Explorer, Knowledge, build_app, open_server
from archatlas.explorer.desk import Desk
from archatlas.predictors.window_gcn import WindowGCN
from archatlas.spaces import chain_graph
from archatlas.spaces.mobile import fairnas
from atlas import synthetic_scores

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
PAUSE_MS = 500
WATCH = """() => {
  window.trips = [];
  let started = 0;
  document.addEventListener("input", () => { started = performance.now(); }, true);
  new MutationObserver(() => {
    if (started) { window.trips.push(performance.now() - started); started = 0; }
  }).observe(document.querySelector("#answer"), {childList: true, characterData: true, subtree: true});
}"""


def fitted_atlas(samples: int) -> FactoredAtlas:
    """Return an atlas of fairnas fitted to synthetic scores."""
    rng = np.random.default_rng(0)
    space = fairnas()
    graph = chain_graph(space, count_costs(space))
    drawn = space.sample(samples, rng)
    return tabulate(graph, WindowGCN().fit(graph, drawn, synthetic_scores(graph, drawn, rng), seed=0).terms)


def answers(explorer: Explorer, moves: int) -> list[float]:
    """Return the milliseconds that the server computes for each move: every other one under both budgets."""
    desk, rng, taken = Desk(explorer), np.random.default_rng(1), []
    for move in range(moves):
        limits = [q.low + (q.high - q.low) * rng.uniform(0.2, 0.99) for q in explorer.quantities.values()]
        started = time.perf_counter()
        *_, shown = desk.answer([limits[0], limits[1] if move % 2 else None])
        desk.network(shown)
        taken.append((time.perf_counter() - started) * 1e3)
    return taken


def round_trips(explorer: Explorer, moves: int) -> list[float] | None:
    """Return the milliseconds from key press to answer in Chromium; None without one."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        return None
    from playwright.sync_api import sync_playwright

    server = open_server(build_app(explorer), "127.0.0.1", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(f"http://127.0.0.1:{server.port}")
        page.locator("#map .heatmaplayer").wait_for(timeout=120_000)
        page.locator("#network .chain").wait_for(timeout=120_000)
        page.wait_for_timeout(2 * PAUSE_MS)
        page.evaluate(WATCH)
        sliders = page.get_by_role("slider")
        for move in range(moves):
            sliders.nth(move % 2).focus()
            page.keyboard.press("ArrowLeft")
            page.wait_for_function("count => window.trips.length > count", arg=move, timeout=60_000)
            page.wait_for_timeout(PAUSE_MS)
        trips: list[float] = page.evaluate("window.trips")
        browser.close()
    server.shutdown()
    return trips


def quantiles(values: list[float] | None) -> dict[str, float] | None:
    """Return the median and the 95th percentile, rounded to a tenth."""
    return values and {f"p{q}": round(float(np.percentile(values, q)), 1) for q in (50, 95)}


def main(quick: bool) -> None:
    """Run and print."""
    torch.set_num_threads(1)
    moves = 12 if quick else 60
    knowledge = Knowledge(
        path=Path("fairnas"),
        atlas=fitted_atlas(300 if quick else 2000),
        config=None,
        is_run=False,
        measured={},
        stand_alone=None,
    )
    explorer = Explorer(knowledge)
    started = time.perf_counter()
    explorer.prepare(lambda line: print(line, flush=True))
    result: dict[str, Any] = {
        "prepare_s": round(time.perf_counter() - started, 1),
        "networks": explorer.atlas.size,
        "moves": moves,
        "answer_ms": quantiles(answers(explorer, moves)),
        "round_trip_ms": quantiles(round_trips(explorer, moves)),
        "quick": quick,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer samples and moves, under a minute")
    main(parser.parse_args().quick)
