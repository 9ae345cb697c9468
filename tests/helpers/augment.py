"""Images of chance, and what an augmentation makes of them."""

from __future__ import annotations

import numpy as np
import torch

from sightline.augment import build_augmentation
from sightline.settings import AugmentSettings

CPU = torch.device("cpu")


def some_images(count=20, height=7, width=9, channels=3, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, height, width, channels), np.uint8))


def augmented(images, *, seed=0, epoch=0, **settings):
    augment = build_augmentation(AugmentSettings(**settings), count=len(images), seed=3, device=CPU)
    torch.manual_seed(seed)
    return augment(images, torch.arange(len(images)), epoch)
