"""Changes to training images that keep their class, on whole batches, on the device.

- `moves`    whole pixels: shift (pad and crop) and flip, exact
- `warp`     rotate, shear and zoom, with the shift, as one affine map, bilinear
- `lighting` brightness and contrast
- `covering` erase and cutout
- `build`    one function of all that the settings ask for
- `choice`   what is done to a dataset, and why, before training begins

Every function takes uint8 (B, H, W, C) and gives the same shape and type. Random numbers come from the device's global
generator, which the training step seeds from (seed, step), so that a batch is a function of these alone. Nothing waits
for the device.
"""

from __future__ import annotations

from sightline.augment.build import Augmentation, Mirroring, build_augmentation, build_mirroring
from sightline.augment.choice import resolve_augment

__all__ = ["Augmentation", "Mirroring", "build_augmentation", "build_mirroring", "resolve_augment"]
