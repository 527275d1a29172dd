from __future__ import annotations

import pytest
import torch

from archatlas.errors import InvalidArchitectureError
from archatlas.testing.tiny import tiny_space, untrained_supernet

SPACE = tiny_space()
EVERYTHING = [tuple(row) for row in SPACE.all_architectures().tolist()]


def test_every_sub_network_equals_its_extract_in_both_modes():
    supernet = untrained_supernet(SPACE)
    images = torch.randn(5, 1, 8, 8)
    for architecture in EVERYTHING:
        for training in (False, True):
            supernet.train(training)
            network = supernet.extract(architecture)
            torch.testing.assert_close(network(images), supernet(images, architecture), rtol=0, atol=0)


def test_an_extract_shares_nothing():
    supernet = untrained_supernet(SPACE).eval()
    images = torch.randn(2, 1, 8, 8)
    before = supernet(images, (1, 2, 0))
    network = supernet.extract((1, 2, 0))
    with torch.no_grad():
        for value in (*network.parameters(), *network.buffers()):
            value.zero_()
    torch.testing.assert_close(supernet(images, (1, 2, 0)), before, rtol=0, atol=0)


def test_an_extract_loads_into_a_stand_alone_network():
    supernet = untrained_supernet(SPACE).eval()
    images = torch.randn(2, 1, 8, 8)
    for architecture in EVERYTHING[::5]:
        alone = SPACE.build(architecture).eval()
        alone.load_state_dict(supernet.extract(architecture).state_dict())
        torch.testing.assert_close(alone(images), supernet(images, architecture), rtol=0, atol=0)


@pytest.mark.parametrize("architecture", EVERYTHING[::4])
def test_only_the_selected_operators_get_gradients(architecture):
    supernet = untrained_supernet(SPACE)
    supernet(torch.randn(4, 1, 8, 8), architecture).square().mean().backward()
    for block, choice in enumerate(architecture):
        for other in range(3):
            parameters = list(supernet.operator(block, other).parameters())
            assert all((p.grad is not None) == (other == choice) for p in parameters)
    assert all(p.grad is not None for p in (*supernet.stem.parameters(), *supernet.head.parameters()))


def test_an_illegal_architecture_is_refused():
    supernet = untrained_supernet(SPACE)
    with pytest.raises(InvalidArchitectureError, match=r"Block 2 of tiny takes one of: 0 = identity.*has 3 there"):
        supernet(torch.zeros(1, 1, 8, 8), (0, 0, 3))
    with pytest.raises(InvalidArchitectureError, match="has 3 blocks"):
        supernet.extract((0, 0))
