"""The pictures that pretrained weights were trained with, and settings that follow them.

What a person asks for stands. What is left open becomes what the weights know: their side in pixels, scaling and
filter; without weights, what a network learns well with from nothing. Free of torch, and no tensor is read.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightline.data.preprocessing import Preprocessing
from sightline.runs.folder import RunFolder
from sightline.settings import (
    AlexNetSettings,
    EfficientNetSettings,
    GoogLeNetSettings,
    ModelSettings,
    ResNetSettings,
    Settings,
    model_name,
)
from sightline.settings.data import Interpolation, Normalize

MOST_HEADER_BYTES = 1 << 24


@dataclass(frozen=True)
class WeightsInput:
    """What a network was trained with: `side` in pixels, the scaling, its figures where it is fixed, and the filter."""

    side: int
    normalize: Normalize
    interpolation: Interpolation = "bilinear"
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


LITE = {
    "efficientnet-lite0": WeightsInput(224, "symmetric", "bicubic"),
    "efficientnet-lite1": WeightsInput(240, "symmetric", "bicubic"),
    "efficientnet-lite2": WeightsInput(260, "symmetric", "bicubic"),
    "efficientnet-lite3": WeightsInput(300, "symmetric"),
    "efficientnet-lite4": WeightsInput(380, "symmetric"),
}
"""As in the `pretrained_cfg` of timm 1.0.31."""


def follow_weights(settings: Settings) -> Settings:
    """Decide size, scaling and filter where they are left open, by the weights that the run begins from."""
    found = _input_of_weights(settings.model, settings.finetune.pretrained)
    data = settings.data
    if data.interpolation == "auto":
        data = data.replace(interpolation=found.interpolation if found else "bilinear")
    if data.normalize == "auto" and found:
        data = data.replace(normalize=found.normalize, mean=found.mean, std=found.std)
    elif data.normalize == "auto":
        data = data.replace(normalize="dataset")
    if data.cache_size == "auto":
        data = data.replace(cache_size="larger" if settings.augment.random_crop else "input")
    if data.near_duplicates == "auto":
        data = data.replace(near_duplicates="together")
    if data.image_size is None and found:
        data = data.replace(image_size=found.side)
    return settings.replace(data=data)


def _input_of_weights(model: ModelSettings | None, source: str | None) -> WeightsInput | None:
    if source is None:
        return None
    path = Path(source).expanduser()
    file = RunFolder(path).weights() if path.is_dir() else path
    return (_input_of_own_file(file) if file else None) or published_input(model)


def published_input(model: ModelSettings | None) -> WeightsInput | None:
    """What the networks' publishers trained them with; None for a network that nobody else has."""
    match model:
        case EfficientNetSettings():
            return LITE.get(model_name(model))
        case GoogLeNetSettings():  # torchvision's was trained elsewhere than its other networks
            return WeightsInput(224, "symmetric")
        case ResNetSettings(resnet_version=1) | AlexNetSettings(form="full"):
            return WeightsInput(224, "imagenet")
        case _:
            return None


def _input_of_own_file(path: Path) -> WeightsInput | None:
    """What a model file of Sightline says; None for any other file, and one that `load_pretrained` will refuse."""
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header: dict[str, Any] = json.loads(stream.read(length)) if length < MOST_HEADER_BYTES else {}
        found = Preprocessing.model_validate(json.loads(header["__metadata__"]["sightline"])["preprocessing"])
        if found.per_image:
            return WeightsInput(found.height, "image", found.interpolation)
        return WeightsInput(found.height, "fixed", found.interpolation, found.mean, found.std)
    except (OSError, ValueError, LookupError, TypeError, struct.error):
        return None
