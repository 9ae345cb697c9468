"""Optimizers from their settings: which constants reach them, what decays, and their fused forms; learning rates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sightline.settings import build_settings
from sightline.training.optimizers import KINDS, build_optimizer
from sightline.training.schedules import learning_rate
from sightline.training.uncompiled import uncompiled


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "adadelta", "rmsprop"])
def test_every_constant_reaches_its_optimizer(name: str) -> None:
    settings = build_settings(None, {"optimizer": name, "weight_decay": 0.25}).optimizer
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    optimizer = build_optimizer(settings, model, fused=False)
    decays = {
        parameter.ndim: group["weight_decay"] for group in optimizer.param_groups for parameter in group["params"]
    }
    assert decays == {4: 0.25, 1: 0.0}
    group = optimizer.param_groups[0]
    own = settings.model_dump(exclude={"optimizer", "weight_decay", "decay", "norm_bias_lr_factor"})
    if name.startswith("adam"):
        assert group["betas"] == (own.pop("beta1"), own.pop("beta2"))
        assert not own.pop("eps_hat")  # set step by step
    assert {key: group[key] for key in own} == own
    everything = build_settings(None, {"optimizer": name, "weight_decay": 0.25, "decay": "all"}).optimizer
    assert {g["weight_decay"] for g in build_optimizer(everything, model, fused=False).param_groups} == {0.25}


def test_batch_norms_biases_alone_learn_at_their_own_rate() -> None:
    settings = build_settings(None, {"optimizer": "sgd", "weight_decay": 0.25, "norm_bias_lr_factor": 64}).optimizer
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.BatchNorm1d(2, affine=False), nn.Linear(2, 2))
    optimizer = build_optimizer(settings, model, fused=False)
    factors = {id(p): (g["lr_factor"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]}
    assert {name: factors[id(p)] for name, p in model.named_parameters()} == {
        "0.weight": (1, 0.25), "0.bias": (1, 0), "1.weight": (1, 0), "1.bias": (64, 0),
        "3.weight": (1, 0.25), "3.bias": (1, 0),
    }  # fmt: skip


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_fused_steps_equal_plain_ones(name: str, fused: bool) -> None:
    settings = build_settings(None, {"optimizer": name, "lr": 0.01, "weight_decay": 0.1}).optimizer
    torch.manual_seed(0)
    weights = nn.Parameter(torch.randn(4, 3, 3, 3).contiguous(memory_format=torch.channels_last))
    reference = nn.Parameter(weights.detach().clone().contiguous())
    reference_class = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    constants = {"momentum": 0.9} if name == "sgd" else {}
    holder = nn.ParameterList([weights])
    ours = build_optimizer(settings, holder, fused=fused)
    theirs = reference_class([reference], lr=0.01, weight_decay=0.1, foreach=False, **constants)
    for _ in range(3):
        gradient = torch.randn(4, 3, 3, 3)
        for parameter, optimizer in ((weights, ours), (reference, theirs)):
            parameter.grad = gradient.clone(memory_format=torch.preserve_format)
            if parameter is weights:
                parameter.grad = gradient.contiguous(memory_format=torch.channels_last)
            optimizer.step()
    torch.testing.assert_close(weights, reference)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_an_optimizer_without_the_compiler_is_torchs(kind: type[torch.optim.Optimizer]) -> None:
    """Its step, its state and its hooks; and gradients are off while it works."""
    ours, theirs = (nn.Parameter(torch.linspace(-1, 1, 6)) for _ in range(2))
    optimizers = [make([parameter], lr=0.1) for make, parameter in ((uncompiled(kind), ours), (kind, theirs))]
    called: list[bool] = []
    optimizers[0].register_step_post_hook(lambda *_: called.append(torch.is_grad_enabled()))
    for number in range(3):
        for parameter, optimizer in zip((ours, theirs), optimizers, strict=True):
            parameter.grad = torch.linspace(1, 2, 6) * (number - 1)
            optimizer.step()
    assert torch.equal(ours, theirs) and not torch.equal(ours, torch.linspace(-1, 1, 6))
    states = [optimizer.state_dict() for optimizer in optimizers]
    assert states[0]["param_groups"] == states[1]["param_groups"]
    torch.testing.assert_close(states[0]["state"], states[1]["state"], rtol=0, atol=0)
    assert len(called) == 3
    assert type(optimizers[0]).__name__ == kind.__name__ and isinstance(optimizers[0], kind)


def rates(steps: int, *, start: int = 0, per_epoch: int = 10, **flags: Any) -> list[float]:
    schedule = build_settings(None, flags).schedule
    return [
        learning_rate(schedule, 1.0, step, total_steps=steps, steps_per_epoch=per_epoch, start_step=start)
        for step in range(start, steps)
    ]


def test_schedules_equal_torchs() -> None:
    parameter = nn.Parameter(torch.zeros(1))

    def torch_rates(build: Any, steps: int) -> list[float]:
        optimizer = torch.optim.SGD([parameter], lr=1.0)
        scheduler = build(optimizer)
        found = []
        for _ in range(steps):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        return found

    lr = torch.optim.lr_scheduler
    assert rates(40, schedule="constant") == [1.0] * 40
    np.testing.assert_allclose(
        rates(40, schedule="cosine", final_factor=0.1),
        torch_rates(lambda o: lr.CosineAnnealingLR(o, 40, eta_min=0.1), 40),
    )
    np.testing.assert_allclose(
        rates(40, schedule="step", step_epochs=(1, 3), step_factors=(0.5, 0.25)),
        torch_rates(lambda o: lr.MultiStepLR(o, [10, 30], gamma=0.5), 40),
    )
    np.testing.assert_allclose(
        rates(40, schedule="one_cycle", peak_fraction=0.5, start_factor=0.2),
        np.interp(np.arange(40), [0, 20, 40], [0.2, 1.0, 0.0]),
    )


def test_warmup_rises_in_a_line_to_the_full_rate() -> None:
    found = rates(40, schedule="constant", warmup_epochs=1)
    np.testing.assert_allclose(found[:10], np.arange(1, 11) / 10)
    assert found[10:] == [1.0] * 30


def test_an_extended_cosine_runs_again_over_the_added_part() -> None:
    assert rates(40, start=20, schedule="cosine") == rates(20, schedule="cosine")
    assert rates(40, start=20, schedule="one_cycle") == rates(20, schedule="one_cycle")
