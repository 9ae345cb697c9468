"""A plain PyTorch program, as its tutorials write it: a DataLoader with two workers, transforms per image, float32.

No channels_last, no autocast, no compilation, no fused optimizer. Nothing of Sightline.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import islice

import numpy as np
import peer_data
import side
import torch
import torch_networks
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

WORKERS = 2


def main() -> None:
    """Answer."""
    tasks = {"steps": steps, "train_r3": train_r3, "inference": inference}
    side.answer(tasks, ("torch", "numpy", "pillow"))


class Pictures(Dataset[tuple[Tensor, int]]):
    """Images that are made a picture, a tensor, and normalised one by one, as torchvision's datasets do it."""

    def __init__(
        self, pixels: NDArray[np.uint8], labels: NDArray[np.int64], *, side_length: int | None, normalize: bool
    ) -> None:
        self.pixels, self.labels, self.side_length, self.normalize = pixels, labels, side_length, normalize

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        pixels = self.pixels[index]
        picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        if self.side_length is not None:
            picture = picture.resize((self.side_length, self.side_length), Image.Resampling.BILINEAR)
        array = np.array(picture).reshape(*picture.size[::-1], pixels.shape[2])
        image = torch.from_numpy(array).permute(2, 0, 1).contiguous().float().div(255)
        if self.normalize:
            image = (image - 0.5) / 0.25
        return image, int(self.labels[index])


def train_epoch(
    network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], optimizer: torch.optim.Optimizer
) -> list[float]:
    """Train on all batches; when each step ended."""
    criterion = nn.CrossEntropyLoss()
    network.train()
    ends: list[float] = []
    running_loss = 0.0
    for images, labels in batches:
        optimizer.zero_grad()
        loss = criterion(network(images), labels)
        loss.backward()
        optimizer.step()
        running_loss += loss.item()
        ends.append(time.perf_counter())
    return ends


def steps(network: str, batch_size: int, warmup: int, count: int, block: int, threads: int) -> side.Answer:
    """Images a second of the plain loop, in one epoch."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    pixels, labels = side.synthetic(network, batch_size * (warmup + count))
    images = Pictures(pixels, labels, side_length=None, normalize=True)
    loader = DataLoader(images, batch_size=batch_size, shuffle=True, num_workers=WORKERS)
    model = torch_networks.NETWORKS[network]()
    ends = train_epoch(model, loader, torch.optim.SGD(model.parameters(), lr=0.001))
    return side.speed(ends, batch_size, warmup, block, {"parameters": torch_networks.parameters(model)})


def train_r3(
    data: str, epochs: int, seed: int, threads: int, images: int | None = None, first_steps: int | None = None
) -> side.Answer:
    """R3 as written: ResNet-18 at 96x96, Adam 0.001, batch 64, the test images looked at after each epoch.

    The time is that of the training; what the test takes is left out. With `first_steps` only these are made.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    train, test = (Pictures(*part, side_length=96, normalize=False) for part in peer_data.load(data, images))
    loader = DataLoader(train, batch_size=64, shuffle=True, num_workers=WORKERS)
    test_loader = DataLoader(test, batch_size=64, num_workers=WORKERS)
    model = torch_networks.resnet18(r3=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    if first_steps is not None:
        ends = train_epoch(model, islice(loader, first_steps), optimizer)
        return side.projected(ends, epochs * len(loader), {"parameters": torch_networks.parameters(model)})
    found: list[dict[str, float]] = []
    seconds = 0.0
    for _ in range(epochs):
        start = time.perf_counter()
        train_epoch(model, loader, optimizer)
        seconds += time.perf_counter() - start
        found.append({"seconds": seconds, "test_accuracy": accuracy(model, test_loader)})
    return {"values": {}, "details": {"curve": found, "parameters": torch_networks.parameters(model)}}


@torch.no_grad()
def accuracy(network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """The part of the images that is classified rightly."""
    network.eval()
    right = total = 0
    for images, labels in batches:
        right += int((network(images).argmax(1) == labels).sum())
        total += len(labels)
    return right / total


def inference(network: str, repeats: int, threads: int) -> side.Answer:
    """Latency of the eager network, (N, C, H, W) in memory as in name, from uint8 pixels to probabilities."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    served = torch_networks.Served(torch_networks.NETWORKS[network]()).eval()

    def predict(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return served(torch.from_numpy(pixels)).numpy()

    return side.latencies(predict, network, repeats)


if __name__ == "__main__":
    main()
