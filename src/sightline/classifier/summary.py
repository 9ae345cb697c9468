"""`sightline summary`: a network part by part, by its name, its recipe, or as it was trained."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightline.classifier.load import load
from sightline.data.catalog import DATASETS
from sightline.errors import UsageError, unknown
from sightline.recipes import load_recipe, recipe_names
from sightline.recipes.weights_input import published_input
from sightline.settings import (
    AlexNetSettings,
    DataSettings,
    EfficientNetSettings,
    GoogLeNetSettings,
    ModelSettings,
    ResNetSettings,
    TimmSettings,
    build_settings,
)
from sightline.settings.merge import ALL_NETWORKS, flag_of, is_network, network_names

if TYPE_CHECKING:
    from sightline.models import ModelSummary

INPUT = re.compile(r"([1-9]\d{0,3})x([1-9]\d{0,4})x([1-9]\d{0,4})")


def summary(
    model: str | Path,
    *,
    input: str | tuple[int, int, int] | None = None,
    classes: int | None = None,
    **settings: Any,
) -> ModelSummary:
    """Describe a network: its parts, their output shapes for one image, parameters and multiply-adds.

    `model`: a preset, a family, a recipe, a run's folder or a model file. A known name takes precedence over a folder
    with the same name; `./NAME` is the folder. `input`: channels, height and width of an image, or a string such as
    "1x224x224"; by default, what the network was trained with or made for. `classes`: number of classes; by default the
    model's, or 10. `settings`: network settings by name, for a network that is not trained.

    Raises UsageError for an unknown name, setting or shape, FileError for a damaged file.
    """
    name = str(model)
    shape = _shape(input) if isinstance(input, str) else input
    if classes is not None and classes < 2:
        raise UsageError("--classes", f"{classes} found", "2 or more")
    is_path = not _is_known(name) and Path(name).exists()
    network_settings, own_shape, own_classes = _trained(name, settings) if is_path else _named(name, settings)
    from sightline.models import build_model, summarize

    channels, height, width = shape or own_shape or _usual_input(network_settings)
    number = classes or own_classes or 10
    network = build_model(network_settings, channels=channels, image_size=(height, width), num_classes=number, seed=0)
    return summarize(network, channels, (height, width))


def _shape(text: str) -> tuple[int, int, int]:
    match = INPUT.fullmatch(text.lower())
    if match is None:
        raise UsageError("--input", f"'{text}' found", "channels, height and width, as in 1x224x224")
    channels, height, width = map(int, match.groups())
    return channels, height, width


def _is_known(name: str) -> bool:
    return name in recipe_names() or is_network(name)


def _named(name: str, flags: Mapping[str, Any]) -> tuple[ModelSettings, tuple[int, int, int] | None, int | None]:
    """Give the network of a preset, a family or a recipe, changed by flags; with a recipe its input and classes."""
    shape, classes = None, None
    if name in recipe_names():
        settings = build_settings(load_recipe(name).settings, flags)
        shape, classes = _input_of(settings.data)
    elif _is_known(name):
        settings = build_settings({}, {"model": name, **flags})
    else:
        listed_by = f"sightline recipes, or {ALL_NETWORKS},"
        raise unknown("MODEL", name, {*recipe_names(), *network_names()}, listed_by=listed_by)
    assert settings.model is not None
    return settings.model, shape, classes


def _input_of(data: DataSettings) -> tuple[tuple[int, int, int] | None, int | None]:
    """Give the images and the number of classes that a recipe trains on, None where its data decide."""
    known = DATASETS.get(data.name)
    if known is None:
        return None, None
    height, width, channels = known.size or (32, 32, 3)
    shape = (data.channels or channels, data.image_size or height, data.image_size or width)
    return shape, len(known.class_names) if known.class_names else data.synthetic_classes


def _trained(name: str, flags: Mapping[str, Any]) -> tuple[ModelSettings, tuple[int, int, int], int]:
    """Give the network, input and number of classes of a run or a model file."""
    if flags:
        found = f"{name} is trained, so its settings cannot be changed"
        raise UsageError(flag_of(next(iter(flags))), found, advice="Leave it out.")

    classifier = load(name, device="cpu")
    if classifier.model is None:
        raise UsageError(name, "it holds a module of your own", "a network that Sightline builds")
    seen = classifier.preprocessing
    return classifier.model, (seen.channels, seen.height, seen.width), len(classifier.class_names)


def _usual_input(settings: ModelSettings) -> tuple[int, int, int]:
    """Give the image size that a network was made for: ImageNet's, CIFAR's or MNIST's."""
    match settings:
        case (
            AlexNetSettings(form="full") | ResNetSettings(stem="imagenet") | GoogLeNetSettings(stem="imagenet" | "auto")
        ):
            return 3, 224, 224
        case EfficientNetSettings() | TimmSettings():
            published = published_input(settings)
            return (3, published.side, published.side) if published else (3, 224, 224)
        case ResNetSettings() | GoogLeNetSettings():
            return 3, 32, 32
        case _:
            return 1, 28, 28
