"""What a run tells while it trains: rows of its CSV files, events for TensorBoard, and the reporter's display."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from sightline.data import ImageSet
from sightline.runs.folder import PROBABILITIES, RESULTS, STEPS, RunFolder
from sightline.settings import Settings
from sightline.training.batches import TrainingLength
from sightline.training.checkpoints import TrainingState
from sightline.training.reporter import Reporter
from sightline.training.tracking import Tracker

Row = Mapping[str, Any]


@dataclass
class EpochSums:
    """Sums over the epoch so far, on the device: float64 (3,), loss over the images, right answers, images.

    The loss is the plain cross-entropy in nats, without label smoothing or class weights, so that it can be held
    against that of the validation images. The right answer for a mixed image is the class with the largest part.
    """

    values: torch.Tensor

    @classmethod
    def zero(cls, device: torch.device) -> EpochSums:
        """Sums of nothing."""
        dtype = torch.float32 if device.type == "mps" else torch.float64
        return cls(torch.zeros(3, dtype=dtype, device=device))

    def add(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        """Count a batch with labels int64 (B,) or soft ones (B, K), without waiting for the device."""
        self.values[0] += functional.cross_entropy(logits, labels, reduction="sum")
        self.values[1] += (logits.argmax(1) == (labels if labels.ndim == 1 else labels.argmax(1))).sum()
        self.values[2] += len(labels)

    def means(self) -> tuple[float, float]:
        """Mean loss and accuracy so far."""
        loss, right, count = self.values.tolist()
        return loss / max(count, 1), right / max(count, 1)

    def images(self) -> int:
        """How many images there were so far."""
        return int(self.values[2])


class Clock:
    """Seconds of training and of the epoch, and the images a second, over all sittings of a run.

    `images` are those that the epoch has had so far.
    """

    def __init__(self, state: TrainingState, images: int) -> None:
        self._start = time.perf_counter() - state.seconds
        self._epoch_start = time.perf_counter() - state.epoch_seconds
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

    def store(self, state: TrainingState) -> None:
        """Put the times where the checkpoint keeps them."""
        state.seconds = time.perf_counter() - self._start
        state.epoch_seconds = self.epoch_seconds


class RunLogs:
    """The files and the display that a run's rows go to. `state` counts the rows of each file."""

    def __init__(
        self, settings: Settings, folder: RunFolder, state: TrainingState, reporter: Reporter, length: TrainingLength
    ) -> None:
        self.reporter = reporter
        self._folder, self._state = folder, state
        self._tracker = Tracker.of(settings, folder)
        reporter.begin(
            step=state.step,
            total_steps=length.total_steps,
            steps_per_epoch=length.steps_per_epoch,
            counts_steps=settings.training.steps is not None,
        )

    def close(self) -> None:
        """Training is over, for whatever reason."""
        self.reporter.end()
        if self._tracker is not None:
            self._tracker.close()

    def step(self, loss: torch.Tensor, epoch: int, images_per_second: float) -> None:
        """Write a row of steps.csv, of the step that the state has just counted."""
        row = {
            "step": self._state.step,
            "epoch": epoch,
            "lr": self._state.rate,
            "loss": float(loss),
            "images_per_second": images_per_second,
        }
        self._append(STEPS, [row])
        self.reporter.log(row)

    def epoch(self, row: Row) -> None:
        """Write a row of results.csv."""
        self._append(RESULTS, [row])
        self.reporter.epoch(row)

    def probabilities(self, images: ImageSet, indices: NDArray[np.int64], logits: torch.Tensor) -> None:
        """Write rows of probabilities.csv: the batch `indices` of `images`, with its logits (B, K)."""
        names = images.class_names
        columns = _columns(names)
        rows: list[Row] = []
        for index, probabilities in zip(indices, torch.softmax(logits, 1).tolist(), strict=True):
            row = {"step": self._state.step, "id": images.ids[index], "label": names[images.labels[index]]}
            rows.append(row | dict(zip(columns, probabilities, strict=True)))
        self._append(PROBABILITIES, rows)

    def _append(self, file: str, rows: Sequence[Row]) -> None:
        self._folder.append_rows(file, rows)
        if self._tracker is not None:
            self._tracker.add(file, rows)
        self._state.rows[file] = self._state.rows.get(file, 0) + len(rows)


def _columns(class_names: Sequence[str]) -> list[str]:
    """Name each class's column of probabilities.csv: as the class, but for names that other columns have."""

    def column(name: str) -> str:
        while name in taken:
            name = f"class {name}"
        return name

    others = {"step", "id", "label"}
    taken = others.union(class_names)
    return [column(name) if name in others else name for name in class_names]
