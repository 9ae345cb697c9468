"""Mixup and cutmix: each image of a batch mixed with another one of it, and their labels by the same parts.

A label is then a distribution over the K classes, float32 (B, K). Parts and rectangles are each image's own; which of
both a batch gets, where both are asked for, and who is mixed with whom, is drawn on the host, so that nothing waits for
the device.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from sightline.augment.covering import rectangles
from sightline.device import send
from sightline.settings import AugmentSettings

Mixing = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def build_mixing(settings: AugmentSettings, *, classes: int) -> Mixing | None:
    """The function (images, labels) -> (images, soft labels) that the settings ask for; None for none.

    It takes uint8 (B, H, W, C) and int64 (B,), and gives the same and float32 (B, classes).
    """
    kinds = [(function, alpha) for function, alpha in ((mixup, settings.mixup), (cutmix, settings.cutmix)) if alpha]
    if not kinds:
        return None

    def mix(images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        function, alpha = kinds[int(torch.randint(len(kinds), (), device="cpu"))]
        parts = draw_parts(alpha, len(images))
        order = send(torch.randperm(len(images), device="cpu"), images.device)
        images, parts = function(images, images.index_select(0, order), parts)
        return images, mixed_labels(labels, labels.index_select(0, order), parts, classes)

    return mix


def draw_parts(alpha: float, count: int) -> torch.Tensor:
    """Each image's part of its mixture, float32 (count,) on the host, from the beta distribution of (alpha, alpha)."""
    concentration = torch.full((count,), alpha, dtype=torch.float64)
    return torch.distributions.Beta(concentration, concentration).sample().float()


def mixup(images: torch.Tensor, others: torch.Tensor, parts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Blend uint8 images with `others` by `parts` (B,) on the host; rounded; and the parts on the device.

    arXiv 1710.09412: lambda * image + (1 - lambda) * other.
    """
    parts = send(parts, images.device)
    blended = torch.lerp(others.float(), images.float(), parts.view(-1, 1, 1, 1))
    return blended.round_().byte(), parts


def cutmix(images: torch.Tensor, others: torch.Tensor, parts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Paste a rectangle of each of `others` into its uint8 image; and the parts of the images that are left.

    arXiv 1905.04899, appendix A: the rectangle has the image's aspect and 1 - lambda of its area, its center is
    anywhere, and what lies outside is cut away and no longer counts.
    """
    count, height, width, _ = images.shape
    side = (1 - parts).sqrt()
    bounds: list[torch.Tensor] = []
    for length in (height, width):
        half = (length * side / 2).floor()
        center = torch.randint(length, (count,), device="cpu")
        start, stop = (center - half).clamp(min=0), (center + half).clamp(max=length)
        bounds += [start, stop - start]
    top, high, left, wide = send(torch.stack(bounds), images.device).unsqueeze(2)  # B, 1 each
    pasted = rectangles(images, top, left, high, wide)
    return images * (1 - pasted) + others * pasted, 1 - (high * wide)[:, 0] / (height * width)


def mixed_labels(labels: torch.Tensor, others: torch.Tensor, parts: torch.Tensor, classes: int) -> torch.Tensor:
    """Distributions over the classes, float32 (B, K): `parts` (B,) of `labels`, the rest of `others`, int64 (B,)."""
    numbers = torch.arange(classes, device=labels.device)
    own, other = ((part[:, None] == numbers).float() for part in (labels, others))
    return torch.lerp(other, own, parts[:, None])
