from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from sightline.errors import UsageError
from sightline.models import build_model, summarize
from sightline.models.blocks import BasicBlockV1, BasicBlockV2, BlockPlan, BottleneckV1, BottleneckV2
from sightline.models.initializers import initialize
from sightline.models.resnet import plan_stages
from sightline.models.same_padding import SameMaxPool
from sightline.models.shortcuts import PoolPad, StridePad
from sightline.settings.model import MODEL_PRESETS, ResNetSettings

BLOCKS = {
    (1, "basic"): BasicBlockV1,
    (1, "bottleneck"): BottleneckV1,
    (2, "basic"): BasicBlockV2,
    (2, "bottleneck"): BottleneckV2,
}
SHORTCUTS = ("identity", "projection", "pool_pad", "stride_pad")


def preset(name: str, **changes: object) -> ResNetSettings:
    return ResNetSettings.model_validate({**MODEL_PRESETS[name], **changes})


def randomized(model: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter and running statistic away from its initial value, so that none can be mixed up unseen."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in itertools.chain(model.named_parameters(), model.named_buffers()):
            if name.endswith("running_var") or ("norm" in name.rsplit(".", 2)[-2] and name.endswith("weight")):
                tensor.uniform_(0.5, 1.5, generator=generator)
            elif tensor.dim() == 1:
                tensor.normal_(0, 0.1, generator=generator)
    return model


@pytest.mark.parametrize(
    ("name", "parameters", "macs"),
    [
        # parameters and giga-MACs as torchvision publishes them for its ImageNet weights
        ("resnet18", 11_689_512, 1.814),
        ("resnet34", 21_797_672, 3.664),
        ("resnet50", 25_557_032, 4.089),
        ("resnet101", 44_549_160, 7.801),
        ("resnet152", 60_192_808, 11.514),
    ],
)
def test_imagenet_networks_have_the_published_parameters_and_macs(name, parameters, macs):
    model = build_model(preset(name), channels=3, image_size=(224, 224), num_classes=1000, seed=0)
    summary = summarize(model, 3, (224, 224))
    assert summary.parameters == parameters
    assert summary.macs / 1e9 == pytest.approx(macs, abs=5e-4)


@pytest.mark.parametrize("shortcut", ["pool_pad", "stride_pad"])
@pytest.mark.parametrize(("name", "parameters"), [("resnet20", 269_722), ("resnet110", 1_727_962)])
def test_cifar_networks_have_the_published_parameters(name, parameters, shortcut):
    settings = preset(name, shortcut=shortcut)
    model = build_model(settings, channels=3, image_size=(32, 32), num_classes=10, seed=0)
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_resnet20_macs_in_closed_form():
    model = build_model(preset("resnet20", shortcut="stride_pad"), channels=3, image_size=(32, 32), num_classes=10)
    stem = 32 * 32 * 9 * 3 * 16
    stage1 = 6 * 32 * 32 * 9 * 16 * 16
    stage2 = 16 * 16 * 9 * (16 * 32 + 5 * 32 * 32)
    stage3 = 8 * 8 * 9 * (32 * 64 + 5 * 64 * 64)
    summary = summarize(model, 3, (32, 32))
    assert summary.macs == stem + stage1 + stage2 + stage3 + 64 * 10
    assert summary.macs / 1e6 == pytest.approx(40.6, abs=0.05)


def test_every_stage_projects_where_told_even_at_equal_widths():
    often = plan_stages(preset("resnet20", project="every_stage"))
    seldom = plan_stages(preset("resnet20"))
    assert [[b.shortcut for b in stage] for stage in often] == [["projection", "identity", "identity"]] * 3
    assert [stage[0].shortcut for stage in seldom] == ["identity", "projection", "projection"]
    assert [stage[0].stride for stage in often] == [1, 2, 2]
    first = plan_stages(preset("resnet50"))[0][0]
    assert (first.entering, first.width, first.leaving, first.stride, first.shortcut) == (64, 64, 256, 1, "projection")


def test_parameter_free_shortcuts_refuse_a_narrower_stage():
    settings = ResNetSettings(stem="small", stage_depths=(1, 1), stage_widths=(16, 8), shortcut="stride_pad")
    with pytest.raises(UsageError, match="from 16 to 8 channels") as caught:
        build_model(settings, channels=1, image_size=(8, 8), num_classes=2)
    assert caught.value.exit_code == 2


def make_block(version: int, kind: str, shortcut: str, **changes: object) -> nn.Module:
    """A small block: identity keeps 2 channels at stride 1, the others go from 1 to 4 at stride 2."""
    settings = ResNetSettings.model_validate({"resnet_version": version, "block": kind, "conv_bias": True, **changes})
    entering, leaving, stride = (2, 2, 1) if shortcut == "identity" else (1, 4, 2)
    width = 2 if kind == "bottleneck" else leaving
    plan = BlockPlan(entering, width, leaving, stride, shortcut)
    block = BLOCKS[version, kind](plan, settings)
    initialize(block, settings.init, torch.Generator().manual_seed(1))
    return block


@pytest.mark.parametrize("training", [True, False], ids=["batch-statistics", "moving-statistics"])
@pytest.mark.parametrize("shortcut", SHORTCUTS)
@pytest.mark.parametrize(("version", "kind"), BLOCKS)
def test_block_gradients_agree_with_finite_differences(version, kind, shortcut, training):
    block = randomized(make_block(version, kind, shortcut)).double().train(training)
    names = [name for name, _ in block.named_parameters()]
    values = [p.detach().clone().requires_grad_() for p in block.parameters()]
    channels = 2 if shortcut == "identity" else 1
    x = torch.randn(2, channels, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))

    def run(x: Tensor, *parameters: Tensor) -> Tensor:
        return functional_call(block, dict(zip(names, parameters, strict=True)), (x,))

    # entry by entry with batch statistics; along random directions, which is quicker, with moving ones
    assert torch.autograd.gradcheck(run, (x.requires_grad_(), *values), fast_mode=not training)


@pytest.mark.parametrize(("version", "kind"), BLOCKS)
def test_zeroed_branch_gives_relu_of_x_in_v1_and_x_in_v2(version, kind):
    block = randomized(make_block(version, kind, "identity"))
    x = torch.randn(2, 2, 5, 5, generator=torch.Generator().manual_seed(3))
    assert not torch.equal(block(x), F.relu(x) if version == 1 else x)
    last_norm = block.norm3 if kind == "bottleneck" else block.norm2
    block.zero_branch()
    nn.init.zeros_(last_norm.bias) if version == 1 else None
    assert torch.equal(block(x), F.relu(x) if version == 1 else x)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("kind", ["basic", "bottleneck"])
def test_zero_residual_builds_blocks_that_start_as_their_shortcut(version, kind):
    settings = ResNetSettings.model_validate(
        {"resnet_version": version, "block": kind, "zero_residual": True, "conv_bias": True, "init": "torch"}
        | {"stem": "small", "stage_depths": (2,), "stage_widths": (4,)}
    )
    model = build_model(settings, channels=3, image_size=(6, 6), num_classes=2, seed=0)
    block = model.get_submodule("body.stage1.block2")
    x = torch.randn(2, 4 if kind == "basic" else 16, 6, 6)
    assert torch.equal(block(x), F.relu(x) if version == 1 else x)


def test_shortcuts_without_parameters_by_hand():
    x = torch.tensor([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]]])
    pooled, strided = PoolPad(4, 2)(x), StridePad(4, 2)(x)
    # one channel becomes four: one zero channel in front, two behind; an odd edge is averaged over what is left
    assert torch.equal(pooled[0, 1], torch.tensor([[3.0, 4.5], [7.5, 9.0]]))
    assert torch.equal(strided[0, 1], torch.tensor([[1.0, 3.0], [7.0, 9.0]]))
    for out in (pooled, strided):
        assert out.shape == (1, 4, 2, 2)
        assert not out[0, [0, 2, 3]].any()


def reference_v1_18(w: dict[str, Tensor], x: Tensor, projection_norm: bool) -> Tensor:
    """ResNet-18 written out flat from arXiv 1512.03385, table 1, with nothing of ours."""

    def bn(x: Tensor, name: str) -> Tensor:
        return F.batch_norm(
            x, w[f"{name}.running_mean"], w[f"{name}.running_var"], w[f"{name}.weight"], w[f"{name}.bias"], eps=1e-3
        )

    def conv(x: Tensor, name: str, stride: int, padding: int) -> Tensor:
        return F.conv2d(x, w[f"{name}.weight"], w.get(f"{name}.bias"), stride, padding)

    x = F.max_pool2d(F.relu(bn(conv(x, "body.stem.conv", 2, 3), "body.stem.norm")), 3, 2, 1)
    for stage in (1, 2, 3, 4):
        for number in (1, 2):
            block = f"body.stage{stage}.block{number}"
            halves = stage > 1 and number == 1
            y = F.relu(bn(conv(x, f"{block}.conv1", 2 if halves else 1, 1), f"{block}.norm1"))
            y = bn(conv(y, f"{block}.conv2", 1, 1), f"{block}.norm2")
            if halves:
                x = conv(x, f"{block}.shortcut.conv", 2, 0)
                if projection_norm:
                    x = bn(x, f"{block}.shortcut.norm")
            x = F.relu(y + x)
    return F.linear(x.mean((2, 3)), w["head.dense.weight"], w["head.dense.bias"])


@pytest.mark.parametrize(("conv_bias", "projection_norm"), [(False, True), (True, False)])
def test_resnet18_agrees_with_a_flat_reference(conv_bias, projection_norm):
    settings = preset("resnet18", conv_bias=conv_bias, projection_norm=projection_norm, bn_eps=1e-3)
    model = build_model(settings, channels=3, image_size=(45, 64), num_classes=7, seed=4)
    randomized(model).eval()
    x = torch.randn(2, 3, 45, 64, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        expected = reference_v1_18(model.state_dict(), x, projection_norm)
        assert expected.std() > 0.01
        assert (model(x) - expected).abs().max() < 1e-5 * max(1, expected.abs().max())
        assert torch.equal(model.forward_head(model.forward_features(x)), model(x))


def reference_v2_bottleneck(w: dict[str, Tensor], x: Tensor) -> Tensor:
    """Three stages of two pre-activation bottlenecks (arXiv 1603.05027, figure 4e), projecting in every stage."""

    def active(x: Tensor, name: str) -> Tensor:
        running = (w[f"{name}.running_mean"], w[f"{name}.running_var"])
        return F.relu(F.batch_norm(x, *running, w[f"{name}.weight"], w[f"{name}.bias"], eps=1e-5))

    x = F.conv2d(x, w["body.stem.weight"], padding=1)
    for stage in (1, 2, 3):
        for number in (1, 2):
            block = f"body.stage{stage}.block{number}"
            stride = 2 if stage > 1 and number == 1 else 1
            a = active(x, f"{block}.norm1")
            past = F.conv2d(a, w[f"{block}.shortcut.conv.weight"], stride=stride) if number == 1 else x
            y = F.conv2d(a, w[f"{block}.conv1.weight"])
            y = F.conv2d(active(y, f"{block}.norm2"), w[f"{block}.conv2.weight"], stride=stride, padding=1)
            x = past + F.conv2d(active(y, f"{block}.norm3"), w[f"{block}.conv3.weight"])
    return F.linear(active(x, "body.norm.norm").mean((2, 3)), w["head.dense.weight"], w["head.dense.bias"])


def test_v2_bottleneck_network_agrees_with_a_flat_reference():
    settings = ResNetSettings(
        resnet_version=2,
        block="bottleneck",
        stem="small",
        stage_depths=(2, 2, 2),
        stage_widths=(4, 8, 16),
        project="every_stage",
    )
    model = build_model(settings, channels=3, image_size=(17, 16), num_classes=5, seed=6)
    randomized(model).eval()
    x = torch.randn(2, 3, 17, 16, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        expected = reference_v2_bottleneck(model.state_dict(), x)
        assert expected.std() > 0.01
        assert (model(x) - expected).abs().max() < 1e-5 * max(1, expected.abs().max())
    assert not any("shortcut.norm" in name for name in model.state_dict())


def test_bn_decay_is_the_part_of_the_running_mean_that_is_kept():
    settings = ResNetSettings(stem="small", stage_depths=(1,), stage_widths=(4,), bn_decay=0.75)
    model = build_model(settings, channels=1, image_size=(6, 6), num_classes=2, seed=0)
    stem = model.get_submodule("body.stem")
    x = torch.randn(8, 1, 6, 6)
    expected = 0.25 * stem.conv(x).mean((0, 2, 3))
    model(x)
    assert torch.allclose(stem.norm.running_mean, expected, atol=1e-6)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("shortcut", ["projection", "pool_pad", "stride_pad"])
def test_networks_run_in_bf16_channels_last_and_stay_near_float32(version, shortcut):
    settings = preset("resnet8", resnet_version=version, shortcut=shortcut)
    model = build_model(settings, channels=3, image_size=(16, 16), num_classes=10, seed=0)
    x = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(8))
    expected = model(x)
    model = model.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = model.forward_features(x.contiguous(memory_format=torch.channels_last))
        logits = model.forward_head(features)
    assert features.is_contiguous(memory_format=torch.channels_last)
    assert (logits - expected).abs().max() < 0.05 * expected.abs().max()
    logits.float().logsumexp(1).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("size", [(112, 112), (7, 8), (1, 5)])
def test_same_max_pooling_looks_only_at_the_image(size: tuple[int, int]) -> None:
    """Windows begin at even pixels for even sides, one pixel earlier for odd ones, and end at the image's edge."""
    images = -torch.rand(2, 3, *size) - 1  # a zero from the padding would be the largest
    found = SameMaxPool(3, 2)(images)
    assert found.shape[2:] == (-(-size[0] // 2), -(-size[1] // 2))
    for row, column in ((0, 0), (found.shape[2] - 1, found.shape[3] - 1)):
        top, left = (2 * place - side % 2 for place, side in zip((row, column), size, strict=True))
        window = images[:, :, max(0, top) : top + 3, max(0, left) : left + 3]
        assert torch.equal(found[:, :, row, column], window.amax((2, 3)))
