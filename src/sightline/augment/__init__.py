"""Changes to training images that keep their class, on whole batches, on the device.

- `moves`    whole pixels: shift (pad and crop) and flip, exact
- `warp`     rotate, shear and zoom, with the shift, as one affine map, bilinear
- `lighting` brightness and contrast
- `covering` erase and cutout
- `choice`   what is done to a dataset, and why, before training begins

Every function takes uint8 (B, H, W, C) and gives the same shape and type. Random numbers come from the device's global
generator, which the training step seeds from (seed, step), so that a batch is a function of these alone. Nothing waits
for the device.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from sightline.augment.choice import resolve_augment
from sightline.augment.covering import cutout, erase
from sightline.augment.lighting import adjust, random_factors
from sightline.augment.moves import flip, shift
from sightline.augment.warp import random_matrices, warp
from sightline.batches import mixed_seed
from sightline.settings import AugmentSettings

__all__ = ["Augmentation", "build_augmentation", "resolve_augment"]

Augmentation = Callable[[torch.Tensor, torch.Tensor, int | torch.Tensor], torch.Tensor]


def build_augmentation(settings: AugmentSettings, *, count: int, seed: int, device: torch.device) -> Augmentation:
    """The function (images, indices, passes) -> images for a run over `count` training images.

    indices: int64 (B,), which training images these are; passes: how often training went through all images before
    these, one number or int64 (B,). Images are moved, then mirrored, then lit, then covered; the same tensor comes back
    where nothing is asked for. `flip` must be resolved: no "auto".
    """
    assert settings.flip != "auto", "resolve_augment comes first"
    warps = bool(settings.rotate or settings.shear or settings.zoom)
    lights = bool(settings.brightness or settings.contrast)
    first_flips = _coin_flips(count, seed).to(device) if settings.flip == "alternate" else None

    def augment(images: torch.Tensor, indices: torch.Tensor, passes: int | torch.Tensor) -> torch.Tensor:
        if warps:
            images = warp(images, random_matrices(settings, len(images), images.device), settings.fill)
        elif settings.shift:
            images = shift(images, settings.shift, settings.fill)
        if settings.flip == "random":
            images = flip(images, torch.rand(len(images), device=images.device) < 0.5)
        elif first_flips is not None:
            images = flip(images, first_flips[indices.to(images.device, non_blocking=True)] ^ (passes % 2 == 1))
        if lights:
            images = adjust(images, *random_factors(settings, len(images), images.device))
        if settings.erase:
            images = erase(images, settings.erase)
        if settings.cutout:
            images = cutout(images, settings.cutout)
        return images

    return augment


def _coin_flips(count: int, seed: int) -> torch.Tensor:
    generator = np.random.Generator(np.random.Philox(mixed_seed(seed, 0xF11B)))
    return torch.from_numpy(generator.random(count) < 0.5)
