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
    """A ready-made level; it replaces the recipe's augmentation, and single settings override it. light: mirror images,
    random crops of at least half the image, brightness and contrast; medium: smaller crops and RandAugment; strong:
    also mixup, CutMix and random erasing."""
    shift: Annotated[int, Field(ge=0)] = 0
    """Maximum random shift in pixels, in both directions."""
    flip: Literal["auto", "none", "random", "alternate"] = "none"
    """Mirror images left to right: at random, or every second epoch after a random start; auto alternates, unless
    mirroring would change a class, as with digits and letters."""
    flip_vertical: bool = False
    """Flip half of the images upside down, chosen at random; useful for aerial or microscope pictures."""
    random_crop: bool = False
    """Crop each image at random and resize the crop to the network's input size (arXiv 1409.4842)."""
    crop_area: Annotated[tuple[PositivePart, ...], *ASCENDING] = (0.08, 1.0)
    """Minimum and maximum area of a random crop, as fractions of the image."""
    crop_aspect: Annotated[tuple[Positive, ...], *ASCENDING] = (3 / 4, 4 / 3)
    """Minimum and maximum aspect ratio (width / height) of a random crop."""
    rotate: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Maximum random rotation in degrees, in either direction."""
    shear: Annotated[float, Field(ge=0, lt=90)] = 0.0
    """Maximum random shear in degrees, in either direction."""
    zoom: Fraction = 0.0
    """Maximum random zoom, drawn separately for height and width; 0.2 means 0.8x to 1.2x."""
    fill: Fill = "zero"
    """What fills the border of a moved image: zero (black), reflect, or nearest (repeats the outermost pixels)."""
    erase: Part = 0.0
    """Probability of filling a random rectangle (2 to 33% of the image) with noise (arXiv 1708.04896)."""
    cutout: Count | None = None
    """Side in pixels of the square that is blacked out in each image (arXiv 1708.04552)."""
    brightness: Part = 0.0
    """Maximum random change of brightness; 0.2 means 0.8x to 1.2x."""
    contrast: Part = 0.0
    """Maximum random change of contrast; 0.2 means 0.8x to 1.2x."""
    saturation: Part = 0.0
    """Maximum random change of color saturation; 0.2 means 0.8x to 1.2x."""
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Maximum random hue shift, as a fraction of the color circle; 0.5 allows every hue."""
    randaugment: Annotated[int, Field(ge=0)] = 0
    """Number of RandAugment operations applied to each image (arXiv 1909.13719); 2 is usual."""
    randaugment_magnitude: Annotated[float, Field(ge=0, le=10)] = 9.0
    """Magnitude of the RandAugment operations, 0 to 10."""
    mixup: NotNegative = 0.0
    """Mixup (arXiv 1710.09412): blend pairs of images and their labels. The value is alpha of the beta distribution; 0
    is off."""
    cutmix: NotNegative = 0.0
    """CutMix (arXiv 1905.04899): paste a rectangle of another image and mix the labels by area. The value is alpha of
    the beta distribution; 0 is off. With mixup, each batch gets one of the two at random."""

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
