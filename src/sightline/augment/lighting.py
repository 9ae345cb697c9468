"""Brightness, contrast, saturation and hue."""

from __future__ import annotations

import torch

from sightline.augment.operations import BLUE, GREEN, RED
from sightline.settings import AugmentSettings


def random_factors(settings: AugmentSettings, count: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Factors of brightness and of contrast, float32 (B,) each, even in their ranges about 1."""
    brightness, contrast = torch.rand(2, count, device=device) * 2 - 1
    return 1 + settings.brightness * brightness, 1 + settings.contrast * contrast


def adjust(images: torch.Tensor, brightness: torch.Tensor, contrast: torch.Tensor) -> torch.Tensor:
    """Multiply each image's levels by its `brightness`, then their distance from their mean by its `contrast`.

    The mean is that of the brightened image, over all pixels and channels. Levels are rounded and cut to 0 to 255 once,
    at the end.
    """
    levels = images.float()
    mean = levels.mean(dim=(1, 2, 3))  # B
    scale = brightness * contrast
    offset = brightness * mean - scale * mean
    levels.mul_(scale[:, None, None, None]).add_(offset[:, None, None, None])
    return levels.round_().clamp_(0, 255).to(torch.uint8)


def random_colors(settings: AugmentSettings, count: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Factors of saturation and turns of hue, float32 (B,) each, even in their ranges about 1 and about 0."""
    saturation, hue = torch.rand(2, count, device=device) * 2 - 1
    return 1 + settings.saturation * saturation, settings.hue * hue


def recolor(images: torch.Tensor, saturation: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """Multiply each pixel's distance from its luma by `saturation`, then turn its hue by `turn` of the color circle.

    The hue is that of HSV, whose value and saturation stay. Levels are cut to 0 to 255 before the turn, and rounded at
    the end. Gray images stay as they are.
    """
    if images.shape[3] == 1:
        return images
    planes = images.permute(3, 0, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)  # 3, B, H, W
    red, green, blue = planes
    luma = (RED * red + GREEN * green + BLUE * blue) / (RED + GREEN + BLUE)
    planes = torch.lerp(luma, planes, saturation.view(-1, 1, 1)).clamp_(0, 255)
    turned = _turned(planes, 6 * turn.view(-1, 1, 1))
    return torch.stack([plane.byte() for plane in turned.round_()], -1)


def _turned(planes: torch.Tensor, sixths: torch.Tensor) -> torch.Tensor:
    """Turn the hues of `planes`, float (3, B, H, W), by sixths of the circle, (B, 1, 1)."""
    red, green, blue = planes
    value, chroma = planes.amax(0), planes.amax(0) - planes.amin(0)
    around = torch.where(
        value == red, green - blue, torch.where(value == green, blue - red + 2 * chroma, red - green + 4 * chroma)
    )
    hue = around / torch.where(chroma > 0, chroma, 1) + sixths
    # How far each channel lies from its own hue, in sixths, says how much of the chroma it is below the value.
    found = torch.empty_like(planes)
    for number, base in enumerate((5, 3, 1)):
        place = (hue + base).remainder_(6)
        below = torch.minimum(place, 4 - place).clamp_(0, 1).mul_(chroma)
        torch.sub(value, below, out=found[number])
    return found
