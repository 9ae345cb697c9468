"""The operations on levels that RandAugment draws from: on uint8 (B, H, W, C), level for level what Pillow does.

Each has the name that Pillow's ImageOps and ImageEnhance have for it. Factors are float32 (B,): 1 leaves an image as it
is, and 0 gives what it is blended with.
"""

from __future__ import annotations

import torch

LEVELS = 256
# ITU-R 601 luma, in 1/65536.
RED, GREEN, BLUE, HALF = 19595, 38470, 7471, 1 << 15
CENTER, SMOOTH_SUM = 5, 13
"""Of the 3 x 3 kernel that smooths, of ones around CENTER."""


def posterize(images: torch.Tensor, bits: int) -> torch.Tensor:
    """Keep the upper `bits` of each level, 1 to 8."""
    return images & (LEVELS - (1 << (8 - bits)))


def solarize(images: torch.Tensor, threshold: int) -> torch.Tensor:
    """Invert the levels at and above `threshold`, 0 to 256."""
    if threshold == LEVELS:
        return images
    return torch.where(images < threshold, images, 255 - images)


def autocontrast(images: torch.Tensor) -> torch.Tensor:
    """Stretch each channel so that its darkest level becomes 0 and its brightest 255."""
    at = _places(images)
    present = (_histograms(at, images) > 0).byte()
    low = present.argmax(2, keepdim=True)  # B, C, 1
    high = LEVELS - 1 - present.flip(2).argmax(2, keepdim=True)
    # Pillow cuts what doubles give: in floats, or with the reciprocal that torch takes for a number over a tensor, some
    # levels would be one lower.
    span = (high - low).clamp(min=1).to(torch.float32 if images.device.type == "mps" else torch.float64)
    levels = torch.arange(LEVELS, device=images.device)
    scale = torch.full_like(span, 255) / span
    table = (levels * scale - low * scale).trunc().clamp(0, 255)
    return _looked_up(torch.where(high > low, table, levels).byte(), at, images)


def equalize(images: torch.Tensor) -> torch.Tensor:
    """Make all levels of each channel about equally frequent."""
    at = _places(images)
    counts = _histograms(at, images)  # B, C, 256
    total = images.shape[1] * images.shape[2]
    high = LEVELS - 1 - (counts > 0).byte().flip(2).argmax(2, keepdim=True)
    step = (total - counts.gather(2, high)) // 255  # B, C, 1
    below = counts.cumsum(2) - counts
    table = ((step // 2 + below) // step.clamp(min=1)).clamp(max=255)
    return _looked_up(torch.where(step > 0, table, torch.arange(LEVELS, device=images.device)).byte(), at, images)


def color(images: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Make colors stronger (above 1) or paler: each image blended with its gray form."""
    return _blend(luma(images), images, factors)


def contrast(images: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Blend each image with the mean of its gray form."""
    gray = luma(images).flatten(1)
    count = gray.shape[1]
    mean = (2 * gray.sum(1) + count) // (2 * count)
    return _blend(mean.view(-1, 1, 1, 1), images, factors)


def brightness(images: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Blend each image with black."""
    return _blend(torch.zeros(1, device=images.device), images, factors)


def sharpness(images: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Blend each image with a smoothed one, whose outermost pixels are its own."""
    if min(images.shape[1:3]) < 3:
        return images
    values = images.short()
    rows = values[:, :-2] + values[:, 1:-1] + values[:, 2:]
    sums = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] + (CENTER - 1) * values[:, 1:-1, 1:-1]
    smooth = images.float()
    smooth[:, 1:-1, 1:-1] = (sums.float() / SMOOTH_SUM).round_()
    return _blend(smooth, images, factors)


def luma(images: torch.Tensor) -> torch.Tensor:
    """Gray forms, uint8 (B, H, W, 1), of images uint8 (B, H, W, C)."""
    if images.shape[3] == 1:
        return images
    red, green, blue = images.int().unbind(3)
    return ((RED * red + GREEN * green + BLUE * blue + HALF) >> 16).byte()[..., None]


def _blend(base: torch.Tensor, images: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Compute base + factor * (image - base) as Pillow blends: in float32, cut to whole levels, not rounded."""
    start = base.float()
    return (start + factors.view(-1, 1, 1, 1) * (images.float() - start)).clamp_(0, 255).byte()


def _places(images: torch.Tensor) -> torch.Tensor:
    """Where each value counts in tables (B, C, 256) laid end to end: int64 (B, H, W, C)."""
    count, _, _, channels = images.shape
    starts = torch.arange(count * channels, device=images.device) * LEVELS
    return images.long() + starts.view(count, 1, 1, channels)


def _histograms(at: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """How often each image has each level in each channel, int64 (B, C, 256), from `_places`."""
    count, _, _, channels = images.shape
    size = count * channels * LEVELS
    if at.device.type == "cpu":
        counts = torch.bincount(at.view(-1), minlength=size)
    else:  # where bincount would wait, to learn the largest value
        counts = torch.zeros(size, dtype=torch.int64, device=at.device)
        counts.scatter_add_(0, at.view(-1), torch.ones_like(at).view(-1))
    return counts.view(count, channels, LEVELS)


def _looked_up(tables: torch.Tensor, at: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    return tables.view(-1).index_select(0, at.view(-1)).view(images.shape)
