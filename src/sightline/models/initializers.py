"""Initial weights, drawn from one generator in the order of the modules.

| rule             | convolution kernels                             | dense kernels               | biases     |
|------------------|-------------------------------------------------|-----------------------------|------------|
| he               | normal, variance 2 / fan-out (arXiv 1502.01852) | uniform, +-1 / sqrt(fan-in) | zero       |
| glorot           | uniform, +-sqrt(6 / (fan-in + fan-out))         | the same                    | zero       |
| variance_scaling | normal cut at two sigma, variance 1 / fan-in    | as glorot                   | zero       |
| torch            | uniform, +-1 / sqrt(fan-in)                     | the same                    | as kernels |
| normal           | normal, variance 1 (the AlexNet program)        | the same                    | as kernels |

Dense layers have rules of their own where the papers' programs do: with fan-out, a head of few classes would start
with huge logits, so `he` leaves dense kernels to PyTorch's rule, and the program behind `variance_scaling` leaves them
to its framework's default, Glorot's (Glorot & Bengio 2010).

In a chain of layers fan-out and fan-in differ by one factor in all. Where branches of few and many channels join, as in
GoogLeNet, they do not: with fan-out each 1x1 convolution that narrows enlarges what passes, and the logits of a new
network are in the tens. There `he` takes fan-in, which keeps the size of the maps (the same paper, section 2.2).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from sightline.settings.model import Initializer

Fan = Literal["fan_in", "fan_out"]

# The deviation of a standard normal that is cut at two sigma; dividing by it gives back the wanted variance.
DEVIATION_CUT_AT_TWO = 0.87962566103423978


def initialize(network: nn.Module, rule: Initializer, generator: torch.Generator, he_fan: Fan = "fan_out") -> None:
    """Set every parameter and buffer of `network`, on the CPU, by `rule`; norms start as the identity.

    `he_fan` is the fan that the rule `he` divides by. Nothing but `generator` is drawn from. A module with tensors of
    its own that is neither a convolution nor a dense layer must have a `reset_parameters` that draws nothing.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            _draw_kernel(module, rule, generator, he_fan)
            _draw_bias(module, rule, generator)
        elif any(True for _ in module.parameters(recurse=False)) or any(True for _ in module.buffers(recurse=False)):
            assert hasattr(module, "reset_parameters"), f"{type(module).__name__} cannot set its initial values"
            module.reset_parameters()  # pyright: ignore[reportCallIssue]


def _draw_kernel(layer: nn.Conv2d | nn.Linear, rule: Initializer, generator: torch.Generator, he_fan: Fan) -> None:
    kernel = layer.weight
    dense = isinstance(layer, nn.Linear)
    if rule == "torch" or (rule == "he" and dense):
        bound = 1 / math.sqrt(_fan_in(kernel))
        nn.init.uniform_(kernel, -bound, bound, generator=generator)
    elif rule == "normal":
        nn.init.normal_(kernel, generator=generator)
    elif rule == "he":
        nn.init.kaiming_normal_(kernel, mode=he_fan, nonlinearity="relu", generator=generator)
    elif rule == "glorot" or dense:
        nn.init.xavier_uniform_(kernel, generator=generator)
    else:
        sigma = math.sqrt(1 / _fan_in(kernel)) / DEVIATION_CUT_AT_TWO
        nn.init.trunc_normal_(kernel, std=sigma, a=-2 * sigma, b=2 * sigma, generator=generator)


def _draw_bias(layer: nn.Conv2d | nn.Linear, rule: Initializer, generator: torch.Generator) -> None:
    if layer.bias is None:
        return
    if rule == "torch":
        bound = 1 / math.sqrt(_fan_in(layer.weight))
        nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    elif rule == "normal":
        nn.init.normal_(layer.bias, generator=generator)
    else:
        nn.init.zeros_(layer.bias)


def _fan_in(kernel: Tensor) -> int:
    return kernel[0].numel()
