"""A user's own space, from a Python or a YAML file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from archatlas.costs.macs import count_costs
from archatlas.errors import ConfigError
from archatlas.records import as_array
from archatlas.spaces.user import BUILT_IN, load_space

OPERATORS = """
from torch import nn

def wide(i, o, stride, kernel=3):
    return nn.Sequential(nn.Conv2d(i, o, kernel, stride, kernel // 2), nn.BatchNorm2d(o), nn.ReLU(inplace=True))

def attention(i, o, stride):
    return nn.Sequential(nn.Conv2d(i, o, 1, stride), Attention(o))

class Attention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.inner = nn.MultiheadAttention(channels, 2, batch_first=True)

    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2)
        return x + self.inner(tokens, tokens, tokens)[0].transpose(1, 2).reshape(x.shape)
"""
SPACE = """
name: mine
resolution: 8
in_channels: 3
num_classes: 4
stem: {use: "archatlas.spaces.operators:conv_stem", channels: 8}
head: {use: "archatlas.spaces.operators:pooled_head", in_channels: 16, features: 8}
blocks:
  - {in_channels: 8, out_channels: 16, stride: 2, operators: ["OPS:wide", {use: "OPS:wide", kernel: 5, name: wide5}]}
  - {in_channels: 16, out_channels: 16, stride: 1, operators:
      ["archatlas.spaces.operators:skip_or_project", "OPS:wide", "OPS:attention"]}
segments: [1, 1]
"""


def _files(path: Path, name: str, space: str = SPACE) -> Path:
    (path / f"{name}.py").write_text(OPERATORS)
    (path / "space.yaml").write_text(space.replace("OPS", name))
    return path / "space.yaml"


def test_yaml_space_builds_counts_and_runs_every_architecture(tmp_path: Path) -> None:
    space = load_space(str(_files(tmp_path, "operators_a")))
    assert space.num_choices == (2, 3)
    assert [o.name for o in space.blocks[0].operators] == ["wide", "wide5"]
    assert dict(space.blocks[0].operators[1].attributes) == {"kernel": 5.0}
    params = count_costs(space)["params"]
    for row in space.all_architectures().tolist():
        network = space.build(tuple(row))
        assert network(torch.zeros(2, 3, 8, 8)).shape == (2, 4)
        assert sum(p.numel() for p in network.parameters()) == params.of(tuple(row))
    np.testing.assert_array_equal(space.canonical(as_array([[0, 0], [1, 2]])), [[0, 0], [1, 2]])


def test_python_space(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("from archatlas.spaces.digits import digits\n\ndef space():\n    return digits()\n")
    assert load_space(str(path)).size == 729


SOURCE = """
from __future__ import annotations
import dataclasses
from functools import partial
from {module} import wide
from archatlas.spaces import Operator
from archatlas.testing.tiny import tiny_space

@dataclasses.dataclass
class Widths:  # dataclasses look their module up
    kernel: int = 3

def space():
    kernel = Widths().kernel
    return tiny_space(tuple(Operator(name=f"wide{{i}}", build=partial(wide, kernel=kernel)) for i in range(2)))
"""


def test_the_digest_follows_the_code_of_a_user_s_space_and_not_its_comments(tmp_path: Path) -> None:
    path, beside = tmp_path / "mine.py", tmp_path / "operators_c.py"
    path.write_text(SOURCE.format(module="operators_c"))
    beside.write_text(OPERATORS)
    first = load_space(str(path))
    assert load_space("digits").source == ""
    path.write_text(path.read_text() + "\n# a comment\n")
    assert load_space(str(path)).digest == first.digest
    beside.write_text(OPERATORS.replace("kernel // 2", "(kernel - 1) // 2"))
    changed = load_space(str(path)).digest
    assert changed != first.digest
    path.write_text(path.read_text().replace("kernel: int = 3", "kernel: int = 5"))
    assert load_space(str(path)).digest not in {first.digest, changed}
    other = tmp_path / "elsewhere"
    other.mkdir()
    yaml_file = _files(other, "operators_d")
    before = load_space(str(yaml_file)).digest
    yaml_file.write_text(SPACE.replace("OPS", "operators_d").replace("kernel: 5", "kernel: 7"))
    assert load_space(str(yaml_file)).digest != before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("OPS:wide", "OPS:missing"), "names 'operators_b:missing', expected an importable module:function"),
        (("OPS:attention", "no_such_module:f"), "names 'no_such_module:f'.*ModuleNotFoundError"),
        (("stride: 2", "stride: fast"), r"blocks\.0\.stride: .*got 'fast'"),
        (("segments: [1, 1]", "segments: [3]"), r"segments \(3,\) must be positive and add up to 2"),
        (("resolution: 8", "size: 8"), r"size: is no setting"),
        (("name: mine", "name: ["), "is no YAML"),
    ],
)
def test_what_is_wrong_in_a_yaml_space_is_named(change: tuple[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        load_space(str(_files(tmp_path, "operators_b", SPACE.replace(*change))))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("x = 1", "AttributeError"),
        ("space = 3", "must be a ChainSpace, not int"),
    ],
)
def test_what_is_wrong_in_a_python_space_is_named(code: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text(code)
    with pytest.raises(ConfigError, match=message):
        load_space(str(path))


def test_unknown_names_list_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"Unknown space 'digit'; expected one of {', '.join(BUILT_IN)}"):
        load_space("digit")
    with pytest.raises(ConfigError, match="does not exist"):
        load_space(str(tmp_path / "none.yaml"))
