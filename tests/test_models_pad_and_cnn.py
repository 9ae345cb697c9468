from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch.func import functional_call

from sightline.errors import UsageError
from sightline.models import build_model, summarize
from sightline.models.initializers import initialize
from sightline.models.resnet_pad import PadBlock, UntrainedNorm
from sightline.models.same_padding import SameConv2d, SameMeanPool
from sightline.settings.model import CnnSettings, PadResNetSettings


def test_strided_same_convolution_pads_as_tensorflow_does():
    conv = SameConv2d(1, 1, 3, 2)
    centre = torch.zeros(1, 1, 3, 3)
    centre[0, 0, 1, 1] = 1
    conv.load_state_dict({"weight": centre, "bias": torch.zeros(1)})
    even = torch.arange(16.0).reshape(1, 1, 4, 4)
    odd = torch.arange(25.0).reshape(1, 1, 5, 5)
    # Even: nothing is added before, so the first window's centre is pixel (1, 1). Odd: one is added before and after.
    assert torch.equal(conv(even)[0, 0], torch.tensor([[5.0, 7.0], [13.0, 15.0]]))
    assert torch.equal(conv(odd)[0, 0], torch.tensor([[0.0, 2.0, 4.0], [10.0, 12.0, 14.0], [20.0, 22.0, 24.0]]))


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
def test_same_convolution_agrees_with_torch_at_stride_one(kernel):
    conv = SameConv2d(2, 3, kernel)
    x = torch.randn(2, 2, 6, 7)
    with torch.no_grad():
        expected = F.conv2d(F.pad(x, ((kernel - 1) // 2, kernel // 2) * 2), conv.weight, conv.bias)
        assert torch.allclose(conv(x), expected, atol=1e-6)


def mean_of_windows(x: np.ndarray, kernel: int) -> np.ndarray:
    """'same' pooling by its definition: windows of `kernel` laid over the image, the overhang split, extra behind."""
    *_, height, width = x.shape
    rows, columns = math.ceil(height / kernel), math.ceil(width / kernel)
    top, left = (rows * kernel - height) // 2, (columns * kernel - width) // 2
    out = np.empty((*x.shape[:2], rows, columns))
    for i in range(rows):
        for j in range(columns):
            y0, x0 = i * kernel - top, j * kernel - left
            window = x[:, :, max(y0, 0) : y0 + kernel, max(x0, 0) : x0 + kernel]
            out[:, :, i, j] = window.mean((2, 3))
    return out


@pytest.mark.parametrize("size", [(28, 28), (14, 7), (8, 8), (32, 30), (1, 1), (3, 45), (13, 22)])
def test_same_mean_pooling_leaves_the_padding_out(size):
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    assert np.allclose(SameMeanPool(7)(x).numpy(), mean_of_windows(x.numpy(), 7), atol=1e-12)


def test_same_mean_pooling_is_plain_pooling_at_28():
    x = torch.randn(2, 3, 28, 28)
    assert torch.equal(SameMeanPool(7)(x), F.avg_pool2d(x, (7, 7)))


def test_doubling_block_by_hand():
    block = PadBlock(2, 4)
    kernels = {name: torch.zeros_like(p) for name, p in block.named_parameters()}
    # conv1 takes channel 0's centre tap; conv2 hands it on doubled, minus 20: relu then drops what is below 10.
    kernels["conv1.weight"][0, 0, 1, 1] = 1
    kernels["conv2.weight"][3, 0, 1, 1] = 2
    kernels["conv2.bias"][3] = -20
    block.load_state_dict(kernels)
    x = torch.stack([torch.arange(16.0).reshape(4, 4), -torch.arange(16.0).reshape(4, 4)])[None]
    out = block(x)[0]
    assert torch.equal(out[0], torch.zeros(2, 2))
    assert torch.equal(out[1], torch.tensor([[2.5, 4.5], [10.5, 12.5]]))
    assert torch.equal(out[2], -torch.tensor([[2.5, 4.5], [10.5, 12.5]]))  # no ReLU after the sum
    assert torch.equal(out[3], torch.tensor([[0.0, 0.0], [6.0, 10.0]]))


def test_other_ratios_are_refused_with_both_numbers():
    with pytest.raises(ValidationError, match="from 16 to 48"):
        PadResNetSettings(block_widths=(16, 48))
    with pytest.raises(ValidationError, match="from 32 to 16"):
        PadResNetSettings(block_widths=(32, 16))


@pytest.mark.parametrize(("entering", "leaving"), [(3, 3), (3, 6)])
def test_pad_block_gradients_agree_with_finite_differences(entering, leaving):
    block = PadBlock(entering, leaving)
    initialize(block, "torch", torch.Generator().manual_seed(0))
    block.double()
    names = [name for name, _ in block.named_parameters()]
    values = [p.detach().clone().requires_grad_() for p in block.parameters()]
    x = torch.randn(2, entering, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def run(x, *parameters):
        return functional_call(block, dict(zip(names, parameters, strict=True)), (x,))

    assert torch.autograd.gradcheck(run, (x.requires_grad_(), *values))


@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-5), (torch.bfloat16, 0.01)])
def test_untrained_norm_only_scales_and_shifts(dtype, near):
    torch.manual_seed(0)
    norm, x = UntrainedNorm(3, 0.21), torch.randn(2, 3, 4, 5).to(dtype)
    torch.nn.init.uniform_(norm.weight)
    torch.nn.init.uniform_(norm.bias)
    y = norm.train()(x)
    assert y.dtype == dtype
    scaled = x.double() / 1.1 * norm.weight.double()[:, None, None] + norm.bias.double()[:, None, None]
    torch.testing.assert_close(y.double(), scaled, rtol=near, atol=near)
    y.float().sum().backward()
    shares = x.double().sum((0, 2, 3)) / 1.1
    torch.testing.assert_close(norm.weight.grad.double(), shares, rtol=near, atol=40 * near)
    assert torch.equal(norm.bias.grad, torch.full((3,), 40.0))


@pytest.mark.parametrize("norm", ["untrained", "batch"])
def test_r1_has_the_programs_parameters(norm):
    model = build_model(PadResNetSettings(norm=norm), channels=1, image_size=(28, 28), num_classes=10, seed=0)
    stem, block, gamma_and_beta, dense = 9 * 16 + 16, 2 * (9 * 16 * 16 + 16), 2 * 16, 4 * 4 * 16 * 10 + 10
    assert sum(p.numel() for p in model.parameters()) == stem + block + gamma_and_beta + dense
    assert isinstance(model.get_submodule("body.norm.norm"), torch.nn.BatchNorm2d) == (norm == "batch")


@pytest.mark.parametrize("size", [(28, 28), (8, 8), (31, 45), (1, 1)])
def test_r1_takes_any_size(size):
    settings = PadResNetSettings(block_widths=(16, 32, 64))
    model = build_model(settings, channels=1, image_size=size, num_classes=10, seed=0)
    assert model(torch.rand(2, 1, *size)).shape == (2, 10)


def test_r2_has_the_programs_shapes_and_macs():
    model = build_model(CnnSettings(), channels=1, image_size=(28, 28), num_classes=10, seed=0)
    assert sum(p.numel() for p in model.parameters()) == 832 + 51_264 + (7 * 7 * 64 + 1) * 1024 + 10_250
    macs = 28 * 28 * 25 * 32 + 14 * 14 * 25 * 32 * 64 + 7 * 7 * 64 * 1024 + 1024 * 10
    assert summarize(model, 1, (28, 28)).macs == macs


def test_cnn_agrees_with_a_flat_reference_and_drops_only_in_training():
    settings = CnnSettings(conv_widths=(3, 5), kernel=3, hidden=7, init="torch")
    model = build_model(settings, channels=2, image_size=(9, 12), num_classes=4, seed=3)
    w = model.state_dict()
    x = torch.randn(3, 2, 9, 12, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        y = x
        for name in ("body.conv1.conv", "body.conv2.conv"):
            y = F.max_pool2d(F.relu(F.conv2d(y, w[f"{name}.weight"], w[f"{name}.bias"], padding=1)), 2)
        y = F.relu(F.linear(y.reshape(3, -1), w["head.hidden.weight"], w["head.hidden.bias"]))
        expected = F.linear(y, w["head.dense.weight"], w["head.dense.bias"])
        assert (model.eval()(x) - expected).abs().max() < 1e-6
        assert not torch.allclose(model.train()(x), expected)


def test_too_small_an_image_names_the_least_size():
    settings = CnnSettings(conv_widths=(4, 4, 4))
    with pytest.raises(UsageError, match=r"7x12 is too small.*expected at least 8x8"):
        build_model(settings, channels=1, image_size=(7, 12), num_classes=2)
    assert build_model(settings, channels=1, image_size=(8, 8), num_classes=2)(torch.rand(1, 1, 8, 8)).shape == (1, 2)


@pytest.mark.parametrize("settings", [CnnSettings(), PadResNetSettings()])
def test_another_size_than_the_network_was_built_for_is_named(settings):
    model = build_model(settings, channels=1, image_size=(28, 28), num_classes=10)
    with pytest.raises(UsageError, match="images of 28x28, which the network was built for"):
        model(torch.rand(2, 1, 40, 40))
    with pytest.raises(UsageError, match="images of 28x28, which the network was built for"):
        summarize(model, 1, (40, 40))
