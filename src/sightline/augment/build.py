"""One function of all changes that the settings ask for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from sightline.augment.covering import cutout, erase
from sightline.augment.lighting import adjust, random_colors, random_factors, recolor
from sightline.augment.moves import flip, shift
from sightline.augment.randaugment import Plan
from sightline.augment.warp import composed, crop_matrices, mirrored, random_matrices, warp
from sightline.device import mixed_seed, send
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


def build_augmentation(
    settings: AugmentSettings, *, count: int, seed: int, device: torch.device, size: tuple[int, int] | None = None
) -> Augmentation:
    """The function (images, indices, passes) -> images for a run over `count` training images.

    indices: int64 (B,), which training images these are; passes: how often training went through all images before
    these, one number or int64 (B,). Images are cropped, moved and mirrored, then lit and colored, then covered; the
    same tensor comes back where nothing is asked for. `size`: (H, W) that random crops are brought to, that of the
    images where it is left out. `flip` must be resolved: no "auto".
    """
    mirroring = build_mirroring(settings, count=count, seed=seed, device=device)
    warps = bool(settings.rotate or settings.shear or settings.zoom or settings.random_crop or settings.randaugment)

    def augment(images: torch.Tensor, indices: torch.Tensor, passes: int | torch.Tensor) -> torch.Tensor:
        plan = None
        if settings.randaugment:
            plan = Plan.draw(settings.randaugment, settings.randaugment_magnitude, len(images))
        if settings.shift and not warps:
            images = shift(images, settings.shift, settings.fill)
        maps = random_matrices(settings, len(images), images.device) if warps else None
        mirrors = [] if mirroring is None else [(0, mirroring(indices, passes))]
        if settings.flip_vertical:
            mirrors.append((1, torch.rand(len(images), device=images.device) < 0.5))
        if maps is None:
            for axis, which in mirrors:
                images = flip(images, which, 2 - axis)
        else:
            for axis, which in mirrors:
                maps = mirrored(maps, which, axis)
            images = _warped(settings, images, maps, plan, size or (images.shape[1], images.shape[2]))
        return _covered(settings, _lit(settings, images, plan))

    return augment


def _warped(
    settings: AugmentSettings, images: torch.Tensor, maps: torch.Tensor, plan: Plan | None, size: tuple[int, int]
) -> torch.Tensor:
    """Warp by a random crop, the maps, and RandAugment's moves, in this order, to `size`, (H, W)."""
    if settings.random_crop:
        source = (images.shape[1], images.shape[2])
        maps = composed(crop_matrices(settings, len(images), source, size, images.device), maps)
    if plan is not None:
        maps = composed(maps, send(plan.matrices(*size), images.device))
    # A crop lies within its image, and takes nothing from beyond the edge but half a pixel.
    return warp(images, maps, settings.fill if settings.moves_images else "nearest", size)


def _lit(settings: AugmentSettings, images: torch.Tensor, plan: Plan | None) -> torch.Tensor:
    if settings.brightness or settings.contrast:
        images = adjust(images, *random_factors(settings, len(images), images.device))
    if settings.saturation or settings.hue:
        images = recolor(images, *random_colors(settings, len(images), images.device))
    return images if plan is None else plan.recolored(images)


def _covered(settings: AugmentSettings, images: torch.Tensor) -> torch.Tensor:
    if settings.erase:
        images = erase(images, settings.erase)
    return cutout(images, settings.cutout) if settings.cutout else images


def _coin_flips(count: int, seed: int) -> torch.Tensor:
    generator = np.random.Generator(np.random.Philox(mixed_seed(seed, 0xF11B)))
    return torch.from_numpy(generator.random(count) < 0.5)
