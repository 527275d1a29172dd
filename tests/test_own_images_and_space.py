"""A user's images and space, from the configuration alone to files that work in another process."""

from __future__ import annotations

import csv
import io
import json
import runpy
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import archatlas
from archatlas.data import DataConfig, load_data
from archatlas.spaces.user import load_space
from archatlas.testing.commands import call

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"
SPACE = EXAMPLES / "own_space.py"
SETTINGS = """
space: {space}
data: {{name: folder, path: {images}, resolution: 16, workers: 0}}
hardware: {{accelerator: cpu, threads: 1}}
supernet: {{epochs: 2, batch_size: 8}}
evaluation: {{recalibration_images: 32}}
predictor: {{training: {{members: 2}}}}
search: {{mode: whole, shortlist: 4, sampling: {{round_size: 24, floor: 24, ceiling: 24}}}}
retraining: {{epochs: 12, batch_size: 8, ema_decay: null}}
"""
MODES = ("L", "LA", "RGB", "RGBA", "P", "I;16")


def _picture(mode: str, shade: int, rng: np.random.Generator) -> Image.Image:
    """Return a picture of odd size whose brightness tells its class."""
    height, width = 2 * rng.integers(8, 24, 2) + 1
    pixels = np.clip(shade + rng.integers(-60, 60, (height, width, 3)), 0, 255).astype(np.uint8)
    if mode == "I;16":
        return Image.fromarray(pixels[..., 0].astype(np.uint16) * 256 + 99)
    return Image.fromarray(pixels).convert(mode)


@dataclass(frozen=True, kw_only=True)
class Finished:
    run: Path
    images: Path
    shown: str

    @property
    def files(self) -> list[str]:
        return [str(path) for path in sorted(self.images.rglob("*.png"))]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(0)
    for name, shade in (("dark", 60), ("grey", 128), ("light", 200)):
        (folder / "images" / name).mkdir(parents=True)
        for number in range(20):
            _picture(MODES[number % len(MODES)], shade, rng).save(folder / "images" / name / f"{number:02}.png")
    config = folder / "own.yaml"
    config.write_text(SETTINGS.format(space=SPACE, images=folder / "images"))
    with pytest.MonkeyPatch.context() as patch:
        printed = io.StringIO()
        patch.setattr(sys, "stdout", printed)
        assert call("run", str(config), "--run", str(folder / "run")) == 0
        assert call("export", str(folder / "run")) == 0
    return Finished(run=folder / "run", images=folder / "images", shown=printed.getvalue())


def test_the_space_is_counted_priced_searched_and_asked(finished: Finished, capsys: pytest.CaptureFixture[str]) -> None:
    space = load_space(str(SPACE))
    assert space.num_choices == (2, 3, 3, 4, 2)
    assert space.size == 2 * 3 * 3 * 4 * 2 == 144
    assert call("query", str(finished.run), "params <= 25000", "--top", "200", "--format", "json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert 0 < len(rows) < 144
    params = {
        "".join(map(str, row)): sum(
            p.numel()
            for p in space.for_task(in_channels=3, num_classes=3, resolution=16).build(tuple(row)).parameters()
        )
        for row in space.all_architectures().tolist()
    }
    assert {row["architecture"]: row["params"] for row in rows} == {
        text: count for text, count in params.items() if count <= 25000
    }
    assert call("pareto", str(finished.run), "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)[-1]["gap"] == 0


def _predicted(text: str) -> dict[str, tuple[str, float]]:
    rows = csv.DictReader(io.StringIO(text))
    return {row["image"]: (row["class"], float(row["probability"])) for row in rows}


def test_exported_and_reloaded_in_a_new_process_the_predictions_agree_to_the_last_image(
    finished: Finished, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx, card = finished.run / "export" / "net.onnx", finished.run / "export" / "net.json"
    assert "ONNX Runtime and torch differ" in finished.shown
    assert len(finished.files) == 60
    assert call("predict-images", str(onnx), *finished.files) == 0
    here = _predicted(capsys.readouterr().out)
    assert list(here) == finished.files
    assert len({label for label, _ in here.values()}) > 1
    reload = "from archatlas.cli import main; main()"
    arguments = ["predict-images", str(card), *finished.files, "--space", str(SPACE), "--format", "json"]
    there = subprocess.run([sys.executable, "-c", reload, *arguments], capture_output=True, text=True, check=True)
    rows = json.loads(there.stdout)
    assert {row["image"]: row["class"] for row in rows} == {file: label for file, (label, _) in here.items()}
    assert [row["probability"] for row in rows] == pytest.approx([p for _, p in here.values()], abs=1e-5)
    alone = [sys.executable, str(EXAMPLES / "serve.py"), str(onnx), *finished.files]
    served = subprocess.run(alone, capture_output=True, text=True, check=True, env={"PATH": "", "PYTHONPATH": ""})
    assert served.stdout.splitlines() == [f"{file} {label}" for file, (label, _) in here.items()]


def test_a_reloaded_network_has_the_test_accuracy_of_training_to_the_last_image(finished: Finished) -> None:
    trained = json.loads((finished.run / "network" / "network.json").read_text())
    data = load_data(DataConfig(name="folder", path=finished.images, resolution=16, workers=0))
    network = archatlas.load(finished.run / "export", space=SPACE)
    images, labels = next(data.test.ordered(batch_size=len(data.test), device="cpu"))
    with torch.inference_mode():
        correct = int((network(images).argmax(1) == labels).sum())
    assert correct == round(trained["test_accuracy"] * trained["test_images"])
    assert trained["test_images"] == len(labels) == 9


def test_images_that_cannot_be_read_are_named_and_the_others_predicted(
    finished: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG but no more")
    good, missing = finished.files[0], str(tmp_path / "none.png")
    asked = [good, str(tmp_path / "broken.png"), missing, good]
    assert call("predict-images", str(finished.run / "export" / "net.onnx"), *asked) == 2
    captured = capsys.readouterr()
    assert [row["image"] for row in csv.DictReader(io.StringIO(captured.out))] == [good, good]
    assert "2 of 4 images cannot be read:" in captured.err
    assert "broken.png: cannot identify image file" in captured.err
    assert f"{missing}: " in captured.err
    assert "Traceback" not in captured.err


def test_a_network_that_is_none_is_refused(
    finished: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("predict-images", str(tmp_path / "none.onnx"), finished.files[0]) == 2
    assert "does not exist; make one with: archatlas export RUN" in capsys.readouterr().err
    assert call("predict-images", str(finished.run / "export" / "net.json"), finished.files[0]) == 2
    assert "--space on the command line" in capsys.readouterr().err


def test_the_example_space_counts_samples_and_prices_itself(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(SPACE), run_name="__main__")
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "144 networks: 2 x 3 x 3 x 4 x 2"
    assert len(shown) == 4
