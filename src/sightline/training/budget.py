"""A budget of seconds for the whole command, turned into epochs before the first step.

What comes behind the epochs is reckoned in: the test, and the drawings. The run is then as any other: its settings say
how many epochs it has, and a resumed one goes on as it began.
"""

from __future__ import annotations

import copy
import statistics
import time
from dataclasses import dataclass

import numpy as np
import torch

from sightline.device import Compute
from sightline.evaluation.predictions import evaluate
from sightline.runs.folder import RunFolder
from sightline.training.backbone import Backbone
from sightline.training.prepare import PreparedRun, RunData
from sightline.training.reporter import Silence
from sightline.training.trainer import Trainer

STEPS, WARM_UP = 6, 2
"""Steps that are timed, and those before them."""
JUDGED = 32
"""Images whose validation is timed."""
DRAWING_SECONDS = 3.0
"""What curves, confusion matrix, mistakes and files take on two cores."""
SPARE = 0.05
"""Part of the budget that is left free, since no machine is always as fast."""
MOST_TIMES = 3
"""How many times the settings' epochs a large budget gives at the most: more would learn nothing new."""


@dataclass(frozen=True)
class Budget:
    """`seconds` from `began`, both of time.monotonic()."""

    began: float
    seconds: float

    def left(self) -> float:
        """Seconds that are left, below 0 when it is over."""
        return self.began + self.seconds - time.monotonic()


@dataclass(frozen=True)
class Plan:
    """How many epochs there is time for, and when they must be over, by time.monotonic()."""

    budget: Budget
    epochs: int
    must_end: float
    measured: Backbone

    def line(self) -> str:
        """One line for people."""
        return f"{self.epochs} epoch{'' if self.epochs == 1 else 's'} fit into {self.budget.seconds:g} s"

    def hand_over(self, trainer: Trainer) -> None:
        """Give the run's trainer the features that were computed already, and the end."""
        trainer.backbone.take_features(self.measured)
        trainer.must_end = self.must_end


def plan_epochs(run: PreparedRun, folder: RunFolder, images: RunData, compute: Compute, budget: Budget) -> Plan:
    """Measure with a copy of the network how many epochs fit: at least one, or none behind a fitted head."""
    trial = Trainer(run.settings, folder, images, copy.deepcopy(run.network), compute, Silence())
    trial.backbone.take_front(run.front)
    epochs, behind = _measure(trial, budget)
    return Plan(budget, epochs, budget.began + budget.seconds - behind, trial.backbone)


def _measure(trial: Trainer, budget: Budget) -> tuple[int, float]:
    """The epochs that fit, and the seconds that what comes behind them takes."""
    settings, splits = trial.settings, trial.data.splits
    fitted = settings.finetune.head == "fitted"
    least, most = 0 if fitted else 1, MOST_TIMES * (settings.training.epochs or 1)
    judge = _seconds_an_image(trial)
    tested, validated = (0 if part is None else len(part) for part in (splits.test, splits.validation))
    behind = judge * tested + DRAWING_SECONDS
    if budget.left() < behind + judge * validated:
        return least, behind
    step = _seconds_a_step(trial)
    first = judge * validated if fitted else 0.0
    epoch = step * trial.length.steps_per_epoch
    if trial.backbone.val_features is None:
        epoch += judge * validated
    room = budget.left() - behind - first - SPARE * budget.seconds
    return max(least, min(most, int(room / epoch))), behind


def _seconds_an_image(trial: Trainer) -> float:
    """What an image costs in a test, in float32."""
    splits = trial.data.splits
    images = splits.test or splits.validation or splits.train
    few = images.select(np.arange(min(JUDGED, len(images))))
    classifier = trial.weights.classifier()
    evaluate(classifier, few)
    began = time.perf_counter()
    evaluate(classifier, few)
    return (time.perf_counter() - began) / len(few)


def _seconds_a_step(trial: Trainer) -> float:
    part = trial.backbone.begin_epoch(1)
    seconds: list[float] = []
    for number in range(WARM_UP + STEPS):
        began = time.perf_counter()
        _, batch, labels = trial.batch(number % trial.length.total_steps)
        trial.training_step(part, batch, labels, step=number, rate=0.0)
        if trial.compute.device.type == "cuda":
            torch.cuda.synchronize(trial.compute.device)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[WARM_UP:])
