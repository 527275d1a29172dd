"""What a walk must know of the modules before it starts, found by running each once on the meta device."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import nn

from archatlas.supernet import SuperNet


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Memory of a walk, and operators that need care.

    Args:
        numbers_per_image: Upper bound of the activations that one image of a batch occupies at any moment: the
            features kept along one path (input, stem, one output per block), and what a module needs while it runs
            (twice the largest input plus output of a layer in it: a convolution library may copy both).
        mutating: `(block, operator)` pairs that write into their input, which siblings in the trie still need; the
            head is `(L, 0)`, and after an identity its input is shared too.
    """

    numbers_per_image: int
    mutating: frozenset[tuple[int, int]]


def probe(supernet: SuperNet) -> Probe:
    """Run every module of a super-network once on the meta device, with one image."""
    space = supernet.space
    features = torch.empty(1, space.in_channels, space.resolution, space.resolution, device="meta")
    path = features.numel()
    features, inside, _ = _run(supernet.stem, features)
    path += features.numel()
    mutating = set()
    for block, count in enumerate(space.num_choices):
        output = features
        for choice in range(count):
            output, layers, mutates = _run(supernet.operator(block, choice), features.clone())
            inside = max(inside, layers)
            if mutates:
                mutating.add((block, choice))
        features = output
        path += features.numel()
    _, layers, mutates = _run(supernet.head, features.clone())
    inside = max(inside, layers)
    if mutates:
        mutating.add((len(space.blocks), 0))
    return Probe(numbers_per_image=path + 2 * inside, mutating=frozenset(mutating))


@torch.no_grad()
def _run(module: nn.Module, features: torch.Tensor) -> tuple[torch.Tensor, int, bool]:
    """Return the output, the largest input plus output of a layer in numbers, and whether the input was changed."""
    module = copy.deepcopy(module).to("meta").eval()
    largest = 0

    def note(_: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal largest
        largest = max(largest, inputs[0].numel() + output.numel())

    for layer in module.modules():
        if not list(layer.children()):
            layer.register_forward_hook(note)
    version = features._version
    output: torch.Tensor = module(features)
    return output, largest, features._version != version
