"""Optimizers from their settings, and which parameters decay."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from sightline.device import Compute
from sightline.settings import FinetuneSettings, OptimizerSettings, Settings
from sightline.settings.optimizer import AdamSettings, MuonSettings
from sightline.training.muon import Group, Muon, moved_by_muon
from sightline.training.uncompiled import uncompiled

# Those that have torch's fused kernels on CPUs and GPUs alike, or (muon) leave everything as it is by the same sign.
FUSED = {"sgd", "adam", "adamw", "muon"}
KINDS: dict[str, type[torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "adadelta": torch.optim.Adadelta,
    "rmsprop": torch.optim.RMSprop,
}


def uses_fused(settings: Settings, compute: Compute) -> bool:
    """Whether the optimizer runs in its fused form."""
    return settings.device.fused and settings.optimizer.optimizer in FUSED and compute.device.type != "mps"


def build_optimizer(
    settings: OptimizerSettings,
    model: nn.Module,
    *,
    fused: bool,
    finetune: FinetuneSettings | None = None,
    precision: torch.dtype = torch.float32,
) -> torch.optim.Optimizer:
    """The optimizer over all parameters of `model` that require gradients, those that decay and those that don't apart.

    decay "weights" spares norms and biases, which are the parameters of fewer than two dimensions. A group's
    `lr_factor` is what its learning rate is multiplied with: in fine-tuning the `head` has groups of its own, and
    batch norm's biases have where their factor is not 1. `precision` is that of Muon's matrix products.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    parts = [(1.0, trained)]
    if finetune is not None and (finetune.backbone_lr_factor != 1 or finetune.unfreeze_epoch is not None):
        # Apart also because a fused optimizer cannot begin with some parameters of a group later than with others.
        head = {id(p) for p in getattr(model, "head", model).parameters()}
        backbone = [p for p in trained if id(p) not in head]
        parts = [(1.0, [p for p in trained if id(p) in head]), (finetune.backbone_lr_factor, backbone)]
    if settings.norm_bias_lr_factor != 1:
        biases = _norm_biases(model)
        parts = [
            (factor * own_factor, [p for p in own if (id(p) in biases) == is_bias])
            for factor, own in parts
            for is_bias, own_factor in ((False, 1.0), (True, settings.norm_bias_lr_factor))
        ]
    groups: list[Group] = []
    for factor, own in parts:
        spared = [p for p in own if settings.decay == "weights" and p.ndim < 2]
        decayed = [p for p in own if settings.decay == "all" or p.ndim >= 2]
        groups.append({"params": decayed, "weight_decay": settings.weight_decay, "lr_factor": factor})
        groups.append({"params": spared, "weight_decay": 0.0, "lr_factor": factor})
    groups = [group for group in groups if group["params"]]
    if isinstance(settings, MuonSettings):
        kernels = {id(kernel) for kernel in moved_by_muon(model)}
        return Muon(
            _those(groups, lambda p: id(p) in kernels),
            _those(groups, lambda p: id(p) not in kernels, settings.sgd_lr / settings.lr),
            settings,
            fused=fused,
            precision=precision,
        )
    kept_here = {"optimizer", "weight_decay", "decay", "norm_bias_lr_factor", "beta1", "beta2", "eps_hat"}
    constants: dict[str, Any] = settings.model_dump(exclude=kept_here)
    if isinstance(settings, AdamSettings):
        constants["betas"] = settings.beta1, settings.beta2
    if settings.optimizer in FUSED:
        constants["fused"] = fused
    return uncompiled(KINDS[settings.optimizer])(groups, **constants)


def _those(groups: list[Group], chosen: Callable[[nn.Parameter], bool], lr_factor: float = 1.0) -> list[Group]:
    """Give the groups' chosen parameters, in groups with the same constants but for another rate."""
    found = [
        {**group, "params": [p for p in group["params"] if chosen(p)], "lr_factor": group["lr_factor"] * lr_factor}
        for group in groups
    ]
    return [group for group in found if group["params"]]


def _norm_biases(model: nn.Module) -> set[int]:
    norms = (module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm))  # pyright: ignore[reportPrivateUsage]
    return {id(norm.bias) for norm in norms if norm.affine}


def set_rates(optimizer: torch.optim.Optimizer, settings: OptimizerSettings, rate: float, step: int) -> None:
    """Set what changes with every update: the learning rates and, for Adam with `eps_hat`, its eps; step is from 0."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["lr_factor"]
        if isinstance(settings, AdamSettings) and settings.eps_hat:
            group["eps"] = settings.eps / math.sqrt(1 - settings.beta2 ** (step + 1))
