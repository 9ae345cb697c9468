"""Convolutions that are trained as matrix products where that is faster: in bfloat16 on a CPU, on small maps.

oneDNN's convolution kernels take pixels of one image at a time. Where an image has few of them left and channels are
many, as in the last stages of a residual network, most of the work of its weight gradient is moving things about. Over
all images together the same sums are one large matrix product. Values are the same up to the order of summation; what
is saved, and where the limits come from, stands in docs/log.md.

N images, C and O channels entering and leaving, k kernel, H', W' the output's height and width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

# Limits of output pixels and channels up to and from which the product is faster: for the weight gradient, where few
# pixels are left also with fewer channels, and for all.
GRADIENT_LIMITS = ((64, 128 * 128), (16, 64 * 64))
WHOLE_PIXELS, WHOLE_CHANNELS = 16, 256 * 256
# Below so many channels the gradient of a 1x1 convolution with a stride, channels-last, writes beyond its memory on a
# CPU, in torch 2.13.0: with 3, 8 and 12 of 256x256 pixels the program is aborted, with 16 it is not.
FAULTY_CHANNELS = 16


class Conv2d(nn.Conv2d):
    """torch's convolution, by whichever way is faster; one group, no dilation, zero padding."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, O, H', W')."""
        return convolve(input, self.weight, self.bias, self.stride[0], self.padding[0])  # pyright: ignore[reportArgumentType]


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """Convolve (N, C, H, W) with `weight` (O, C, k, k): (N, O, H', W')."""
    if is_faulty(weight, stride, padding) and x.device.type == "cpu":
        x, stride = x[:, :, ::stride, ::stride], 1
    if x.device.type == "cpu" and torch.is_grad_enabled() and torch.is_autocast_enabled("cpu"):
        height, width = _sides(x, weight, stride, padding)
        pixels, channels = height * width, weight.shape[0] * weight.shape[1]
        if weight.requires_grad and any(pixels <= most and channels >= least for most, least in GRADIENT_LIMITS):
            whole = pixels <= WHOLE_PIXELS and channels >= WHOLE_CHANNELS
            precision = torch.get_autocast_dtype("cpu")
            y: Tensor = _MatrixConvolution.apply(x.to(precision), weight.to(precision), stride, padding, whole)  # pyright: ignore[reportAssignmentType]
            return y if bias is None else y + bias.to(precision)[:, None, None]
    return F.conv2d(x, weight, bias, stride, padding)


def is_faulty(weight: Tensor, stride: int, padding: int) -> bool:
    """Tell whether torch's own gradient of this convolution, of one group, cannot be trusted on a CPU."""
    return weight.shape[2:] == (1, 1) and stride > 1 and padding == 0 and weight.shape[1] < FAULTY_CHANNELS


class _MatrixConvolution(torch.autograd.Function):
    """A convolution whose weight gradient, and with `whole` all of it, is a matrix product."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int, whole: bool) -> Tensor:
        ctx.stride, ctx.padding = stride, padding
        if not whole:
            ctx.save_for_backward(x, weight, None)
            return F.conv2d(x, weight, None, stride, padding)
        rows = _patches(x, weight.shape[2], stride, padding)
        ctx.save_for_backward(x, weight, rows)
        return _product(rows, weight.permute(0, 2, 3, 1), _sides(x, weight, stride, padding))

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, gradient: Tensor
    ) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        x, weight, rows = ctx.saved_tensors
        stride, padding = ctx.stride, ctx.padding
        kernel = weight.shape[2]
        of_input = of_weight = None
        if ctx.needs_input_grad[0] and rows is not None and stride == 1:
            # The gradient, convolved with the kernels turned by half a circle.
            turned = weight.flip(2, 3).permute(1, 2, 3, 0)  # C, k, k, O
            of_input = _product(_patches(gradient, kernel, 1, kernel - 1 - padding), turned, x.shape[2:])
        elif ctx.needs_input_grad[0]:
            of_input = torch.ops.aten.convolution_backward(
                gradient, x, weight, None, (stride,) * 2, (padding,) * 2, (1, 1), False, (0, 0), 1, (True, False, False)
            )[0]
        if ctx.needs_input_grad[1]:
            if rows is None:
                rows = _patches(x, kernel, stride, padding)
            leaving = gradient.transpose(0, 1).reshape(len(weight), -1)  # O, N * H' * W': copied, which is faster
            sums = leaving @ rows  # O, k * k * C
            of_weight = sums.view(len(weight), kernel, kernel, -1).permute(0, 3, 1, 2)
        return of_input, of_weight, None, None, None


def _sides(x: Tensor, weight: Tensor, stride: int, padding: int) -> tuple[int, int]:
    """Height and width of the output."""
    height, width = ((side + 2 * padding - weight.shape[2]) // stride + 1 for side in x.shape[2:])
    return height, width


def _product(rows: Tensor, weight: Tensor, sides: Sequence[int]) -> Tensor:
    """Multiply patches (N * H' * W', k * k * C) with kernels whose channels come last, (O, k, k, C): (N, O, H', W')."""
    y = rows @ weight.reshape(len(weight), -1).t()
    return y.view(-1, *sides, len(weight)).permute(0, 3, 1, 2)


def _patches(x: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    """Give what each output pixel is made from, a row each: (N * H' * W', k * k * C)."""
    images = F.pad(x.permute(0, 2, 3, 1), (0, 0, padding, padding, padding, padding))  # N, H + 2p, W + 2p, C
    windows = images.unfold(1, kernel, stride).unfold(2, kernel, stride)  # N, H', W', C, k, k
    return windows.permute(0, 1, 2, 4, 5, 3).reshape(-1, kernel * kernel * x.shape[1])
