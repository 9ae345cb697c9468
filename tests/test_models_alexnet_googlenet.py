"""AlexNet and GoogLeNet against the papers' tables, published counts, and the same networks written out flat."""

from __future__ import annotations

import json
import math
from collections import OrderedDict

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from torch import Tensor, nn

from sightline.cli.app import run
from sightline.errors import UsageError
from sightline.models import Network, build_model, summarize
from sightline.models.alexnet import build_alexnet
from sightline.models.googlenet import build_googlenet
from sightline.models.initializers import initialize
from sightline.models.network import AdaptiveMean, LocalResponseNorm
from sightline.settings.model import MODEL_PRESETS, AlexNetSettings, GoogLeNetSettings

PAPER = GoogLeNetSettings()
NORMED = GoogLeNetSettings(batch_norm=True, wide_kernel=3)
SMALL_ALEXNET = AlexNetSettings.model_validate(dict(MODEL_PRESETS["alexnet-small"]))
# Columns of table 1 of arXiv 1409.4842: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection.
INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def outline(
    settings: AlexNetSettings | GoogLeNetSettings, size: int, channels: int = 3, classes: int = 1000
) -> Network:
    """The network without storage."""
    build = build_alexnet if isinstance(settings, AlexNetSettings) else build_googlenet
    with torch.device("meta"):
        return build(settings, channels, (size, size), classes)  # pyright: ignore[reportArgumentType]


def without_dropout(settings: GoogLeNetSettings, **changes: object) -> GoogLeNetSettings:
    return settings.model_copy(update={"dropout": 0.0, "auxiliary_dropout": 0.0, **changes})


def images(count: int, channels: int, height: int, width: int | None = None) -> Tensor:
    return torch.randn(count, channels, height, width or height, generator=torch.Generator().manual_seed(1))


def randomize(model: nn.Module) -> nn.Module:
    """Biases, norms and running figures away from 0 and 1, so that none can be left out unseen."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.dim() == 1:
                tensor.uniform_(0.5, 1.5, generator=generator)
    return model


@pytest.mark.parametrize(
    ("settings", "parameters", "giga_macs"),
    [
        # AlexNet's and the third GoogLeNet's are what torchvision publishes for its weights
        (AlexNetSettings(), 61_100_840, 0.714),
        (PAPER.model_copy(update={"auxiliary": False}), 6_998_552, None),
        (PAPER, 13_378_280, None),
        (NORMED.model_copy(update={"auxiliary": False}), 6_624_904, 1.498),
        (NORMED, 13_004_888, 1.498),
    ],
)
def test_published_parameters_and_macs(settings, parameters, giga_macs):
    summary = summarize(outline(settings, 224), 3, (224, 224))
    assert summary.parameters == parameters == sum(part.parameters for part in summary.parts)
    assert sum(part.macs for part in summary.parts) == summary.macs
    if giga_macs is not None:
        assert summary.macs / 1e9 == pytest.approx(giga_macs, abs=5e-4)


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


def sides(settings: GoogLeNetSettings, size: int) -> dict[str, tuple[int, int]]:
    """Channels and side of each part's maps."""
    summary = summarize(outline(settings, size), 3, (size, size))
    found = {p.name.removeprefix("body."): p.output for p in summary.parts if p.name.startswith("body")}
    assert all(output is not None and output[2] == output[3] for output in found.values())
    return {name: (output[1], output[2]) for name, output in found.items()}


@pytest.mark.parametrize("settings", [PAPER, NORMED], ids=["paper", "normed"])
def test_googlenets_maps_are_those_of_the_papers_table(settings):
    found = sides(settings, 224)
    norms = [found.pop(name, None) for name in ("norm1", "norm2")]
    assert norms == ([(64, 56), (192, 56)] if settings is PAPER else [None, None])
    assert found == {
        "conv1": (64, 112),
        "pool1": (64, 56),
        "conv2": (64, 56),
        "conv3": (192, 56),
        "pool2": (192, 28),
        "inception3a": (256, 28),
        "inception3b": (480, 28),
        "pool3": (480, 14),
        "inception4a": (512, 14),
        "inception4b": (512, 14),
        "inception4c": (512, 14),
        "inception4d": (528, 14),
        "inception4e": (832, 14),
        "pool4": (832, 7),
        "inception5a": (832, 7),
        "inception5b": (1024, 7),
    }


@pytest.mark.parametrize(("size", "expected"), [(28, (14, 7, 3)), (32, (16, 8, 4)), (63, (31, 15, 7)), (64, (8, 4, 2))])
def test_the_small_stem_is_for_images_below_64_pixels(size, expected):
    found = sides(PAPER, size)
    assert tuple(found[f"inception{name}"][1] for name in ("3a", "4a", "5a")) == expected
    assert ("pool2" in found) == (size == 64)


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


def reference_googlenet(w: dict[str, Tensor], x: Tensor, *, small: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The paper's form written out flat: the logits and those of both auxiliary heads, without dropout."""

    def conv(y: Tensor, name: str, stride: int = 1) -> Tensor:
        kernel = w[f"{name}.conv.weight"]
        return F.relu(F.conv2d(y, kernel, w[f"{name}.conv.bias"], stride, kernel.shape[2] // 2))

    def pool(y: Tensor) -> Tensor:
        return F.max_pool2d(y, 3, 2, ceil_mode=True)

    def auxiliary(y: Tensor, name: str) -> Tensor:
        y = conv(F.adaptive_avg_pool2d(y, 4), f"auxiliary.{name}.conv").reshape(len(y), -1)
        y = F.relu(F.linear(y, w[f"auxiliary.{name}.hidden.weight"], w[f"auxiliary.{name}.hidden.bias"]))
        return F.linear(y, w[f"auxiliary.{name}.dense.weight"], w[f"auxiliary.{name}.dense.bias"])

    lrn = {"size": 5, "alpha": 5e-4, "beta": 0.75, "k": 2.0}
    x = F.local_response_norm(pool(conv(x, "body.conv1", 1 if small else 2)), **lrn)
    x = F.local_response_norm(conv(conv(x, "body.conv2"), "body.conv3"), **lrn)
    x = x if small else pool(x)
    others = []
    for number, columns in INCEPTIONS.items():
        name = f"body.inception{number}"
        x = pool(x) if number in ("4a", "5a") else x
        branches = [
            conv(x, f"{name}.branch_1x1"),
            conv(conv(x, f"{name}.branch_3x3.reduce"), f"{name}.branch_3x3.conv"),
            conv(conv(x, f"{name}.branch_wide.reduce"), f"{name}.branch_wide.conv"),
            conv(F.max_pool2d(x, 3, 1, 1), f"{name}.branch_pool.project"),
        ]
        assert [branch.shape[1] for branch in branches] == [columns[i] for i in (0, 2, 4, 5)]
        assert w[f"{name}.branch_3x3.reduce.conv.weight"].shape[0] == columns[1]
        assert w[f"{name}.branch_wide.reduce.conv.weight"].shape[0] == columns[3]
        x = torch.cat(branches, 1)
        if number in ("4a", "4d"):
            others.append(auxiliary(x, f"inception{number}"))
    return (F.linear(x.mean((2, 3)), w["head.dense.weight"], w["head.dense.bias"]), *others)


@pytest.mark.parametrize(("stem", "size"), [("small", (9, 14)), ("imagenet", (35, 48))])
def test_the_papers_googlenet_agrees_with_a_flat_reference(stem, size):
    settings = without_dropout(PAPER, stem=stem)
    model = build_model(settings, channels=3, image_size=size, num_classes=5, seed=0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(0, 0.1, generator=torch.Generator().manual_seed(3))
    x = images(2, 3, *size)
    with torch.no_grad():
        expected = reference_googlenet(model.state_dict(), x, small=stem == "small")
        found = model.train()(x)
        assert len(found) == 3
        for ours, theirs in zip(found, expected, strict=True):
            assert theirs.std() > 0.05
            assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4)
        assert torch.allclose(model.eval()(x), expected[0], rtol=1e-4, atol=1e-4)
        assert torch.equal(model.forward_head(model.forward_features(x)), model(x))


@pytest.mark.parametrize(
    ("settings", "least", "advice"),
    [
        # 63 and 15 are the least sizes that torchvision states for its AlexNet and its GoogLeNet
        (AlexNetSettings(hidden=4), 63, "Use --form small"),
        (AlexNetSettings(hidden=4, norm="batch"), 63, "Use --form small"),
        (NORMED.model_copy(update={"stem": "imagenet"}), 15, "Use --stem small"),
        (PAPER.model_copy(update={"stem": "imagenet"}), 31, "Use --stem small"),
        (NORMED, 4, ""),
        (PAPER, 8, ""),
    ],
)
def test_too_small_an_image_names_the_least_size(settings, least, advice):
    with pytest.raises(UsageError) as caught:
        build_model(settings, channels=1, image_size=(least + 3, least - 1), num_classes=2)
    text = str(caught.value)
    assert text.startswith(f"--image-size: {least + 3}x{least - 1} is too small for ")
    assert f"expected at least {least}x{least}" in text and advice in text
    model = build_model(settings, channels=1, image_size=(least, least), num_classes=2, seed=0)
    x = images(2, 1, least)
    assert model.eval()(x).shape == (2, 2)
    found = model.train()(x)
    assert all(logits.isfinite().all() for logits in (found if isinstance(found, tuple) else (found,)))


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


def test_auxiliary_heads_answer_only_while_the_body_trains():
    model = build_model(without_dropout(NORMED), channels=1, image_size=(8, 8), num_classes=3, seed=0)
    x = images(4, 1, 8)
    found = model(x)
    assert isinstance(found, tuple) and [logits.shape for logits in found] == [(4, 3)] * 3
    model.body.eval()  # a frozen body, under a head that trains
    assert isinstance(model(x), Tensor)
    model.train()
    assert isinstance(model(x), tuple)
    assert isinstance(model.eval()(x), Tensor)
    without = build_model(NORMED.model_copy(update={"auxiliary": False}), channels=1, image_size=(8, 8), num_classes=3)
    assert isinstance(without(x), Tensor)


@pytest.mark.parametrize(
    "settings",
    [
        AlexNetSettings(hidden=32),
        AlexNetSettings(hidden=32, norm="lrn"),
        AlexNetSettings(hidden=32, norm="batch"),
        AlexNetSettings(form="small", norm="none"),
        AlexNetSettings(form="small", norm="lrn"),
        AlexNetSettings(form="small", norm="batch"),
        PAPER,
        NORMED,
    ],
)
def test_gradients_reach_every_parameter(settings):
    size = 63 if settings.family == "alexnet" and settings.form == "full" else 16
    model = build_model(settings, channels=3, image_size=(size, size), num_classes=4, seed=0)
    torch.manual_seed(0)
    found = model(images(4, 3, size))
    found = found if isinstance(found, tuple) else (found,)
    assert len(found) == (3 if settings.family == "googlenet" else 1)
    sum(logits.logsumexp(1).sum() for logits in found).backward()
    untouched = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not untouched
    batch_norm = getattr(settings, "batch_norm", False) or getattr(settings, "norm", "") == "batch"
    biased = [name for name, m in model.named_modules() if isinstance(m, nn.Conv2d) and m.bias is not None]
    assert bool(biased) != batch_norm
    assert any(isinstance(m, nn.BatchNorm2d) for m in model.modules()) == batch_norm


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "settings", [AlexNetSettings(hidden=8), SMALL_ALEXNET, SMALL_ALEXNET.model_copy(update={"init": "normal"}), NORMED]
)
def test_the_seed_alone_decides_the_weights(settings, channels):
    def weights(seed: int) -> dict[str, Tensor]:
        torch.manual_seed(seed + 100)
        return build_model(settings, channels=channels, image_size=(64, 64), num_classes=3, seed=seed).state_dict()

    first, second, other = weights(7), weights(7), weights(8)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["head.dense.weight"], other["head.dense.weight"])
    assert first["body.conv1.conv.weight"].shape[1] == channels


def test_auxiliary_heads_leave_the_other_weights_as_they_are():
    def weights(auxiliary: bool) -> dict[str, Tensor]:
        settings = PAPER.model_copy(update={"auxiliary": auxiliary})
        return build_model(settings, channels=1, image_size=(8, 8), num_classes=3, seed=4).state_dict()

    without, having = weights(False), weights(True)
    assert {name for name in having if not name.startswith("auxiliary.")} == set(without)
    assert all(torch.equal(having[name], without[name]) for name in without)


@pytest.mark.parametrize("layer", [nn.Conv2d(24, 300, 3), nn.Linear(240, 300)], ids=["conv", "dense"])
def test_the_normal_rule_has_mean_0_and_deviation_1_in_kernels_and_biases(layer):
    initialize(layer, "normal", torch.Generator().manual_seed(0))
    for values in (layer.weight, layer.bias):
        sample = values.detach().flatten().double().numpy()
        assert stats.kstest(sample, "norm").pvalue > 1e-3
        assert abs(sample.mean()) < 4 / math.sqrt(len(sample))
        assert sample.std() == pytest.approx(1, abs=4 / math.sqrt(2 * len(sample)))


def test_he_takes_fan_in_in_googlenet_and_fan_out_in_alexnet():
    googlenet = build_model(PAPER, channels=1, image_size=(8, 8), num_classes=3, seed=0)
    reduce = googlenet.get_parameter("body.inception5b.branch_wide.reduce.conv.weight")
    assert reduce.std().item() == pytest.approx(math.sqrt(2 / 832), rel=0.02)
    alexnet = build_model(SMALL_ALEXNET, channels=1, image_size=(8, 8), num_classes=3, seed=0)
    second = alexnet.get_parameter("body.conv2.conv.weight")
    assert second.std().item() == pytest.approx(math.sqrt(2 / (9 * 128)), rel=0.02)


def bars(count: int) -> tuple[Tensor, Tensor]:
    """Upright and lying bars in noise, 8x8, of mean 0 and deviation 1."""
    generator = torch.Generator().manual_seed(5)
    labels = torch.arange(count) % 2
    x = 0.3 * torch.randn(count, 1, 8, 8, generator=generator)
    where = torch.randint(1, 7, (count,), generator=generator)
    for image, label, place in zip(x, labels, where, strict=True):
        (image[0, :, place] if label else image[0, place, :]).add_(2)
    return (x - x.mean()) / x.std(), labels


@pytest.mark.parametrize(
    ("settings", "lr"),
    [(PAPER, 3e-4), (NORMED, 1e-3), (SMALL_ALEXNET, 1e-3)],
    ids=["googlenet", "googlenet-bn", "alexnet-small"],
)
def test_a_new_network_is_undecided_and_learns(settings, lr):
    x, labels = bars(16)
    model = build_model(settings, channels=1, image_size=(8, 8), num_classes=2, seed=0)
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr, fused=True)
    losses = []
    for _ in range(12):
        found = model(x)
        logits, *others = found if isinstance(found, tuple) else (found,)
        losses.append(F.cross_entropy(logits, labels))
        loss = losses[-1] + 0.3 * sum(F.cross_entropy(other, labels) for other in others)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    losses = [loss.item() for loss in losses]
    assert losses[0] == pytest.approx(math.log(2), abs=0.35)
    assert np.mean(losses[-3:]) < 0.5 * losses[0]


def test_auxiliary_outputs_compile_to_one_graph():
    body = nn.Sequential(OrderedDict(first=nn.Conv2d(1, 2, 3), second=nn.Conv2d(2, 3, 3)))
    head = nn.Sequential(OrderedDict(flatten=nn.Flatten(), dense=nn.Linear(48, 5)))
    half_way = nn.Sequential(nn.Flatten(), nn.Linear(72, 5))
    model = Network(body, head, {"first": half_way})
    x = images(2, 1, 8)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    with torch.no_grad():
        logits, other = compiled(x)
        assert torch.allclose(other, half_way(body.first(x)))
        assert torch.allclose(logits, head(body(x)))
        assert torch.allclose(compiled.eval()(x), logits)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("alexnet", [1, 3, 224, 224]),
        ("alexnet-small", [1, 1, 28, 28]),
        ("googlenet", [1, 3, 224, 224]),
        ("googlenet-bn", [1, 3, 224, 224]),
    ],
)
def test_summary_takes_each_networks_usual_images(name, shape, capsys, monkeypatch):
    # shapes only, without storage: the large ones take seconds
    monkeypatch.setattr(Network, "to_empty", lambda self, device: self)
    monkeypatch.setattr("sightline.models.build.initialize", lambda *_: None)
    assert run(["summary", name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["input"] == shape
    assert run(["summary", name, "--classes", "1000"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any("auxiliary" in line for line in lines) == name.startswith("googlenet")
