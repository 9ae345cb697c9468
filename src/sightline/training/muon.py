"""Muon: kernels move by the orthogonal matrix that is nearest to their momentum, everything else by SGD.

K. Jordan and others, "Muon: an optimizer for hidden layers in neural networks" (2024); that a convolution's kernel is
one matrix, and keeps its norm, is of the same author's program for CIFAR-10 (github.com/KellerJordan/cifar10-airbench).
torch's own `torch.optim.Muon` takes nothing but matrices; tests hold this one to it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sightline.settings.optimizer import MuonSettings
from sightline.training.uncompiled import uncompiled

# The quintic's coefficients, by Jordan and others: the steepest at zero of those that stay near 1. What comes out has
# singular values between about 0.7 and 1.2, which does as well as 1.
QUINTIC = (3.4445, -4.7750, 2.0315)
EPS = 1e-7

Group = dict[str, Any]


def orthogonalized(matrix: Tensor, steps: int) -> Tensor:
    """Bring the singular values of a matrix (M, N) near 1 by `steps` Newton-Schulz iterations, in its own precision."""
    a, b, c = QUINTIC
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    found = wide / wide.norm().clamp(min=EPS)  # so that no singular value is above 1
    for _ in range(steps):
        square = found @ found.T
        found = torch.addmm(found, torch.addmm(square, square, square, beta=b, alpha=c), found, beta=a)
    return found if wide is matrix else found.T


def moved_by_muon(model: nn.Module) -> list[nn.Parameter]:
    """List the kernels of all convolutions that are trained, but for a first one, which sees pixels.

    A first layer of fixed filters is the first one, too: then all trained kernels are listed.
    """
    tensors = (
        tensor
        for module in model.modules()
        for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False))
        if tensor.ndim == 4
    )
    next(tensors, None)
    return [tensor for tensor in tensors if isinstance(tensor, nn.Parameter) and tensor.requires_grad]


class Muon(torch.optim.Optimizer):
    """Muon over the groups `kernels`, and SGD with Nesterov's momentum over the groups `others`.

    Each group has `params`, `weight_decay` and `lr_factor`, and gets an `lr`. Kernels (O, C, h, w) count as matrices
    (O, C * h * w), which are made orthogonal in `precision`. Their weight decay is decoupled, and has no effect where
    they keep their norm. Where `found_inf`, a tensor (), is set and not 0, nothing moves.
    """

    found_inf: Tensor | None = None

    def __init__(
        self, kernels: list[Group], others: list[Group], settings: MuonSettings, *, fused: bool, precision: torch.dtype
    ) -> None:
        self._settings, self._precision = settings, precision
        rate, momentum = settings.sgd_lr, settings.sgd_momentum
        # An optimizer must have a group, be it without parameters.
        others = others or [{"params": [], "weight_decay": 0.0, "lr_factor": 1.0}]
        self._others = uncompiled(torch.optim.SGD)(others, rate, momentum=momentum, nesterov=momentum > 0, fused=fused)
        super().__init__([*kernels, *self._others.param_groups], {"lr": settings.lr})
        # One list of groups and one state, so that rates are set and checkpoints are made in one place.
        self._kernels = self.param_groups[: len(kernels)]
        self._others.param_groups = self.param_groups[len(kernels) :]
        self._others.state = self.state

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # noqa: ARG002  # pyright: ignore[reportIncompatibleMethodOverride]
        """Move everything that has a gradient. The loss is not computed anew, so there is nothing to close over."""
        failed = None if self.found_inf is None else self.found_inf > 0
        for group in self._kernels:
            for kernel in group["params"]:
                if kernel.grad is not None:
                    self._move(kernel, kernel.grad, group, failed)
        if self.found_inf is not None:
            self._others.found_inf = self.found_inf  # pyright: ignore[reportAttributeAccessIssue]
        self._others.step()

    def _move(self, kernel: Tensor, gradient: Tensor, group: Group, failed: Tensor | None) -> None:
        settings, rate = self._settings, group["lr"]
        state = self.state[kernel]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(kernel)
        buffer: Tensor = state["momentum_buffer"]
        momentum = buffer * settings.momentum + gradient
        ahead = gradient + momentum * settings.momentum
        direction = orthogonalized(ahead.flatten(1).to(self._precision), settings.orthogonal_steps)
        if settings.keep_norm:
            start = kernel * (len(kernel) ** 0.5 / kernel.norm().clamp(min=EPS))
        else:
            start = kernel * (1 - rate * group["weight_decay"])
        moved = start - rate * direction.to(kernel.dtype).reshape(kernel.shape)
        for target, value in ((buffer, momentum), (kernel, moved)):
            target.copy_(value if failed is None else torch.where(failed, target, value))
