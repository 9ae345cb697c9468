"""A residual network with padded shortcuts, after a published program: its only batch norm is before the pooling.

The program uses TensorFlow, so its strided convolutions pad as TensorFlow does (see `same_padding`).
"""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sightline.models.network import ConvReLU, Flatten, Network, NormReLU
from sightline.models.same_padding import SameConv2d, SameMeanPool
from sightline.models.shortcuts import PoolPad
from sightline.settings.model import PadResNetSettings

FINAL_POOL = 7


class UntrainedNorm(nn.Module):
    """Batch norm that is never told that it trains: x / sqrt(1 + eps) * gamma + beta.

    Its moving mean stays 0 and its moving variance 1, so it normalises nothing; gamma and beta are learned.
    """

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.empty(width))
        self.bias = nn.Parameter(torch.empty(width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set gamma to 1 and beta to 0."""
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        # In one operation and in its input's precision: as a product and a sum it took longer than a convolution.
        mean, variance = torch.zeros_like(self.weight), torch.ones_like(self.weight)
        return F.batch_norm(x, mean, variance, self.weight, self.bias, training=False, eps=self.eps)


class PadBlock(nn.Module):
    """Two 3x3 convolutions, each with ReLU, plus the shortcut, with no ReLU after the sum.

    Where it doubles the channels it has stride 2, and the shortcut pools and pads.
    """

    def __init__(self, entering: int, leaving: int) -> None:
        super().__init__()
        stride = leaving // entering
        self.conv1 = SameConv2d(entering, leaving, 3, stride)
        self.conv2 = SameConv2d(leaving, leaving, 3)
        self.shortcut = nn.Identity() if stride == 1 else PoolPad(leaving, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, entering, H, W) -> (N, leaving, ceil(H / stride), ceil(W / stride))."""
        branch = F.relu(self.conv1(x), inplace=True)
        branch = F.relu(self.conv2(branch), inplace=True)
        return branch + self.shortcut(x)


def build_resnet_pad(
    settings: PadResNetSettings, channels: int, image_size: tuple[int, int], num_classes: int
) -> Network:
    """Lay out a `resnet_pad`. That each block keeps or doubles its channels is checked by the settings."""
    body = OrderedDict[str, nn.Module](stem=ConvReLU(SameConv2d(channels, settings.stem_width, 3)))
    height, width = image_size
    entering = settings.stem_width
    for number, leaving in enumerate(settings.block_widths, start=1):
        body[f"block{number}"] = PadBlock(entering, leaving)
        if leaving != entering:
            height, width = math.ceil(height / 2), math.ceil(width / 2)
        entering = leaving
    body["norm"] = NormReLU(_norm(settings, entering))
    features = entering * math.ceil(height / FINAL_POOL) * math.ceil(width / FINAL_POOL)
    head = OrderedDict[str, nn.Module](
        pool=SameMeanPool(FINAL_POOL),
        flatten=Flatten(image_size, features),
        dense=nn.Linear(features, num_classes),
    )
    return Network(nn.Sequential(body), nn.Sequential(head))


def _norm(settings: PadResNetSettings, width: int) -> nn.Module:
    if settings.norm == "batch":
        return nn.BatchNorm2d(width, eps=settings.bn_eps, momentum=1 - settings.bn_decay)
    return UntrainedNorm(width, settings.bn_eps)
