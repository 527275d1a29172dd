"""Scoring many sub-networks: the walk over the trie against the loop, and how many samples a fit needs.

Both sides see the same images in the same precision, on the same threads, in one run: pieces of the walk and networks
of the loop alternate, so that a noisy machine hits both. The loop is extrapolated from the networks that it scored.

    python benchmarks/evaluation.py --quick
    python benchmarks/evaluation.py --data ./data --supernet runs/macro/supernet --tables ../shared/data

The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from archatlas.costs.macs import count_costs
from archatlas.data import DataConfig, ImageData, load_data
from archatlas.evaluation import EvaluationConfig, Evaluator, block_passes, split_jobs
from archatlas.predictors import PredictorConfig, build_predictor
from archatlas.predictors.metrics import kendall_tau, mean_of_best, tau_in_top
from archatlas.records import Architectures, Evaluation, as_array, parse_architecture
from archatlas.search import Problem, SamplingConfig
from archatlas.search.problem import measured_score
from archatlas.search.rounds import Sampled, sample_in_rounds
from archatlas.search.sampling import DESIGNS
from archatlas.spaces import ChainSpace, chain_graph
from archatlas.spaces.mobile import fairnas
from archatlas.spaces.nas_bench_macro import nas_bench_macro
from archatlas.spaces.operators import pooled_head
from archatlas.store import EvaluationStore
from archatlas.supernet import SuperNet, load_supernet
from archatlas.testing.evaluation_oracle import Images, Loop, read_images
from archatlas.testing.tiny import tiny_data, untrained_supernet

CPU = torch.device("cpu")
MACRO_TABLE, ONE_SHOT = "nas_bench_macro_cifar10.json", "macro_cifar10_one_shot.npz"


@dataclass(frozen=True)
class Size:
    """How much is measured: full or quick."""

    reference: int = 128
    validation: int = 384
    macro: int | None = None  # random networks of nas-bench-macro, None = all canonical ones
    loop: int = 200
    segment: int = 2000
    segment_loop: int = 100
    segment_pieces: float = 0.3  # share of the segment walks that is timed; the rest is extrapolated by passes
    precision: int = 12
    memory_images: int = 10_000
    seeds: int = 5


QUICK = Size(
    reference=24,
    validation=40,
    macro=120,
    loop=20,
    segment_loop=8,
    segment_pieces=0.02,
    precision=6,
    memory_images=1500,
    seeds=1,
)


def make_evaluator(supernet: SuperNet, data: ImageData, config: EvaluationConfig, directory: Path) -> Evaluator:
    store = EvaluationStore(directory / "evaluations.sqlite")
    return Evaluator(supernet, config.digest, data, config, store=store, device=CPU)


def status_gib(name: str) -> float:
    """Return a size from Linux' status of this process: VmRSS = now, VmHWM = the peak."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[name].split()[0]) / 2**20


def reset_peak() -> None:
    """Let VmHWM start over."""
    Path("/proc/self/clear_refs").write_text("5")


def race(
    supernet: SuperNet,
    data: ImageData,
    config: EvaluationConfig,
    rows: Architectures,
    *,
    loop_networks: int,
    share: float = 1.0,
    seed: int = 0,
) -> dict[str, float]:
    """Walk `rows` (sorted, canonical, distinct) in pieces, score networks of the loop in between, and compare."""
    rng = np.random.default_rng(seed)
    pieces = split_jobs(rows, max(1, min(50, len(rows) // 20)))
    pieces = [pieces[i] for i in rng.permutation(len(pieces))[: max(1, round(share * len(pieces)))]]
    walked = np.concatenate([np.arange(len(rows))[piece] for piece in pieces])
    picks = as_array(rows[rng.permutation(walked)[:loop_networks]])
    images = read_images(data, config, CPU)
    batch = fastest_batch(supernet, [tuple(row) for row in picks[:2].tolist()], images)
    one_by_one = Loop(supernet, images, precision=config.precision, batch_size=batch)
    seconds, loop_seconds = 0.0, []
    found: dict[tuple[int, ...], Evaluation] = {}
    alone: list[Evaluation] = []
    with tempfile.TemporaryDirectory() as folder:
        evaluator = make_evaluator(supernet, data, config, Path(folder))
        announced = evaluator.plan(rows).peak_gib
        for piece, part in zip(pieces, np.array_split(picks, len(pieces)), strict=True):
            start = time.perf_counter()
            found |= {e.architecture: e for e in evaluator(rows[piece])}
            seconds += time.perf_counter() - start
            for row in part.tolist():
                start = time.perf_counter()
                alone.append(one_by_one(tuple(row)))
                loop_seconds.append(time.perf_counter() - start)
    passes, walked_passes = block_passes(rows), sum(block_passes(rows[piece]) for piece in pieces)
    tree_seconds = seconds * passes / walked_passes
    all_loop_seconds = float(np.mean(loop_seconds)) * len(rows)
    pairs = [(found[e.architecture], e) for e in alone]
    num_images = len(images.reference) + len(images.validation)
    return {
        "networks": len(rows),
        "walked": len(walked),
        "loop_networks": len(alone),
        "loop_batch": batch,
        "passes_tree": passes,
        "passes_walked_in_pieces": walked_passes,
        "passes_loop": rows.size,
        "seconds_tree": tree_seconds,
        "seconds_loop": all_loop_seconds,
        "images_per_s_tree": num_images * len(rows) / tree_seconds,
        "images_per_s_loop": num_images * len(rows) / all_loop_seconds,
        "speedup": all_loop_seconds / tree_seconds,
        "max_accuracy_difference": max(abs(a.accuracy - b.accuracy) for a, b in pairs),
        "max_relative_loss_difference": max(abs(a.loss / b.loss - 1) for a, b in pairs),
        "announced_peak_gib": announced,
    }


def fastest_batch(supernet: SuperNet, architectures: list[tuple[int, ...]], images: Images) -> int:
    """Return the batch size with which the loop is fastest here: it shall not lose for want of a setting."""
    timings = {}
    for batch in (32, 64, 128, 256):
        one_by_one = Loop(supernet, images, batch_size=batch)
        start = time.perf_counter()
        for architecture in architectures:
            one_by_one(architecture)
        timings[batch] = time.perf_counter() - start
    return min(timings, key=lambda batch: timings[batch])


def macro_rows(space: ChainSpace, count: int | None) -> Architectures:
    everything = space.all_architectures()
    rows = everything[space.is_canonical(everything)]
    if count is None:
        return rows
    return rows[np.sort(np.random.default_rng(0).permutation(len(rows))[:count])]


def segment_spaces(resolution: int) -> dict[str, tuple[ChainSpace, int]]:
    """Return chains to score a segment of `fairnas` in, and how many of their blocks come before or after it.

    `alone`: the first 7 blocks with a head of their own. `first`: the same 7 with one completion of the other 12.
    `last`: the last 6 behind 6 super-cells of 13 blocks.
    """
    whole = fairnas().for_task(in_channels=3, num_classes=10, resolution=resolution)
    head = lambda classes: pooled_head(classes, in_channels=80, features=1280)  # noqa: E731
    alone = replace(whole, name="fairnas[:7]", blocks=whole.blocks[:7], segments=(7,), head=head)
    return {"alone": (alone, 7), "first": (whole, 7), "last": (whole, 13)}


def segment_rows(name: str, count: int) -> Architectures:
    rng = np.random.default_rng(1)
    if name == "last":
        cells = rng.integers(0, 6, (6, 13))
        rows = np.concatenate([cells[rng.integers(0, 6, count)], rng.integers(0, 6, (count, 6))], axis=1)
    else:
        rows = rng.integers(0, 6, (count, 7))
        if name == "first":
            rows = np.concatenate([rows, np.tile(rng.integers(0, 6, 12), (count, 1))], axis=1)
    return np.unique(as_array(rows), axis=0)


def compare_precisions(supernet: SuperNet, data: ImageData, size: Size, config: EvaluationConfig) -> dict[str, float]:
    """Time bfloat16 against float32, piece by piece in turn."""
    space = supernet.space
    rows = macro_rows(space, size.precision)
    lower = config.model_copy(update={"precision": "bfloat16"})
    seconds = {"float32": 0.0, "bfloat16": 0.0}
    losses: dict[str, list[float]] = {"float32": [], "bfloat16": []}
    with tempfile.TemporaryDirectory() as folder:
        evaluators = {c.precision: make_evaluator(supernet, data, c, Path(folder)) for c in (config, lower)}
        for piece in split_jobs(rows, 6):
            for name, evaluator in evaluators.items():
                start = time.perf_counter()
                losses[name] += [e.loss for e in evaluator(rows[piece])]
                seconds[name] += time.perf_counter() - start
    return {
        "bf16_over_fp32": seconds["bfloat16"] / seconds["float32"],
        "bf16_tau": kendall_tau(np.array(losses["bfloat16"]), np.array(losses["float32"])),
        "bf16_networks": len(rows),
    }


def _walk_within_one_gib(resolution: int, images: int, sender) -> None:
    """In a process of its own: the peak that a walk adds to the base of the process, in GiB."""
    torch.set_num_threads(1)
    space = nas_bench_macro().for_task(in_channels=3, num_classes=10, resolution=resolution)
    supernet = untrained_supernet(space)
    data = tiny_data(num_classes=10, channels=3, resolution=resolution, train=600, validation=images)
    config = EvaluationConfig(recalibration_images=512, memory_gib=1.0)
    rows = macro_rows(space, 6)
    with tempfile.TemporaryDirectory() as folder:
        evaluator = make_evaluator(supernet, data, config, Path(folder))
        reset_peak()
        before = status_gib("VmRSS")
        plan = evaluator.plan(rows)
        evaluator(rows)
        sender.send((status_gib("VmHWM") - before, before, plan.peak_gib, plan.chunk))


def measure_memory(resolution: int, images: int) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_walk_within_one_gib, args=(resolution, images, sender))
    child.start()
    sender.close()
    added, base, announced, chunk = receiver.recv()
    child.join()
    return {
        "memory_bound_gib": 1.0,
        "memory_announced_gib": announced,
        "memory_measured_gib": added,
        "memory_base_gib": base,
        "memory_chunk": chunk,
        "memory_images": images,
    }


@dataclass(frozen=True, eq=False)
class Truth:
    """One-shot losses of all canonical networks and their stand-alone accuracy in percent."""

    rows: Architectures
    losses: np.ndarray
    accuracy: np.ndarray

    def quality(self, ranks: np.ndarray) -> tuple[float, float, float]:
        """Return tau over all, tau in the true top 10 %, mean true accuracy of the predicted ten best."""
        return (
            kendall_tau(ranks, self.accuracy),
            tau_in_top(ranks, self.accuracy, 0.1),
            mean_of_best(ranks, self.accuracy, 10),
        )


def read_truth(tables: Path) -> list[Truth]:
    """Return one truth per super-network of the table."""
    one_shot = np.load(tables / ONE_SHOT)
    published = json.loads((tables / MACRO_TABLE).read_text())
    accuracy = {parse_architecture(text): entry["mean_acc"] for text, entry in published.items()}
    rows = as_array(one_shot["arch"])
    stand_alone = np.array([accuracy[tuple(row)] for row in rows.tolist()])
    return [Truth(rows=rows, losses=losses, accuracy=stand_alone) for losses in one_shot["loss"].astype(float)]


def sample(truth: Truth, config: SamplingConfig, predictor: PredictorConfig, seed: int) -> Sampled:
    """Sample the table as a search samples a super-network."""
    space = nas_bench_macro()
    known = {tuple(row): loss for row, loss in zip(truth.rows.tolist(), truth.losses, strict=True)}
    graph = chain_graph(space, count_costs(space))

    def measure(rows: Architectures) -> list[Evaluation]:
        return [
            Evaluation(architecture=tuple(r), loss=known[tuple(r)], accuracy=0.0, num_images=1) for r in rows.tolist()
        ]

    problem = Problem(
        graph=graph, measure=measure, predictor=build_predictor(predictor), budgets=(), seed=seed, log=lambda _: None
    )
    free, design = [range(3)] * 8, DESIGNS[config.design]
    return sample_in_rounds(
        problem,
        graph,
        lambda count, rng: design(free, count, rng),
        lambda rows: np.array([measured_score(evaluation) for evaluation in measure(rows)]),
        config,
    )


def passes_of(sampled: Sampled) -> int:
    """Return the block passes of the rounds, each a walk of its own."""
    ends = [r.samples for r in sampled.rounds]
    return sum(
        block_passes(np.unique(sampled.architectures[a:b], axis=0)) for a, b in zip([0, *ends], ends, strict=False)
    )


def uniform_2000(truth: Truth, predictor: PredictorConfig, seed: int) -> tuple[tuple[float, float, float], int, int]:
    """Return quality, passes and distinct networks of 2,000 uniform samples in one walk."""
    space = nas_bench_macro()
    rows = np.unique(space.canonical(space.sample(2000, np.random.default_rng((seed, 99)))), axis=0)
    order = {tuple(row): i for i, row in enumerate(truth.rows.tolist())}
    scores = -truth.losses[[order[tuple(row)] for row in rows.tolist()]]
    fitted = build_predictor(predictor).fit(chain_graph(space, count_costs(space)), rows, scores, seed=seed)
    return truth.quality(fitted.rank(truth.rows)), block_passes(rows), len(rows)


def compare_designs(tables: Path, size: Size) -> dict[str, object]:
    """Quality of fit against block passes, for rounds of each design and for 2,000 uniform samples."""
    predictor = PredictorConfig()
    found: dict[str, list[tuple[float, ...]]] = {}
    truths = read_truth(tables)[: 2 if size.seeds > 1 else 1]
    for number, truth in enumerate(truths):
        for seed in range(size.seeds):
            quality, passes, distinct = uniform_2000(truth, predictor, seed)
            found.setdefault(f"{number}: uniform 2,000", []).append((*quality, passes, distinct))
            for design in DESIGNS if size.seeds > 1 else (SamplingConfig().design,):
                sampled = sample(truth, SamplingConfig(design=design), predictor, seed)
                row = (*truth.quality(sampled.fitted.rank(truth.rows)), passes_of(sampled), len(sampled.scores))
                found.setdefault(f"{number}: rounds, {design}", []).append(row)
    print(f"\nsuper-network: samples, mean and deviation over {size.seeds} seed(s)")
    print(f"{'':<21}{'tau':>14}{'top 10 %':>16}{'ten best':>16}{'passes':>9}{'networks':>10}")
    for name, rows in found.items():
        mean, std = np.mean(rows, axis=0), np.std(rows, axis=0)
        cells = [f"{m:.3f} ± {s:.3f}" for m, s in zip(mean[:2], std[:2], strict=True)]
        cells.append(f"{mean[2]:.3f} ± {std[2]:.3f}")
        print(f"{name:<21}{cells[0]:>14}{cells[1]:>16}{cells[2]:>16}{mean[3]:>9.0f}{mean[4]:>10.0f}")
    rounds, uniform = (
        np.mean([row for name, rows in found.items() if name.endswith(end) for row in rows], axis=0)
        for end in (f"rounds, {SamplingConfig().design}", "uniform 2,000")
    )
    return {
        "passes_rounds_over_uniform": rounds[3] / uniform[3],
        "quality_rounds": [round(float(v), 4) for v in rounds[:3]],
        "quality_uniform": [round(float(v), 4) for v in uniform[:3]],
    }


def show(title: str, figures: dict[str, float]) -> None:
    print(f"\n{title}")
    for name, value in figures.items():
        print(f"  {name:<30}{value:,.6g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small part of everything, under a minute")
    parser.add_argument("--data", type=Path, help="folder of CIFAR-10; without it the images are random")
    parser.add_argument(
        "--supernet", type=Path, help="trained nas-bench-macro super-network; without it random weights"
    )
    parser.add_argument("--tables", type=Path, default=Path("../shared/data"), help="folder of the public tables")
    parser.add_argument("--resolution", type=int, default=16, help="side of the images in pixels")
    parser.add_argument("--reference", type=int, help="images that set the BN statistics")
    parser.add_argument("--validation", type=int, help="images that a score is taken on")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument(
        "--only", nargs="+", choices=["macro", "segment", "precision", "memory", "rounds"], help="parts to run"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    size = QUICK if arguments.quick else Size()
    size = replace(
        size, reference=arguments.reference or size.reference, validation=arguments.validation or size.validation
    )
    parts = arguments.only or ["macro", "segment", "precision", "memory", "rounds"]
    print(json.dumps(run(size, parts, arguments)))


def run(size: Size, parts: list[str], arguments: argparse.Namespace) -> dict[str, object]:
    """Run the parts and return what the last line says; what was not run is null."""
    resolution = arguments.resolution
    data = images_of(arguments.data, resolution)
    space = nas_bench_macro().for_task(in_channels=3, num_classes=10, resolution=resolution)
    supernet = load_supernet(space, arguments.supernet)[0] if arguments.supernet else untrained_supernet(space)
    config = EvaluationConfig(recalibration_images=size.reference, validation_images=size.validation)
    print(
        f"{data.name} images at {resolution}x{resolution}, {size.reference} reference + {size.validation} validation; "
        f"{'trained' if arguments.supernet else 'random'} weights; {arguments.threads} thread(s), "
        f"torch {torch.__version__}"
    )
    result: dict[str, object] = dict.fromkeys(
        [
            "passes_tree",
            "passes_loop",
            "speedup_macro",
            "speedup_segment_uniform",
            "passes_rounds_over_uniform",
            "max_accuracy_difference",
            "bf16_over_fp32",
        ]
    )
    worst: list[float] = []
    if "macro" in parts:
        figures = race(supernet, data, config, macro_rows(space, size.macro), loop_networks=size.loop)
        show("nas-bench-macro: tree against loop", figures)
        names = ("passes_tree", "passes_loop", "max_relative_loss_difference")
        worst.append(figures["max_accuracy_difference"])
        result |= {"networks": figures["networks"], "speedup_macro": figures["speedup"]} | {
            n: figures[n] for n in names
        }
    if "segment" in parts:
        for name, (segment, _) in segment_spaces(resolution * 2).items():
            images = images_of(None, resolution * 2)
            figures = race(
                untrained_supernet(segment),
                images,
                config,
                segment_rows(name, size.segment),
                loop_networks=size.segment_loop,
                share=size.segment_pieces,
            )
            show(f"fairnas at {resolution * 2}x{resolution * 2}, 2,000 uniform samples of a segment ({name})", figures)
            result["speedup_segment_" + {"alone": "uniform"}.get(name, name)] = figures["speedup"]
            worst.append(figures["max_accuracy_difference"])
    if "precision" in parts:
        result |= compare_precisions(supernet, data, size, config)
    if "memory" in parts:
        memory = measure_memory(resolution, size.memory_images)
        show("memory", memory)
        result |= memory
    if "rounds" in parts and (arguments.tables / ONE_SHOT).exists():
        result |= compare_designs(arguments.tables, size)
    elif "rounds" in parts:
        print(f"\nrounds: left out, {arguments.tables / ONE_SHOT} is not there; name its folder with --tables")
    result["max_accuracy_difference"] = max(worst, default=None)
    return result


def images_of(path: Path | None, resolution: int) -> ImageData:
    if path is not None:
        config = DataConfig(
            name="cifar10", path=path, resolution=resolution, train_images=30_000, validation_images=2000
        )
        return load_data(config)
    return tiny_data(num_classes=10, channels=3, resolution=resolution, train=600, validation=2000)


if __name__ == "__main__":
    main()
