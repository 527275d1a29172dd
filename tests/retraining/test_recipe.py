"""Settings of retraining: presets expand into values that are written down and may be replaced."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from archatlas.config import dump_config, load_config, parse_config
from archatlas.errors import ConfigError
from archatlas.retraining import Recipe
from archatlas.retraining.config import RECIPES


def parsed(text: str) -> Recipe:
    return parse_config({"retraining": yaml.safe_load(text)}, source="test").retraining.recipe


def test_quick_is_the_default_and_switches_everything_off():
    assert parsed("{}") == parsed("recipe: quick") == Recipe()
    assert Recipe().model_dump(exclude_defaults=True) == {}


def test_a_name_stands_for_all_values_of_its_preset():
    assert parsed("recipe: strong").model_dump() == {"preset": "strong", **RECIPES["strong"]}


def test_single_values_replace_those_of_the_preset():
    recipe = parsed("recipe: {preset: strong, mixup: 0, drop_path: 0.2}")
    assert recipe.model_dump() == {"preset": "strong", **RECIPES["strong"], "mixup": 0.0, "drop_path": 0.2}
    assert parsed("recipe: {cutmix: 1.0}") == Recipe(cutmix=1.0)


def test_written_settings_show_the_values_and_are_read_back(tmp_path: Path):
    text = "{recipe: {preset: strong, mixup: 0}, distillation: {teacher: supernet, weight: 0.3}}"
    config = parse_config({"retraining": yaml.safe_load(text)}, source="test")
    path = tmp_path / "config.yaml"
    path.write_text(dump_config(config))
    written = yaml.safe_load(path.read_text())["retraining"]
    assert (written["recipe"]["mixup"], written["recipe"]["cutmix"]) == (0.0, 1.0)
    assert written["distillation"]["weight"] == 0.3
    assert load_config(path) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recipe: strnog", r"retraining\.recipe\.preset: .*'quick' or 'strong', got 'strnog'"),
        ("recipe: {preset: 3}", r"retraining\.recipe\.preset: "),
        ("recipe: 3", r"retraining\.recipe: .*got 3"),
        ("recipe: {mixpu: 1}", r"recipe\.mixpu: is no setting\n  \(did you mean mixup\?\)"),
        ("recipe: {rand_augment: randm9}", r"recipe\.rand_augment: .*such as rand-m9-n2-mstd0\.5-inc1"),
        ("distillation: {teachre: supernet}", r"distillation\.teachre: is no setting\n  \(did you mean teacher\?\)"),
        ("distillation: {temperature: 0}", r"distillation\.temperature: .*greater than 0"),
        ("init: inherit", r"retraining\.init: .*'scratch' or 'inherited'"),
    ],
)
def test_what_cannot_be_used_is_named(text: str, message: str):
    with pytest.raises(ConfigError, match=message):
        parsed(text)
