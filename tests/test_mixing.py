"""Mixup and cutmix: the pictures, the labels and the loss, each against its formula by hand."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from helpers.augment import some_images
from sightline.augment import build_mixing
from sightline.augment.mixing import cutmix, draw_parts, mixed_labels, mixup
from sightline.device import Compute
from sightline.settings import AugmentSettings, build_settings
from sightline.training.logs import EpochSums
from sightline.training.optimizers import build_optimizer
from sightline.training.step import TrainingStep

CPU = torch.device("cpu")


# The pictures


def test_mixup_blends_by_the_parts():
    images, others = some_images(30), some_images(30, seed=1)
    parts = torch.linspace(0, 1, 30)
    mixed, kept = mixup(images, others, parts)
    assert torch.equal(kept, parts) and mixed.dtype == torch.uint8
    weight = parts.double().numpy()[:, None, None, None]
    expected = weight * images.double().numpy() + (1 - weight) * others.double().numpy()
    assert np.abs(mixed.numpy() - expected).max() < 0.5001
    assert torch.equal(mixed[0], others[0]) and torch.equal(mixed[-1], images[-1])


def test_cutmix_pastes_a_rectangle_whose_area_is_the_others_part():
    count, height, width = 600, 20, 30
    images, others = torch.zeros(count, height, width, 3).byte(), torch.full((count, height, width, 3), 9).byte()
    torch.manual_seed(0)
    asked = torch.linspace(0, 1, count)
    mixed, kept = cutmix(images, others, asked)
    assert sorted(mixed.unique().tolist()) == [0, 9]
    wholes = 0
    for mask, part, wanted in zip(mixed[..., 0].numpy() > 0, kept.tolist(), asked.tolist(), strict=True):
        assert part == pytest.approx(1 - mask.mean())
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert mask.sum() == len(rows) * len(columns)
        # The paper's: sides of sqrt(1 - lambda), cut away outside; here of whole pixels either side of the center.
        high, wide = (2 * int(side * (1 - wanted) ** 0.5 / 2) for side in (height, width))
        assert len(rows) <= high and len(columns) <= wide
        if (len(rows), len(columns)) == (high, wide):
            wholes += 1
    assert wholes > 100
    assert torch.equal(mixed[-1], images[-1])


def test_cutmix_reaches_every_place():
    images, others = torch.zeros(3000, 8, 8, 1).byte(), torch.ones(3000, 8, 8, 1).byte()
    torch.manual_seed(0)
    covered = cutmix(images, others, torch.full((3000,), 0.75))[0][..., 0].double().mean(0)
    assert covered.min() > 0.05 and covered[2:6, 2:6].max() < 0.35


@pytest.mark.parametrize("alpha", [0.1, 0.2, 1.0, 4.0])
def test_parts_follow_the_beta_distribution(alpha):
    torch.manual_seed(0)
    parts = draw_parts(alpha, 20_000).double().numpy()
    for place in (1e-4, 0.01, 0.2, 0.5, 0.8, 0.99, 0.9999):
        below = stats.binomtest(int((parts <= place).sum()), 20_000, stats.beta(alpha, alpha).cdf(place))
        assert below.pvalue > 0.001, place


@pytest.mark.parametrize("alpha", [1e-8, 1e-3, 1e4])
def test_extreme_distributions_give_parts_all_the_same(alpha):
    torch.manual_seed(0)
    parts = draw_parts(alpha, 5000)
    assert torch.isfinite(parts).all() and parts.min() >= 0 and parts.max() <= 1
    assert float(parts.mean()) == pytest.approx(0.5, abs=0.05)


# The labels


def test_labels_are_mixed_by_the_parts():
    labels, others = torch.tensor([0, 1, 2, 2]), torch.tensor([1, 1, 0, 2])
    found = mixed_labels(labels, others, torch.tensor([0.25, 0.9, 1.0, 0.5]), 4)
    expected = [[0.25, 0.75, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0]]
    torch.testing.assert_close(found, torch.tensor(expected))


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_each_label_tells_how_much_of_which_picture_is_there(kind):
    """Pictures that are of one level each, so that what is mixed can be read from them."""
    levels = torch.arange(0, 240, 6)
    images = levels.byte().view(-1, 1, 1, 1).expand(-1, 32, 32, 3).contiguous()
    mix = build_mixing(AugmentSettings(**{kind: 1.0}), classes=40)
    assert mix is not None
    torch.manual_seed(0)
    mixed, soft = mix(images, torch.arange(40))
    assert soft.shape == (40, 40) and soft.dtype == torch.float32
    torch.testing.assert_close(soft.sum(1), torch.ones(40))
    assert ((soft > 0).sum(1) <= 2).all() and int((soft > 0).sum()) > 60
    mean = mixed.double().mean((1, 2, 3))
    expected = (soft.double() * levels).sum(1)
    assert float((mean - expected).abs().max()) < 0.5001
    assert all(soft[number, number] > 0 or (soft[number] > 0.999).any() for number in range(40))


def test_with_both_each_batch_gets_one_of_them():
    images = some_images(16, 24, 24, seed=2)
    mix = build_mixing(AugmentSettings(mixup=1.0, cutmix=1.0), classes=16)
    assert mix is not None
    kinds: Counter[bool] = Counter()
    for seed in range(100):
        torch.manual_seed(seed)
        mixed, soft = mix(images, torch.arange(16))
        # A pasted pixel is one image's or the other's.
        other = images[torch.where(soft > 0, soft, 2).scatter(1, torch.arange(16)[:, None], 3).argmin(1)]
        kinds[bool(((mixed == images) | (mixed == other)).all())] += 1
        torch.manual_seed(seed)
        again, labels = mix(images, torch.arange(16))
        assert torch.equal(mixed, again) and torch.equal(soft, labels)
    assert 30 < kinds[True] < 70
    assert build_mixing(AugmentSettings(), classes=3) is None


def test_mixing_does_not_wait_for_the_device():
    nowhere = torch.device("meta")
    for changes in ({"mixup": 0.2}, {"cutmix": 1.0}):
        mix = build_mixing(AugmentSettings(**changes), classes=5)
        assert mix is not None
        images, labels = mix(some_images().to(nowhere), torch.zeros(20, dtype=torch.int64, device=nowhere))
        assert images.shape == (20, 7, 9, 3) and labels.shape == (20, 5)


# The loss


def make_step(weights: torch.Tensor | None = None, **flags: Any) -> TrainingStep:
    settings = build_settings(None, flags)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    optimizer = build_optimizer(settings.optimizer, model, fused=False)
    return TrainingStep(model, optimizer, settings, Compute(CPU, "fp32"), weights)


LOGITS = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
LABELS, OTHERS = torch.tensor([0, 1, 2, 2, 1, 0]), torch.tensor([1, 1, 0, 2, 0, 2])
PARTS = torch.tensor([0.3, 0.5, 1.0, 0.2, 0.9, 0.0])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_that_of_both_labels_by_their_parts(smoothing):
    """Equation 1 of arXiv 1905.04899 and section 3 of 1710.09412, in float64 by hand; smoothing as torch has it."""
    step = make_step(label_smoothing=smoothing)
    found = step.cross_entropy(LOGITS, mixed_labels(LABELS, OTHERS, PARTS, 3))
    log = LOGITS.double().log_softmax(1)

    def loss(labels: torch.Tensor) -> torch.Tensor:
        own = -log[torch.arange(6), labels]
        return (1 - smoothing) * own - smoothing * log.mean(1)

    expected = (PARTS * loss(LABELS) + (1 - PARTS) * loss(OTHERS)).mean()
    assert float(found) == pytest.approx(float(expected), rel=1e-6)
    separate = (nn.functional.cross_entropy(LOGITS, labels, reduction="none", label_smoothing=smoothing)
                for labels in (LABELS, OTHERS))  # fmt: skip
    first, second = separate
    torch.testing.assert_close(found, (PARTS * first + (1 - PARTS) * second).mean())


def test_class_weights_weigh_each_label_of_a_mixture():
    weights = torch.tensor([1.0, 2.0, 0.5])
    step = make_step(weights)
    found = step.cross_entropy(LOGITS, mixed_labels(LABELS, OTHERS, PARTS, 3))
    log = LOGITS.double().log_softmax(1)
    total = weight = 0.0
    for row, (label, other, part) in enumerate(zip(LABELS.tolist(), OTHERS.tolist(), PARTS.tolist(), strict=True)):
        for which, share in ((label, part), (other, 1 - part)):
            total -= share * float(weights[which]) * float(log[row, which])
            weight += share * float(weights[which])
    assert float(found) == pytest.approx(total / weight, rel=1e-6)


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 2.0, 0.5])])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_unmixed_labels_have_the_loss_of_whole_ones(weights, smoothing):
    step = make_step(weights, label_smoothing=smoothing)
    soft = mixed_labels(LABELS, OTHERS, torch.ones(6), 3)
    torch.testing.assert_close(step.cross_entropy(LOGITS, soft), step.cross_entropy(LOGITS, LABELS))


def test_sums_count_the_class_with_the_largest_part():
    soft = mixed_labels(LABELS, OTHERS, torch.full((6,), 0.7), 3)
    sums = EpochSums.zero(CPU)
    sums.add(LOGITS, soft)
    loss, accuracy = sums.means()
    assert loss == pytest.approx(float(-(soft * LOGITS.log_softmax(1)).sum(1).mean()), rel=1e-6)
    assert accuracy == pytest.approx(float((LOGITS.argmax(1) == LABELS).float().mean()))
