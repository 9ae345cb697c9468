"""Changes to training images that keep their class, on whole batches, on the device.

Every function takes uint8 (B, H, W, C) and gives the same shape and type. Random numbers come from the device's global
generator, which the training step seeds from (seed, step), so that a batch is a function of these alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from sightline.batches import mixed_seed
from sightline.settings import AugmentSettings

Augmentation = Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]


def build_augmentation(settings: AugmentSettings, *, count: int, seed: int, device: torch.device) -> Augmentation:
    """The function (images, indices, epoch) -> images for a run over `count` training images.

    indices: int64 (B,), which training images these are; epoch counts from 0.
    """
    first_flips = torch.from_numpy(_coin_flips(count, seed)).to(device) if settings.flip == "alternate" else None

    def augment(images: torch.Tensor, indices: torch.Tensor, epoch: int) -> torch.Tensor:
        if settings.shift:
            images = shift(images, settings.shift, reflect=settings.shift_padding == "reflect")
        if settings.flip == "random":
            images = flip(images, torch.rand(len(images), device=images.device) < 0.5)
        elif first_flips is not None:
            images = flip(images, first_flips[indices.to(images.device)] ^ bool(epoch % 2))
        return images

    return augment


def shift(images: torch.Tensor, most: int, *, reflect: bool = False) -> torch.Tensor:
    """Move each image by up to `most` pixels up or down and left or right, zeros or the reflection coming in."""
    count, height, width, channels = images.shape
    device = images.device
    offsets = torch.randint(-most, most + 1, (2, count, 1), device=device)
    rows, down_ok = _moved(height, offsets[0], reflect)
    columns, right_ok = _moved(width, offsets[1], reflect)
    base = torch.arange(count, device=device)[:, None, None] * (height * width)
    flat = base + rows[:, :, None] * width + columns[:, None, :]
    moved = images.reshape(count * height * width, channels).index_select(0, flat.reshape(-1))
    moved = moved.reshape(count, height, width, channels)
    if not reflect:
        moved = moved * (down_ok[:, :, None] & right_ok[:, None, :])[..., None]
    return moved


def _moved(side: int, offsets: torch.Tensor, reflect: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Source positions (B, side) along one axis for each target position, and which of them lie inside."""
    source = torch.arange(side, device=offsets.device)[None, :] - offsets
    if reflect and side > 1:
        period = 2 * (side - 1)
        source = source.remainder(period)
        source = torch.minimum(source, period - source)
    inside = (source >= 0) & (source < side)
    return source.clamp(0, side - 1), inside


def flip(images: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """Mirror left to right the images at which `which`, bool (B,), is true."""
    return torch.where(which[:, None, None, None], images.flip(2), images)


def _coin_flips(count: int, seed: int) -> NDArray[np.bool_]:
    generator = np.random.Generator(np.random.Philox(mixed_seed(seed, 0xF11B)))
    return generator.random(count) < 0.5
