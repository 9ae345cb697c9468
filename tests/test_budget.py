"""A budget of time for the whole command: read, turned into epochs, recorded, and kept where a machine is slow."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

import sightline as sl
from sightline.errors import UsageError
from sightline.runs.folder import RESULTS, RunFolder
from sightline.settings import build_settings
from sightline.training import budget

QUICK: dict[str, Any] = {"threads": 1, "precision": "fp32", "quiet": True, "recipe": "none", "model": "cnn"}
SMALL: dict[str, Any] = {"conv_widths": (4,), "hidden": 0, "batch_size": 200}


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("2m", 120), ("1h", 3600), ("1h30m", 5400), ("1.5m", 90), (45, 45), ("30", 30)]
)
def test_ways_to_say_it(text: Any, seconds: float) -> None:
    assert build_settings(None, {"time": text}).training.time == seconds


@pytest.mark.parametrize("flags", [{"time": "soon"}, {"time": "-5s"}, {"time": 0}, {"time": "1m", "steps": 5}])
def test_what_is_no_time_is_refused(flags: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="time"):
        build_settings(None, flags)


def test_more_time_is_more_epochs_up_to_three_times_as_many(tmp_path: Path) -> None:
    little = sl.train("digits", time=0.01, epochs=4, runs=tmp_path, **QUICK, **SMALL)
    assert little.epochs == 1
    much = sl.train("digits", time="10m", epochs=2, runs=tmp_path, **QUICK, **SMALL)
    assert much.epochs == 6
    settings = RunFolder.open(much.run).settings()
    assert (settings.training.epochs, settings.training.time) == (6, 600)


def test_the_run_is_the_same_as_one_of_so_many_epochs(tmp_path: Path) -> None:
    timed = sl.train("digits", time="10m", epochs=1, flip="random", runs=tmp_path, **QUICK, **SMALL)
    plain = sl.train("digits", epochs=3, flip="random", runs=tmp_path, **QUICK, **SMALL)
    files = [RunFolder.open(result.run).best_weights.read_bytes() for result in (timed, plain)]
    assert files[0] == files[1]


def test_a_machine_that_becomes_slow_ends_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "_measure", lambda trial, limit: (3, 0.0))
    began = time.monotonic()
    result = sl.train("digits", time=0.001, epochs=50, runs=tmp_path, **QUICK, **SMALL)
    assert result.epochs == 1 and time.monotonic() - began < 60
    folder = RunFolder.open(result.run)
    assert len(folder.rows(RESULTS)) == 1 and folder.is_finished()
