"""The training step: what it counts, clips, averages and refuses to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sightline.classifier.input_step import InputStep
from sightline.data.preprocessing import unit_preprocessing
from sightline.device import Compute
from sightline.settings import build_settings
from sightline.training.checkpoints import EpochSums
from sightline.training.optimizers import build_optimizer
from sightline.training.step import MovingAverage, TrainingStep

CPU = torch.device("cpu")


def make_step(*, fused: bool = False, class_weights: torch.Tensor | None = None, **flags: Any) -> TrainingStep:
    settings = build_settings(None, {"lr": 0.1, "momentum": 0, **flags} if "optimizer" not in flags else flags)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    return TrainingStep(
        model,
        InputStep(unit_preprocessing((4, 4, 1))),
        build_optimizer(settings.optimizer, model, fused=fused),
        Compute(CPU, "fp32"),
        settings.training,
        optimizer_name=settings.optimizer.optimizer,
        fused=fused,
        class_weights=class_weights,
    )


PIXELS = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (6, 4, 4, 1), np.uint8))
LABELS = torch.tensor([0, 1, 2, 2, 1, 0])


def state(step: TrainingStep) -> list[torch.Tensor]:
    return [value.clone() for value in step.model.state_dict().values()]


def test_a_plain_step_is_gradient_descent() -> None:
    step = make_step()
    reference = nn.Linear(16, 3)
    reference.load_state_dict({k.removeprefix("1."): v for k, v in step.model.state_dict().items()})
    images = PIXELS.reshape(6, 16).float() / 255
    loss = nn.functional.cross_entropy(reference(images), LABELS)
    loss.backward()
    found, logits = step(0, PIXELS, LABELS)
    torch.testing.assert_close(found, loss.detach())
    torch.testing.assert_close(logits, reference(images).detach())
    for ours, theirs in zip(step.parameters, reference.parameters(), strict=True):
        assert theirs.grad is not None
        torch.testing.assert_close(ours.detach(), (theirs - 0.1 * theirs.grad).detach())


def test_clipping_bounds_the_whole_gradient() -> None:
    step = make_step(clip_norm=0.01)
    before = state(step)
    step(0, PIXELS, LABELS)
    moved = torch.cat([(b - a).flatten() for a, b in zip(before, state(step), strict=True)])
    assert float(moved.norm()) == pytest.approx(0.1 * 0.01, rel=1e-4)


def test_smoothing_and_class_weights_are_torchs() -> None:
    weights = torch.tensor([1.0, 2.0, 0.5])
    step = make_step(label_smoothing=0.2, class_weights=weights)
    logits = step.model(PIXELS.reshape(6, 1, 4, 4).float() / 255)
    expected = nn.CrossEntropyLoss(weights, label_smoothing=0.2)(logits, LABELS).detach()
    torch.testing.assert_close(step(0, PIXELS, LABELS)[0], expected)


def test_sums_are_over_images_and_without_smoothing() -> None:
    sums = EpochSums.zero(CPU)
    logits = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0])
    sums.add(logits[:5], labels[:5])
    sums.add(logits[5:], labels[5:])
    loss, accuracy = sums.means()
    assert loss == pytest.approx(float(nn.functional.cross_entropy(logits, labels)), rel=1e-6)
    assert accuracy == pytest.approx(float((logits.argmax(1) == labels).float().mean()))


def test_the_moving_average_follows_its_formula_and_copies_counters() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = MovingAverage(model, 0.9)
    expected = model[0].weight.detach().clone().double()
    for step in range(30):
        with torch.no_grad():
            model[0].weight.add_(torch.randn(2, 2))
            model[1].num_batches_tracked.add_(1)
        average.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model[0].weight.detach().double()
    torch.testing.assert_close(average.model[0].weight.double(), expected, atol=1e-5, rtol=1e-5)
    assert int(average.model[1].num_batches_tracked) == 30
    assert not average.model[0].weight.requires_grad


@pytest.mark.parametrize("masks", [False, True], ids=["asked", "masked"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_nothing_moves_once_a_loss_was_not_finite(masks: bool, optimizer: str) -> None:
    """The masked form is the one that GPUs take, where the host does not wait for the answer."""
    step = make_step(optimizer=optimizer, fused=True, ema_decay=0.9)
    step.masks = masks
    step(0, PIXELS, LABELS)
    before = state(step)
    with torch.no_grad():
        step.input_step.scale.fill_(float("nan"))
    step(1, PIXELS, LABELS)
    assert bool(step.failed)
    step.input_step.scale.fill_(1 / 255)
    step(2, PIXELS, LABELS)
    assert bool(step.failed)
    assert all(torch.equal(a, b) for a, b in zip(before, state(step), strict=True))
    for values in step.optimizer.state.values():
        assert all(torch.isfinite(v).all() for v in values.values() if isinstance(v, torch.Tensor))


def test_infinite_gradients_of_a_finite_loss_are_seen() -> None:
    step = make_step()

    class Cliff(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
            return gradients[0] * float("inf")

    linear = step.model
    step.model = lambda images: Cliff.apply(linear(images))  # type: ignore[assignment]
    before = [p.detach().clone() for p in step.parameters]
    loss, _ = step(0, PIXELS, LABELS)
    assert torch.isfinite(loss)
    assert bool(step.failed)
    assert all(torch.equal(a, b) for a, b in zip(before, step.parameters, strict=True))
