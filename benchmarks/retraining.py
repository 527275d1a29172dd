"""CIFAR-10 at 32x32: a network that a search chose, beside others of similar MACs, with the same recipe and budget.

The others are a random network of the same space, and torchvision's MobileNetV2 and V3 with the width that brings them
to the same MACs. The MobileNets' first two strides are 1, so that, as in nas-bench-macro, 4x4 pixels are left of 32x32.

With `--minutes` all networks are first timed in turns and each gets the updates that fit its minutes; with `--epochs`
each gets the same passes over the images. A stopped benchmark continues by the same command.

    python benchmarks/retraining.py --quick
    python benchmarks/retraining.py --data ./data --architecture 22212220 --minutes 20 --output runs/retraining

The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import torchvision
from lightning_fabric import Fabric
from torch import nn

from archatlas.costs.macs import count, count_costs
from archatlas.data import Batch, DataConfig, ImageData, Split, load_data
from archatlas.errors import ConfigError
from archatlas.files import read_json, write_json
from archatlas.measurement import measure
from archatlas.objective import Objective
from archatlas.records import Architecture, format_architecture, parse_architecture
from archatlas.retraining import Recipe, RetrainingConfig
from archatlas.spaces import ChainSpace
from archatlas.spaces.nas_bench_macro import nas_bench_macro
from archatlas.testing.tiny import tiny_data
from archatlas.training import seeded, train

Build = Callable[[], nn.Module]
PIECES = 20
"""Parts of a training after which its loss is recorded; the first is the warm-up."""
MOBILE = ("mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large")
NAMES = ("chosen", "random", *MOBILE)


class Stretch:
    """A training split whose epochs are pieces of its passes, so that a training may end in the middle of one.

    Args:
        split: The images.
        batches: Batches per piece.
    """

    def __init__(self, split: Split, batches: int) -> None:
        self.split, self.batches = split, batches

    def batches_per_epoch(self, batch_size: int) -> int:  # noqa: ARG002
        """Return the batches of a piece."""
        return self.batches

    def epoch(self, *, batch_size: int, epoch: int, start: int = 0, **rest: object) -> Iterator[Batch]:
        """Yield piece number `epoch`; see `Split.epoch`."""
        per_pass = self.split.batches_per_epoch(batch_size)
        first, end = epoch * self.batches + start, (epoch + 1) * self.batches
        while first < end:
            passed, offset = divmod(first, per_pass)
            taken = min(end - first, per_pass - offset)
            batches = self.split.epoch(batch_size=batch_size, epoch=passed, start=offset, **rest)
            yield from (batch for batch, _ in zip(batches, range(taken), strict=False))
            first += taken


def mobile(name: str, width: float, num_classes: int) -> nn.Module:
    """Return one of torchvision's MobileNets with its first two strides set to 1."""
    network: nn.Module = getattr(torchvision.models, name)(num_classes=num_classes, width_mult=width)
    strided = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.stride == (2, 2)]
    for convolution in strided[:2]:
        convolution.stride = (1, 1)
    return network


def macs_and_params(build: Build, resolution: int) -> tuple[int, int]:
    with torch.device("meta"):
        return count(build(), (1, 3, resolution, resolution))[:2]


def width_for(name: str, macs: float, resolution: int, num_classes: int) -> float:
    """Return the width multiplier, in steps of 0.01, whose MACs come closest."""

    def found(step: int) -> int:
        return macs_and_params(partial(mobile, name, step / 100, num_classes), resolution)[0]

    low, high = 10, 800
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if found(middle) < macs else (low, middle)
    return min((low, high), key=lambda step: abs(found(step) - macs)) / 100


def random_of_same_macs(space: ChainSpace, chosen: Architecture, tolerance: float, seed: int) -> Architecture:
    """Draw among all other networks whose MACs differ by at most `tolerance`."""
    everything = space.all_architectures()
    everything = everything[space.is_canonical(everything)]
    costs = count_costs(space)["macs"]
    target = costs.of(chosen)
    near = np.abs(costs(everything) / target - 1) <= tolerance
    near &= (everything != np.array(space.canonical(np.array([chosen], dtype=np.uint8))[0])).any(axis=1)
    if not near.any():
        raise ConfigError(f"No other network has {target:,.0f} MACs within {tolerance:.0%}; raise --tolerance.")
    rows = everything[near]
    return tuple(int(choice) for choice in rows[np.random.default_rng(seed).integers(len(rows))])


def contestants(arguments: argparse.Namespace, data: ImageData) -> tuple[dict[str, Build], dict[str, str]]:
    """Return builders by name, and what each is."""
    space = nas_bench_macro().for_task(
        in_channels=data.channels, num_classes=data.num_classes, resolution=data.resolution
    )
    chosen = parse_architecture(arguments.architecture)
    space.validate(chosen)
    macs = count_costs(space)["macs"].of(chosen)
    rival = random_of_same_macs(space, chosen, arguments.tolerance, arguments.seed)
    builds: dict[str, Build] = {"chosen": partial(space.build, chosen), "random": partial(space.build, rival)}
    kinds = {"chosen": format_architecture(chosen), "random": format_architecture(rival)}
    for name in set(arguments.networks) & set(MOBILE):
        width = width_for(name, macs, data.resolution, data.num_classes)
        builds[name], kinds[name] = partial(mobile, name, width, data.num_classes), f"width {width}"
    names = arguments.networks
    return {name: builds[name] for name in names}, {name: kinds[name] for name in names}


def images_per_second(builds: dict[str, Build], batch_size: int, resolution: int, turns: int) -> dict[str, float]:
    """Time training steps of all networks in turns; return the medians."""
    networks = {name: build().to(memory_format=torch.channels_last) for name, build in builds.items()}
    images = torch.randn(batch_size, 3, resolution, resolution).contiguous(memory_format=torch.channels_last)
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    for turn in range(turns + 1):
        for name, network in networks.items():
            start = time.perf_counter()
            network.train()(images).logsumexp(1).sum().backward()
            if turn:  # the first is the warm-up
                seconds[name].append(time.perf_counter() - start)
    return {name: batch_size / float(np.median(values)) for name, values in seconds.items()}


def latencies(networks: dict[str, nn.Module], resolution: int, repeats: int) -> dict[str, float]:
    """Return median milliseconds of one image under ONNX Runtime, one thread, the networks in turns."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    image = torch.randn(1, 3, resolution, resolution)
    sessions = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, network in networks.items():
            path = Path(folder) / f"{name}.onnx"
            torch.onnx.export(
                network.eval(), (image,), path, input_names=["images"], dynamo=True, verbose=False, external_data=False
            )
            sessions[name] = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(repeats):
        for name, session in sessions.items():
            start = time.perf_counter()
            session.run(None, {"images": image.numpy()})
            times[name].append(1000 * (time.perf_counter() - start))
    return {name: float(np.median(values[len(values) // 10 :])) for name, values in times.items()}


def updates(arguments: argparse.Namespace, builds: dict[str, Build], data: ImageData) -> dict[str, int]:
    """Return the number of updates of each network, a multiple of `PIECES`; planned once per output directory."""
    planned = arguments.output / "plan.json"
    settings = {key: str(value) for key, value in vars(arguments).items() if key not in ("output", "threads")}
    if planned.exists():
        plan = read_json(planned)
        if plan["settings"] != settings:
            raise ConfigError(f"{arguments.output} holds a benchmark of other settings; name another --output.")
        return dict(plan["updates"])
    per_pass = len(data.train) / arguments.batch_size
    if arguments.epochs is not None:
        wanted = dict.fromkeys(builds, arguments.epochs * per_pass)
    else:
        speed = images_per_second(builds, arguments.batch_size, data.resolution, 3 if arguments.quick else 7)
        print("images/s: " + ", ".join(f"{name} {value:.1f}" for name, value in speed.items()), flush=True)
        wanted = {name: 60 * arguments.minutes * value / arguments.batch_size for name, value in speed.items()}
    chosen = {name: max(1, round(value / PIECES)) * PIECES for name, value in wanted.items()}
    write_json(planned, {"settings": settings, "updates": chosen})
    return chosen


def reporter(name: str) -> Callable[..., None]:
    """Return a monitor that prints a line a minute."""
    shown = time.monotonic()

    def show(done: int, total: int, **figures: float) -> None:
        nonlocal shown
        if time.monotonic() - shown >= 60:
            shown = time.monotonic()
            print(f"{name}: {done:,} of {total:,} updates, loss {figures['loss']:.3f}", flush=True)

    return show


def trained(name: str, build: Build, steps: int, data: ImageData, arguments: argparse.Namespace) -> nn.Module:
    """Train a network, or continue its training."""
    config = RetrainingConfig(
        epochs=PIECES,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
        recipe=Recipe.model_validate(arguments.recipe),
    )
    with seeded(arguments.seed):
        network = build()
    recipe = config.recipe
    split = data.train.augmented(**recipe.augmentation)
    train(
        network,
        lambda _: [network],
        Stretch(split, steps // PIECES),
        config,
        fabric=Fabric(accelerator="cpu", devices=1),
        seed=arguments.seed,
        directory=arguments.output / name,
        monitor=reporter(name),
        objective=Objective(
            label_smoothing=config.label_smoothing,
            mixup=recipe.mixup,
            cutmix=recipe.cutmix,
            num_classes=data.num_classes,
        ),
    )
    return network


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under a minute: random images, three networks")
    parser.add_argument("--data", type=Path, default=Path("data"), help="directory of CIFAR-10")
    parser.add_argument("--architecture", default="21211210", help="the chosen network of nas-bench-macro")
    parser.add_argument("--networks", default="chosen,random,mobilenet_v2,mobilenet_v3_large", help=", ".join(NAMES))
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=float, default=20.0, help="of training for each network")
    budget.add_argument("--epochs", type=float, help="passes over the training images instead of minutes")
    parser.add_argument("--recipe", choices=("quick", "strong"), default="quick", help="without drop path, for all")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--train-images", type=int, help="default all 45,000")
    parser.add_argument("--tolerance", type=float, default=0.03, help="of the random network's MACs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--output", type=Path, default=Path("runs/retraining"), help="checkpoints; continued if present"
    )
    arguments = parser.parse_args()
    arguments.networks = arguments.networks.split(",")
    if unknown := set(arguments.networks) - set(NAMES):
        parser.error(f"no network {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    return arguments


def run(arguments: argparse.Namespace) -> dict[str, object]:
    if arguments.quick:
        data = tiny_data(train=256, validation=20, test=200, channels=3, resolution=16, num_classes=10)
    else:
        data = load_data(DataConfig(name="cifar10", path=arguments.data, train_images=arguments.train_images))
    builds, kinds = contestants(arguments, data)
    steps = updates(arguments, builds, data)
    networks: dict[str, nn.Module] = {}
    rows: dict[str, dict[str, object]] = {}
    for name, build in builds.items():
        networks[name] = trained(name, build, steps[name], data, arguments)
        found = measure(networks[name], data.test, fabric=Fabric(accelerator="cpu", devices=1))
        macs, params = macs_and_params(build, data.resolution)
        rows[name] = {
            "network": kinds[name],
            "macs": macs,
            "params": params,
            "images_seen": steps[name] * arguments.batch_size,
            "test_accuracy": found.accuracy,
            "test_loss": found.loss,
            "test_images": found.num_images,
        }
        print(f"{name} ({kinds[name]}): {found.accuracy:.2%}, {macs / 1e6:.1f} MMACs", flush=True)
    for name, milliseconds in latencies(networks, data.resolution, 20 if arguments.quick else 300).items():
        rows[name]["latency_ms"] = milliseconds
    budget = {"epochs": arguments.epochs} if arguments.epochs is not None else {"minutes": arguments.minutes}
    return {"data": data.name, "recipe": arguments.recipe, "threads": arguments.threads} | budget | {"networks": rows}


def main() -> None:
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    if not arguments.quick:
        print(json.dumps(run(arguments)))
        return
    with tempfile.TemporaryDirectory() as folder:
        arguments.output, arguments.minutes, arguments.batch_size = Path(folder), 0.02, 8
        arguments.networks = ["chosen", "random", "mobilenet_v2"]
        print(json.dumps(run(arguments)))


if __name__ == "__main__":
    main()
