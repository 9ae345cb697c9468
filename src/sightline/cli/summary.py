"""`sightline summary`: a network part by part."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from sightline.cli.flags import given, setting_flags
from sightline.cli.output import AS_TEXT, Output, print_json
from sightline.errors import UsageError, unknown
from sightline.settings import flat_fields
from sightline.settings.merge import flag_of

if TYPE_CHECKING:
    from sightline.models import ModelSummary
    from sightline.settings import DataSettings, ModelSettings

    ModelFlags = Any
    NONE_GIVEN: Any = None
else:
    ModelFlags = setting_flags(names=[f.name for f in flat_fields().values() if f.section == "model" != f.name])
    NONE_GIVEN = ModelFlags()

SUMMARY = Group("Summary", sort_key=1)
INPUT = re.compile(r"([1-9]\d{0,3})x([1-9]\d{0,4})x([1-9]\d{0,4})")


def summary(
    model: Annotated[
        str, Parameter(group=SUMMARY, help="A preset, a family, a recipe, a run's folder or a model file.")
    ],
    /,
    *,
    input: Annotated[
        str | None,
        Parameter(group=SUMMARY, metavar="CxHxW", help="Channels, height and width of an image. [the network's usual]"),
    ] = None,
    classes: Annotated[int | None, Parameter(group=SUMMARY, metavar="N", help="Number of classes. [10]")] = None,
    flags: ModelFlags = NONE_GIVEN,
    output: Output = AS_TEXT,
) -> None:
    """Show a network's parts and totals."""
    shape = _shape(input) if input is not None else None
    if classes is not None and classes < 2:
        raise UsageError("--classes", f"{classes} found", "it should be at least 2")
    with output.working():
        found = _summarize(model, shape, classes, given(flags))
    if output.json:
        print_json({"model": model, **found.to_dict()})
    else:
        _show(found)


def _shape(text: str) -> tuple[int, int, int]:
    match = INPUT.fullmatch(text.lower())
    if match is None:
        raise UsageError(
            "--input", f"'{text}' found", "channels, height and width are needed", "as in --input 1x224x224"
        )
    channels, height, width = map(int, match.groups())
    return channels, height, width


def _summarize(
    name: str, shape: tuple[int, int, int] | None, classes: int | None, flags: dict[str, Any]
) -> ModelSummary:
    # As with data, a known name is meant even where a folder is called so; ./NAME is the folder.
    is_path = not _is_known(name) and Path(name).exists()
    settings, own_shape, own_classes = _trained(name, flags) if is_path else _named(name, flags)
    from sightline.models import build_model, summarize

    channels, height, width = shape or own_shape or _usual_input(settings)
    network = build_model(
        settings, channels=channels, image_size=(height, width), num_classes=classes or own_classes or 10, seed=0
    )
    return summarize(network, channels, (height, width))


def _is_known(name: str) -> bool:
    from sightline.recipes import recipe_names
    from sightline.settings.merge import network_names, section_kinds

    return name in {*recipe_names(), *network_names(), *section_kinds("model")}


def _named(name: str, flags: dict[str, Any]) -> tuple[ModelSettings, tuple[int, int, int] | None, int | None]:
    """Give the network of a preset, a family or a recipe, changed by flags; with a recipe its input and classes."""
    from sightline.recipes import load_recipe, recipe_names
    from sightline.settings import build_settings
    from sightline.settings.merge import network_names

    shape, classes = None, None
    if name in recipe_names():
        settings = build_settings(load_recipe(name).settings, flags)
        shape, classes = _input_of(settings.data)
    elif _is_known(name):
        settings = build_settings({}, {"model": name, **flags})
    else:
        raise unknown("MODEL", name, {*recipe_names(), *network_names()})
    assert settings.model is not None
    return settings.model, shape, classes


def _input_of(data: DataSettings) -> tuple[tuple[int, int, int] | None, int | None]:
    """Give the images and the number of classes that a recipe trains on, None where its data decide."""
    from sightline.data.catalog import DATASETS

    known = DATASETS.get(data.name)
    if known is None:
        return None, None
    height, width, channels = known.size or (32, 32, 3)
    shape = (data.channels or channels, data.image_size or height, data.image_size or width)
    return shape, len(known.class_names) if known.class_names else data.synthetic_classes


def _trained(name: str, flags: dict[str, Any]) -> tuple[ModelSettings, tuple[int, int, int], int]:
    """Give the network, input and number of classes of a run or a model file."""
    if flags:
        raise UsageError(
            flag_of(next(iter(flags))), f"given with the trained model {name}", "a trained model is as it is"
        )
    from sightline.classifier import load

    classifier = load(name, device="cpu")
    if classifier.model is None:
        raise UsageError(name, "a module of your own", "a network that Sightline builds")
    seen = classifier.preprocessing
    return classifier.model, (seen.channels, seen.height, seen.width), len(classifier.class_names)


def _usual_input(settings: ModelSettings) -> tuple[int, int, int]:
    """Give the image size that a network was made for: ImageNet's, CIFAR's or MNIST's."""
    from sightline.settings import AlexNetSettings, GoogLeNetSettings, ResNetSettings

    match settings:
        case (
            AlexNetSettings(form="full") | ResNetSettings(stem="imagenet") | GoogLeNetSettings(stem="imagenet" | "auto")
        ):
            return 3, 224, 224
        case ResNetSettings() | GoogLeNetSettings():
            return 3, 32, 32
        case _:
            return 1, 28, 28


def _show(found: ModelSummary) -> None:
    from sightline.cli.tables import facts, table

    table(
        ["part", "type", "output", "parameters", "MACs"],
        [
            [part.name, part.type, _dimensions(part.output), f"{part.parameters:,}", f"{part.macs:,}"]
            for part in found.parts
        ],
        total=["total", "", "", f"{found.parameters:,}", f"{found.macs:,}"],
    )
    rows = [("input", _dimensions(found.input)), ("weights", f"{4 * found.parameters / 2**20:.1f} MiB in float32")]
    idle = sum(part.parameters for part in found.parts if part.output is None)
    if idle:
        rows.append(("auxiliary", f"{idle:,} parameters are of heads that run in training only"))
    facts(rows)


def _dimensions(shape: tuple[int, ...] | None) -> str:
    return "x".join(map(str, shape)) if shape else ""
