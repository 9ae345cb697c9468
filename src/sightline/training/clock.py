"""How long a run is, and how long it takes."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sightline.settings import Settings
from sightline.training.batches import BatchOrder
from sightline.training.checkpoints import Progress


@dataclass(frozen=True)
class Plan:
    """How long a run is: `total_steps` from 0, in epochs of `steps_per_epoch`."""

    total_steps: int
    steps_per_epoch: int

    @classmethod
    def of(cls, settings: Settings, order: BatchOrder) -> Plan:
        """The plan of a run in epochs or in steps."""
        epochs, steps = settings.training.epochs, settings.training.steps
        if steps is None:
            assert epochs is not None
            steps = epochs * order.steps_per_epoch
        return cls(steps, order.steps_per_epoch)


class Clock:
    """Seconds of training and of the epoch, and the images a second, over all sittings of a run.

    `images` are those that the epoch has had so far.
    """

    def __init__(self, progress: Progress, images: int) -> None:
        self._start = time.perf_counter() - progress.seconds
        self._epoch_start = time.perf_counter() - progress.epoch_seconds
        self._images = images

    def count(self, images: int) -> None:
        """Count a batch."""
        self._images += images

    @property
    def images_per_second(self) -> float:
        """Training images a second, in the epoch so far."""
        return self._images / max(1e-9, self.epoch_seconds)

    @property
    def epoch_seconds(self) -> float:
        """Seconds of the epoch so far."""
        return time.perf_counter() - self._epoch_start

    def begin_epoch(self) -> None:
        """Start the next epoch's time."""
        self._epoch_start = time.perf_counter()
        self._images = 0

    def note(self, progress: Progress) -> None:
        """Put the times where the checkpoint keeps them."""
        progress.seconds = time.perf_counter() - self._start
        progress.epoch_seconds = self.epoch_seconds
