"""RandAugment (arXiv 1909.13719): for each image a few operations, each drawn from all, at one magnitude.

The operations and their ranges are those of the paper's section 3 and of AutoAugment (arXiv 1805.09501, table 6), each
growing with the magnitude: at 0 an image stays as it is, at 10 an operation is at the end of its range. Where an
operation has two directions, each is as likely.

Operations that move pixels become one map an image, which the warp takes with all others, so that pixels are
interpolated once; those on levels follow in the order drawn. What is drawn is drawn on the host, which then knows which
images of a batch an operation is for, and neither waits for a device nor computes what no image gets.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from sightline.augment import operations
from sightline.augment.warp import composed
from sightline.device import send

MOST_MAGNITUDE = 10.0
MOST_TURN = math.radians(30)
MOST_SHEAR = 0.3
MOST_TRANSLATION = 150 / 331
"""Part of an image's side: AutoAugment moved its images of 331 pixels by up to 150."""
MOST_BITS_LOST = 4
MOST_BLEND = 0.9
"""How far the factor of a blend goes from 1."""

Blend = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
BLENDS: dict[str, Blend] = {
    "color": operations.color,
    "contrast": operations.contrast,
    "brightness": operations.brightness,
    "sharpness": operations.sharpness,
}
MOVES = ("rotate", "shear x", "shear y", "translate x", "translate y")
OPERATIONS = ("identity", "autocontrast", "equalize", "solarize", "posterize", *BLENDS, *MOVES)


@dataclass(frozen=True)
class Plan:
    """What a batch gets, all on the host.

    `chosen`: int64 (N, B), the number of each image's first to N-th operation in OPERATIONS; `strengths`: float32
    (N, B), the magnitude as a part of the whole range, -1 to 1 with its direction.
    """

    chosen: torch.Tensor
    strengths: torch.Tensor

    @classmethod
    def draw(cls, rounds: int, magnitude: float, count: int) -> Plan:
        """Draw `rounds` operations for each of `count` images from the host's global generator."""
        chosen = torch.randint(len(OPERATIONS), (rounds, count), device="cpu")
        sides = torch.randint(2, (rounds, count), device="cpu") * 2 - 1
        return cls(chosen, sides * (magnitude / MOST_MAGNITUDE))

    def matrices(self, height: int, width: int) -> torch.Tensor:
        """The moves of each image as one map, float32 (B, 2, 3), in pixels of a result of that size: see `warp`."""
        moved = torch.eye(2, 3).repeat(self.chosen.shape[1], 1, 1)
        for chosen, strengths in zip(self.chosen, self.strengths, strict=True):
            rotate, shear_x, shear_y, right, down = (
                torch.where(chosen == OPERATIONS.index(name), strengths, 0.0) for name in MOVES
            )
            turn = MOST_TURN * rotate
            first = [turn.cos(), MOST_SHEAR * shear_x - turn.sin(), MOST_TRANSLATION * width * right]
            second = [MOST_SHEAR * shear_y + turn.sin(), turn.cos(), MOST_TRANSLATION * height * down]
            moved = composed(moved, torch.stack([torch.stack(first, 1), torch.stack(second, 1)], 1))
        return moved

    def recolored(self, images: torch.Tensor) -> torch.Tensor:
        """The images, uint8 (B, H, W, C), with their operations on levels done."""
        images = images.clone()
        for chosen, strengths in zip(self.chosen, self.strengths, strict=True):
            for number, name in enumerate(OPERATIONS):
                rows = (chosen == number).nonzero()[:, 0]
                if name in ("identity", *MOVES) or not len(rows):
                    continue
                there = send(rows, images.device)
                changed = _changed(name, images.index_select(0, there), strengths[rows])
                images.index_copy_(0, there, changed)
        return images


def _changed(name: str, images: torch.Tensor, strengths: torch.Tensor) -> torch.Tensor:
    """Do one operation to all of `images`, whose `strengths` differ in their sign alone."""
    if name in BLENDS:
        return BLENDS[name](images, send(1 + MOST_BLEND * strengths, images.device))
    strength = abs(float(strengths[0]))
    if name == "solarize":
        return operations.solarize(images, round(operations.LEVELS * (1 - strength)))
    if name == "posterize":
        return operations.posterize(images, 8 - round(MOST_BITS_LOST * strength))
    return operations.autocontrast(images) if name == "autocontrast" else operations.equalize(images)
