"""Images of your own, given as a torch `Dataset`: the whole search by configuration alone.

python docs/examples/own_data.py runs/shapes
python docs/examples/own_data.py runs/shapes --quick     # less than a minute
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from torch.utils.data import Dataset

from archatlas.cli.console import TerminalConsole
from archatlas.config import parse_config
from archatlas.pipeline import run_all
from archatlas.session import open_run


class Shapes(Dataset):
    """Pictures of odd sizes and modes. One class is rare, which plain accuracy would hide."""

    classes = ("circle", "square", "triangle")

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        """Return the number of pictures."""
        return self.count

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        """Return a picture and its class: a function of the index, without random transforms."""
        if not 0 <= index < self.count:
            raise IndexError(index)
        stream = np.random.default_rng(index)
        label = 2 if index % 8 == 0 else index % 2
        width, height = (int(side) for side in stream.integers(20, 40, 2))
        picture = Image.fromarray(stream.integers(0, 90, (height, width, 3), dtype=np.uint8))
        box = (4, 4, width - 5, height - 5)
        corners = [(box[0], box[3]), (box[2], box[3]), (width // 2, box[1])]
        colour = tuple(int(level) for level in stream.integers(120, 255, 3))
        draw = ImageDraw.Draw(picture)
        if label == 0:
            draw.ellipse(box, fill=colour)
        elif label == 1:
            draw.rectangle(box, fill=colour)
        else:
            draw.polygon(corners, fill=colour)
        return picture.convert(("RGB", "RGBA", "P")[index % 3]), label


def shapes(count: int) -> Shapes:
    """Return the data set; the configuration names this function."""
    return Shapes(count)


def main() -> None:
    """Search, retrain, and say how good the network is on each kind of count."""
    run, quick = Path(sys.argv[1]), "--quick" in sys.argv
    config = parse_config(
        {
            "space": "digits",
            "data": {
                "name": "dataset",
                "dataset": "own_data:shapes",
                "path": str(Path(__file__).parent),
                "arguments": {"count": 300 if quick else 3000},
                "resolution": 16,
                "workers": 0,
            },
            "hardware": {"accelerator": "cpu"},
            "supernet": {"epochs": 2 if quick else 20, "batch_size": 32},
            "evaluation": {"recalibration_images": 64, "validation_images": 45 if quick else 300},
            "predictor": {"training": {"members": 2 if quick else 5}},
            "search": {"shortlist": 6, "sampling": {"round_size": 20, "floor": 40, "ceiling": 40}},
            "retraining": {"epochs": 3 if quick else 20, "batch_size": 32},
        },
        source="the example",
    )
    with open_run(config, run, TerminalConsole()) as opened:
        data = opened.data
        print(f"{data.num_classes} classes, {data.channels} channels, {data.resolution}x{data.resolution} pixels")
        counts = np.bincount(data.train.labels).tolist()
        print(f"training images per class: {dict(zip(data.class_names, counts, strict=True))}")
        result = run_all(opened)
    print(
        f"{result['architecture']}: test accuracy {result['test_accuracy']:.1%}, mean over classes "
        f"{result['test_balanced_accuracy']:.1%}"
    )


if __name__ == "__main__":
    main()
