"""What may be done to training images without changing their class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from sightline.settings.base import Count, Fraction, NotNegative, Positive, Section

Fill = Literal["zero", "reflect", "nearest"]
Part = Annotated[float, Field(ge=0, le=1)]
PositivePart = Annotated[float, Field(gt=0, le=1)]
LEVELS: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    "light": {"flip": "auto", "random_crop": True, "crop_area": (0.5, 1.0), "brightness": 0.2, "contrast": 0.2},
    "medium": {
        "flip": "auto", "fill": "reflect", "random_crop": True, "crop_area": (0.25, 1.0), "randaugment": 2,
        "randaugment_magnitude": 5.0,
    },
    "strong": {
        "flip": "auto", "fill": "reflect", "random_crop": True, "randaugment": 2, "erase": 0.25, "mixup": 0.2,
        "cutmix": 1.0,
    },
}  # fmt: skip
"""What each named level sets."""
MODIFIERS = ("level", "fill", "crop_area", "crop_aspect", "randaugment_magnitude")
"""Settings that change nothing by themselves."""


def _ascending(ends: tuple[float, ...]) -> tuple[float, ...]:
    if ends[0] > ends[1]:
        raise PydanticCustomError("range", "Input should be two numbers, the smaller one first")
    return ends


ASCENDING = (Field(min_length=2, max_length=2), AfterValidator(_ascending))


class AugmentSettings(Section):
    """Augmentation"""

    level: Literal["none", "light", "medium", "strong"] = "none"
    """Level of augmentation, in place of all that a recipe has; settings given beside it win. light: mirror images,
    random crops of half of the image and more, brightness and contrast; medium: smaller crops and RandAugment; strong:
    also mixup, cutmix and erasing."""
    shift: Annotated[int, Field(ge=0)] = 0
    """Pixels by which each training image is shifted at random, up to, in both directions."""
    flip: Literal["auto", "none", "random", "alternate"] = "none"
    """Mirror images left to right: at random, or every second epoch after a random first; auto alternates unless the
    classes tell left from right, as digits and letters do."""
    flip_vertical: bool = False
    """Turn half of the images upside down, at random: for pictures from above, or of cells."""
    random_crop: bool = False
    """Show a random part of each image, brought to the network's size (arXiv 1409.4842)."""
    crop_area: Annotated[tuple[PositivePart, ...], *ASCENDING] = (0.08, 1.0)
    """Least and greatest part of the image's area that a random crop shows."""
    crop_aspect: Annotated[tuple[Positive, ...], *ASCENDING] = (3 / 4, 4 / 3)
    """Least and greatest width over height of a random crop."""
    rotate: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Degrees by which images are turned, up to, either way."""
    shear: Annotated[float, Field(ge=0, lt=90)] = 0.0
    """Degrees by which images are sheared, up to, either way."""
    zoom: Fraction = 0.0
    """Part by which images are made larger or smaller, up to, height and width each by its own: 0.2 is 0.8 to 1.2."""
    fill: Fill = "zero"
    """What comes in at the edge of a moved image: black, its reflection, or its outermost pixels."""
    erase: Part = 0.0
    """Probability with which a random rectangle, 2 to 33 % of the image, is filled with noise (arXiv 1708.04896)."""
    cutout: Count | None = None
    """Side in pixels of a square that is blacked out in each image (arXiv 1708.04552)."""
    brightness: Part = 0.0
    """Part by which images are made brighter or darker, up to."""
    contrast: Part = 0.0
    """Part by which the distance of each value from its image's mean grows or shrinks, up to."""
    saturation: Part = 0.0
    """Part by which colors are made stronger or paler, up to."""
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Part of the color circle by which hues are turned, up to, either way; 0.5 gives every hue."""
    randaugment: Annotated[int, Field(ge=0)] = 0
    """Operations of RandAugment (arXiv 1909.13719) that each image gets, one after the other; 2 is usual."""
    randaugment_magnitude: Annotated[float, Field(ge=0, le=10)] = 9.0
    """Magnitude of RandAugment's operations, 0 to 10."""
    mixup: NotNegative = 0.0
    """Blend each image, and its label, with another: alpha of the beta distribution of its part (arXiv 1710.09412)."""
    cutmix: NotNegative = 0.0
    """Paste a rectangle of another image into each, and mix the labels by area: alpha of the beta distribution of the
    area (arXiv 1905.04899). With mixup, each batch gets one of both at random."""

    @model_validator(mode="before")
    @classmethod
    def _level_below_what_is_given(cls, values: Any) -> Any:
        level = values.get("level") if isinstance(values, dict) else None
        return {**LEVELS[level], **values} if isinstance(level, str) and level in LEVELS else values

    @property
    def changes_images(self) -> bool:
        """Whether an image can look different from one epoch to the next."""
        usual = {name: AugmentSettings.model_fields[name].default for name in MODIFIERS}
        return self.replace(**usual) != AugmentSettings()

    @property
    def moves_images(self) -> bool:
        """Whether what lies beyond an image's edge can come into it."""
        return bool(self.shift or self.rotate or self.shear or self.zoom or self.randaugment)

    @property
    def only_mirrors(self) -> bool:
        """Whether an image and its mirror image are all that training ever sees of it."""
        return not self.replace(flip="none").changes_images
