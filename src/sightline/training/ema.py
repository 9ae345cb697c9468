"""The moving average of a network's weights, which is what is validated, selected and saved where it is on."""

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
