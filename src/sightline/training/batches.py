"""Which images make each batch: seeded, resumable from any step, and gathered from where they live.

Order is a function of (seed, epoch) alone, drawn by NumPy's Philox, so that it is the same on every device and does not
depend on what was drawn before. Shapes: N images in the set, B in a batch, H, W, C.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from sightline.data.image_set import ImageSet
from sightline.device import as_tensor, mixed_seed, send
from sightline.settings import TrainingSettings

KEPT_ORDERS = 4
"""Epochs whose order is kept, so that it is not drawn for each batch."""


@dataclass(frozen=True)
class BatchOrder:
    """The indices of every batch of a run over `count` images.

    With `classes`, the label int64 (N,) of each image, an epoch has as many images as without, but as many of each
    class as of any other: of a rare one each image again and again, of a frequent one some.
    last_batch "keep": an epoch ends with what is left, and one image left over joins the batch before it, since batch
    norm cannot use a batch of one. "wrap": all batches have one size and the orders of the epochs follow each other
    without a gap; an epoch then has N // B steps.
    """

    count: int
    batch_size: int
    seed: int
    last_batch: Literal["keep", "wrap"] = "keep"
    classes: NDArray[np.int64] | None = field(default=None, compare=False)
    _balanced_orders: dict[int, NDArray[np.int64]] = field(
        default_factory=dict[int, NDArray[np.int64]], init=False, compare=False, repr=False
    )

    @classmethod
    def of(cls, images: ImageSet, settings: TrainingSettings) -> BatchOrder:
        """The order in which the settings go through the training images."""
        classes = images.labels if settings.sampler == "balanced" else None
        return cls(len(images), settings.batch_size, settings.seed, settings.last_batch, classes)

    @property
    def steps_per_epoch(self) -> int:
        """Training steps in an epoch, at least one."""
        whole, left = divmod(self.count, self.batch_size)
        if self.last_batch == "wrap":
            return max(1, whole)
        return max(1, whole + (left > 1 or (left == 1 and self.batch_size == 1)))

    def indices(self, step: int) -> NDArray[np.int64]:
        """Indices of step `step`, counted from 0 over the whole run: int64 (B,) into the set."""
        epoch, within = divmod(step, self.steps_per_epoch)
        if self.last_batch == "keep":
            start = within * self.batch_size
            last = within == self.steps_per_epoch - 1
            return self._epoch_order(epoch)[start : None if last else start + self.batch_size]
        start = step * self.batch_size
        parts: list[NDArray[np.int64]] = []
        missing = self.batch_size
        while missing:
            epoch, offset = divmod(start, self.count)
            part = self._epoch_order(epoch)[offset : offset + missing]
            parts.append(part)
            start += len(part)
            missing -= len(part)
        return np.concatenate(parts)

    def _epoch_order(self, epoch: int) -> NDArray[np.int64]:
        if self.classes is None:
            return _permutation(self.count, self.seed, epoch)
        if epoch not in self._balanced_orders:
            if len(self._balanced_orders) == KEPT_ORDERS:
                self._balanced_orders.clear()
            self._balanced_orders[epoch] = _balanced(_permutation(self.count, self.seed, epoch), self.classes)
        return self._balanced_orders[epoch]


@lru_cache(maxsize=KEPT_ORDERS)
def _permutation(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.Generator(np.random.Philox(mixed_seed(seed, epoch))).permutation(count)


def _balanced(order: NDArray[np.int64], classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Take the classes in turn, and of each its images in the order in which `order` has them, from the front again."""
    of_class = [order[classes[order] == number] for number in np.unique(classes)]
    turns = np.argsort(np.random.Generator(np.random.Philox(int(order[0]))).random(len(order)), kind="stable")
    taken = np.empty_like(order)
    for place, members in enumerate(of_class):
        places = np.arange(place, len(order), len(of_class))
        taken[places] = members[np.arange(len(places)) % len(members)]
    return taken[turns]


class ResidentImages:
    """A set's images where batches are gathered fast: on the device, in memory, or in a memory-mapped file."""

    def __init__(self, images: ImageSet, device: torch.device) -> None:
        self._images = images
        self._device = device
        self._labels = as_tensor(images.labels).to(device)
        self._pixels: torch.Tensor | None = None
        if not isinstance(images.pixels, np.memmap):
            own = images.pixels if device.type == "cpu" else images.images()
            self._pixels = as_tensor(own).to(device)
            rows = images.rows if device.type == "cpu" else np.arange(len(images))
            self._rows = as_tensor(rows).to(device)

    def gather(self, indices: NDArray[np.int64], at: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The images uint8 (B, H, W, C) and labels int64 (B,) at `indices`, on the device, where `at` is the same."""
        if self._pixels is None:
            pixels = send(torch.from_numpy(self._images.pixels[self._images.rows[indices]]), self._device)
        else:
            pixels = self._pixels.index_select(0, self._rows.index_select(0, at))
        return pixels, self._labels.index_select(0, at)


@dataclass(frozen=True)
class TrainingLength:
    """How long a run is: `total_steps` steps, in epochs of `steps_per_epoch`; the last epoch may be cut short.

    Steps and epochs are counted from 0.
    """

    total_steps: int
    steps_per_epoch: int

    @classmethod
    def from_settings(cls, settings: TrainingSettings, order: BatchOrder) -> TrainingLength:
        """The length of a run in epochs or in steps."""
        steps = settings.steps
        if steps is None:
            assert settings.epochs is not None
            steps = settings.epochs * order.steps_per_epoch
        return cls(steps, order.steps_per_epoch)

    def epochs_from(self, step: int) -> range:
        """The epochs that are left when `step` is the next step."""
        if step >= self.total_steps:
            return range(0)
        return range(step // self.steps_per_epoch, math.ceil(self.total_steps / self.steps_per_epoch))

    def steps_from(self, step: int, epoch: int) -> range:
        """The steps of `epoch` that are left when `step` is the next step."""
        return range(max(step, epoch * self.steps_per_epoch), self.end_of(epoch))

    def end_of(self, epoch: int) -> int:
        """The step after the last one of `epoch`."""
        return min((epoch + 1) * self.steps_per_epoch, self.total_steps)
