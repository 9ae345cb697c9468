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
    """A dataset's name; or pictures of one's own: a folder with train/ [val/] test/ or with one folder per class, a
    file of labels (.csv, .tsv, .jsonl), or an archive (.zip, .tar, .tar.gz, ...) of either."""
    labels: str | None = None
    """File of labels (.csv, .tsv, .jsonl) for the pictures of a folder or archive, a row for each."""
    image_column: str = "auto"
    """Column of a file of labels that names the picture; auto finds it."""
    label_column: str = "auto"
    """Column that has the class; auto finds it."""
    split_column: str = "auto"
    """Column that says which part a picture belongs to, train, val or test; auto finds it, none takes no column."""
    group_column: str = "auto"
    """Column that says what belongs together and so to one part only: a person, patient or video; auto finds it, none
    takes no column."""
    data_dir: str | None = None
    """Folder that holds the dataset files (also: SIGHTLINE_DATA)."""
    image_size: Annotated[int, Field(ge=1, le=LARGEST_SIDE)] | None = None
    """Side in pixels that every image is brought to; left out: that of pretrained weights, without them the dataset's
    own, for a folder chosen from its pictures, 224 at most."""
    channels: Literal[1, 3] | None = None
    """1 gray, 3 colour; left out: as the dataset has it."""
    fit: Fit = "squash"
    """How a picture that is not square is made square."""
    interpolation: Literal["auto", "bilinear", "bicubic"] = "auto"
    """Filter that resizes pictures; auto is that of pretrained weights, without them bilinear."""
    crop_fraction: Annotated[Literal["auto"] | float, BeforeValidator(_is_fraction)] = "auto"
    """Part of each side that the network sees: pictures are made larger by its inverse, and the middle is cut out; auto
    is that of pretrained weights where these are a model file's or timm's, else 1."""
    cache_size: Annotated[Literal["auto", "input", "larger"] | int, BeforeValidator(_is_side)] = "auto"
    """Side in pixels at which training pictures are kept, for random crops to be cut from: input is the network's,
    larger a third more; auto is larger where random crops are asked for."""
    normalize: Normalize = "auto"
    """Input scaling: unit is [0, 1] only, symmetric [-1, 1]; dataset then subtracts the training part's mean and
    divides by its deviation, per channel; image does so with each image's own figures, imagenet with those of ImageNet,
    fixed with `mean` and `std`; auto is that of pretrained weights, without them dataset."""
    mean: Figures | None = None
    """What `normalize: fixed` subtracts, one number or one per channel, where the brightest pixel is 1."""
    std: Figures | None = None
    """What `normalize: fixed` then divides by, one number or one per channel."""
    validation: Annotated[float, Field(ge=0)] = 0.1
    """Part of the training images held out for validation, by stratum: a fraction below 1, or a number of images."""
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Part held out as test images, by stratum, where a folder has no test/."""
    fold: Annotated[tuple[int, int], BeforeValidator(_is_fold)] | None = None
    """Which fold of how many is tested, as 2,5: of all pictures but those of a test part, which then stays unseen."""
    train_images: Annotated[float, Field(gt=0)] | None = None
    """How many of the training images train, by stratum, once test and validation are set aside: a whole number, or a
    fraction below 1; left out: all."""
    split_seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the splits, apart from the seed of training."""
    group: str | None = None
    """What belongs together and so to one part only: parent, for the pictures of one folder, or a regular expression in
    a picture's path, whose first group names its person, plant, video or day."""
    near_duplicates: Literal["auto", "together", "anywhere"] = "auto"
    """together keeps nearly equal pictures of a folder in one part; auto does so in every new run."""
    skip_bad: bool = False
    """Leave unreadable pictures out, counted and named, instead of stopping."""
    synthetic_classes: Annotated[int, Field(ge=2)] = 10
    """Number of classes of the synthetic dataset."""
    synthetic_count: Annotated[int, Field(ge=10)] = 1000
    """Number of training images of the synthetic dataset; a fifth as many test images come with them."""

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
    """Tell whether there is a folder, a file of labels or an archive at the path `name`."""
    path = Path(name).expanduser()
    return path.is_dir() or (has_suffix(name, ARCHIVES + LABEL_FILES) and path.is_file())


def data_name(settings: DataSettings) -> str:
    """The dataset's name; for a folder the folder's own, for a file the file's without what it is."""
    path = Path(settings.name).resolve()
    suffixes = [suffix for suffix in ARCHIVES + LABEL_FILES if has_suffix(path.name, (suffix,))]
    if not suffixes or path.is_dir():
        return path.name
    return path.name[: -max(map(len, suffixes))] or path.name
