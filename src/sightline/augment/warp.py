"""Crop, rotation, shear, zoom, shift and mirroring as one affine map, so that pixels are interpolated once.

A map is a matrix float32 (2, 3) over (x, y, 1), in pixels from the image's centre, x to the right and y down: it takes
a pixel of the result to the place in the source that it shows. So a zoom of 1.2 shows more of the source, and makes its
contents smaller. What is done to an image first stands first in the product of maps.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from sightline.settings import AugmentSettings
from sightline.settings.augment import Fill

# What comes from beyond the edge, in the words of torch's grid_sample.
PADDINGS = {"zero": "zeros", "reflect": "reflection", "nearest": "border"}
CROP_TRIES = 10


def random_matrices(settings: AugmentSettings, count: int, device: torch.device) -> torch.Tensor:
    """One random map an image, float32 (B, 2, 3), from rotate, shear, zoom and shift, each even in its range.

    The order and the shear's form are those of Keras' ImageDataGenerator: rotation, shift, shear, zoom.
    """
    rotate, shear, wide, high, right, down = torch.rand(6, count, device=device) * 2 - 1
    turn = math.radians(settings.rotate) * rotate
    slant = math.radians(settings.shear) * shear
    return affine_matrices(
        turn, slant, 1 + settings.zoom * wide, 1 + settings.zoom * high, settings.shift * right, settings.shift * down
    )


def affine_matrices(
    turn: torch.Tensor,
    slant: torch.Tensor,
    zoom_x: torch.Tensor,
    zoom_y: torch.Tensor,
    shift_x: torch.Tensor,
    shift_y: torch.Tensor,
) -> torch.Tensor:
    """The maps rotation * shift * shear * zoom, float32 (B, 2, 3), from radians, factors and pixels, (B,) each.

    Contents turn counter-clockwise and move left and up where the figures are positive.
    """
    cos, sin = turn.cos(), turn.sin()
    # Shear times zoom is [[zoom_x, -sin(slant) zoom_y], [0, cos(slant) zoom_y]].
    across, along = -slant.sin() * zoom_y, slant.cos() * zoom_y
    first = [cos * zoom_x, cos * across - sin * along, cos * shift_x - sin * shift_y]
    second = [sin * zoom_x, sin * across + cos * along, sin * shift_x + cos * shift_y]
    return torch.stack([torch.stack(first, 1), torch.stack(second, 1)], 1)


def crop_matrices(
    settings: AugmentSettings, count: int, source: tuple[int, int], result: tuple[int, int], device: torch.device
) -> torch.Tensor:
    """One random crop an image, float32 (B, 2, 3): from `source`, (H, W), the part that becomes `result`, (H, W).

    Its part of the area is even in `crop_area`, its width over height in `crop_aspect` on a logarithmic scale; a crop
    that does not fit is drawn again, and after ten tries the largest in the middle is taken (arXiv 1409.4842, in the
    form of torchvision's RandomResizedCrop, but for borders between pixels).
    """
    height, width = source
    least, most = settings.crop_aspect
    # All tries are drawn at once: to look whether one fits would wait for the device.
    area = torch.empty(count, CROP_TRIES, device=device).uniform_(*settings.crop_area) * (height * width)
    aspect = torch.empty(count, CROP_TRIES, device=device).uniform_(math.log(least), math.log(most)).exp()
    wide, high = (area * aspect).sqrt(), (area / aspect).sqrt()
    fits = (wide <= width) & (high <= height)
    first, none = fits.byte().argmax(1, keepdim=True), ~fits.any(1)
    wide = torch.where(none, min(width, height * most), wide.gather(1, first)[:, 0])
    high = torch.where(none, min(height, width / least), high.gather(1, first)[:, 0])
    right, down = torch.where(none, 0.5, torch.rand(2, count, device=device))
    x, y = (right - 0.5) * (width - wide), (down - 0.5) * (height - high)
    zero = torch.zeros_like(x)
    first_row, second_row = [wide / result[1], zero, x], [zero, high / result[0], y]
    return torch.stack([torch.stack(first_row, 1), torch.stack(second_row, 1)], 1)


def composed(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """The product of two maps, float32 (B, 2, 3): it shows of an image what `second` shows of the result of `first`."""
    # Written out, since a GPU may round matrix products to fewer bits.
    products = first[:, :, :2, None] * second[:, None]  # B, 2, 2, 3
    both = products[:, :, 0] + products[:, :, 1]
    both[:, :, 2] += first[:, :, 2]
    return both


def mirrored(matrices: torch.Tensor, which: torch.Tensor, axis: int) -> torch.Tensor:
    """The maps, float32 (B, 2, 3), with results mirrored along x (0) or y (1) where `which`, bool (B,), is true."""
    signs = torch.ones(len(which), 1, 3, device=which.device)
    signs[:, 0, axis] -= 2 * which
    return matrices * signs


def warp(
    images: torch.Tensor, matrices: torch.Tensor, fill: Fill = "zero", result: tuple[int, int] | None = None
) -> torch.Tensor:
    """Map each image by its matrix, float32 (B, 2, 3): bilinear, rounded to whole levels.

    `result`: (H, W) of what comes back, that of the images where it is left out. `fill`: black, into which edges fade
    over one pixel; the reflection about the outermost pixels' centres, as `shift` has it; or the nearest pixel.
    """
    count, height, width, _ = images.shape
    tall, wide = result or (height, width)
    # grid_sample counts from -1 to 1, between the outermost pixels' centres or between their outer edges. Reflection
    # about centres needs the first; a side of one pixel has no length in it.
    centres = fill == "reflect"
    half_x, half_y = (max(1, width - 1) / 2, max(1, height - 1) / 2) if centres else (width / 2, height / 2)
    x = torch.arange(wide, dtype=torch.float32, device=images.device) - (wide - 1) / 2
    y = torch.arange(tall, dtype=torch.float32, device=images.device) - (tall - 1) / 2
    grid = torch.empty(count, tall, wide, 2, device=images.device)
    for axis, half in ((0, half_x), (1, half_y)):
        a, b, c = (matrices[:, axis] / half).unbind(1)  # B each
        columns = a[:, None] * x
        rows = b[:, None] * y + c[:, None]
        torch.add(columns[:, None, :], rows[:, :, None], out=grid[..., axis])
    planes = images.permute(0, 3, 1, 2).float()  # B, C, H, W
    warped = functional.grid_sample(planes, grid, padding_mode=PADDINGS[fill], align_corners=centres)
    return torch.stack([plane.to(torch.uint8) for plane in warped.round_().unbind(1)], -1)
