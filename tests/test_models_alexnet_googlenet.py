"""What AlexNet and GoogLeNet share: published counts, least sizes, weights by the seed, and that they learn."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from torch import Tensor, nn

from helpers.networks import NORMED, PAPER, SMALL_ALEXNET, images, outline
from sightline.cli.app import run
from sightline.errors import UsageError
from sightline.models import Network, build_model, summarize
from sightline.models.initializers import initialize
from sightline.settings.model import AlexNetSettings


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


@pytest.mark.parametrize(
    ("settings", "least", "advice"),
    [
        # 63 and 15 are the least sizes that torchvision states for its AlexNet and its GoogLeNet
        (AlexNetSettings(hidden=4), 63, 'Use form="small"'),
        (AlexNetSettings(hidden=4, norm="batch"), 63, 'Use form="small"'),
        (NORMED.model_copy(update={"stem": "imagenet"}), 15, 'Use stem="small"'),
        (PAPER.model_copy(update={"stem": "imagenet"}), 31, 'Use stem="small"'),
        (NORMED, 4, ""),
        (PAPER, 8, ""),
    ],
)
def test_too_small_an_image_names_the_least_size(settings, least, advice):
    with pytest.raises(UsageError) as caught:
        build_model(settings, channels=1, image_size=(least + 3, least - 1), num_classes=2)
    text = str(caught.value)
    assert text.startswith(f"image_size: {least + 3}x{least - 1} is too small for ")
    assert f"expected at least {least}x{least}" in text and advice in text
    model = build_model(settings, channels=1, image_size=(least, least), num_classes=2, seed=0)
    x = images(2, 1, least)
    assert model.eval()(x).shape == (2, 2)
    found = model.train()(x)
    assert all(logits.isfinite().all() for logits in (found if isinstance(found, tuple) else (found,)))


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
