"""Averages of a network's weights, which are what is validated, selected and saved where they are on."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

WARMUP = 10


class MovingAverage:
    """An exponential moving average of weights and buffers; a young one forgets faster."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self.decay = self.final_decay = decay
        source, target = model.state_dict(), self.model.state_dict()
        floats = [name for name in source if source[name].is_floating_point()]
        self.averages = [target[name] for name in floats]
        self.current = [source[name] for name in floats]
        self._counters = [(target[name], source[name]) for name in source if not source[name].is_floating_point()]

    def prepare(self, step: int) -> None:
        """Set the decay of the update after step `step`, counted from 0."""
        self.decay = min(self.final_decay, (1 + step) / (WARMUP + step))

    @torch.no_grad()
    def update(self) -> None:
        """Move towards the network as it is."""
        self.move()
        for target, source in self._counters:
            target.copy_(source)

    def move(self) -> None:
        """Move the floating-point tensors: average = decay * average + (1 - decay) * current."""
        get_ema_multi_avg_fn(self.decay)(self.averages, self.current, 0)


class WeightEnsemble:
    """The weights that training began with, plus a part of what it has changed since: `model` after `update`.

    Weight-space ensembling (WiSE-FT, arXiv 2109.01903) of a pretrained network and itself after fine-tuning; buffers
    are mixed as the weights are. `share`, in (0, 1), is the paper's alpha. `start` holds the first weights.
    """

    def __init__(self, model: nn.Module, share: float) -> None:
        self.model, self.start = (copy.deepcopy(model).requires_grad_(False).eval() for _ in range(2))
        self._tuned, self._share = model, share

    @torch.no_grad()
    def update(self) -> None:
        """Mix the first weights and those that the network has now."""
        start, tuned = self.start.state_dict(), self._tuned.state_dict()
        for name, target in self.model.state_dict().items():
            if target.is_floating_point():
                torch.lerp(start[name], tuned[name], self._share, out=target)
            else:
                target.copy_(tuned[name])
