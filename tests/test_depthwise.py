"""Depthwise convolutions of our own gradients: those of torch's, for odd and even sides, strides and kernels."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sightline.models import depthwise
from sightline.models.same_padding import SameConv2d, same_padding

SHAPES = [
    (7, 9, 5, 1),
    (14, 13, 5, 2),
    (13, 14, 5, 2),
    (8, 8, 3, 2),
    (9, 9, 3, 2),
    (5, 4, 5, 1),
    (28, 28, 5, 1),
    (2, 3, 5, 2),
]


def both(height: int, width: int, kernel: int, stride: int, dtype: torch.dtype) -> tuple[list[Tensor], list[Tensor]]:
    """Output and gradients of ours, and of torch's in float64."""
    generator = torch.Generator().manual_seed(height * width + kernel)
    x = torch.randn(3, 4, height, width, generator=generator)
    weight = torch.randn(4, 1, kernel, kernel, generator=generator)
    padding = (*same_padding(width, kernel, stride), *same_padding(height, kernel, stride))
    found: list[list[Tensor]] = []
    for precision, own in ((dtype, True), (torch.float64, False)):
        inputs = [tensor.to(precision).requires_grad_() for tensor in (x, weight)]
        if own:
            y = depthwise._Depthwise.apply(*inputs, stride, padding)  # pyright: ignore
        else:
            y = F.conv2d(F.pad(inputs[0], padding), inputs[1], None, stride, 0, 1, 4)
        assert isinstance(y, Tensor)
        weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(precision)
        found.append([y.detach(), *torch.autograd.grad((y * weights).sum(), inputs)])
    return found[0], found[1]


@pytest.mark.parametrize(("height", "width", "kernel", "stride"), SHAPES)
@pytest.mark.parametrize(("dtype", "most"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_output_and_gradients_are_torchs(
    height: int, width: int, kernel: int, stride: int, dtype: torch.dtype, most: float
) -> None:
    for ours, theirs in zip(*both(height, width, kernel, stride, dtype), strict=True):
        assert ours.shape == theirs.shape and ours.dtype == dtype
        assert float((ours.double() - theirs).norm()) <= most * float(theirs.norm())


def test_it_is_taken_in_training_in_bfloat16_on_a_cpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[torch.dtype] = []
    original = depthwise._Depthwise.forward

    def watched(ctx: object, x: Tensor, *rest: object) -> Tensor:
        taken.append(x.dtype)
        return original(ctx, x, *rest)  # pyright: ignore

    monkeypatch.setattr(depthwise._Depthwise, "forward", staticmethod(watched))
    layer, images = SameConv2d(6, 6, 5, bias=False, groups=6), torch.randn(2, 6, 9, 9)
    layer(images)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        layer(images)
    assert not taken
    with torch.autocast("cpu", torch.bfloat16):
        layer(images).float().sum().backward()
    assert taken == [torch.bfloat16] and layer.weight.grad is not None and layer.weight.grad.dtype == torch.float32
