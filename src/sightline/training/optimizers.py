"""Optimizers from their settings, and which parameters decay."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sightline.settings import OptimizerSettings

# Those of torch that have a fused kernel on CPUs and GPUs alike.
FUSED = {"sgd", "adam", "adamw"}


def build_optimizer(settings: OptimizerSettings, model: nn.Module, *, fused: bool) -> torch.optim.Optimizer:
    """The optimizer over all parameters of `model` that are trained, in two groups: those that decay, those that don't.

    decay "weights" spares norms and biases, which are the parameters of fewer than two dimensions.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    spared = [p for p in trained if settings.decay == "weights" and p.ndim < 2]
    decayed = [p for p in trained if settings.decay == "all" or p.ndim >= 2]
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    own = settings.model_dump(exclude={"optimizer", "weight_decay", "decay", "beta1", "beta2"})
    constants: dict[str, Any] = dict(own)
    match settings.optimizer:
        case "sgd":
            return torch.optim.SGD(groups, fused=fused, **constants)
        case "adam":
            return torch.optim.Adam(groups, betas=(settings.beta1, settings.beta2), fused=fused, **constants)
        case "adamw":
            return torch.optim.AdamW(groups, betas=(settings.beta1, settings.beta2), fused=fused, **constants)
        case "adadelta":
            return torch.optim.Adadelta(groups, **constants)
        case "rmsprop":
            return torch.optim.RMSprop(groups, **constants)
