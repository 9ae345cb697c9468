"""The pace of a run: measured as the run itself will train, with nothing but steps between two looks at the clock."""

from __future__ import annotations

from typing import Any

import pytest

from sightline.device import Compute
from sightline.settings import Settings, build_settings
from sightline.training import pace
from sightline.training import trainer as loop
from sightline.training.batches import BatchOrder
from sightline.training.cuda_graph import GRAPH_FROM_STEPS, Execution
from sightline.training.pace import training_pace
from test_recorded_step import Tapes
from test_training import SMALL


def settings(**changes: Any) -> Settings:
    flags = {name: value for name, value in SMALL.items() if name not in ("recipe", "quiet")}
    return build_settings(None, {**flags, "data": "synthetic", **changes})


@pytest.fixture
def forms(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was measured, where a CPU chooses as a GPU does, and records on tapes."""
    measured: list[str] = []

    def decide(settings: Settings, _: Compute, __: BatchOrder, steps: int) -> Execution:
        asked = settings.device.execution
        return Execution(recorded=asked == "graph" or (asked == "auto" and steps >= GRAPH_FROM_STEPS))

    real = loop.Trainer.run

    def run(self: loop.Trainer) -> None:
        measured.append("eager" if self.recorded_step is None else "graph")
        real(self)

    monkeypatch.setattr(loop, "CudaGraphs", Tapes)
    monkeypatch.setattr(loop, "decide", decide)
    monkeypatch.setattr(pace, "decide", decide)
    monkeypatch.setattr(loop.Trainer, "run", run)
    return measured


def test_a_run_that_will_be_recorded_is_measured_recorded(forms: list[str]) -> None:
    assert training_pace(settings()) > 0
    assert training_pace(settings(), seconds=1e-3) > 0
    assert forms == ["eager", "eager"]
    assert training_pace(settings(), seconds=3600) > 0
    assert forms == ["eager", "eager", "eager", "graph"]
    training_pace(settings(execution="eager"), seconds=3600)
    assert forms[4:] == ["eager"]


def test_no_checkpoint_is_written_between_two_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    real = loop.Trainer._checkpoint

    def checkpoint(self: loop.Trainer, clock: Any) -> None:
        written.append(self.progress.step)
        real(self, clock)

    monkeypatch.setattr(loop.Trainer, "_checkpoint", checkpoint)
    assert training_pace(settings(batch_size=64, checkpoint_steps=3, patience=2, stop_at_accuracy=0.1)) > 0
    assert written == [pace.STEPS], "the last, behind the last look"
