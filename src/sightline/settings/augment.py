"""What may be done to training images without changing their class."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sightline.settings.base import Count, Fraction, Section

Fill = Literal["zero", "reflect", "nearest"]
Part = Annotated[float, Field(ge=0, le=1)]


class AugmentSettings(Section):
    """Augmentation"""

    shift: Annotated[int, Field(ge=0)] = 0
    """Pixels by which each training image is shifted at random, up to, in both directions."""
    flip: Literal["auto", "none", "random", "alternate"] = "none"
    """Mirror images left to right: at random, or every second epoch after a random first; auto alternates unless the
    classes tell left from right, as digits and letters do."""
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

    @property
    def changes_images(self) -> bool:
        """Whether an image can look different from one epoch to the next."""
        return self.replace(fill="zero") != AugmentSettings()

    @property
    def only_mirrors(self) -> bool:
        """Whether an image and its mirror image are all that training ever sees of it."""
        return not self.replace(flip="none").changes_images
