"""Muon: against torch's own on matrices, and against the singular vectors that it should keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import sightline as sl
from sightline.models.sprint import Whitening
from sightline.settings import build_settings
from sightline.training.muon import Muon, moved_by_muon, orthogonalized
from sightline.training.optimizers import build_optimizer, set_rates


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3),
        nn.Conv2d(6, 8, 3),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 4, 1),
        nn.Conv2d(4, 48, 3, padding=1),  # a high matrix, 48 x 36
        nn.Flatten(),
        nn.Linear(768, 3),
    )


def optimizer_of(model: nn.Module, *, precision: torch.dtype = torch.float32, **flags: Any) -> Muon:
    settings = build_settings(None, {"optimizer": "muon", **flags})
    found = build_optimizer(settings.optimizer, model, fused=False, precision=precision)
    assert isinstance(found, Muon)
    set_rates(found, settings.optimizer, settings.optimizer.lr, 0)
    return found


@pytest.mark.parametrize("shape", [(8, 54), (32, 9), (16, 16)])
def test_singular_vectors_stay_and_values_come_near_one(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    left, _, right = np.linalg.svd(matrix.numpy(), full_matrices=False)
    between = left.T @ orthogonalized(matrix, 10).numpy() @ right.T
    assert np.abs(between - np.diag(np.diag(between))).max() < 1e-9
    assert np.diag(between).min() > 0.6 and np.diag(between).max() < 1.25


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_kernels_move_as_torchs_muon_moves_matrices(decay: float) -> None:
    model = network()
    kernels = moved_by_muon(model)
    copies = [nn.Parameter(kernel.detach().flatten(1).clone()) for kernel in kernels]
    # torch moves a high matrix further, by the root of its sides' ratio; and its products are in bfloat16 always.
    factors = [max(1.0, copy.shape[0] / copy.shape[1]) ** 0.5 for copy in copies]
    groups = [
        {"params": [copy], "lr": 0.1 / factor, "weight_decay": decay * factor}
        for copy, factor in zip(copies, factors, strict=True)
    ]
    theirs = torch.optim.Muon(groups, momentum=0.6, ns_steps=5)
    ours = optimizer_of(
        model, lr=0.1, momentum=0.6, weight_decay=decay, orthogonal_steps=5, keep_norm=False, precision=torch.bfloat16
    )
    generator = torch.Generator().manual_seed(2)
    before = [copy.detach().clone() for copy in copies]
    for _ in range(4):
        for kernel, copy in zip(kernels, copies, strict=True):
            kernel.grad = torch.randn(kernel.shape, generator=generator)
            copy.grad = kernel.grad.flatten(1).clone()
        ours.step()
        theirs.step()
    for kernel, copy, start in zip(kernels, copies, before, strict=True):
        assert (copy - start).abs().max() > 0.05
        torch.testing.assert_close(kernel.detach().flatten(1), copy.detach(), atol=4e-3, rtol=0)


def test_everything_else_moves_as_with_sgd() -> None:
    model, reference = network(), network()
    ours = optimizer_of(model, sgd_lr=0.05, sgd_momentum=0.8, weight_decay=0.1, norm_bias_lr_factor=3.0)
    flags = {"optimizer": "sgd", "lr": 0.05, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1}
    settings = build_settings(None, {**flags, "norm_bias_lr_factor": 3.0}).optimizer
    theirs = build_optimizer(settings, reference, fused=False)
    set_rates(theirs, settings, 0.05, 0)
    generator = torch.Generator().manual_seed(3)
    for _ in range(3):
        for mine, other in zip(model.parameters(), reference.parameters(), strict=True):
            mine.grad = torch.randn(mine.shape, generator=generator)
            other.grad = mine.grad.clone()
        ours.step()
        theirs.step()
    kernels = {id(kernel) for kernel in moved_by_muon(model)}
    assert len(kernels) == 3
    for mine, other in zip(model.parameters(), reference.parameters(), strict=True):
        assert torch.allclose(mine, other) is (id(mine) not in kernels)


def test_a_kernel_keeps_a_norm_of_one_a_filter() -> None:
    model = network()
    optimizer = optimizer_of(model, lr=1e-6)
    kernel = moved_by_muon(model)[0]
    kernel.grad = torch.ones_like(kernel)
    optimizer.step()
    assert float(kernel.detach().norm()) == pytest.approx(len(kernel) ** 0.5, rel=1e-4)


def test_the_first_convolution_sees_pixels_and_is_left_to_sgd() -> None:
    model = network()
    assert [kernel.shape[:2] for kernel in moved_by_muon(model)] == [(8, 6), (4, 8), (48, 4)]
    fixed = nn.Sequential(Whitening(1, 2, 1), nn.Conv2d(8, 4, 3), nn.Conv2d(4, 4, 3))
    assert [kernel.shape[:2] for kernel in moved_by_muon(fixed)] == [(4, 8), (4, 4)]
    model[1].requires_grad_(False)
    assert [kernel.shape[:2] for kernel in moved_by_muon(model)] == [(4, 8), (48, 4)]


def test_a_network_of_kernels_alone_is_moved() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3).requires_grad_(False), nn.Conv2d(4, 4, 3, bias=False))
    optimizer = optimizer_of(model)
    (kernel,) = moved_by_muon(model)
    before, kernel.grad = kernel.detach().clone(), torch.ones_like(kernel)
    optimizer.step()
    assert not torch.equal(before, kernel)


def test_it_learns_digits(tmp_path: Path) -> None:
    result = sl.train(
        "digits", runs=tmp_path, quiet=True, recipe="none", model="sprint", stage_widths=(16, 32), stem="conv",
        stem_kernel=1, optimizer="muon", schedule="one_cycle", epochs=6, batch_size=64, last_batch="wrap",
    )  # fmt: skip
    assert result.test_accuracy > 0.95
