"""AlexNet against the paper's table and formula, torch's pooling, and the same networks written out flat."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.networks import SMALL_ALEXNET, images, outline
from sightline.models import build_model, summarize
from sightline.models.network import AdaptiveMean, LocalResponseNorm
from sightline.settings.model import AlexNetSettings


def randomize(model: nn.Module) -> nn.Module:
    """Biases, norms and running figures away from 0 and 1, so that none can be left out unseen."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.dim() == 1:
                tensor.uniform_(0.5, 1.5, generator=generator)
    return model


def test_alexnets_maps_are_55_27_13_and_6_wide():
    settings = AlexNetSettings(norm="lrn")
    summary = summarize(outline(settings, 224), 3, (224, 224))
    shapes = [(part.name.removeprefix("body."), part.output) for part in summary.parts if part.name.startswith("body")]
    assert shapes == [
        ("conv1", (1, 64, 55, 55)),
        ("norm1", (1, 64, 55, 55)),
        ("pool1", (1, 64, 27, 27)),
        ("conv2", (1, 192, 27, 27)),
        ("norm2", (1, 192, 27, 27)),
        ("pool2", (1, 192, 13, 13)),
        ("conv3", (1, 384, 13, 13)),
        ("conv4", (1, 256, 13, 13)),
        ("conv5", (1, 256, 13, 13)),
        ("pool5", (1, 256, 6, 6)),
    ]


def response_norm(x: np.ndarray, size: int, scale: float, beta: float, k: float) -> np.ndarray:
    """Section 3.3 of Krizhevsky et al. 2012, channel by channel; `scale` is what the sum is multiplied by."""
    out = np.empty_like(x)
    channels = x.shape[1]
    for i in range(channels):
        low, high = max(0, i - size // 2), min(channels - 1, i + size // 2)
        out[:, i] = x[:, i] / (k + scale * (x[:, low : high + 1] ** 2).sum(1)) ** beta
    return out


@pytest.mark.parametrize("channels", [1, 4, 9, 64])
def test_response_norm_is_the_papers_formula(channels):
    x = 40 * images(2, channels, 3, 5).double()
    with_paper, with_program = LocalResponseNorm.of_alexnet(), LocalResponseNorm(9, alpha=0.001, beta=0.75, k=1.0)
    assert np.allclose(with_paper(x).numpy(), response_norm(x.numpy(), 5, 1e-4, 0.75, 2), rtol=1e-12)
    assert np.allclose(with_program(x).numpy(), response_norm(x.numpy(), 9, 0.001 / 9, 0.75, 1), rtol=1e-12)
    expected = F.local_response_norm(x, size=9, alpha=0.001, beta=0.75, k=1.0)
    assert torch.allclose(with_program(x), expected, rtol=1e-12)
    assert not torch.allclose(expected, x, rtol=0.01)


def test_response_norm_has_its_gradient_and_keeps_type_and_layout():
    norm = LocalResponseNorm(3, alpha=0.5, beta=0.75, k=1.0)
    assert torch.autograd.gradcheck(norm, images(1, 5, 2).double().requires_grad_())
    x = (100 * images(2, 8, 4)).to(memory_format=torch.channels_last)
    assert norm(x).is_contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = norm(x.bfloat16())
    assert half.dtype == torch.bfloat16
    assert torch.allclose(half.float(), norm(x), rtol=0.02)


def test_small_alexnets_maps_are_28_14_7_and_4_wide():
    for size, expected in ((28, [28, 14, 14, 7, 7, 4]), (5, [5, 3, 3, 2, 2, 1]), (1, [1] * 6)):
        summary = summarize(outline(SMALL_ALEXNET, size, channels=1), 1, (size, size))
        found = {part.name: part.output for part in summary.parts}
        names = [f"body.{kind}{number}" for number in (1, 2, 3) for kind in ("conv", "pool")]
        assert [found[name][3] for name in names] == expected


def same_max_pool(x: Tensor) -> Tensor:
    """TensorFlow's 'same' 2x2 pooling: a missing row or column comes in behind, below every value."""
    height, width = x.shape[2:]
    return F.max_pool2d(F.pad(x, (0, width % 2, 0, height % 2), value=-math.inf), 2)


def test_small_alexnet_agrees_with_a_flat_reference():
    model = build_model(SMALL_ALEXNET, channels=2, image_size=(13, 10), num_classes=3, seed=0)
    randomize(model).eval()
    w, x = model.state_dict(), images(2, 2, 13, 10)
    with torch.no_grad():
        y = x
        for number in (1, 2, 3):
            name = f"body.conv{number}.conv"
            y = same_max_pool(F.relu(F.conv2d(y, w[f"{name}.weight"], w[f"{name}.bias"], padding=1)))
            y = F.local_response_norm(y, size=9, alpha=0.001, beta=0.75, k=1.0)
        y = y.reshape(2, 256 * 2 * 2)
        for name in ("head.hidden1", "head.hidden2"):
            y = F.relu(F.linear(y, w[f"{name}.weight"], w[f"{name}.bias"]))
        expected = F.linear(y, w["head.dense.weight"], w["head.dense.bias"])
        assert expected.std() > 0.1
        assert torch.allclose(model(x), expected, rtol=1e-5, atol=1e-5)


def test_full_alexnet_agrees_with_a_flat_reference():
    settings = AlexNetSettings(norm="lrn", hidden=16)
    model = build_model(settings, channels=3, image_size=(130, 97), num_classes=3, seed=0)
    randomize(model).eval()
    w, x = model.state_dict(), images(1, 3, 130, 97)

    def conv(y: Tensor, number: int, stride: int, padding: int) -> Tensor:
        name = f"body.conv{number}.conv"
        return F.relu(F.conv2d(y, w[f"{name}.weight"], w[f"{name}.bias"], stride, padding))

    with torch.no_grad():
        y = conv(x, 1, 4, 2)
        y = F.max_pool2d(F.local_response_norm(y, 5, alpha=5e-4, beta=0.75, k=2), 3, 2)
        y = conv(y, 2, 1, 2)
        y = F.max_pool2d(F.local_response_norm(y, 5, alpha=5e-4, beta=0.75, k=2), 3, 2)
        y = F.max_pool2d(conv(conv(conv(y, 3, 1, 1), 4, 1, 1), 5, 1, 1), 3, 2)
        y = F.adaptive_avg_pool2d(y, 6).reshape(1, -1)
        for name in ("head.hidden1", "head.hidden2"):
            y = F.relu(F.linear(y, w[f"{name}.weight"], w[f"{name}.bias"]))
        expected = F.linear(y, w["head.dense.weight"], w["head.dense.bias"])
        assert torch.allclose(model(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("side", "height", "width"), [(4, 14, 14), (4, 8, 12), (4, 7, 5), (4, 3, 1), (6, 6, 6), (6, 13, 2)]
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_mean_pooling_and_its_gradient_are_torchs(side, height, width, layout):
    found = []
    for pool in (AdaptiveMean(side), nn.AdaptiveAvgPool2d(side)):
        assert not pool.state_dict()
        x = images(3, 5, height, width).contiguous(memory_format=layout).requires_grad_()
        y = pool(x)
        (y * torch.arange(y.numel()).view(y.shape)).sum().backward()
        found.append((y, x.grad))
    for ours, theirs in zip(*found, strict=True):
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
        assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_the_mean_pooling_works_in_half_precision_and_without_values():
    x = images(2, 8, 7).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = AdaptiveMean(4)(x)
    assert half.dtype == torch.bfloat16
    assert torch.allclose(half.float(), F.adaptive_avg_pool2d(x.float(), 4), rtol=0.02, atol=0.02)
    assert AdaptiveMean(4)(x.to("meta")).shape == (2, 8, 4, 4)


def test_the_mean_pooling_is_exported():
    pytest.importorskip("onnxscript", reason="the extra `export` is not installed")
    from sightline.classifier import Classifier
    from sightline.classifier.onnx_backend import from_bytes
    from sightline.classifier.onnx_export import to_onnx
    from sightline.classifier.torch_backend import TorchBackend
    from sightline.data import unit_preprocessing

    model = build_model(AlexNetSettings(hidden=8), channels=1, image_size=(66, 130), num_classes=3, seed=0)
    preprocessing = unit_preprocessing((66, 130, 1))
    backend = TorchBackend(model, preprocessing, torch.device("cpu"), trains=False)
    classifier = Classifier(backend, preprocessing, ("a", "b", "c"), AlexNetSettings(hidden=8))
    exported, _ = from_bytes(to_onnx(classifier), "the exported network")
    pixels = np.random.default_rng(0).integers(0, 256, (5, 66, 130, 1), np.uint8)
    assert np.allclose(exported.probabilities(pixels), backend.probabilities(pixels), atol=1e-5)
