"""Rotating, shearing, zooming and shifting as one affine map, so that pixels are interpolated once.

A map is a matrix float32 (2, 3) over (x, y, 1), in pixels from the image's centre, x to the right and y down: it takes
a pixel of the result to the place in the source that it shows. So a zoom of 1.2 shows more of the source, and makes its
contents smaller.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from sightline.settings import AugmentSettings
from sightline.settings.augment import Fill

# What comes from beyond the edge, in the words of torch's grid_sample.
PADDINGS = {"zero": "zeros", "reflect": "reflection", "nearest": "border"}


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


def warp(images: torch.Tensor, matrices: torch.Tensor, fill: Fill = "zero") -> torch.Tensor:
    """Map each image by its matrix, float32 (B, 2, 3): bilinear, rounded to whole levels.

    `fill`: black, into which edges fade over one pixel; the reflection about the outermost pixels' centres, as `shift`
    has it; or the nearest pixel.
    """
    count, height, width, _ = images.shape
    # grid_sample counts from -1 to 1, between the outermost pixels' centres or between their outer edges. Reflection
    # about centres needs the first; a side of one pixel has no length in it.
    centres = fill == "reflect"
    half_x, half_y = (max(1, width - 1) / 2, max(1, height - 1) / 2) if centres else (width / 2, height / 2)
    x = torch.arange(width, dtype=torch.float32, device=images.device) - (width - 1) / 2
    y = torch.arange(height, dtype=torch.float32, device=images.device) - (height - 1) / 2
    grid = torch.empty(count, height, width, 2, device=images.device)
    for axis, half in ((0, half_x), (1, half_y)):
        a, b, c = (matrices[:, axis] / half).unbind(1)  # B each
        columns = a[:, None] * x
        rows = b[:, None] * y + c[:, None]
        torch.add(columns[:, None, :], rows[:, :, None], out=grid[..., axis])
    planes = images.permute(0, 3, 1, 2).float()  # B, C, H, W
    warped = functional.grid_sample(planes, grid, padding_mode=PADDINGS[fill], align_corners=centres)
    return torch.stack([plane.to(torch.uint8) for plane in warped.round_().unbind(1)], -1)
