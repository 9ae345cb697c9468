"""The recorded step on a CPU: the code that a GPU runs, with a tape in the place of the CUDA graph."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import sightline as sl
from helpers.recorders import Again, Tapes
from helpers.training import Stop, facts, small, stop_at
from sightline.classifier.input_step import InputStep
from sightline.data.preprocessing import unit_preprocessing
from sightline.device import Compute
from sightline.settings import build_settings
from sightline.training import execution, trainer
from sightline.training.backbone import TrainedPart
from sightline.training.cuda_graph import WARM_UP_STEPS, RecordedStep, Work, recordable
from sightline.training.execution import Execution
from sightline.training.logs import EpochSums
from sightline.training.optimizers import build_optimizer
from sightline.training.step import TrainingStep

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
# Rates that float32 has, so that a tensor and a Python float are the same number.
RATES = [0.125, 0.25, 0.1875, 0.0625, 0.5, 0.03125, 0.09375, 0.25]


class Small(nn.Module):
    """A convolution, batch norm, dropout and a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1)
        )
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Flatten(), nn.Linear(64, 3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(images))


@dataclass
class Harness:
    """A step with the network that it trains, and the input step before it."""

    model: Small
    step: TrainingStep
    part: TrainedPart

    def __call__(
        self, number: int, pixels: torch.Tensor, labels: torch.Tensor, rate: float = 0.25
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return self.step(self.part, pixels, labels, step=number, rate=rate)


def make_step(recorder: Any = None, **flags: Any) -> Harness:
    """A plain step, or with a recorder one that is recorded."""
    common = {"label_smoothing": 0.1, "clip_norm": 0.5, "ema_decay": 0.9, "head_l2": 0.01, "batch_size": 6}
    settings = build_settings(None, {**common, **flags})
    model, weights, compute = Small(), torch.tensor([1.0, 2.0, 0.5]), Compute(CPU, "fp32")
    optimizer = build_optimizer(settings.optimizer, model, fused=True, finetune=settings.finetune)
    if recorder is None:
        step = TrainingStep(model, optimizer, settings, compute, weights)
    else:
        step = RecordedStep(model, optimizer, settings, compute, weights, recorder=recorder)
    return Harness(model, step, TrainedPart(InputStep(unit_preprocessing((4, 4, 1))), model))


def batch(step: int, count: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    draw = np.random.default_rng(step)
    return torch.from_numpy(draw.integers(0, 256, (count, 4, 4, 1), np.uint8)), torch.from_numpy(
        draw.integers(0, 3, count)
    )


def everything(harness: Harness) -> dict[str, torch.Tensor]:
    """Copies of all that a step changes."""
    step = harness.step
    assert step.average is not None
    found = dict(harness.model.state_dict()) | {f"average {k}": v for k, v in step.average.model.state_dict().items()}
    for number, parameter in enumerate(step.parameters):
        found |= {f"{key} {number}": value for key, value in step.optimizer.state[parameter].items()}
    return {name: tensor.clone() for name, tensor in found.items()}


def run(step: Harness, counts: list[int]) -> list[torch.Tensor]:
    logged: list[torch.Tensor] = []
    for number, (rate, count) in enumerate(zip(RATES, counts, strict=True)):
        torch.manual_seed(number)
        logged += [output.clone() for output in step(number, *batch(number, count), rate=rate)]
    return logged


OPTIMIZERS: list[dict[str, Any]] = [
    {"optimizer": "sgd", "nesterov": True, "weight_decay": 0.01},
    {"optimizer": "sgd", "momentum": 0},
    {"optimizer": "adam"},
    {"optimizer": "adamw", "weight_decay": 0.1},
    {"optimizer": "muon", "weight_decay": 0.01},
    {"optimizer": "muon", "weight_decay": 0.01, "keep_norm": False},
]


@pytest.mark.parametrize("recorder", [Again, Tapes])
@pytest.mark.parametrize("flags", OPTIMIZERS, ids=["nesterov", "sgd", "adam", "adamw", "muon", "muon decayed"])
@pytest.mark.parametrize("counts", [[6] * 8, [6, 6, 4, 6, 6, 4, 6, 6]], ids=["even", "short"])
def test_the_recorded_step_is_the_eager_one_to_the_bit(
    recorder: type[Again], flags: dict[str, Any], counts: list[int]
) -> None:
    eager, recorded = make_step(**flags), make_step(recorder(), **flags)
    for ours, theirs in zip(run(recorded, counts), run(eager, counts), strict=True):
        assert torch.equal(ours, theirs)
    expected = everything(eager)
    for name, tensor in everything(recorded).items():
        assert torch.equal(tensor, expected[name]), name
    assert not bool(recorded.step.failed)


@pytest.mark.parametrize("at", [1, 6], ids=["warming up", "replayed"])
@pytest.mark.parametrize("flags", OPTIMIZERS, ids=["nesterov", "sgd", "adam", "adamw", "muon", "muon decayed"])
def test_a_loss_that_is_not_finite_moves_nothing_and_is_noticed(flags: dict[str, Any], at: int) -> None:
    recorded = make_step(Tapes(), **flags)
    for number in range(at):
        recorded(number, *batch(number))
    before = everything(recorded)
    input_step = recorded.part.input_step
    assert isinstance(input_step, InputStep)
    scale = input_step.scale
    good = scale.clone()
    scale.fill_(float("nan"))
    recorded(at, *batch(at))
    assert bool(recorded.step.failed)
    scale.copy_(good)
    recorded(at + 1, *batch(at + 1))
    assert bool(recorded.step.failed)
    # Batch norm's own figures are the forward pass's.
    watched = {name: tensor for name, tensor in everything(recorded).items() if "running" not in name}
    for name, tensor in watched.items():
        assert torch.equal(tensor, before[name]) or "num_batches" in name, name


def test_another_trained_part_is_recorded_anew() -> None:
    tapes = Tapes()
    recorded = make_step(tapes, freeze="backbone", unfreeze_epoch=3)
    body = recorded.model.body
    body.requires_grad_(False)
    for epoch in range(4):
        if epoch == 2:
            body.requires_grad_(True)
            recorded.part = replace(recorded.part)
        # The first convolution's bias has no gradient but by rounding, since batch norm takes it out again.
        parameters = [p for name, p in body.named_parameters() if name != "0.bias"]
        before = [p.detach().clone() for p in parameters]
        for number in range(WARM_UP_STEPS + 2):
            recorded(number, *batch(number))
        moved = [not torch.equal(p, was) for p, was in zip(parameters, before, strict=True)]
        assert all(moved) if epoch >= 2 else not any(moved)
    assert (tapes.recorded, tapes.warmed_up) == (2, 2 * WARM_UP_STEPS)


def test_what_cannot_be_recorded_is_one_line() -> None:
    class Refusing(Again):
        def record(self, work: Work) -> Work:
            raise RuntimeError("operation not permitted when stream is capturing\nmore")

    recorded = make_step(Refusing())
    with pytest.raises(sl.UsageError, match=r"execution: .* \(operation not permitted when stream is capturing\)"):
        for number in range(WARM_UP_STEPS + 1):
            recorded(number, *batch(number))


class Waits(TorchDispatchMode):
    """Counts the operations for which the host would wait for a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        waiting = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2"}
        masks = func.__name__.startswith("index.") and any(
            isinstance(index, torch.Tensor) and index.dtype in (torch.bool, torch.uint8) for index in args[1]
        )
        self.count += masks or func.__name__.partition(".")[0] in waiting
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def counting_waits(monkeypatch: pytest.MonkeyPatch) -> Generator[Waits]:
    """Count them, also where a tensor is read without an operation."""
    with monkeypatch.context() as patch, Waits() as waits:
        for name in ("tolist", "numpy", "cpu", "__array__"):
            patch.setattr(torch.Tensor, name, _counted(getattr(torch.Tensor, name), waits))
        yield waits


def _counted(real: Any, waits: Waits) -> Any:
    def read(*arguments: Any, **options: Any) -> Any:
        waits.count += 1
        return real(*arguments, **options)

    return read


@pytest.mark.parametrize("recorder", [Again, Tapes])
@pytest.mark.parametrize("flags", OPTIMIZERS, ids=["nesterov", "sgd", "adam", "adamw", "muon", "muon decayed"])
def test_no_step_waits_for_the_device(
    monkeypatch: pytest.MonkeyPatch, recorder: type[Again], flags: dict[str, Any]
) -> None:
    from sightline.augment import build_augmentation

    eager, recorded = make_step(**flags), make_step(recorder(), **flags)
    settings = build_settings(
        None,
        {"shift": 1, "flip": "alternate", "fill": "reflect", "erase": 0.5, "cutout": 2, "brightness": 0.2, **flags},
    )
    augment = build_augmentation(settings.augment, count=100, seed=0, device=CPU)
    sums = EpochSums.zero(CPU)
    with counting_waits(monkeypatch) as waits:
        for number in range(WARM_UP_STEPS + 3):
            pixels, labels = batch(number)
            _, logits = recorded(number, augment(pixels, torch.arange(6), number), labels)
            sums.add(logits, labels)
    assert waits.count == 0
    with counting_waits(monkeypatch) as waits:
        eager(0, *batch(0))  # asks whether the loss is finite
        assert waits.count == 1
        sums.means()
        assert waits.count == 2


class Looking(Again):
    """Looks, while a step is recorded, at what the optimizer says of itself."""

    optimizer: torch.optim.Optimizer

    def __init__(self) -> None:
        self.seen: list[set[bool | None]] = []

    def record(self, work: Work) -> Work:
        self.seen.append({group.get("capturable") for group in self.optimizer.param_groups})
        return work


def test_adam_says_capturable_only_while_it_is_recorded() -> None:
    """Its own check while a graph is recorded; at other times torch warns of the flag."""
    for flags in OPTIMIZERS:
        looking = Looking()
        recorded = make_step(looking, **flags)
        looking.optimizer = recorded.step.optimizer
        for number in range(WARM_UP_STEPS + 1):
            recorded(number, *batch(number))
        adam = flags["optimizer"].startswith("adam")
        assert looking.seen == ([{True}] if adam else [{None}])
        left = {group.get("capturable") for group in recorded.step.optimizer.param_groups}
        assert left == ({False} if adam else {None})
    optimizer = make_step(optimizer="adamw").step.optimizer
    with pytest.raises(RuntimeError, match="told"), recordable(optimizer):
        raise RuntimeError("told")
    assert not any(group["capturable"] for group in optimizer.param_groups)


@pytest.fixture
def taped(monkeypatch: pytest.MonkeyPatch) -> list[Tapes]:
    """Let every run on the CPU be recorded, on tapes; rates are ones that float32 has."""
    made: list[Tapes] = []

    def tapes(*_: Any) -> Tapes:
        made.append(Tapes())
        return made[-1]

    monkeypatch.setattr(execution, "CudaGraphs", tapes)
    monkeypatch.setattr(trainer, "choose_execution", lambda *_: Execution(recorded=True, line="steps run on tape"))
    return made


RUNS: list[dict[str, Any]] = [
    {"ema_decay": 0.9, "dropout": 0.3, "shift": 1, "flip": "alternate", "schedule": "one_cycle", "log_steps": 3},
    {"optimizer": "adamw", "lr": 0.002, "last_batch": "wrap", "precision": "bf16", "label_smoothing": 0.1},
    {"augment": "strong", "channels": 3, "class_weights": "balanced", "label_smoothing": 0.1},
]


@pytest.mark.parametrize("changes", RUNS, ids=["sgd", "adamw", "soft labels"])
def test_a_whole_run_is_the_eager_one_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, changes: dict[str, Any]
) -> None:
    real = trainer.learning_rate
    monkeypatch.setattr(trainer, "learning_rate", lambda *a, **k: float(np.float32(real(*a, **k))))
    options = {"checkpoint_steps": 7, **changes}
    expected = facts(small(tmp_path / "eager", epochs=2, **options).run)
    made = request.getfixturevalue("taped")
    assert facts(small(tmp_path / "taped", epochs=2, **options).run) == expected
    assert [tapes.recorded for tapes in made] == [1]


def test_a_taped_run_goes_on_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taped: list[Tapes]
) -> None:
    """It is recorded anew, with the optimizer's state and the average of the checkpoint in it."""
    options = {"schedule": "constant", "epochs": None, "steps": 12, "ema_decay": 0.9, "dropout": 0.3, "log_steps": 4}
    expected = facts(small(tmp_path / "whole", **options).run)
    with monkeypatch.context() as patch:
        stop_at(patch, 6)
        with pytest.raises(Stop):
            small(tmp_path / "broken", checkpoint_steps=5, **options)
    run = next((tmp_path / "broken").iterdir())
    result = sl.resume(run, quiet=True)
    assert facts(result.run) == expected
    assert [tapes.recorded for tapes in taped] == [1, 1, 1]


@pytest.mark.parametrize("shift", [0, 1], ids=["kept features", "augmented"])
def test_frozen_runs_record_what_each_epoch_trains(tmp_path: Path, taped: list[Tapes], shift: int) -> None:
    result = sl.train(
        "digits", runs=tmp_path, model="resnet8", recipe="none", flip="none", precision="fp32", threads=1, quiet=True,
        epochs=3, batch_size=128, lr=0.0625, freeze="backbone", unfreeze_epoch=2, shift=shift, ema_decay=0.5,
    )  # fmt: skip
    assert result.steps >= 6 * WARM_UP_STEPS
    assert [(tapes.recorded, tapes.warmed_up) for tapes in taped] == [(2, 2 * WARM_UP_STEPS)]


def test_a_taped_run_stops_at_a_loss_that_is_not_finite(tmp_path: Path, taped: list[Tapes]) -> None:
    with pytest.raises(sl.NumericError, match="not finite"):
        small(tmp_path, lr=1e30, momentum=0)
    assert len(taped) == 1
