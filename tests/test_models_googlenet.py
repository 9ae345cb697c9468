"""GoogLeNet against the paper's table and the same network written out flat, and its auxiliary heads."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.networks import NORMED, PAPER, images, outline
from sightline.models import Network, build_model, summarize
from sightline.settings.model import GoogLeNetSettings

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


def without_dropout(settings: GoogLeNetSettings, **changes: object) -> GoogLeNetSettings:
    return settings.model_copy(update={"dropout": 0.0, "auxiliary_dropout": 0.0, **changes})


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


def test_auxiliary_heads_leave_the_other_weights_as_they_are():
    def weights(auxiliary: bool) -> dict[str, Tensor]:
        settings = PAPER.model_copy(update={"auxiliary": auxiliary})
        return build_model(settings, channels=1, image_size=(8, 8), num_classes=3, seed=4).state_dict()

    without, having = weights(False), weights(True)
    assert {name for name in having if not name.startswith("auxiliary.")} == set(without)
    assert all(torch.equal(having[name], without[name]) for name in without)


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
