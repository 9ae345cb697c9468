"""One function of all changes that the settings ask for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from sightline.augment.covering import cutout, erase
from sightline.augment.lighting import adjust, random_factors
from sightline.augment.moves import flip, shift
from sightline.augment.warp import random_matrices, warp
from sightline.device import mixed_seed
from sightline.settings import AugmentSettings

Augmentation = Callable[[torch.Tensor, torch.Tensor, int | torch.Tensor], torch.Tensor]
Mirroring = Callable[[torch.Tensor, int | torch.Tensor], torch.Tensor]


def build_mirroring(settings: AugmentSettings, *, count: int, seed: int, device: torch.device) -> Mirroring | None:
    """The function (indices, passes) -> bool (B,) that says which images of a batch are mirrored; None for none ever.

    Arguments as those of an augmentation. `flip` must be resolved: no "auto".
    """
    assert settings.flip != "auto", "resolve_augment comes first"
    if settings.flip == "none":
        return None
    if settings.flip == "random":
        return lambda indices, _: torch.rand(len(indices), device=device) < 0.5
    first = _coin_flips(count, seed).to(device)
    return lambda indices, passes: first[indices.to(device, non_blocking=True)] ^ (passes % 2 == 1)


def build_augmentation(settings: AugmentSettings, *, count: int, seed: int, device: torch.device) -> Augmentation:
    """The function (images, indices, passes) -> images for a run over `count` training images.

    indices: int64 (B,), which training images these are; passes: how often training went through all images before
    these, one number or int64 (B,). Images are moved, then mirrored, then lit, then covered; the same tensor comes back
    where nothing is asked for. `flip` must be resolved: no "auto".
    """
    warps = bool(settings.rotate or settings.shear or settings.zoom)
    lights = bool(settings.brightness or settings.contrast)
    mirroring = build_mirroring(settings, count=count, seed=seed, device=device)

    def augment(images: torch.Tensor, indices: torch.Tensor, passes: int | torch.Tensor) -> torch.Tensor:
        if warps:
            images = warp(images, random_matrices(settings, len(images), images.device), settings.fill)
        elif settings.shift:
            images = shift(images, settings.shift, settings.fill)
        if mirroring is not None:
            images = flip(images, mirroring(indices, passes))
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
