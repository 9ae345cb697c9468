"""Convolutions as matrix products give what torch's convolution gives, and are taken only where they should be."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from sightline.models import convolution
from sightline.models.convolution import Conv2d, convolve

CASES = [  # side, stride, padding, kernel
    (5, 1, 1, 3), (6, 2, 1, 3), (7, 2, 1, 3), (4, 1, 0, 1), (4, 2, 0, 1), (7, 1, 2, 5), (6, 1, 0, 3),
]  # fmt: skip


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(("side", "stride", "padding", "kernel"), CASES)
def test_values_and_gradients_are_those_of_torch(
    side: int, stride: int, padding: int, kernel: int, whole: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    x, weight = (
        torch.randn(shape, dtype=torch.float64, generator=generator, requires_grad=True)
        for shape in ((3, 4, side, side + 1), (6, 4, kernel, kernel))
    )
    found = convolution._MatrixConvolution.apply(x, weight, stride, padding, whole)
    expected = F.conv2d(x, weight, None, stride, padding)
    torch.testing.assert_close(found, expected)
    gradient = torch.randn(expected.shape, dtype=torch.float64, generator=generator)
    torch.testing.assert_close(
        torch.autograd.grad(found, (x, weight), gradient), torch.autograd.grad(expected, (x, weight), gradient)
    )


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each product that was taken was a whole one."""
    seen: list[bool] = []
    real = convolution._MatrixConvolution.apply

    def apply(*arguments: Any) -> torch.Tensor:
        seen.append(arguments[-1])
        return real(*arguments)

    monkeypatch.setattr(convolution._MatrixConvolution, "apply", apply)
    return seen


@pytest.mark.parametrize(
    ("side", "channels", "taken"),
    [
        (4, 256, [True]),
        (5, 256, [False]),
        (8, 128, [False]),
        (9, 128, []),
        (4, 128, [False]),
        (8, 127, []),
        (4, 64, [False]),
        (5, 64, []),
        (4, 63, []),
    ],
)
def test_small_maps_of_many_channels_are_products(
    side: int, channels: int, taken: list[bool], calls: list[bool]
) -> None:
    layer = Conv2d(channels, channels, 3, padding=1)
    maps = torch.randn(2, channels, side, side, generator=torch.Generator().manual_seed(0), requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(maps)
        expected = F.conv2d(maps, layer.weight, layer.bias, padding=1)
    assert calls == taken
    assert found.dtype == expected.dtype == torch.bfloat16
    for a, b in zip(
        (found, *torch.autograd.grad(found.float().square().sum(), (maps, layer.weight, layer.bias))),
        (expected, *torch.autograd.grad(expected.float().square().sum(), (maps, layer.weight, layer.bias))),
        strict=True,
    ):
        assert a.dtype == b.dtype and a.shape == b.shape
        assert float(((a - b).float().norm() / b.float().norm()).detach()) < 0.01


def test_nothing_else_is_a_product(calls: list[bool]) -> None:
    layer = Conv2d(256, 256, 3, padding=1)
    maps = torch.randn(2, 256, 4, 4)
    assert torch.equal(layer(maps), F.conv2d(maps, layer.weight, layer.bias, padding=1))  # float32
    with torch.autocast("cpu", torch.bfloat16):
        with torch.inference_mode():
            layer(maps)
        layer.requires_grad_(False)
        layer(maps.requires_grad_())
    assert calls == []


def test_maps_and_gradients_stay_channels_last() -> None:
    layer = Conv2d(256, 256, 3, padding=1, bias=False).to(memory_format=torch.channels_last)
    maps = torch.randn(2, 256, 4, 4).contiguous(memory_format=torch.channels_last).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        found = convolve(maps, layer.weight, None, 1, 1)
    found.float().sum().backward()
    for tensor in (found, maps.grad, layer.weight.grad):
        assert tensor is not None and tensor.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("channels", [3, 8, 12])
def test_the_gradient_that_torch_writes_beyond_its_memory(channels: int) -> None:
    """A 1x1 convolution of few channels with a stride, channels-last: torch 2.13.0 is aborted by it."""
    generator = torch.Generator().manual_seed(0)
    layer = Conv2d(channels, 48, 1, 2, bias=False)
    x = torch.randn((2, channels, 256, 256), generator=generator, requires_grad=True)
    found = layer.to(memory_format=torch.channels_last)(x.contiguous(memory_format=torch.channels_last))
    # In float64 torch has other kernels.
    exact, weight = (tensor.detach().double().requires_grad_() for tensor in (x, layer.weight))
    expected = F.conv2d(exact, weight, None, 2)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)
    gradient = torch.randn(expected.shape, generator=generator)
    for ours, theirs in zip(
        torch.autograd.grad(found, (x, layer.weight), gradient),
        torch.autograd.grad(expected, (exact, weight), gradient.double()),
        strict=True,
    ):
        assert float((ours - theirs).norm() / theirs.norm()) < 1e-3
