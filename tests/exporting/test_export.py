"""Exported files: the same numbers everywhere, self-describing, refused where they do not fit."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import archatlas
from archatlas import cli
from archatlas.data import ImageData
from archatlas.errors import ArtifactMismatchError, ConfigError, ExportError
from archatlas.exporting.card import NetworkCard, describe_network
from archatlas.exporting.classifiers import OnnxClassifier
from archatlas.exporting.export import Export, accuracy, compare, export_network
from archatlas.onnx_models import open_session, trace
from archatlas.spaces import ChainNetwork
from archatlas.spaces.digits import digits
from archatlas.testing.tiny import tiny_data, tiny_space, untrained_supernet

ARCHITECTURE = (2, 1, 0)
SPACE = "from archatlas.testing.tiny import tiny_space as space\n"


@dataclass(frozen=True, kw_only=True)
class Exported:
    network: ChainNetwork
    data: ImageData
    space_file: str
    card: NetworkCard
    files: Export


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("export")
    (folder / "mine.py").write_text(SPACE)
    space, data = tiny_space(), tiny_data()
    network = untrained_supernet(space).extract(ARCHITECTURE).eval()
    card = describe_network(
        network, space, ARCHITECTURE, data, space_name=str(folder / "mine.py"), test_accuracy=0.5, test_images=20
    )
    files = export_network(network, card, data, folder / "net.onnx", calibration_images=40)
    return Exported(network=network, data=data, space_file=str(folder / "mine.py"), card=card, files=files)


def _images(count: int) -> torch.Tensor:
    return torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(count))


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_onnx_runtime_gives_the_numbers_of_torch(exported: Exported, batch: int) -> None:
    images = _images(batch)
    expected = exported.network(images).detach().numpy()
    assert np.abs(expected).max() > 0.1
    found = OnnxClassifier(exported.files.onnx.path)(images)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert set(exported.files.differences) == {1, 64}
    assert max(exported.files.differences.values()) <= 1e-4


def test_the_onnx_file_says_how_to_use_it_and_nothing_of_this_machine(exported: Exported) -> None:
    content = exported.files.onnx.path.read_bytes()
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model)
    metadata = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert metadata["mean"] == list(exported.data.mean)
    assert metadata["std"] == list(exported.data.std)
    assert (metadata["channels"], metadata["resolution"]) == (1, 8)
    assert metadata["class_names"] == ["class 0", "class 1", "class 2", "class 3"]
    assert metadata["operators"] == ["mbconv_e3_k5", "mbconv_e2_k3", "identity"]
    assert metadata["space_file"] == "mine.py"
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == ["images", "logits"]
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in shape] == ["batch", 1, 8, 8]
    assert str(Path(archatlas.__file__).parent).encode() not in content
    assert exported.files.onnx.size_bytes == len(content)
    assert exported.files.onnx.latency_ms > 0


def test_int8_is_smaller_and_its_accuracy_is_measured_on_all_validation_images(exported: Exported) -> None:
    int8, data = exported.files.int8, exported.data
    assert int8 is not None
    model = onnx.load(int8.path)
    assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in model.graph.node}
    stored = [onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    assert max(np.abs(values.astype(int)).max() for values in stored if values.dtype == np.int8) <= 64  # 7 bits
    images, labels = next(data.validation.ordered(batch_size=40, device="cpu"))
    answers = OnnxClassifier(int8.path)(images)
    assert int8.accuracy == pytest.approx((answers.argmax(1) == labels.numpy()).mean())
    expected = exported.network(images).detach().numpy()
    assert exported.files.onnx.accuracy == pytest.approx((expected.argmax(1) == labels.numpy()).mean())
    assert 0 < np.abs(answers - expected).max() < 0.5 * np.abs(expected).max()
    assert accuracy(open_session(int8.path, threads=1), data.validation) == int8.accuracy


def test_load_gives_a_plain_module_with_equal_outputs(exported: Exported) -> None:
    network = archatlas.load(exported.files.card.parent, space=exported.space_file)
    assert not network.training
    images = _images(5)
    assert torch.equal(network(images), exported.network(images))
    assert all("archatlas.supernet" not in type(module).__module__ for module in network.modules())
    program = torch.export.export(network, (images,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.testing.assert_close(program.module()(_images(7)), network(_images(7)))


def test_torch_compile_works_in_evaluation_and_in_training(exported: Exported) -> None:
    network = archatlas.load(exported.files.card, space=exported.space_file)
    torch._dynamo.reset()
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(_images(4)), exported.network(_images(4)))
    compiled.train()
    loss = compiled(_images(4)).square().sum()
    loss.backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_user_code_runs_only_when_it_is_named(exported: Exported, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"user code in mine\.py\. Name that file to run it"):
        archatlas.load(exported.files.card)
    evil = tmp_path / "evil.py"
    evil.write_text(f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\n")
    for change in ({"space": str(evil), "space_file": None}, {"space": "x", "space_file": str(evil)}):
        with pytest.raises((ArtifactMismatchError, ConfigError), match="expected one of|Name that file"):
            archatlas.load(_changed(exported, tmp_path, **change))
    assert not (tmp_path / "ran").exists()


def _changed(exported: Exported, folder: Path, **fields: object) -> Path:
    """Copy the export with fields of its card replaced."""
    card = json.loads(exported.files.card.read_text()) | fields
    (folder / "net.json").write_text(json.dumps(card))
    (folder / "net.safetensors").write_bytes(exported.files.card.with_suffix(".safetensors").read_bytes())
    return folder / "net.json"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": 2}, r"is no export of archatlas:\n  format: "),
        ({"mean": [0.1, 0.2]}, "mean and std must have 1 entries"),
        ({"speed": 1}, "speed: is no setting"),
        ({"operators": ["a", "b", "c"]}, "has the operators a, b, c; architecture 210 of tiny now has mbconv_e3_k5"),
        ({"architecture": "219"}, "Block 2 of tiny takes one of"),
        ({"probe": [0.0, 0.0, 0.0, 9.0]}, "answers otherwise than the exported one"),
        ({"architecture": "110", "operators": ["mbconv_e2_k3", "mbconv_e2_k3", "identity"]}, "are not those of"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(
    fields: dict[str, object], message: str, exported: Exported, tmp_path: Path
) -> None:
    with pytest.raises((ArtifactMismatchError, ValueError), match=message):
        archatlas.load(_changed(exported, tmp_path, **fields), space=exported.space_file)


def test_changed_operator_code_is_noticed(exported: Exported, tmp_path: Path) -> None:
    changed = tmp_path / "mine.py"
    changed.write_text(
        "from torch import nn\nfrom archatlas.testing.tiny import OPERATORS, tiny_space\n"
        "from archatlas.spaces import Operator\nfrom archatlas.spaces.operators import mbconv\n"
        "def space():\n    same_name = mbconv(2, 3, nn.ReLU6), mbconv(3, 5, nn.Hardswish)\n"
        "    return tiny_space((OPERATORS[0], *same_name))\n"
    )
    with pytest.raises(ArtifactMismatchError, match="the code of its operators have changed"):
        archatlas.load(exported.files.card, space=str(changed))


def test_damaged_or_missing_files_are_named(exported: Exported, tmp_path: Path) -> None:
    path = _changed(exported, tmp_path)
    weights = path.with_suffix(".safetensors")
    tensors = {name: value.clone() for name, value in load_file(weights).items()}  # the file is mapped, and cut next
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ArtifactMismatchError, match="cannot be read"):
        archatlas.load(path, space=exported.space_file)
    save_file({name: value for name, value in tensors.items() if name != "head.3.bias"}, weights)
    with pytest.raises(ArtifactMismatchError, match=r"are not those of(.|\n)*head\.3\.bias"):
        archatlas.load(path, space=exported.space_file)
    weights.unlink()
    with pytest.raises(ArtifactMismatchError, match="Expected the weights"):
        archatlas.load(path, space=exported.space_file)
    with pytest.raises(ConfigError, match=r"Expected the \.json file of an export"):
        archatlas.load(weights)
    (tmp_path / "bad.onnx").write_bytes(b"no ONNX")
    with pytest.raises(ArtifactMismatchError, match="ONNX Runtime cannot load it"):
        OnnxClassifier(tmp_path / "bad.onnx")


def test_an_onnx_file_of_other_numbers_is_not_written(exported: Exported, tmp_path: Path) -> None:
    other = untrained_supernet(tiny_space(), seed=1).extract(ARCHITECTURE).eval()
    with pytest.raises(ExportError, match="differ by .* in a logit of a batch of 1 images"):
        compare(other, exported.files.onnx.path.read_bytes(), exported.data.validation)
    with pytest.raises(ConfigError, match=r"ends in \.onnx"):
        export_network(other, exported.card, exported.data, tmp_path / "net.pt")
    assert list(tmp_path.iterdir()) == []


class _Branch(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images if images.sum() > 0 else -images


def test_what_torch_cannot_follow_is_said() -> None:
    with pytest.raises(ExportError, match=r"torch\.export cannot follow it: .*data-dependent"):
        trace(_Branch(), _images(2))


def test_a_built_in_network_needs_no_space_file(tmp_path: Path) -> None:
    space, data = digits(), tiny_data(num_classes=10)
    network = untrained_supernet(space).extract((0,) * 6).eval()
    card = describe_network(network, space, (0,) * 6, data, space_name="digits", test_accuracy=0.1, test_images=20)
    (tmp_path / "net.json").write_text(card.model_dump_json())
    save_file(network.state_dict(), tmp_path / "net.safetensors")
    assert card.space_file is None
    assert torch.equal(archatlas.load(tmp_path)(_images(2)), network(_images(2)))


def test_the_package_and_its_help_stay_light() -> None:
    code = (
        "import sys, archatlas, archatlas.cli; archatlas.load\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'numpy'} & set(sys.modules)\nassert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_export_wants_a_trained_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["archatlas", "export", str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert "holds no trained network; train one with: archatlas retrain" in capsys.readouterr().err
