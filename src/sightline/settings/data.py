"""Which images, at what size, and how they are split."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from sightline.settings.base import Section


class DataSettings(Section):
    """Data"""

    name: str = "digits"
    """A dataset's name, or a folder with train/ [val/] test/ or with one folder per class."""
    data_dir: str | None = None
    """Folder that holds the dataset files (also: SIGHTLINE_DATA)."""
    image_size: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Side in pixels that every image is brought to; left out: the dataset's own, for a folder chosen from its
    pictures, 224 at most."""
    channels: Literal[1, 3] | None = None
    """1 gray, 3 colour; left out: as the dataset has it."""
    fit: Literal["squash", "crop", "pad"] = "squash"
    """How a picture that is not square is made square."""
    normalize: Literal["unit", "symmetric", "dataset", "image", "imagenet"] = "dataset"
    """Input scaling: unit is [0, 1] only, symmetric [-1, 1]; dataset then subtracts the training part's mean and
    divides by its deviation, per channel; image does so with each image's own figures, imagenet with those of ImageNet,
    which pretrained weights expect."""
    validation: Annotated[float, Field(ge=0)] = 0.1
    """Part of the training images held out for validation, by stratum: a fraction below 1, or a number of images."""
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Part held out as test images, by stratum, where a folder has no test/."""
    split_seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the splits, apart from the seed of training."""
    skip_bad: bool = False
    """Leave unreadable pictures out, counted and named, instead of stopping."""
    synthetic_classes: Annotated[int, Field(ge=2)] = 10
    """Number of classes of the synthetic dataset."""
    synthetic_count: Annotated[int, Field(ge=10)] = 1000
    """Number of training images of the synthetic dataset; a fifth as many test images come with them."""


def data_name(settings: DataSettings) -> str:
    """The dataset's name, for a folder the folder's own."""
    return Path(settings.name).resolve().name
