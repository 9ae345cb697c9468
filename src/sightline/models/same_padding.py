"""Convolution and pooling padded as TensorFlow's 'same' pads them.

The output has ceil(size / stride) pixels along each side. When an odd number of pixels must be added, the additional
one goes to the bottom and the right: a 3x3 kernel with stride 2 pads an even side by 0 before and 1 after, where
PyTorch's padding=1 would pad it by 1 before. The published
programs for MNIST and CIFAR-10 use TensorFlow.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from sightline.models.depthwise import depthwise


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Give the pixels to add (before, after) along a side of `size` pixels."""
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _around(x: Tensor, kernel: int, stride: int) -> tuple[int, int, int, int]:
    """Give the pixels to add to (N, C, H, W), as F.pad takes them: left, right, top, bottom."""
    height, width = x.shape[2:]
    return (*same_padding(width, kernel, stride), *same_padding(height, kernel, stride))


class SameConv2d(nn.Conv2d):
    """A square convolution with TensorFlow's 'same' padding."""

    def __init__(
        self, entering: int, leaving: int, kernel: int, stride: int = 1, *, bias: bool = True, groups: int = 1
    ) -> None:
        super().__init__(entering, leaving, kernel, stride, bias=bias, groups=groups)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', ceil(H / stride), ceil(W / stride))."""
        left, right, top, bottom = padding = _around(input, self.kernel_size[0], self.stride[0])
        if self.groups == self.in_channels == self.out_channels > 1 and self.bias is None:
            return depthwise(input, self.weight, self.stride[0], padding)
        if top == bottom and left == right:
            return F.conv2d(input, self.weight, self.bias, self.stride, (top, left), 1, self.groups)
        return F.conv2d(F.pad(input, padding), self.weight, self.bias, self.stride, 0, 1, self.groups)


class SameMaxPool(nn.Module):
    """Max pooling with 'same' padding, which is never the largest."""

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, ceil(H / stride), ceil(W / stride))."""
        padded = F.pad(x, _around(x, self.kernel, self.stride), value=float("-inf"))
        return F.max_pool2d(padded, self.kernel, self.stride)


class SameMeanPool(nn.Module):
    """Mean pooling with stride = kernel and 'same' padding, which is left out of the mean."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, ceil(H / kernel), ceil(W / kernel))."""
        padding = _around(x, self.kernel, self.kernel)
        if not any(padding):
            return F.avg_pool2d(x, self.kernel)
        sums = F.avg_pool2d(F.pad(x, padding), self.kernel, divisor_override=1)
        inside = F.pad(x.new_ones(1, 1, *x.shape[2:]), padding)
        return sums / F.avg_pool2d(inside, self.kernel, divisor_override=1)
