"""Brightness and contrast."""

from __future__ import annotations

import torch

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
