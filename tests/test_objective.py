from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch.nn import functional

from archatlas.objective import Objective, Targets

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.0]])


def batch(size=6):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(size, 3, 8, 8, generator=generator), torch.arange(size) % 4


def mixed(step=3, size=6, **settings):
    images, labels = batch(size)
    objective = Objective(label_smoothing=0.0, num_classes=4, **({"mixup": 0.5, "cutmix": 1.0} | settings))
    return objective.prepare(images.clone(), labels, seed=1, step=step)


def test_without_extras_it_is_cross_entropy_of_untouched_images():
    images, labels = batch()
    objective = Objective(label_smoothing=0.1)
    same, targets = objective.prepare(images.clone(), labels, seed=0, step=0)
    assert torch.equal(same, images)
    assert targets.teacher is None
    expected = functional.cross_entropy(LOGITS, torch.tensor([0, 2]), label_smoothing=0.1)
    assert torch.equal(objective(LOGITS, Targets(labels=torch.tensor([0, 2]), teacher=None)), expected)


def test_mixing_is_a_pure_function_of_seed_and_step_and_leaves_global_generators_alone():
    random.seed(5)
    np.random.seed(5)
    expected = (random.random(), np.random.rand())
    random.seed(5)
    np.random.seed(5)
    first, other = mixed(step=3), mixed(step=4)
    assert (random.random(), np.random.rand()) == expected
    again = mixed(step=3)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1].labels, again[1].labels)
    assert not torch.equal(first[0], other[0])


@pytest.mark.parametrize("step", range(4))
def test_mixup_weighs_images_as_it_weighs_labels(step):
    images, labels = batch()
    found, targets = mixed(step, cutmix=0.0)
    share = float(targets.labels[0, labels[0]])
    torch.testing.assert_close(found, share * images + (1 - share) * images.flip(0))
    torch.testing.assert_close(targets.labels.sum(1), torch.ones(6))


@pytest.mark.parametrize("step", range(4))
def test_cutmix_pastes_the_share_of_pixels_that_the_labels_say(step):
    images, labels = batch()
    found, targets = mixed(step, mixup=0.0)
    pasted = (found != images).all(1)
    assert torch.equal(found[0][:, pasted[0]], images[-1][:, pasted[0]])
    assert float(targets.labels[0, labels[-1]]) == pytest.approx(float(pasted[0].float().mean()))


def test_the_last_image_of_an_odd_batch_stays_as_it_is():
    images, labels = batch(5)
    found, targets = mixed(size=5)
    assert torch.equal(found[4], images[4])
    assert targets.labels[4].tolist() == functional.one_hot(labels[4], 4).tolist()
    assert targets.labels.shape == (5, 4)


def test_a_teacher_weighs_in_with_its_share():
    teacher = torch.tensor([[1.0, 1.0, 0.0], [0.0, 3.0, 0.0]])
    labels = torch.tensor([0, 1])
    objective = Objective(label_smoothing=0.0, teacher=lambda images: teacher, weight=0.3, temperature=4.0)
    _, targets = objective.prepare(batch(2)[0], labels, seed=0, step=0)
    wanted, given = (functional.softmax(logits / 4.0, 1) for logits in (teacher, LOGITS))
    divergence = (wanted * (wanted / given).log()).sum(1).mean()
    expected = 0.7 * functional.cross_entropy(LOGITS, labels) + 0.3 * 16.0 * divergence
    torch.testing.assert_close(objective(LOGITS, targets), expected)


def test_a_teacher_gets_no_gradient():
    weight = torch.ones(1, requires_grad=True)
    objective = Objective(label_smoothing=0.0, teacher=lambda images: weight * LOGITS, weight=1.0)
    _, targets = objective.prepare(batch(2)[0], torch.tensor([0, 1]), seed=0, step=0)
    assert targets.teacher is not None
    assert not targets.teacher.requires_grad
