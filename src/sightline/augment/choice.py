"""What is done to a dataset's training images, decided before training, with the reasons in plain lines.

Only mirroring is decided: `flip: auto` mirrors unless the classes may tell left from right. For datasets with a name
the catalog knows; for others the class names are looked at, and doubt leaves flips out. What a named level sets is
there already: settings come with it, since the size at which pictures are read follows from it.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Sequence

from sightline.data.catalog import DATASETS, MIRRORS_KEEP_CLASS
from sightline.settings import AugmentSettings

LONGEST_LINE, NO_BREAK = 110, "\N{NO-BREAK SPACE}"
LONGEST_NAME = 24
DIGIT_WORDS = frozenset({"zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"})
SIDES = frozenset({"left", "right", "clockwise", "anticlockwise", "counterclockwise"})
ENDS = frozenset({"up", "down", "upward", "upwards", "downward", "downwards", "top", "bottom", "upper", "lower"})
CHINESE_ENDS = ("上", "下", "顶", "頂", "底")
CHINESE_SIDES = ("左", "右", "顺时针", "逆时针", "順時針", "逆時針")
# A class whose name becomes another's when such a word or letter is exchanged may be its mirror image.
PARTNERS = {"l": "r", "b": "d", "p": "q", "lt": "rt", "lh": "rh"}


def resolve_augment(
    settings: AugmentSettings, data_name: str, class_names: Sequence[str]
) -> tuple[AugmentSettings, list[str]]:
    """The settings with "auto" decided, and what was chosen and why, in lines of at most 120 characters.

    What was asked for stays, with a warning where it may change a class.
    """
    parts = _parts(settings)
    harm = _harm(data_name, class_names)
    lines: list[str] = []
    if settings.flip == "auto":
        settings = settings.replace(flip="none" if harm else "alternate")
        if harm:
            lines.append(f"no flips, since {harm}")
        elif _is_named(data_name, class_names):
            lines.append(f"flips every second epoch, since mirror images of {data_name} keep their class")
        else:
            count = f"the {len(class_names)} class names"
            lines.append(f"flips every second epoch, since {count} do not distinguish left from right")
    elif settings.flip != "none":
        parts.append("flips at random" if settings.flip == "random" else "flips every second epoch")
        if harm:
            lines.append(f"warning: flips as requested, but {harm}")
    if settings.flip_vertical and (harm := _signs(class_names) or _ends(class_names)):
        lines.append(f"warning: upside down as requested, but {harm}")
    if settings.rotate > 90 and _are_signs(class_names):
        lines.append(f"warning: with rotations up to {settings.rotate:g} degrees, signs such as 6 and 9 look the same")
    level = "" if settings.level == "none" else f", level {settings.level}"
    done = f"augmentation{level}: " + (", ".join(parts) or "none")
    return settings, [*_wrapped(done), *lines]


def _wrapped(text: str) -> list[str]:
    """Break a text into lines after commas alone, so that each part stays whole."""
    unbroken = text.replace(" ", NO_BREAK).replace(f",{NO_BREAK}", ", ")
    wrapped = textwrap.wrap(unbroken, LONGEST_LINE, subsequent_indent="  ", break_on_hyphens=False)
    return [line.replace(NO_BREAK, " ") for line in wrapped]


def _parts(settings: AugmentSettings) -> list[str]:
    """Say what is done but for flips from left to right."""
    parts: list[str] = []
    if settings.random_crop:
        least, most = settings.crop_area
        parts.append(f"random crops of {100 * least:.3g} to {100 * most:.3g} % of the area")
    if settings.shift:
        parts.append(f"shift up to {settings.shift} pixel{'s' if settings.shift > 1 else ''}")
    if settings.rotate:
        parts.append(f"rotate up to {settings.rotate:g} degrees")
    if settings.shear:
        parts.append(f"shear up to {settings.shear:g} degrees")
    if settings.zoom:
        parts.append(f"zoom {1 - settings.zoom:g} to {1 + settings.zoom:g}")
    if settings.randaugment:
        count = f"{settings.randaugment} operation{'s' if settings.randaugment > 1 else ''}"
        parts.append(f"RandAugment with {count} of magnitude {settings.randaugment_magnitude:g}")
    if settings.moves_images:
        edges = {"zero": "black edges", "reflect": "reflected edges", "nearest": "continued edges"}
        parts.append(edges[settings.fill])
    if settings.flip_vertical:
        parts.append("upside down at random")
    if settings.brightness:
        parts.append(f"brightness by up to {100 * settings.brightness:.3g} %")
    if settings.contrast:
        parts.append(f"contrast by up to {100 * settings.contrast:.3g} %")
    if settings.saturation:
        parts.append(f"saturation by up to {100 * settings.saturation:.3g} %")
    if settings.hue:
        parts.append(f"hue by up to {360 * settings.hue:.3g} degrees")
    if settings.erase:
        parts.append(f"random erasing of {100 * settings.erase:.3g} % of images")
    if settings.cutout:
        parts.append(f"a black square of {settings.cutout} pixel{'s' if settings.cutout > 1 else ''}")
    if settings.mixup or settings.cutmix:
        parts.append(" or ".join(["mixup"] * bool(settings.mixup) + ["cutmix"] * bool(settings.cutmix)))
    return parts


def _is_named(data_name: str, class_names: Sequence[str]) -> bool:
    """Whether these are the classes of the dataset of that name, not of a folder called like it."""
    dataset = DATASETS.get(data_name)
    return dataset is not None and dataset.class_names in (None, tuple(class_names))


def _harm(data_name: str, class_names: Sequence[str]) -> str:
    """Say why mirror images may be of another class or of none; "" where nothing speaks for it."""
    if _is_named(data_name, class_names) and data_name in MIRRORS_KEEP_CLASS:
        return ""
    return (
        _signs(class_names)
        or _sides(class_names)
        or ("mirrored patterns belong to no class" if _is_named(data_name, class_names) else "")
    )


def _signs(class_names: Sequence[str]) -> str:
    names = [unicodedata.normalize("NFKC", name).strip().casefold() for name in class_names]
    if all(len(name) == 1 and name.isdecimal() for name in names) or DIGIT_WORDS.issuperset(names):
        return "mirrored digits are other signs, or none"
    if all(name.isdecimal() for name in names):
        return "class names that are numbers do not say whether mirror images keep their class"
    if (single := _single(class_names)) is not None:
        return f"'{single}' looks like a sign, and mirrored it is another sign, or none"
    return ""


def _single(class_names: Sequence[str]) -> str | None:
    """Find a name of one letter, digit or character."""
    return next((name for name in class_names if len(unicodedata.normalize("NFKC", name).strip()) == 1), None)


def _are_signs(class_names: Sequence[str]) -> bool:
    names = {name.strip().casefold() for name in class_names}
    return {"6", "9"} <= names or {"six", "nine"} <= names


def _ends(class_names: Sequence[str]) -> str:
    for name in class_names:
        if ENDS.intersection(_words(name)) or any(end in name for end in CHINESE_ENDS):
            return f"the class '{_short(name)}' distinguishes up from down"
    return ""


def _sides(class_names: Sequence[str]) -> str:
    words = {name: _words(name) for name in class_names}
    for name, found in words.items():
        if SIDES.intersection(found) or any(side in name for side in CHINESE_SIDES):
            return f"the class '{_short(name)}' distinguishes left from right"
    whole = {tuple(found): name for name, found in words.items()}
    for name, found in words.items():
        for at, word in enumerate(found):
            exchanged = (*found[:at], PARTNERS.get(word, ""), *found[at + 1 :])
            if exchanged in whole:
                return f"the classes '{_short(name)}' and '{_short(whole[exchanged])}' may mirror each other"
    joined = {"".join(found): name for name, found in words.items()}
    for text, name in joined.items():
        other = joined.get(text.replace("left", "right"), name)
        if other != name:
            return f"the classes '{_short(name)}' and '{_short(other)}' may mirror each other"
    return ""


def _words(name: str) -> list[str]:
    """Split a name at what is no letter and where a capital follows a small letter: turnLeft_2 is turn, left, 2."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFKC", name))
    return re.findall(r"[^\W\d_]+|\d+", spaced.casefold())


def _short(name: str) -> str:
    name = " ".join(name.split())
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
