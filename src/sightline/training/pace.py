"""How fast a run would train, found by training a little of it: what turns a budget in seconds into one in steps."""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightline import device as device_room
from sightline.device import Compute
from sightline.runs.folder import RunFolder
from sightline.settings import CheckpointSettings, Settings
from sightline.training.batches import BatchOrder
from sightline.training.execution import Execution, choose_execution
from sightline.training.prepare import RunData, prepare_run
from sightline.training.reporter import Silence
from sightline.training.trainer import Trainer

if TYPE_CHECKING:
    from sightline.data import ImageData

STEPS, WARM_UP, EVERY = 40, 10, 5
"""Steps that are taken, those of them that do not count, and those between two looks at the clock."""


def training_pace(settings: Settings, data: ImageData | None = None, seconds: float | None = None) -> float:
    """Training steps a second, validation and checkpoints apart: the median over 30 steps behind 10 that warm up.

    `data` is a dataset already loaded. With `seconds` the steps run as those of a run that lasts so long will: where
    that is long enough for recording or compiling them to pay, they are recorded or compiled here too. Trains in a
    temporary folder, and raises what `train` raises.
    """
    with device_room.explain_memory("training"):
        compute = device_room.resolve(settings.device)
        images = RunData.from_settings(settings, data)
        settings = settings.replace(
            steps=STEPS, epochs=None, log_steps=EVERY, log_probabilities_steps=None, track="none",
            checkpoints=CheckpointSettings(checkpoint_epochs=None),
        )  # fmt: skip
        order = BatchOrder.of(images.splits.train, settings.training)
        execution = choose_execution(settings, compute, order, STEPS)
        pace = _measure(settings, images, compute)
        while seconds is not None:
            longer = choose_execution(settings, compute, order, round(seconds * pace))
            # Never back to what a shorter run uses, or two forms could take turns.
            if _rank(longer) <= _rank(execution):
                break
            execution = longer
            pace = _measure(settings.replace(execution="compile" if longer.compiled else "graph"), images, compute)
        return pace


def _measure(settings: Settings, images: RunData, compute: Compute) -> float:
    """Train a fresh network for a few steps."""
    looks = _Looks()
    with tempfile.TemporaryDirectory() as place:
        folder = RunFolder.create(Path(place), "pace")
        run = prepare_run(settings, images, compute)
        unjudged = replace(images, splits=replace(images.splits, validation=None, test=None))
        Trainer(run.settings, folder, unjudged, run.network, compute, looks).run()
    times = looks.times[WARM_UP // EVERY - 1 :]
    return EVERY / statistics.median(late - early for early, late in itertools.pairwise(times))


def _rank(execution: Execution) -> tuple[bool, bool]:
    return execution.compiled, execution.recorded


class _Looks(Silence):
    """Remembers when each row of steps.csv was written, for which the device was waited for."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def log(self, row: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Look at the clock."""
        self.times.append(time.perf_counter())
