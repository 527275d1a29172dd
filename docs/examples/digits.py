"""The main job from Python, on the embedded digits, and questions to what it leaves.

Run: `python docs/examples/digits.py runs/example` (minutes on two cores; `--quick`: seconds, and a poor network).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from archatlas.atlas import load_atlas
from archatlas.cli.console import TerminalConsole
from archatlas.config import parse_config
from archatlas.pipeline import run_all
from archatlas.records import Budget, format_architecture
from archatlas.session import open_run

QUICK = {
    "supernet": {"epochs": 2},
    "evaluation": {"recalibration_images": 64, "validation_images": 100},
    "predictor": {"training": {"members": 2}},
    "search": {"shortlist": 8, "sampling": {"round_size": 20, "floor": 40, "ceiling": 40}},
    "retraining": {"epochs": 1},
}


def main() -> None:
    """Run everything, then ask."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="run directory")
    parser.add_argument("--quick", action="store_true", help="a few seconds")
    arguments = parser.parse_args()

    # Settings are a dictionary, as in a YAML file; what is left out has its default.
    settings = {"space": "digits", "hardware": {"threads": 1}, **(QUICK if arguments.quick else {})}
    config = parse_config(settings, source="this script")
    with open_run(config, arguments.run, TerminalConsole()) as run:  # stopped? the same call continues
        result = run_all(run)
    print(f"chosen: {result['architecture']}, {result['test_accuracy']:.1%} stand-alone test accuracy")
    print(f"report: {arguments.run / 'report.html'}")

    # The atlas answers other budgets without any training or scoring.
    atlas = load_atlas(arguments.run / "atlas")
    for macs in (0.5e6, 1.0e6, 2.0e6):
        best = atlas.best([Budget(cost="macs", upper=macs)])
        print(
            f"at most {macs:,.0f} MACs: {format_architecture(best.architecture)}, {best.costs['macs']:,.0f} MACs, "
            f"predicted score {best.score:.3f}, proven gap {best.certificate.gap:g}"
        )


if __name__ == "__main__":
    main()
