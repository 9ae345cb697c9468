"""Which images, at what size, and how they are split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from sightline.errors import UsageError
from sightline.settings.base import Section

Fit = Literal["squash", "crop", "pad"]
Interpolation = Literal["bilinear", "bicubic"]
Normalize = Literal["auto", "unit", "symmetric", "dataset", "image", "imagenet", "fixed"]
Figures = Annotated[tuple[float, ...], Field(min_length=1, max_length=3)]


class Resizing(NamedTuple):
    """How a picture of any size becomes one of the network's; `data.decoder.resize` does it."""

    fit: Fit = "squash"
    interpolation: Interpolation = "bilinear"
    crop_fraction: float = 1.0


RESIZING = Resizing()
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
LABEL_FILES = (".csv", ".tsv", ".jsonl", ".ndjson")


LARGEST_SIDE = 4096


def _is_side(value: Any) -> Any:
    """Check the side of the cache as a whole, since each alternative has words for itself alone."""
    if value in ("auto", "input", "larger") or (str(value).isdecimal() and 1 <= int(value) <= LARGEST_SIDE):
        return value
    raise PydanticCustomError("side", "Input should be auto, input, larger or a side of 1 to 4096 pixels")


def _is_fraction(value: Any) -> Any:
    """Check a part of a side, or that it is left open, in one sentence."""
    if value == "auto":
        return value
    try:
        if 0.2 < float(value) <= 1:
            return float(value)
    except (TypeError, ValueError):
        pass
    raise PydanticCustomError("fraction", "Input should be auto, or a number above 0.2 and up to 1")


def _is_fold(value: Any) -> Any:
    """Check which fold of how many is meant, (k, K) with 1 <= k <= K and K >= 2."""
    numbers = [int(part) if str(part).isdecimal() else 0 for part in value] if isinstance(value, list | tuple) else []
    if len(numbers) == 2 and numbers[1] >= 2 and 1 <= numbers[0] <= numbers[1]:
        return tuple(numbers)
    raise PydanticCustomError("fold", "Input should be which fold of how many, as in 2,5")


class DataSettings(Section):
    """Data"""

    name: str = "digits"
    """A dataset's name, or your own pictures: a folder with train/ [val/] test/ or with one folder per class, a label
    file (.csv, .tsv, .jsonl), or an archive (.zip, .tar, .tar.gz, ...) of either."""
    labels: str | None = None
    """Label file (.csv, .tsv, .jsonl) for the pictures of a folder or archive, one row per picture."""
    image_column: str = "auto"
    """Column of the label file that names the picture; auto detects it."""
    label_column: str = "auto"
    """Column of the label file that holds the class; auto detects it."""
    split_column: str = "auto"
    """Column that assigns each picture to train, val or test; auto detects it, none ignores it."""
    group_column: str = "auto"
    """Column that names the group of a picture, such as a person, patient or video; a group is never split. auto
    detects it, none ignores it."""
    data_dir: str | None = None
    """Folder that holds the dataset files (also: SIGHTLINE_DATA)."""
    image_size: Annotated[int, Field(ge=1, le=LARGEST_SIDE)] | None = None
    """Side in pixels to which every image is resized. Default: the size of the pretrained weights, otherwise the
    dataset's own; for a folder it is chosen from the pictures, at most 224."""
    channels: Literal[1, 3] | None = None
    """1 for gray, 3 for color. Default: as in the dataset."""
    fit: Fit = "squash"
    """How to make a picture square that is not."""
    interpolation: Literal["auto", "bilinear", "bicubic"] = "auto"
    """Filter for resizing pictures; auto uses that of the pretrained weights, otherwise bilinear."""
    crop_fraction: Annotated[Literal["auto"] | float, BeforeValidator(_is_fraction)] = "auto"
    """Fraction of each side that the network sees: pictures are resized larger, then center-cropped. auto uses the
    value of the pretrained weights if they come from a model file or timm, otherwise 1."""
    cache_size: Annotated[Literal["auto", "input", "larger"] | int, BeforeValidator(_is_side)] = "auto"
    """Side in pixels of the stored training pictures, from which random crops are cut: input is the network's size,
    larger a third more; auto is larger if random crops are on."""
    normalize: Normalize = "auto"
    """Input scaling: unit is [0, 1], symmetric [-1, 1]. dataset then subtracts the training mean and divides by the
    standard deviation, per channel; image uses each image's own values, imagenet those of ImageNet, fixed `mean` and
    `std`. auto uses those of the pretrained weights, otherwise dataset."""
    mean: Figures | None = None
    """Mean for `normalize: fixed`, one number or one per channel; 1 is the brightest pixel."""
    std: Figures | None = None
    """Standard deviation for `normalize: fixed`, one number or one per channel."""
    validation: Annotated[float, Field(ge=0)] = 0.1
    """Training images held out for validation, stratified by class: a fraction below 1, or a number of images."""
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Fraction held out for testing, stratified by class, if a folder has no test/."""
    fold: Annotated[tuple[int, int], BeforeValidator(_is_fold)] | None = None
    """Which fold to test, and of how many, as in 2,5. A test split of the folder is left out and stays unseen."""
    train_images: Annotated[float, Field(gt=0)] | None = None
    """Number of training images to use, stratified by class, after the test and validation splits: a whole number, or a
    fraction below 1. Default: all."""
    split_seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the splits, separate from the training seed."""
    group: str | None = None
    """Pictures that must stay in one split: parent groups them by folder; a regular expression on the picture's path
    groups them by its first group, such as a person, plant, video or day."""
    near_duplicates: Literal["auto", "together", "anywhere"] = "auto"
    """together keeps near-duplicate pictures of a folder in one split; auto does so in every new run."""
    skip_bad: bool = False
    """Skip unreadable pictures, count and list them, instead of stopping."""
    synthetic_classes: Annotated[int, Field(ge=2)] = 10
    """Number of classes of the synthetic dataset."""
    synthetic_count: Annotated[int, Field(ge=10)] = 1000
    """Number of training images of the synthetic dataset; it has a fifth as many test images."""

    @property
    def resizing(self) -> Resizing:
        """How pictures are brought to their size; what is left to pretrained weights is as without them."""
        crop = 1.0 if self.crop_fraction == "auto" else self.crop_fraction
        return Resizing(self.fit, "bicubic" if self.interpolation == "bicubic" else "bilinear", crop)

    def cache_side(self, side: int) -> int:
        """The side at which training pictures are kept for a network that sees `side` pixels.

        Raises UsageError for one that is smaller.
        """
        if not isinstance(self.cache_size, int):
            return side * 4 // 3 if self.cache_size == "larger" else side
        if self.cache_size < side:
            found = f"{self.cache_size} found, and the network sees {side} pixels"
            raise UsageError("--cache-size", found, f"{side} or more")
        return self.cache_size

    @model_validator(mode="after")
    def _fixed_figures_are_there(self) -> DataSettings:
        given = (self.mean is not None, self.std is not None)
        if given != ((self.normalize == "fixed"),) * 2:
            raise ValueError("normalize fixed needs both mean and std, and no other scaling takes them")
        if self.std is not None and min(self.std) <= 0:
            raise ValueError(f"std has {min(self.std):g}, but must be above 0")
        return self


def has_suffix(name: str, suffixes: Sequence[str]) -> bool:
    """Tell whether a file's name ends in one of `suffixes`, in whatever case."""
    return name.lower().endswith(tuple(suffixes))


def is_own_pictures(name: str) -> bool:
    """Tell whether there is a folder, a label file or an archive at the path `name`."""
    path = Path(name).expanduser()
    return path.is_dir() or (has_suffix(name, ARCHIVES + LABEL_FILES) and path.is_file())


def data_name(settings: DataSettings) -> str:
    """The dataset's name; for a folder the folder's own, for a file the file's without what it is."""
    path = Path(settings.name).resolve()
    suffixes = [suffix for suffix in ARCHIVES + LABEL_FILES if has_suffix(path.name, (suffix,))]
    if not suffixes or path.is_dir():
        return path.name
    return path.name[: -max(map(len, suffixes))] or path.name
