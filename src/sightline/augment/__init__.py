"""Changes to training images that keep their class, on whole batches, on the device.

- `moves`       whole pixels: shift (pad and crop) and flip, exact
- `warp`        random crop, rotate, shear, zoom, shift and flip as one affine map, bilinear
- `lighting`    brightness, contrast, saturation and hue
- `randaugment` RandAugment: what each image gets; `operations` are those on levels
- `covering`    erase and cutout
- `mixing`      mixup and cutmix, with soft labels
- `build`       one function of all that the settings ask for but mixing
- `choice`      what is done to a dataset, and why, before training begins

Every function takes uint8 (B, H, W, C) and gives the same type, and the same shape unless it crops. Random numbers come
from the global generators, the device's and the host's, which the training step seeds from (seed, step), so that a
batch is a function of these alone. Nothing waits for the device.
"""

from __future__ import annotations

from sightline.augment.build import Augmentation, Mirroring, build_augmentation, build_mirroring
from sightline.augment.choice import resolve_augment
from sightline.augment.mixing import Mixing, build_mixing

__all__ = [
    "Augmentation",
    "Mirroring",
    "Mixing",
    "build_augmentation",
    "build_mirroring",
    "build_mixing",
    "resolve_augment",
]
