"""What stands beside the residual branch: the identity, a projection, or two ways without parameters."""

from __future__ import annotations

from collections import OrderedDict

import torch.nn.functional as F
from torch import Tensor, nn


def pad_channels(x: Tensor, leaving: int) -> Tensor:
    """Add zero channels, half in front and half behind (an odd one behind): (N, C, H, W) -> (N, leaving, H, W)."""
    missing = leaving - x.shape[1]
    if missing == 0:
        return x
    front = missing // 2
    return F.pad(x, (0, 0, 0, 0, front, missing - front))


class PoolPad(nn.Module):
    """2x2 mean pooling with stride 2, then zero channels (the padded residual network).

    At an odd side the last mean is over the one row or column that is left, so that the shortcut has ceil(H / 2)
    pixels as the branch has; the program's 'valid' pooling gives the same at even sides and cannot be added at odd
    ones. With stride 1 nothing is pooled.
    """

    def __init__(self, leaving: int, stride: int) -> None:
        super().__init__()
        self.leaving = leaving
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, leaving, ceil(H / stride), ceil(W / stride))."""
        if self.stride > 1:
            x = F.avg_pool2d(x, self.stride, ceil_mode=True, count_include_pad=False)
        return pad_channels(x, self.leaving)


class StridePad(nn.Module):
    """Every second pixel, then zero channels (option A of arXiv 1512.03385, section 4.2)."""

    def __init__(self, leaving: int, stride: int) -> None:
        super().__init__()
        self.leaving = leaving
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, leaving, ceil(H / stride), ceil(W / stride))."""
        return pad_channels(x[:, :, :: self.stride, :: self.stride], self.leaving)


def projection(conv: nn.Conv2d, norm: nn.BatchNorm2d | None) -> nn.Sequential:
    """Give the 1x1 convolution and, in version 1, its batch norm (option B of arXiv 1512.03385, section 3.3)."""
    layers = OrderedDict[str, nn.Module](conv=conv)
    if norm is not None:
        layers["norm"] = norm
    return nn.Sequential(layers)
