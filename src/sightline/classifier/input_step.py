"""From uint8 pixels to what a network sees: the one place where images are scaled, in training and after it."""

from __future__ import annotations

import torch
from torch import nn

from sightline.data.preprocessing import Preprocessing


class InputStep(nn.Module):
    """uint8 (N, H, W, C) to float32 (N, C, H, W): [0, 1], minus mean, over deviation; or by each image's own figures.

    The output is channels-last in memory, as the pixels are. The figures are no part of the state dict: they travel in
    the model file's header.
    """

    scale: torch.Tensor
    offset: torch.Tensor

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        mean = torch.tensor(preprocessing.mean, dtype=torch.float64)
        std = torch.tensor(preprocessing.std, dtype=torch.float64)
        self.register_buffer("scale", (1 / (255 * std)).float().reshape(1, -1, 1, 1), persistent=False)
        self.register_buffer("offset", (-mean / std).float().reshape(1, -1, 1, 1), persistent=False)
        self.per_image = preprocessing.per_image

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Scale a batch."""
        images = pixels.permute(0, 3, 1, 2).float()
        if self.per_image:
            images = images / 255
            count = images[0].numel()
            mean = images.mean(dim=(1, 2, 3), keepdim=True)
            deviation = (images - mean).square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
            return (images - mean) / deviation.clamp(min=count**-0.5)
        return images * self.scale + self.offset
