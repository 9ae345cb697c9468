"""Covering a part of each image, so that a network does not lean on one part: random erasing and cutout."""

from __future__ import annotations

import math

import torch

SMALLEST_AREA, LARGEST_AREA = 0.02, 0.33
NARROWEST, WIDEST = 0.3, 3.3
TRIES = 8


def erase(images: torch.Tensor, probability: float) -> torch.Tensor:
    """Fill a random rectangle with noise, all levels alike, in each image with `probability` (arXiv 1708.04896).

    Its area is 2 to 33 % of the image, even in that range; height over width is 0.3 to 3.3, even on a logarithmic
    scale, so that upright and lying ones are equally many; a rectangle that does not fit is drawn again.
    """
    count, height, width, _ = images.shape
    device = images.device
    # All tries are drawn at once: to look whether one fits would wait for the device.
    area = torch.empty(count, TRIES, device=device).uniform_(SMALLEST_AREA, LARGEST_AREA) * (height * width)
    aspect = torch.empty(count, TRIES, device=device).uniform_(math.log(NARROWEST), math.log(WIDEST)).exp()
    high, wide = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
    fits = (high <= height) & (wide <= width)
    first = fits.byte().argmax(1, keepdim=True)
    high = high.gather(1, first).clamp(max=height)  # B, 1
    wide = wide.gather(1, first).clamp(max=width)
    place = torch.rand(3, count, 1, device=device)
    top = (place[0] * (height - high + 1)).floor()
    left = (place[1] * (width - wide + 1)).floor()
    high = torch.where(place[2] < probability, high, 0)
    covered = rectangles(images, top, left, high, wide)
    return images * (1 - covered) + _noise(images) * covered


def cutout(images: torch.Tensor, side: int) -> torch.Tensor:
    """Black out a square of `side` pixels in each image (arXiv 1708.04552).

    Its centre is anywhere in the image, so that it may lie partly outside.
    """
    count, height, width, _ = images.shape
    top = torch.randint(0, height, (count, 1), device=images.device) - side // 2
    left = torch.randint(0, width, (count, 1), device=images.device) - side // 2
    return images * (1 - rectangles(images, top, left, side, side))


def rectangles(
    images: torch.Tensor, top: torch.Tensor, left: torch.Tensor, high: torch.Tensor | int, wide: torch.Tensor | int
) -> torch.Tensor:
    """Which levels lie in the image's rectangle, uint8 (B, H, W, C) of 0 and 1, from its place and size, (B, 1) each.

    Bytes, and channels spelled out: on a CPU, arithmetic on bytes of one shape is several times faster than choosing by
    truth values or spreading them.
    """
    count, height, width, channels = images.shape
    rows = torch.arange(height, device=images.device)
    columns = torch.arange(width * channels, device=images.device) // channels
    in_rows = ((rows >= top) & (rows < top + high)).byte()  # B, H
    in_columns = ((columns >= left) & (columns < left + wide)).byte()  # B, W * C
    return (in_rows[:, :, None] * in_columns[:, None, :]).view(count, height, width, channels)


def _noise(images: torch.Tensor) -> torch.Tensor:
    """Even noise, uint8, in the images' shape: four levels from one draw, which costs a third of a draw for each."""
    words = -(-images.numel() // 4)
    drawn = torch.randint(-(2**31), 2**31, (words,), dtype=torch.int32, device=images.device)
    return drawn.view(torch.uint8)[: images.numel()].view(images.shape)
