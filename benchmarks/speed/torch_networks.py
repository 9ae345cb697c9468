"""The networks of R1, R2, R3 and R4 in plain PyTorch, as a user of it would write them. Nothing of Sightline.

They are written again here because a plain program has neither Sightline's blocks nor its layout in memory; the
benchmark holds the number of their parameters against the other sides'.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

CLASSES = 10


class NeverTrained(nn.BatchNorm2d):
    """Batch norm that is never told that it trains (R1)."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        return functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


class PadResNet(nn.Module):
    """R1 with one block, whose shortcut is the identity."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, padding=1)
        self.conv1 = nn.Conv2d(16, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 16, 3, padding=1)
        self.norm = NeverTrained(16, eps=1e-3)
        self.dense = nn.Linear(16 * 4 * 4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, 28, 28) -> (N, K)."""
        x = functional.relu(self.stem(x))
        x = x + functional.relu(self.conv2(functional.relu(self.conv1(x))))
        x = functional.avg_pool2d(functional.relu(self.norm(x)), 7)
        return self.dense(x.flatten(1))


def two_convolutions() -> nn.Sequential:
    """R2."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 7 * 7, 1024), nn.ReLU(), nn.Dropout(0.4), nn.Linear(1024, CLASSES),
    )  # fmt: skip


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut. R3's convolutions have biases, and its projection has no norm."""

    def __init__(self, entering: int, width: int, stride: int, *, r3: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(entering, width, 3, stride, padding=1, bias=r3)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=r3)
        self.norm2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Sequential()
        if stride > 1:
            norm = [] if r3 else [nn.BatchNorm2d(width)]
            self.shortcut = nn.Sequential(nn.Conv2d(entering, width, 1, stride, bias=r3), *norm)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        y = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


def resnet18(*, r3: bool = False) -> nn.Sequential:
    """ResNet-18: R4's with the stem for small images, or R3's with the 7x7 stem for gray ones."""
    if r3:
        stem = [nn.Conv2d(1, 64, 7, 2, padding=3), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)]
    else:
        stem = [nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    blocks: list[nn.Module] = []
    entering = 64
    for width in (64, 128, 256, 512):
        blocks.append(BasicBlock(entering, width, 1 if width == 64 else 2, r3=r3))
        blocks.append(BasicBlock(width, width, 1, r3=r3))
        entering = width
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, CLASSES))


NETWORKS: dict[str, Callable[[], nn.Module]] = {"R1": PadResNet, "R2": two_convolutions, "ResNet-18": resnet18}


def parameters(network: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(parameter.numel() for parameter in network.parameters())


class Served(nn.Module):
    """A network with what a user puts around it to serve it: uint8 (N, H, W, C) to probabilities (N, K)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """Scale, normalise, compute."""
        images = pixels.permute(0, 3, 1, 2).float().contiguous()
        return torch.softmax(self.network((images / 255 - 0.5) / 0.25), 1)
