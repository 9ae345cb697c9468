"""The residual family: version 1 (arXiv 1512.03385) and version 2 (arXiv 1603.05027), of any depth and width.

Version 1 has batch norm and ReLU behind the first convolution, version 2 before the last pooling. Strided layers pad
both sides equally, as the papers' programs do, or as TensorFlow's 'same' (the convolutions of `cifar10-resnet18`, the
max pooling of the official ResNet). Either way each halving gives ceil(H / 2) pixels, and any image of at least one
pixel goes through.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from sightline.errors import UsageError
from sightline.models.blocks import (
    EXPANSION,
    BasicBlockV1,
    BasicBlockV2,
    BlockPlan,
    BottleneckV1,
    BottleneckV2,
    ResidualBlock,
    conv,
    norm,
)
from sightline.models.network import ConvNormReLU, GlobalMean, Network, NormReLU
from sightline.models.same_padding import SameMaxPool
from sightline.settings.model import ResNetSettings

LEAST_FOR_IMAGENET_STEM = 64


def plan_stages(settings: ResNetSettings) -> tuple[tuple[BlockPlan, ...], ...]:
    """Give the numbers of every block, stage by stage.

    Raises UsageError where a stage narrows and the shortcut is one that can only add channels.
    """
    stages: list[tuple[BlockPlan, ...]] = []
    entering = settings.stage_widths[0]
    for number, (depth, width) in enumerate(zip(settings.stage_depths, settings.stage_widths, strict=True)):
        first = _first_block(settings, entering, width, stride=1 if number == 0 else 2)
        leaving = first.leaving
        rest = BlockPlan(leaving, width, leaving, 1, "identity")
        stages.append((first, *[rest] * (depth - 1)))
        entering = leaving
    return tuple(stages)


def _first_block(settings: ResNetSettings, entering: int, width: int, stride: int) -> BlockPlan:
    leaving = width if settings.block == "basic" else EXPANSION * width
    if stride > 1 or entering != leaving:
        shortcut = settings.shortcut
    else:
        every_stage = settings.shortcut == "projection" and settings.project == "every_stage"
        shortcut = "projection" if every_stage else "identity"
    if shortcut in ("pool_pad", "stride_pad") and leaving < entering:
        found = f"a stage goes from {entering} to {leaving} channels, and {shortcut} can only add channels"
        raise UsageError("--stage-widths", found, advice="Use --shortcut projection.")
    return BlockPlan(entering, width, leaving, stride, shortcut)


def build_resnet(settings: ResNetSettings, channels: int, image_size: tuple[int, int], num_classes: int) -> Network:
    """Lay out a `resnet`; the image size decides only which stem `auto` is."""
    stages = plan_stages(settings)
    block_type = _block_type(settings)
    small = settings.stem == "small" or (settings.stem == "auto" and min(image_size) < LEAST_FOR_IMAGENET_STEM)
    body = _stem(settings, channels, small=small)
    for number, stage in enumerate(stages, start=1):
        blocks = ((f"block{i}", block_type(plan, settings)) for i, plan in enumerate(stage, start=1))
        body[f"stage{number}"] = nn.Sequential(OrderedDict(blocks))
    leaving = stages[-1][-1].leaving
    if settings.resnet_version == 2:
        body["norm"] = NormReLU(norm(leaving, settings))
    head = OrderedDict[str, nn.Module](pool=GlobalMean(), dense=nn.Linear(leaving, num_classes))
    return Network(nn.Sequential(body), nn.Sequential(head))


def zero_residual_branches(network: nn.Module) -> None:
    """Let every residual block start as its shortcut."""
    for module in network.modules():
        if isinstance(module, ResidualBlock):
            module.zero_branch()


def _stem(settings: ResNetSettings, channels: int, *, small: bool) -> OrderedDict[str, nn.Module]:
    width = settings.stage_widths[0]
    first = conv(channels, width, 3, 1, settings) if small else conv(channels, width, 7, 2, settings)
    stem = OrderedDict[str, nn.Module]()
    stem["stem"] = ConvNormReLU(first, norm(width, settings)) if settings.resnet_version == 1 else first
    if not small:
        same = settings.pool_padding == "same"
        stem["stem_pool"] = SameMaxPool(3, 2) if same else nn.MaxPool2d(3, stride=2, padding=1)
    return stem


def _block_type(settings: ResNetSettings) -> type[ResidualBlock]:
    if settings.block == "basic":
        return BasicBlockV1 if settings.resnet_version == 1 else BasicBlockV2
    return BottleneckV1 if settings.resnet_version == 1 else BottleneckV2
