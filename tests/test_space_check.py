"""`archatlas space check`: every step that can fail is named with its block and operator."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from archatlas import cli, space_check
from archatlas.costs.macs import count_costs
from archatlas.records import silent
from archatlas.space_check import check_space
from archatlas.spaces import ChainSpace, Operator
from archatlas.spaces.user import load_space
from archatlas.testing.tiny import tiny_space

EXAMPLE = Path(__file__).parent.parent / "docs" / "examples" / "own_space.py"


class _Apply(nn.Module):
    """A 1x1 convolution, then a function."""

    def __init__(self, i: int, o: int, s: int, function: object = None) -> None:
        super().__init__()
        self.convolution, self.function = nn.Conv2d(i, o, 1, s), function or (lambda x: x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self.convolution(x))  # type: ignore[no-any-return, operator]


def _operator(name: str, function: object = None) -> Operator:
    return Operator(name=name, build=lambda i, o, s: _Apply(i, o, s, function))


def _refuse(i: int, o: int, s: int) -> nn.Module:
    raise TypeError(f"cannot build {i} to {o}\nand a second line")


def _first_block(*operators: Operator) -> ChainSpace:
    """Return the tiny space with other operators in its first block (8 to 12 channels, stride 2)."""
    space = tiny_space()
    return dataclasses.replace(
        space, blocks=(dataclasses.replace(space.blocks[0], operators=operators), *space.blocks[1:])
    )


def test_each_step_names_what_is_wrong() -> None:
    broken = {
        "build": Operator(name="build", build=_refuse),
        "count": _operator("count", lambda x: x * float(x.sum())),
        "size": Operator(name="size", build=lambda i, o, s: nn.Conv2d(i, o, 3, s)),
        "nan": _operator("nan", lambda x: (x - x).log() * x),
        "mixes": _operator("mixes", lambda x: x - x.mean(0, keepdim=True)),
        "tuple": _operator("tuple", lambda x: x if x.is_meta else (x, x)),
        "good": _operator("good"),
    }
    found = check_space(_first_block(*broken.values()), export=False, monitor=silent)
    problems = {part.operator: part.problem for part in found if part.block == "0"}
    assert problems == {
        "build": "build: TypeError: cannot build 8 to 12",
        "count": problems["count"],
        "size": "run: gives 12x3x3, the block promises 12x4x4",
        "nan": "run: outputs or gradients are not finite",
        "mixes": "run: in evaluation mode the answer to an image depends on the other images of the batch",
        "tuple": "run: expected a tensor of 3 outputs for 3 images, got tuple",
        "good": None,
    }
    assert str(problems["count"]).startswith("count: ")
    assert [part.problem for part in found if part.block != "0"] == [None] * 8  # two more blocks, stem, head


def test_two_operators_of_one_name_are_refused() -> None:
    found = check_space(_first_block(_operator("same"), _operator("same")), export=False, monitor=silent)
    assert [part.problem for part in found if part.problem] == ["name: 2 operators of this block have this name"] * 2


def test_one_conversion_tries_all_and_the_culprit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    conversions = []
    convert = space_check.to_onnx
    monkeypatch.setattr(space_check, "to_onnx", lambda *a, **k: conversions.append(1) or convert(*a, **k))
    space = _first_block(_operator("bessel", lambda x: torch.special.i0e(x)), _operator("good"))
    space = dataclasses.replace(space, blocks=space.blocks[:1], segments=(1,))
    bad, good = (part for part in check_space(space, export=False, monitor=silent) if part.block == "0")
    problems = space_check._export_problems([good, bad])
    assert set(problems) == {id(bad.module)}
    assert problems[id(bad.module)].startswith("export: it has no ONNX form: ")
    assert "i0e" in problems[id(bad.module)]
    assert len(conversions) == 3  # both together, then each
    monkeypatch.setattr(space_check, "run_session", lambda session, flat: np.full((3, 192), 7.0))
    assert "ONNX Runtime and torch differ by" in space_check._export_problems([good])[id(good.module)]


@pytest.mark.parametrize("name", ["digits", str(EXAMPLE)])
def test_the_default_space_and_the_example_work(name: str) -> None:
    space = load_space(name)
    found = check_space(space, export=False, monitor=silent)
    assert [part for part in found if part.problem] == []
    assert len(found) == sum(space.num_choices) + 2
    assert found[-1].output == (space.num_classes,)
    costs = count_costs(space)
    for cost, table in costs.items():
        assert [getattr(p, cost) for p in found[1:-1]] == [int(v) for entry in table.entries for v in entry]


def test_the_command_prints_a_table_and_ends_with_2_where_something_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["archatlas", "space", "check", str(EXAMPLE), "--no-export", "--resolution", "16"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == ["block", "operator", "input", "output", "macs", "params"]
    assert shown[11].split() == ["3", "attention_h2", "32x4x4", "32x4x4", "81,920", "4,288", "ok"]
    assert shown[-1].startswith("own-space: 144 architectures (2 x 3 x 3 x 4 x 2), macs ")

    broken = tmp_path / "broken.py"
    broken.write_text(EXAMPLE.read_text().replace("(32, 32, 1, (IDENTITY,", "(32, 32, 2, (mbconv(2, 3),"))
    monkeypatch.setattr(sys, "argv", ["archatlas", "space", "check", str(broken), "--no-export"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    captured = capsys.readouterr()
    assert "2 of 16 parts of" in captured.err
    assert "  block 3, attention_h4: build: ValueError: attention keeps channels and size" in captured.err
    assert "build FAILED" in captured.out
