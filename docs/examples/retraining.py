"""One network of the digits under several recipes: quick, strong, inherited weights, a teacher.

python docs/examples/retraining.py runs/recipes
python docs/examples/retraining.py runs/recipes --quick     # less than a minute, too short to tell recipes apart
"""

from __future__ import annotations

import sys
from pathlib import Path

from lightning_fabric import Fabric

from archatlas.data import DataConfig, load_data
from archatlas.records import silent
from archatlas.retraining import RetrainingConfig, retrain
from archatlas.spaces.digits import digits
from archatlas.supernet import SuperNetConfig, train_supernet

NETWORK = (2, 1, 2, 1, 2, 1)
RECIPES = {
    "quick": {"recipe": "quick"},
    "strong": {"recipe": {"preset": "strong", "rand_augment": None}},  # mirrored or rotated digits are other digits
    "inherited": {"init": "inherited", "learning_rate": 0.02},
    "taught": {"distillation": {"teacher": "supernet", "weight": 0.3}},
}
"""What `retraining:` of a configuration holds."""


def main() -> None:
    """Train a super-network and then the network by each recipe; continue what was stopped."""
    directory, quick = Path(sys.argv[1]), "--quick" in sys.argv
    data = load_data(DataConfig(name="digits"))
    fabric = Fabric(accelerator="cpu", devices=1)
    fabric.launch()
    length = {"epochs": 2 if quick else 60, "batch_size": 64, "log": "csv"}
    common = {"fabric": fabric, "seed": 0, "monitor": silent}
    supernet = train_supernet(digits(), data, SuperNetConfig(**length), directory=directory / "supernet", **common)
    for name, settings in RECIPES.items():
        config = RetrainingConfig.model_validate(length | settings)
        result = retrain(digits(), NETWORK, data, config, directory=directory / name, supernet=supernet, **common)
        print(
            f"{name}: test accuracy {result.test_accuracy:.2%}, mean over classes {result.test_balanced_accuracy:.2%}"
        )
    print(f"curves: {directory}/*/log/metrics.csv")


if __name__ == "__main__":
    main()
