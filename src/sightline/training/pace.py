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
from sightline.run_folder import RunFolder
from sightline.settings import Settings
from sightline.training.loop import Trainer
from sightline.training.progress import Silence
from sightline.training.start import RunImages, begin, with_augmentation

if TYPE_CHECKING:
    from sightline.data import ImageData

STEPS, WARM_UP, EVERY = 40, 10, 5
"""Steps that are taken, those of them that do not count, and those between two looks at the clock."""


def training_pace(settings: Settings, data: ImageData | None = None) -> float:
    """Training steps a second, validation and checkpoints apart: the median over 30 steps behind 10 that warm up.

    `data` is a dataset already loaded. Trains in a temporary folder, and raises what `train` raises.
    """
    training = settings.training.model_copy(
        update={
            "steps": STEPS,
            "epochs": None,
            "log_steps": EVERY,
            "log_probabilities_steps": None,
            "track": "none",
        }
    )
    with device_room.explain_memory("training"), tempfile.TemporaryDirectory() as place:
        compute = device_room.resolve(settings.device)
        images = RunImages.of(settings, data)
        chosen, _ = with_augmentation(settings.model_copy(update={"training": training}), images)
        module = begin(chosen, images).module
        folder = RunFolder.create(Path(place), "pace")
        splits = replace(images.splits, validation=None, test=None)
        looks = _Looks()
        Trainer(chosen, folder, splits, images.preprocessing, module, compute, looks).run()
    times = looks.times[WARM_UP // EVERY - 1 :]
    return EVERY / statistics.median(late - early for early, late in itertools.pairwise(times))


class _Looks(Silence):
    """Remembers when each row of steps.csv was written, for which the device was waited for."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def log(self, row: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Look at the clock."""
        self.times.append(time.perf_counter())
