"""What is done to every picture before the network: stored in the model file, the same everywhere.

The decoder brings a picture to uint8 of `height` x `width` x `channels`; the network's input step then computes
`(pixel / 255 - mean) / std`, or standardises each image with its own figures.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from sightline.data.image_set import ImageSet
from sightline.errors import UsageError
from sightline.settings.base import Count, Positive, Section
from sightline.settings.data import RESIZING, DataSettings, Fit, Interpolation, Resizing

LEVELS = 256
SMALLEST_STD = 1 / 255
CHUNK_VALUES = 1 << 22
# Mean and deviation that torchvision's and timm's weights were trained with, by number of channels: those of ImageNet's
# pictures (gray images get the mean over the channels), and for GoogLeNet what brings pixels to [-1, 1].
FIXED_FIGURES = {
    "imagenet": {3: ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), 1: ((0.449,), (0.226,))},
    "symmetric": {3: ((0.5,) * 3, (0.5,) * 3), 1: ((0.5,), (0.5,))},
}


class Preprocessing(Section):
    """What is done to every picture before the network.

    `mean` and `std` hold a value per channel, in units where the brightest pixel is 1; 0 and 1 leave the image in
    [0, 1]. With `per_image` the input step standardises each image by its own mean and deviation over all its values,
    the deviation no less than 1/sqrt(values), and `mean` and `std` are 0 and 1.
    """

    height: Count
    width: Count
    channels: Literal[1, 3]
    fit: Fit = "squash"
    interpolation: Interpolation = "bilinear"
    crop_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    mean: Annotated[tuple[float, ...], Field(min_length=1)] = (0.0,)
    std: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1.0,)
    per_image: bool = False

    @model_validator(mode="after")
    def _a_figure_a_channel(self) -> Preprocessing:
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError(
                f"{len(self.mean)} means and {len(self.std)} standard deviations for {self.channels} channels"
            )
        return self

    @property
    def size(self) -> tuple[int, int, int]:
        """(H, W, C) of what enters the network."""
        return self.height, self.width, self.channels

    @property
    def resizing(self) -> Resizing:
        """How pictures are brought to that size."""
        return Resizing(self.fit, self.interpolation, self.crop_fraction)


def unit_preprocessing(
    size: tuple[int, int, int], resizing: Resizing = RESIZING, *, per_image: bool = False
) -> Preprocessing:
    """Make the preprocessing that only scales to [0, 1]. `size` is (H, W, C)."""
    height, width, channels = size
    assert channels in (1, 3)
    return Preprocessing(
        height=height,
        width=width,
        channels=channels,
        **resizing._asdict(),
        mean=(0.0,) * channels,
        std=(1.0,) * channels,
        per_image=per_image,
    )


def fit_preprocessing(train: ImageSet, settings: DataSettings) -> Preprocessing:
    """Make the preprocessing for a model that is trained on `train`, from nothing else of the dataset.

    `normalize: dataset` takes the training images' mean and deviation of each channel, the deviation no less than one
    grey level (1/255), so that a channel that never changes stays finite; `imagenet`, `symmetric` and `fixed` take
    figures that have nothing to do with the training images. Raises UsageError for fixed figures of other channels.
    """
    unit = unit_preprocessing(train.size, settings.resizing, per_image=settings.normalize == "image")
    if settings.normalize in FIXED_FIGURES:
        mean, std = FIXED_FIGURES[settings.normalize][unit.channels]
        return unit.model_copy(update={"mean": mean, "std": std})
    if settings.normalize == "fixed":
        assert settings.mean is not None and settings.std is not None
        mean, std = (_for_channels(figures, unit.channels) for figures in (settings.mean, settings.std))
        return unit.model_copy(update={"mean": mean, "std": std})
    if settings.normalize not in ("dataset", "auto"):
        return unit
    counts = _histograms(train)
    levels = np.arange(LEVELS, dtype=np.float64) / 255
    total = counts.sum(axis=1)
    mean = counts @ levels / total
    deviation = np.sqrt((counts * (levels - mean[:, None]) ** 2).sum(axis=1) / total)
    std = np.maximum(deviation, SMALLEST_STD)
    return unit.model_copy(update={"mean": tuple(mean.tolist()), "std": tuple(std.tolist())})


def _for_channels(figures: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """One figure a channel: one is for all, and gray images take the mean of three."""
    if len(figures) == channels:
        return figures
    if len(figures) == 1 or channels == 1:
        return (sum(figures) / len(figures),) * channels
    raise UsageError("--mean", f"{len(figures)} figures for {channels} channels", "one, or one per channel")


def _histograms(images: ImageSet) -> NDArray[np.int64]:
    """Count each level in each channel, int64 (C, 256), in chunks so that a memory map of any size works."""
    height, width, channels = images.size
    counts = np.zeros((channels, LEVELS), np.int64)
    chunk = max(1, CHUNK_VALUES // (height * width * channels))
    for start in range(0, len(images), chunk):
        pixels = images.images(start, start + chunk)
        for channel in range(channels):
            counts[channel] += np.bincount(pixels[..., channel].reshape(-1), minlength=LEVELS)
    return counts
