"""The pictures that pretrained weights were trained with, and settings that follow them.

What a person asks for stands. What is left open becomes what the weights know: their side in pixels, scaling and
filter; without weights, what a network learns well with from nothing. Free of torch, and no tensor is read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from sightline.data.preprocessing import FIXED_FIGURES, Preprocessing
from sightline.files.reading import parse_json, refuse_no_file
from sightline.recipes.packaged_weights import IMAGENET
from sightline.recipes.timm_catalog import timm_entry
from sightline.runs.folder import RunFolder
from sightline.settings import (
    AlexNetSettings,
    EfficientNetSettings,
    GoogLeNetSettings,
    ModelSettings,
    ResNetSettings,
    Settings,
    TimmSettings,
    model_name,
)
from sightline.settings.data import Interpolation, Normalize


@dataclass(frozen=True)
class WeightsInput:
    """What a network was trained with: `side` in pixels, the scaling, its figures where it is fixed, and the filter.

    `crop_fraction` is the part of each side that its publishers tested it on.
    """

    side: int
    normalize: Normalize
    interpolation: Interpolation = "bilinear"
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    crop_fraction: float = 1.0


LITE = {
    "efficientnet-lite0": WeightsInput(224, "symmetric", "bicubic"),
    "efficientnet-lite1": WeightsInput(240, "symmetric", "bicubic"),
    "efficientnet-lite2": WeightsInput(260, "symmetric", "bicubic"),
    "efficientnet-lite3": WeightsInput(300, "symmetric"),
    "efficientnet-lite4": WeightsInput(380, "symmetric"),
}
"""As in the `pretrained_cfg` of timm 1.0.31, but for the crop: nothing is cut off unless that is asked for."""


def follow_weights(settings: Settings) -> Settings:
    """Decide size, scaling, filter and crop where they are left open, by the weights that the run begins from.

    Raises UsageError for a network that timm does not have.
    """
    if isinstance(settings.model, TimmSettings):
        timm_entry(settings.model.architecture)
    found = _input_of_weights(settings.model, settings.finetune.pretrained)
    data = settings.data
    if data.interpolation == "auto":
        data = data.replace(interpolation=found.interpolation if found else "bilinear")
    if data.crop_fraction == "auto":
        data = data.replace(crop_fraction=found.crop_fraction if found else 1.0)
    if data.normalize == "auto" and found:
        data = data.replace(normalize=found.normalize, mean=found.mean, std=found.std)
    elif data.normalize == "auto":
        data = data.replace(normalize="dataset")
    if data.image_size is None and found:
        data = data.replace(image_size=found.side)
    return settings.replace(data=data)


def _input_of_weights(model: ModelSettings | None, source: str | None) -> WeightsInput | None:
    if source is None:
        return None
    if source.lower() == IMAGENET:
        return published_input(model)
    path = Path(source).expanduser()
    file = RunFolder(path).weights() if path.is_dir() else path
    return (_input_of_own_file(file) if file else None) or published_input(model)


def published_input(model: ModelSettings | None) -> WeightsInput | None:
    """What a network's publishers trained it with; None for one that nobody else has."""
    match model:
        case EfficientNetSettings():
            return LITE.get(model_name(model))
        case TimmSettings():
            return _input_of_timm(model.architecture)
        case GoogLeNetSettings():  # torchvision's was trained elsewhere than its other networks
            return WeightsInput(224, "symmetric")
        case ResNetSettings(resnet_version=1) | AlexNetSettings(form="full"):
            return WeightsInput(224, "imagenet")
        case _:
            return None


def _input_of_timm(name: str) -> WeightsInput:
    entry = timm_entry(name)
    found = WeightsInput(entry.side, "fixed", entry.interpolation, entry.mean, entry.std, entry.crop_fraction)
    for scaling in ("imagenet", "symmetric"):
        if FIXED_FIGURES[scaling][3] == (entry.mean, entry.std):
            return replace(found, normalize=scaling, mean=None, std=None)
    return found


def _input_of_own_file(path: Path) -> WeightsInput | None:
    """What a model file of Sightline says; None for any other file, and one that `load_pretrained` will refuse."""
    from safetensors import SafetensorError, safe_open

    refuse_no_file(path)
    try:
        with safe_open(path, framework="numpy") as stream:
            header: str = (stream.metadata() or {})["sightline"]
        found = Preprocessing.model_validate(parse_json(header)["preprocessing"])
        if found.per_image:
            return WeightsInput(found.height, "image", found.interpolation, crop_fraction=found.crop_fraction)
        return WeightsInput(found.height, "fixed", found.interpolation, found.mean, found.std, found.crop_fraction)
    except (OSError, SafetensorError, ValueError, LookupError, TypeError):
        return None
