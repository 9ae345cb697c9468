"""Moving and mirroring by whole pixels: exact, and about as cheap as copying."""

from __future__ import annotations

import torch

from sightline.settings.augment import Fill


def shift(images: torch.Tensor, most: int, fill: Fill = "zero") -> torch.Tensor:
    """Move each image by up to `most` pixels up or down and left or right, every whole number alike.

    An image is moved by no more than its own side. `fill`: black, the reflection without its edge (NumPy's "reflect"),
    or the nearest pixel.
    """
    count, height, width, channels = images.shape
    down, right = min(most, height), min(most, width)
    offsets = torch.randint(-most, most + 1, (2, count, 1), device=images.device)
    padded = _padded(images, down, right, fill)
    rows = torch.arange(height, device=images.device) + down - offsets[0].clamp(-down, down)  # B, H
    rows = rows + torch.arange(count, device=images.device)[:, None] * (height + 2 * down)
    starts = rows * (width + 2 * right) + right - offsets[1].clamp(-right, right)  # B, H: each row's first pixel
    pixels = padded.view(-1, channels)
    return cut_rows(pixels, starts.view(-1), width, images.device.type == "cpu").view(images.shape)


def cut_rows(pixels: torch.Tensor, starts: torch.Tensor, width: int, overlapping: bool) -> torch.Tensor:
    """Copy runs of `width` pixels of uint8 (P, C), from each of `starts`, int64 (R,): uint8 (R, width, C).

    `overlapping` takes them as rows of a view in which every pixel starts one, so that a row is copied at once. On a
    CPU that is several times faster than pixel by pixel; elsewhere such a view may be made real first, far too large.
    """
    count, channels = pixels.shape
    if overlapping:
        rows = pixels.as_strided((count - width + 1, width * channels), (channels, 1))
        return rows.index_select(0, starts)
    at = starts[:, None] + torch.arange(width, device=pixels.device)
    return pixels.index_select(0, at.view(-1))


def _padded(images: torch.Tensor, down: int, right: int, fill: Fill) -> torch.Tensor:
    if fill == "zero":
        return torch.nn.functional.pad(images, (0, 0, right, right, down, down))
    count, height, width, channels = images.shape
    columns = _sources(width, right, fill, images.device)
    # Only the new columns are gathered, which goes pixel by pixel; whole rows are copied fast.
    wide = images.new_empty(count, height, width + 2 * right, channels)
    wide[:, :, right : right + width] = images
    wide[:, :, :right] = images.index_select(2, columns[:right])
    wide[:, :, right + width :] = images.index_select(2, columns[right + width :])
    return wide.index_select(1, _sources(height, down, fill, images.device))


def _sources(side: int, more: int, fill: Fill, device: torch.device) -> torch.Tensor:
    """Which pixel along a side each one of the padded side shows: int64 (side + 2 * more,)."""
    source = torch.arange(-more, side + more, device=device)
    if fill == "reflect" and side > 1:
        period = 2 * (side - 1)
        source = source.remainder(period)
        source = torch.minimum(source, period - source)
    return source.clamp(0, side - 1)


def flip(images: torch.Tensor, which: torch.Tensor, axis: int = 2) -> torch.Tensor:
    """Mirror left to right, or along `axis` 1 upside down, the images at which `which`, bool (B,), is true."""
    count = len(images)
    both = torch.cat([images, images.flip(axis)])
    return both.index_select(0, torch.arange(count, device=images.device) + count * which)
