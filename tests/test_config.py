"""Settings: read, checked, merged with the space's preset, written with comments."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from archatlas.config import Config, dump_config, load_config, parse_config
from archatlas.errors import ConfigError
from archatlas.spaces.user import BUILT_IN

CONFIGS = sorted((Path(__file__).parent.parent / "configs").glob("*.yaml"))


@pytest.mark.parametrize("space", sorted(BUILT_IN))
def test_written_settings_are_read_back_to_the_same(space: str, tmp_path: Path) -> None:
    config = parse_config({"space": space, "budgets": {"macs": 3e6}}, source="test")
    path = tmp_path / "config.yaml"
    path.write_text(dump_config(config))
    assert load_config(path) == config


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configurations_are_valid(path: Path) -> None:
    assert load_config(path).space in BUILT_IN


def test_no_file_gives_the_digits() -> None:
    assert load_config(None) == Config() == parse_config({}, source="test")
    assert Config().space == "digits"


def test_given_settings_win_over_the_preset() -> None:
    config = parse_config({"space": "fairnas", "supernet": {"epochs": 3}}, source="test")
    assert (config.supernet.epochs, config.supernet.sampler, config.search.mode) == (3, "fair", "segments")


def test_numbers_may_be_written_without_a_point() -> None:
    config = parse_config(yaml.safe_load("budgets: {macs: 300e6}\nsupernet: {learning_rate: 1e-3}"), source="test")
    assert config.limits[0].upper == 3e8
    assert config.supernet.learning_rate == 1e-3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("supernet: {epoch: 3}", r"supernet\.epoch: is no setting\n  \(did you mean epochs\?\)"),
        ("supernet: {epochs: many}", r"supernet\.epochs: .*got 'many'"),
        ("supernet: {optimizer: sdg}", r"supernet\.optimizer: .*no optimiser of this name.*got 'sdg'"),
        ("supernet: {momentum: 0}", r"supernet: .*needs momentum > 0; without, name: momentum"),
        ("search: {mode: magic}", r"search\.mode: .*'whole', 'segments'"),
        ("search: {sampling: {floor: 100, ceiling: 50}}", r"ceiling \(50\) must be at least floor \(100\)"),
        ("budgets: {macs: cheap}", r"budgets\.macs: .*got 'cheap'"),
        ("spaces: digits", r"spaces: is no setting\n  \(did you mean space\?\)"),
        ("- a\n- b", r"must hold settings as `key: value`, got list"),
        ("a: [", r"is no YAML"),
        ("supernet: 3", r"supernet: .*got 3"),
        ("space: [1]", r"space: .*got \[1\]"),
    ],
)
def test_what_cannot_be_used_is_named(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(path)


def test_a_missing_file_says_how_to_write_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist; write one with: archatlas init"):
        load_config(tmp_path / "none.yaml")


def test_tags_that_run_code_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.yaml"
    path.write_text(f"space: !!python/object/apply:os.mkdir [{tmp_path}/made]")
    with pytest.raises(ConfigError, match="is no YAML"):
        load_config(path)
    assert not (tmp_path / "made").exists()
