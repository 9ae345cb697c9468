"""Depthwise convolutions whose gradients are computed as convolutions, where that is faster: in bfloat16 on a CPU.

oneDNN's gradients of depthwise convolutions take most of a step of a network made of them: that of a 5x5 kernel's
weights is slow, and so is that of the input where the stride is 2. Both are depthwise convolutions themselves, which
oneDNN computes quickly: the input's is that of the gradient, spread out by the stride, with the kernel turned by half
a circle; the weights' is that of each image's channel with the gradient of just that channel as its kernel. Values are
the same up to the order of summation. What is saved stands in docs/log.md.

N images, C channels, k kernel, s stride, H', W' the output's height and width.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

LARGEST_MAP = 14
"""Side of the largest output that serves as a kernel: beyond it oneDNN's own gradient is as fast."""
KERNEL_FROM = 5
"""Side of the smallest kernel whose gradient is computed here."""

Padding = tuple[int, int, int, int]
"""Pixels added left, right, top and bottom, as F.pad takes them."""


def depthwise(x: Tensor, weight: Tensor, stride: int, padding: Padding) -> Tensor:
    """Convolve each channel of (N, C, H, W) with its kernel of `weight` (C, 1, k, k): (N, C, H', W')."""
    if x.device.type == "cpu" and torch.is_grad_enabled() and torch.is_autocast_enabled("cpu"):
        precision = torch.get_autocast_dtype("cpu")
        return _Depthwise.apply(x.to(precision), weight.to(precision), stride, padding)  # pyright: ignore[reportReturnType]
    return _convolve(x, weight, stride, padding)


def _convolve(x: Tensor, weight: Tensor, stride: int, padding: Padding, dilation: int = 1) -> Tensor:
    left, right, top, bottom = padding
    if (left, top) != (right, bottom):
        x, left, top = F.pad(x, padding), 0, 0
    return F.conv2d(x, weight, None, stride, (top, left), dilation, len(weight))


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: Padding) -> Tensor:
        ctx.stride, ctx.padding = stride, padding
        ctx.save_for_backward(x, weight)
        return _convolve(x, weight, stride, padding)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, gradient: Tensor
    ) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        x = x.contiguous(memory_format=torch.channels_last)  # as the gradient: oneDNN refuses two orders
        stride, padding, kernel = ctx.stride, ctx.padding, weight.shape[2]
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        own = kernel >= KERNEL_FROM and max(gradient.shape[2:]) <= LARGEST_MAP
        wants_input, wants_weight = ctx.needs_input_grad[:2]
        of_input = of_weight = None
        if wants_input and stride > 1:
            of_input = _input_gradient(gradient, weight, stride, padding, x.shape)
            wants_input = False
        if wants_weight and own:
            of_weight = _weight_gradient(x, gradient, kernel, stride, padding)
            wants_weight = False
        if wants_input or wants_weight:
            left, right, top, bottom = padding
            padded = F.pad(x, padding) if (left, top) != (right, bottom) else x
            inside = (0, 0) if padded is not x else (top, left)
            found = torch.ops.aten.convolution_backward(
                gradient, padded, weight, None, (stride,) * 2, inside, (1, 1), False, (0, 0), len(weight),
                (wants_input, wants_weight, False),
            )  # fmt: skip
            if wants_input:
                of_input = found[0] if padded is x else found[0][:, :, top : top + x.shape[2], left : left + x.shape[3]]
            if wants_weight:
                of_weight = found[1]
        return of_input, of_weight, None, None


def _input_gradient(gradient: Tensor, weight: Tensor, stride: int, padding: Padding, shape: torch.Size) -> Tensor:
    """The gradient (N, C, H', W'), zeros between its pixels, with the turned kernels: (N, C, H, W) of `shape`."""
    left, _, top, _ = padding
    kernel, (height, width) = weight.shape[2], shape[2:]
    sides = (height + kernel - 1, width + kernel - 1)
    spread = gradient.new_zeros((shape[0], *sides, shape[1])).permute(0, 3, 1, 2)
    first_row, first_column = kernel - 1 - top, kernel - 1 - left
    spread[:, :, first_row::stride, first_column::stride][:, :, : gradient.shape[2], : gradient.shape[3]] = gradient
    return F.conv2d(spread, weight.flip(2, 3), None, 1, 0, 1, len(weight))


def _weight_gradient(x: Tensor, gradient: Tensor, kernel: int, stride: int, padding: Padding) -> Tensor:
    """Each image's channel, convolved with its own gradient as a kernel, summed over the images: (C, 1, k, k)."""
    count, channels, height, width = gradient.shape
    padded = F.pad(x, padding)[:, :, : stride * (height - 1) + kernel, : stride * (width - 1) + kernel]
    # One image of N * C channels, which come last in memory.
    images = padded.permute(2, 3, 0, 1).reshape(1, *padded.shape[2:], count * channels).permute(0, 3, 1, 2)
    kernels = gradient.reshape(count * channels, 1, height, width)
    wide = torch.promote_types(gradient.dtype, torch.float32)
    sums = F.conv2d(images, kernels, None, 1, 0, stride, count * channels)
    return sums.view(count, channels, kernel, kernel).sum(0, dtype=wide)[:, None].to(gradient.dtype)
