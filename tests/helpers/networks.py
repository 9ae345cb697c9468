"""AlexNet's and GoogLeNet's settings, their networks without storage, and images of chance."""

from __future__ import annotations

import torch
from torch import Tensor

from sightline.models import Network
from sightline.models.alexnet import build_alexnet
from sightline.models.googlenet import build_googlenet
from sightline.settings.model import MODEL_PRESETS, AlexNetSettings, GoogLeNetSettings

PAPER = GoogLeNetSettings()
NORMED = GoogLeNetSettings(batch_norm=True, wide_kernel=3)
SMALL_ALEXNET = AlexNetSettings.model_validate(dict(MODEL_PRESETS["alexnet-small"]))


def outline(
    settings: AlexNetSettings | GoogLeNetSettings, size: int, channels: int = 3, classes: int = 1000
) -> Network:
    """The network without storage."""
    build = build_alexnet if isinstance(settings, AlexNetSettings) else build_googlenet
    with torch.device("meta"):
        return build(settings, channels, (size, size), classes)  # pyright: ignore[reportArgumentType]


def images(count: int, channels: int, height: int, width: int | None = None) -> Tensor:
    return torch.randn(count, channels, height, width or height, generator=torch.Generator().manual_seed(1))
