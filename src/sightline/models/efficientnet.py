"""EfficientNet-Lite: EfficientNet (arXiv 1905.11946) as the TensorFlow team changed it for phones.

Inverted residual blocks (arXiv 1801.04381) without squeeze-and-excitation, ReLU6 in place of SiLU, a stem of 32 and a
last convolution of 1,280 channels whatever the width, and a first and a last stage whose depth does not grow. Padding
and batch norm's constants are TensorFlow's.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from sightline.models.network import GlobalMean, Network
from sightline.models.same_padding import SameConv2d
from sightline.settings.model import EfficientNetSettings

STEM, LAST = 32, 1280
CHANNELS_IN_STEPS_OF = 8


@dataclass(frozen=True)
class Stage:
    """A stage at width and depth 1: times its blocks expand, channels leaving, blocks, stride of the first, kernel."""

    expansion: int
    width: int
    depth: int
    stride: int
    kernel: int


STAGES = (
    Stage(1, 16, 1, 1, 3),
    Stage(6, 24, 2, 2, 3),
    Stage(6, 40, 2, 2, 5),
    Stage(6, 80, 3, 2, 3),
    Stage(6, 112, 3, 1, 5),
    Stage(6, 192, 4, 2, 5),
    Stage(6, 320, 1, 1, 3),
)


class ConvNorm(nn.Module):
    """A convolution without bias and batch norm, then ReLU6 where `activated`."""

    def __init__(self, conv: nn.Conv2d, settings: EfficientNetSettings, *, activated: bool = True) -> None:
        super().__init__()
        self.conv = conv
        self.norm = nn.BatchNorm2d(conv.out_channels, eps=settings.bn_eps, momentum=1 - settings.bn_decay)
        self.activated = activated

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        x = self.norm(self.conv(x))
        return F.relu6(x, inplace=True) if self.activated else x


class InvertedResidual(nn.Module):
    """A 1x1 convolution that expands (none where `expansion` is 1), a depthwise one, and a 1x1 one that narrows.

    What enters is added to what leaves where both have the same shape.
    """

    def __init__(
        self, entering: int, leaving: int, expansion: int, kernel: int, stride: int, settings: EfficientNetSettings
    ) -> None:
        super().__init__()
        inner = entering * expansion
        wide = SameConv2d(entering, inner, 1, bias=False)
        self.expand = ConvNorm(wide, settings) if expansion > 1 else nn.Identity()
        self.depthwise = ConvNorm(SameConv2d(inner, inner, kernel, stride, bias=False, groups=inner), settings)
        self.project = ConvNorm(SameConv2d(inner, leaving, 1, bias=False), settings, activated=False)
        self.adds = stride == 1 and entering == leaving

    def forward(self, x: Tensor) -> Tensor:
        """(N, entering, H, W) -> (N, leaving, ceil(H / stride), ceil(W / stride))."""
        branch = self.project(self.depthwise(self.expand(x)))
        return branch + x if self.adds else branch


def round_channels(channels: float) -> int:
    """Round to the nearest multiple of 8, up where that would take more than a tenth away."""
    step = CHANNELS_IN_STEPS_OF
    rounded = max(step, int(channels + step / 2) // step * step)
    return rounded + step if rounded < 0.9 * channels else rounded


def build_efficientnet(settings: EfficientNetSettings, channels: int, _: tuple[int, int], num_classes: int) -> Network:
    """Lay out an `efficientnet`; images of any size go through it."""
    body = OrderedDict[str, nn.Module](stem=ConvNorm(SameConv2d(channels, STEM, 3, 2, bias=False), settings))
    entering = STEM
    for number, stage in enumerate(STAGES, start=1):
        leaving = round_channels(stage.width * settings.width_factor)
        grows = 1 < number < len(STAGES)
        depth = math.ceil(stage.depth * settings.depth_factor) if grows else stage.depth
        blocks = OrderedDict[str, nn.Module]()
        for block in range(1, depth + 1):
            stride = stage.stride if block == 1 else 1
            blocks[f"block{block}"] = InvertedResidual(
                entering, leaving, stage.expansion, stage.kernel, stride, settings
            )
            entering = leaving
        body[f"stage{number}"] = nn.Sequential(blocks)
    body["last"] = ConvNorm(SameConv2d(entering, LAST, 1, bias=False), settings)
    head = OrderedDict[str, nn.Module](
        pool=GlobalMean(), dropout=nn.Dropout(settings.dropout), dense=nn.Linear(LAST, num_classes)
    )
    return Network(nn.Sequential(body), nn.Sequential(head))
