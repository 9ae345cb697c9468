"""The pace of a run: measured as the run itself will train, with nothing but steps between two looks at the clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from helpers.recorders import Tapes
from helpers.training import SMALL
from sightline.device import Compute
from sightline.settings import Settings, build_settings
from sightline.training import execution, pace, trainer
from sightline.training.batches import BatchOrder
from sightline.training.checkpoints import TrainingState
from sightline.training.cuda_graph import RecordedStep
from sightline.training.execution import GRAPH_FROM_STEPS, Execution
from sightline.training.pace import training_pace


def settings(**changes: Any) -> Settings:
    flags = {name: value for name, value in SMALL.items() if name not in ("recipe", "quiet")}
    return build_settings(None, {**flags, "data": "synthetic", **changes})


@pytest.fixture
def forms(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was measured, where a CPU chooses as a GPU does, and records on tapes."""
    measured: list[str] = []

    def choose(settings: Settings, _: Compute, __: BatchOrder, steps: int) -> Execution:
        asked = settings.device.execution
        return Execution(recorded=asked == "graph" or (asked == "auto" and steps >= GRAPH_FROM_STEPS))

    real = trainer.Trainer.run

    def run(self: trainer.Trainer) -> None:
        measured.append("graph" if isinstance(self.training_step, RecordedStep) else "eager")
        real(self)

    monkeypatch.setattr(execution, "CudaGraphs", Tapes)
    monkeypatch.setattr(trainer, "choose_execution", choose)
    monkeypatch.setattr(pace, "choose_execution", choose)
    monkeypatch.setattr(trainer.Trainer, "run", run)
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
    real = trainer.save_checkpoint

    def save(path: Path, state: TrainingState, *arguments: Any) -> None:
        written.append(state.step)
        real(path, state, *arguments)

    monkeypatch.setattr(trainer, "save_checkpoint", save)
    assert training_pace(settings(batch_size=64, checkpoint_steps=3, patience=2, stop_at_accuracy=0.1)) > 0
    assert written == [pace.STEPS], "the last, behind the last look"
