"""The four residual blocks: basic and bottleneck, version 1 (arXiv 1512.03385) and version 2 (arXiv 1603.05027).

Version 1 normalises after each convolution and ends in ReLU. Version 2 normalises before, and ends in the sum; a block
that projects shares its first norm and ReLU with the projection, while every other shortcut takes the block's raw
input, so that the way past the blocks stays clear. A bottleneck's stride is on its 3x3 convolution (known as v1.5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from sightline.models.convolution import Conv2d
from sightline.models.same_padding import SameConv2d
from sightline.models.shortcuts import PoolPad, StridePad, projection
from sightline.settings.model import ResNetSettings

EXPANSION = 4


@dataclass(frozen=True)
class BlockPlan:
    """The numbers of one block: channels entering, inside and leaving, its stride and its shortcut."""

    entering: int
    width: int
    leaving: int
    stride: int
    shortcut: Literal["identity", "projection", "pool_pad", "stride_pad"]


class BasicBlockV1(nn.Module):
    """Two 3x3 convolutions, post-activation."""

    def __init__(self, plan: BlockPlan, settings: ResNetSettings) -> None:
        super().__init__()
        self.conv1 = conv(plan.entering, plan.width, 3, plan.stride, settings)
        self.norm1 = norm(plan.width, settings)
        self.conv2 = conv(plan.width, plan.leaving, 3, 1, settings)
        self.norm2 = norm(plan.leaving, settings)
        self.shortcut = _shortcut(plan, settings)

    def forward(self, x: Tensor) -> Tensor:
        """(N, entering, H, W) -> (N, leaving, ceil(H / stride), ceil(W / stride))."""
        branch = F.relu(self.norm1(self.conv1(x)), inplace=True)
        branch = self.norm2(self.conv2(branch))
        return F.relu(branch + self.shortcut(x), inplace=True)

    def zero_branch(self) -> None:
        """Make the branch zero, so that the block gives relu(shortcut)."""
        nn.init.zeros_(self.norm2.weight)


class BottleneckV1(nn.Module):
    """1x1, 3x3 and 1x1 convolutions, post-activation."""

    def __init__(self, plan: BlockPlan, settings: ResNetSettings) -> None:
        super().__init__()
        self.conv1 = conv(plan.entering, plan.width, 1, 1, settings)
        self.norm1 = norm(plan.width, settings)
        self.conv2 = conv(plan.width, plan.width, 3, plan.stride, settings)
        self.norm2 = norm(plan.width, settings)
        self.conv3 = conv(plan.width, plan.leaving, 1, 1, settings)
        self.norm3 = norm(plan.leaving, settings)
        self.shortcut = _shortcut(plan, settings)

    def forward(self, x: Tensor) -> Tensor:
        """(N, entering, H, W) -> (N, leaving, ceil(H / stride), ceil(W / stride))."""
        branch = F.relu(self.norm1(self.conv1(x)), inplace=True)
        branch = F.relu(self.norm2(self.conv2(branch)), inplace=True)
        branch = self.norm3(self.conv3(branch))
        return F.relu(branch + self.shortcut(x), inplace=True)

    def zero_branch(self) -> None:
        """Make the branch zero, so that the block gives relu(shortcut)."""
        nn.init.zeros_(self.norm3.weight)


class BasicBlockV2(nn.Module):
    """Two 3x3 convolutions, pre-activation."""

    def __init__(self, plan: BlockPlan, settings: ResNetSettings) -> None:
        super().__init__()
        self.norm1 = norm(plan.entering, settings)
        self.conv1 = conv(plan.entering, plan.width, 3, plan.stride, settings)
        self.norm2 = norm(plan.width, settings)
        self.conv2 = conv(plan.width, plan.leaving, 3, 1, settings)
        self.shortcut = _shortcut(plan, settings)
        self.projects = plan.shortcut == "projection"

    def forward(self, x: Tensor) -> Tensor:
        """(N, entering, H, W) -> (N, leaving, ceil(H / stride), ceil(W / stride))."""
        active = F.relu(self.norm1(x), inplace=True)
        shortcut = self.shortcut(active if self.projects else x)
        branch = self.conv1(active)
        branch = self.conv2(F.relu(self.norm2(branch), inplace=True))
        return branch + shortcut

    def zero_branch(self) -> None:
        """Make the branch zero, so that the block gives its shortcut."""
        _zero(self.conv2)


class BottleneckV2(nn.Module):
    """1x1, 3x3 and 1x1 convolutions, pre-activation."""

    def __init__(self, plan: BlockPlan, settings: ResNetSettings) -> None:
        super().__init__()
        self.norm1 = norm(plan.entering, settings)
        self.conv1 = conv(plan.entering, plan.width, 1, 1, settings)
        self.norm2 = norm(plan.width, settings)
        self.conv2 = conv(plan.width, plan.width, 3, plan.stride, settings)
        self.norm3 = norm(plan.width, settings)
        self.conv3 = conv(plan.width, plan.leaving, 1, 1, settings)
        self.shortcut = _shortcut(plan, settings)
        self.projects = plan.shortcut == "projection"

    def forward(self, x: Tensor) -> Tensor:
        """(N, entering, H, W) -> (N, leaving, ceil(H / stride), ceil(W / stride))."""
        active = F.relu(self.norm1(x), inplace=True)
        shortcut = self.shortcut(active if self.projects else x)
        branch = self.conv1(active)
        branch = self.conv2(F.relu(self.norm2(branch), inplace=True))
        branch = self.conv3(F.relu(self.norm3(branch), inplace=True))
        return branch + shortcut

    def zero_branch(self) -> None:
        """Make the branch zero, so that the block gives its shortcut."""
        _zero(self.conv3)


ResidualBlock = BasicBlockV1 | BottleneckV1 | BasicBlockV2 | BottleneckV2


def conv(entering: int, leaving: int, kernel: int, stride: int, settings: ResNetSettings) -> nn.Conv2d:
    """Give a convolution of odd `kernel`, padded to ceil(H / stride) pixels."""
    if settings.conv_padding == "same":
        return SameConv2d(entering, leaving, kernel, stride, bias=settings.conv_bias)
    return Conv2d(entering, leaving, kernel, stride, padding=kernel // 2, bias=settings.conv_bias)


def norm(width: int, settings: ResNetSettings) -> nn.BatchNorm2d:
    """Give batch norm with the settings' constants."""
    return nn.BatchNorm2d(width, eps=settings.bn_eps, momentum=1 - settings.bn_decay)


def _shortcut(plan: BlockPlan, settings: ResNetSettings) -> nn.Module:
    if plan.shortcut == "identity":
        return nn.Identity()
    if plan.shortcut == "pool_pad":
        return PoolPad(plan.leaving, plan.stride)
    if plan.shortcut == "stride_pad":
        return StridePad(plan.leaving, plan.stride)
    normed = settings.resnet_version == 1 and settings.projection_norm
    return projection(
        conv(plan.entering, plan.leaving, 1, plan.stride, settings), norm(plan.leaving, settings) if normed else None
    )


def _zero(layer: nn.Conv2d) -> None:
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
