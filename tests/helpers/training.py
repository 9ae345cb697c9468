"""A training that takes a fraction of a second, and ways to stop it and to compare what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import sightline as sl
from sightline.runs.folder import RESULTS, STEPS, TIME_COLUMNS, RunFolder

SMALL: dict[str, Any] = {
    "recipe": "none",
    "image_size": 8,
    "channels": 1,
    "synthetic_classes": 3,
    "synthetic_count": 150,
    "model": "cnn",
    "conv_widths": (4, 8),
    "kernel": 3,
    "hidden": 16,
    "threads": 1,
    "batch_size": 16,
    "lr": 0.05,
    "quiet": True,
}
CNN_ONLY = ("conv_widths", "kernel", "hidden")


def small(tmp_path: Path, **changes: Any) -> sl.TrainResult:
    """Train a tiny network on 150 synthetic images of 8x8 pixels, 9 steps an epoch, with `changes` to SMALL."""
    options = {**SMALL, "epochs": 3, **changes}
    if options["model"] != "cnn":
        options = {name: value for name, value in options.items() if name not in CNN_ONLY}
    return sl.train("synthetic", runs=tmp_path, **options)


def facts(run: Path) -> tuple[Any, ...]:
    """All that must be the same in two runs that did the same: weights, and the rows of both logs but for times."""
    folder = RunFolder.open(run)
    tables = [
        [{k: v for k, v in row.items() if k not in TIME_COLUMNS} for row in folder.rows(file)]
        for file in (RESULTS, STEPS)
    ]
    return folder.best_weights.read_bytes(), folder.last_weights.read_bytes(), tables


class Stop(Exception):
    """Stands for a kill between two statements."""


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let training die without a word at the start of a step."""
    from sightline.training import trainer

    real = trainer.learning_rate

    def dying(settings: Any, base: float, number: int, **options: Any) -> float:
        if number == step:
            raise Stop
        return real(settings, base, number, **options)

    monkeypatch.setattr(trainer, "learning_rate", dying)
