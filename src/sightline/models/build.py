"""From settings to a network with fresh weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from sightline.errors import UsageError
from sightline.models.alexnet import build_alexnet
from sightline.models.cnn import build_cnn
from sightline.models.efficientnet import build_efficientnet
from sightline.models.googlenet import build_googlenet
from sightline.models.initializers import initialize
from sightline.models.network import Network
from sightline.models.resnet import build_resnet, zero_residual_branches
from sightline.models.resnet_pad import build_resnet_pad
from sightline.models.sprint import build_sprint, start_as_identity
from sightline.models.timm_network import build_timm, lay_out_timm
from sightline.settings.model import (
    AlexNetSettings,
    CnnSettings,
    EfficientNetSettings,
    GoogLeNetSettings,
    ModelSettings,
    PadResNetSettings,
    ResNetSettings,
    SprintSettings,
    TimmSettings,
)

BUILDERS: Mapping[type[Any], Callable[..., Network]] = {
    CnnSettings: build_cnn,
    ResNetSettings: build_resnet,
    PadResNetSettings: build_resnet_pad,
    AlexNetSettings: build_alexnet,
    GoogLeNetSettings: build_googlenet,
    SprintSettings: build_sprint,
    EfficientNetSettings: build_efficientnet,
    TimmSettings: lay_out_timm,
}
"""Each family's function (settings, channels, (H, W), classes) -> Network."""
FAN_IN = (GoogLeNetSettings, EfficientNetSettings)
"""Families whose branches widen and narrow, where the rule `he` takes the fan-in."""


def build_model(
    settings: ModelSettings, *, channels: int, image_size: tuple[int, int], num_classes: int, seed: int | None = None
) -> Network:
    """Build the network that `settings` describe, in float32 on the CPU, with fresh weights.

    `image_size` is (H, W). The weights depend on `seed` alone, and torch's global generator is neither read nor
    changed; None takes a seed from the operating system. Raises UsageError for an image that is too small, naming the
    least size, and for stages that no parameter-free shortcut can join.
    """
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    if isinstance(settings, TimmSettings):
        _check_counts(channels, image_size, num_classes)
        return build_timm(settings, channels, image_size, num_classes, generator)
    network = lay_out(settings, channels=channels, image_size=image_size, num_classes=num_classes)
    network.to_empty(device="cpu")
    initialize(network, settings.init, generator, "fan_in" if isinstance(settings, FAN_IN) else "fan_out")
    if isinstance(settings, ResNetSettings) and settings.zero_residual:
        zero_residual_branches(network)
    if isinstance(settings, SprintSettings) and settings.identity_start:
        start_as_identity(network)
    return network


def lay_out(settings: ModelSettings, *, channels: int, image_size: tuple[int, int], num_classes: int) -> Network:
    """Build the same network without memory for its tensors, which have names and shapes only. Errors as there."""
    _check_counts(channels, image_size, num_classes)
    with torch.device("meta"):  # it allocates and draws nothing, so every value comes from `initialize` or a file
        return BUILDERS[type(settings)](settings, channels, image_size, num_classes)


def _check_counts(channels: int, image_size: tuple[int, int], num_classes: int) -> None:
    height, width = image_size
    if min(height, width) < 1:
        raise UsageError("--image-size", f"{height}x{width} found", "at least 1x1")
    for subject, count in (("channels", channels), ("classes", num_classes)):
        if count < 1:
            raise UsageError(subject, f"{count} found", "1 or more")
