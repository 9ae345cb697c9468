"""The training step: what it counts, clips, averages and refuses to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sightline.classifier.input_step import InputStep
from sightline.data.preprocessing import unit_preprocessing
from sightline.device import Compute
from sightline.settings import build_settings
from sightline.training.backbone import TrainedPart
from sightline.training.cuda_graph import MaskedStep
from sightline.training.ema import MovingAverage
from sightline.training.logs import EpochSums
from sightline.training.optimizers import build_optimizer, set_rates
from sightline.training.step import TrainingStep

CPU = torch.device("cpu")


@dataclass
class Harness:
    """A step with the network that it trains, and the input step before it."""

    model: nn.Module
    step: TrainingStep
    rate: float
    input_step: InputStep = field(default_factory=lambda: InputStep(unit_preprocessing((4, 4, 1))))

    def __call__(self, step: int, pixels: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        part = TrainedPart(self.input_step, self.model)
        return self.step(part, pixels, labels, step=step, rate=self.rate)


def make_step(
    *,
    kind: type[TrainingStep] = TrainingStep,
    fused: bool = False,
    class_weights: torch.Tensor | None = None,
    **flags: Any,
) -> Harness:
    settings = build_settings(None, {"lr": 0.1, "momentum": 0, **flags} if "optimizer" not in flags else flags)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    optimizer = build_optimizer(settings.optimizer, model, fused=fused)
    return Harness(model, kind(model, optimizer, settings, Compute(CPU, "fp32"), class_weights), rate=0.1)


PIXELS = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (6, 4, 4, 1), np.uint8))
LABELS = torch.tensor([0, 1, 2, 2, 1, 0])


def state(step: Harness) -> list[torch.Tensor]:
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
    for ours, theirs in zip(step.step.parameters, reference.parameters(), strict=True):
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
        average.prepare(step)
        average.update()
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model[0].weight.detach().double()
    torch.testing.assert_close(average.model[0].weight.double(), expected, atol=1e-5, rtol=1e-5)
    assert int(average.model[1].num_batches_tracked) == 30
    assert not average.model[0].weight.requires_grad


@pytest.mark.parametrize("kind", [TrainingStep, MaskedStep], ids=["checked", "masked"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "muon"])
def test_nothing_moves_once_a_loss_was_not_finite(kind: type[TrainingStep], optimizer: str) -> None:
    """The masked form is the one that GPUs take, where the host does not wait for the answer."""
    step = make_step(kind=kind, optimizer=optimizer, fused=True, ema_decay=0.9)
    step(0, PIXELS, LABELS)
    before = state(step)
    with torch.no_grad():
        step.input_step.scale.fill_(float("nan"))
    step(1, PIXELS, LABELS)
    assert bool(step.step.failed)
    step.input_step.scale.fill_(1 / 255)
    step(2, PIXELS, LABELS)
    assert bool(step.step.failed)
    assert all(torch.equal(a, b) for a, b in zip(before, state(step), strict=True))
    for values in step.step.optimizer.state.values():
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

    before = [p.detach().clone() for p in step.step.parameters]
    part = TrainedPart(step.input_step, lambda images: Cliff.apply(step.model(images)))
    loss, _ = step.step(part, PIXELS, LABELS, step=0, rate=0.1)
    assert torch.isfinite(loss)
    assert bool(step.step.failed)
    assert all(torch.equal(a, b) for a, b in zip(before, step.step.parameters, strict=True))


class TwoHeads(nn.Module):
    """Two dense layers on the same pixels: the answer, and an auxiliary head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        self.auxiliary = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.head(images), self.auxiliary(images)


def test_auxiliary_losses_count_with_their_weight() -> None:
    settings = build_settings(
        None, {"model": "googlenet", "auxiliary_weight": 0.3, "lr": 0.1, "momentum": 0, "label_smoothing": 0.1}
    )
    model = TwoHeads()
    optimizer = build_optimizer(settings.optimizer, model, fused=False)
    step = Harness(model, TrainingStep(model, optimizer, settings, Compute(CPU, "fp32")), rate=0.1)
    images = PIXELS.permute(0, 3, 1, 2).float() / 255
    before = [p.detach().clone() for p in model.parameters()]
    logits, auxiliary = model(images)
    main, other = (nn.functional.cross_entropy(out, LABELS, label_smoothing=0.1) for out in (logits, auxiliary))
    gradients = torch.autograd.grad(main + 0.3 * other, list(model.parameters()))
    loss, seen = step(0, PIXELS, LABELS)
    torch.testing.assert_close(loss, (main + 0.3 * other).detach())
    torch.testing.assert_close(seen, logits.detach())
    for was, now, gradient in zip(before, model.parameters(), gradients, strict=True):
        torch.testing.assert_close(now.detach(), was - 0.1 * gradient)


def test_the_head_penalty_is_in_the_loss_and_in_the_gradient() -> None:
    plain, penalised = make_step(), make_step(head_l2=0.01)
    kernel = penalised.step.parameters[0].detach().clone()
    assert kernel.shape == (3, 16)
    loss, _ = plain(0, PIXELS, LABELS)
    more, _ = penalised(0, PIXELS, LABELS)
    torch.testing.assert_close(more - loss, 0.01 * kernel.square().sum())
    torch.testing.assert_close(penalised.step.parameters[0], plain.step.parameters[0] - 0.1 * 2 * 0.01 * kernel)
    torch.testing.assert_close(penalised.step.parameters[1], plain.step.parameters[1])


def test_eps_hat_is_the_papers_other_form_of_adam() -> None:
    """Section 2 of arXiv 1412.6980: alpha_t = alpha sqrt(1 - beta2^t) / (1 - beta1^t), and m / (sqrt(v) + eps_hat)."""
    settings = build_settings(None, {"optimizer": "adam", "lr": 0.1, "eps": 0.01, "eps_hat": True}).optimizer
    weight = nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    module = nn.Module()
    module.weight = weight
    optimizer = build_optimizer(settings, module, fused=False)
    expected, mean, square = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2)
    for step, gradient in enumerate(np.array([[0.02, -3.0], [0.1, 0.5], [-0.3, 0.001]])):
        weight.grad = torch.from_numpy(gradient)
        set_rates(optimizer, settings, 0.1, step)
        optimizer.step()
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        rate = 0.1 * np.sqrt(1 - 0.999 ** (step + 1)) / (1 - 0.9 ** (step + 1))
        expected = expected - rate * mean / (np.sqrt(square) + 0.01)
        np.testing.assert_allclose(weight.detach().numpy(), expected, rtol=1e-12)
