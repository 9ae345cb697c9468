"""The recorded step on a CPU: the code that a GPU runs, with a tape in the place of the CUDA graph."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import sightline as sl
from sightline.classifier.input_step import InputStep
from sightline.data.preprocessing import unit_preprocessing
from sightline.device import Compute, resolve
from sightline.settings import build_settings
from sightline.settings.merge import settings_from_yaml, settings_to_yaml
from sightline.training import trainer as loop
from sightline.training.batches import BatchOrder
from sightline.training.checkpoints import EpochSums
from sightline.training.cuda_graph import (
    COMPILE_FROM_STEPS,
    GRAPH_FROM_STEPS,
    WARM_UP_STEPS,
    Execution,
    Outputs,
    RecordedStep,
    Work,
    decide,
)
from sightline.training.optimizers import build_optimizer, prepare_update, recordable
from sightline.training.step import TrainingStep
from test_resume import Stop, facts, stop_at
from test_training import small

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
# Rates that float32 has, so that a tensor and a Python float are the same number.
RATES = [0.125, 0.25, 0.1875, 0.0625, 0.5, 0.03125, 0.09375, 0.25]


class Again:
    """Replays by calling the function again."""

    def warm_up(self, work: Work) -> Outputs:
        return work()

    def record(self, work: Work) -> Work:
        return work


class Tape(TorchDispatchMode):
    """Writes down every operation without leaving a trace, and replays them on the same tensors, as a CUDA graph does.

    What the host computed while it was written is fixed: the function itself is not called again.
    """

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []
        self.before: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        for number, argument in enumerate(func._schema.arguments):
            # The schema of native_batch_norm conceals that it writes its running figures.
            hidden = func.__name__.startswith("native_batch_norm") and argument.name.startswith("running")
            if hidden or (argument.alias_info is not None and argument.alias_info.is_write):
                written = args[number] if number < len(args) else kwargs.get(argument.name)
                for tensor in tree_leaves(written):
                    if isinstance(tensor, torch.Tensor):
                        self.before.setdefault(id(tensor), (tensor, tensor.detach().clone()))
        result = func(*args, **kwargs)
        self.entries.append((func, args, kwargs, result))
        return result

    @torch.no_grad()
    def rewind(self) -> None:
        for tensor, value in self.before.values():
            tensor.copy_(value)

    @torch.no_grad()
    def replay(self) -> None:
        for func, args, kwargs, was in self.entries:
            for old, new in zip(tree_leaves(was), tree_leaves(func(*args, **kwargs)), strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class Tapes(Again):
    """A recorder as CudaGraphs is one; counts what it was asked for."""

    def __init__(self, *_: Any) -> None:
        self.warmed_up = self.recorded = 0

    def warm_up(self, work: Work) -> Outputs:
        self.warmed_up += 1
        return work()

    def record(self, work: Work) -> Work:
        self.recorded += 1
        state = torch.get_rng_state()
        with Tape() as tape:
            outputs = work()
        tape.rewind()
        torch.set_rng_state(state)

        def replay() -> Outputs:
            tape.replay()
            return outputs

        return replay


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


def make_step(**flags: Any) -> TrainingStep:
    common = {"label_smoothing": 0.1, "clip_norm": 0.5, "ema_decay": 0.9, "head_l2": 0.01}
    settings = build_settings(None, {**common, **flags})
    model = Small()
    optimizer = build_optimizer(settings.optimizer, model, fused=True, finetune=settings.finetune)
    return TrainingStep(
        model, InputStep(unit_preprocessing((4, 4, 1))), optimizer, Compute(CPU, "fp32"), settings.training,
        optimizer_name=settings.optimizer.optimizer, fused=True, class_weights=torch.tensor([1.0, 2.0, 0.5]),
    )  # fmt: skip


def batch(step: int, count: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    draw = np.random.default_rng(step)
    return torch.from_numpy(draw.integers(0, 256, (count, 4, 4, 1), np.uint8)), torch.from_numpy(
        draw.integers(0, 3, count)
    )


def everything(step: TrainingStep) -> dict[str, torch.Tensor]:
    """Copies of all that a step changes."""
    assert isinstance(step.forward, nn.Module) and step.average is not None
    found = dict(step.forward.state_dict()) | {f"average {k}": v for k, v in step.average.model.state_dict().items()}
    for number, parameter in enumerate(step.parameters):
        found |= {f"{key} {number}": value for key, value in step.optimizer.state[parameter].items()}
    return {name: tensor.clone() for name, tensor in found.items()}


def run(step: TrainingStep, take: Callable[..., Outputs], counts: list[int]) -> list[torch.Tensor]:
    settings = build_settings(None, {"optimizer": "sgd"}).optimizer
    logged: list[torch.Tensor] = []
    for number, (rate, count) in enumerate(zip(RATES, counts, strict=True)):
        prepare_update(step.optimizer, settings, rate, number)
        torch.manual_seed(number)
        logged += [output.clone() for output in take(number, *batch(number, count))]
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
    eager, step = make_step(**flags), make_step(**flags)
    recorded = RecordedStep(step, 6, recorder())
    recorded.begin_epoch()
    for ours, theirs in zip(run(step, recorded, counts), run(eager, eager, counts), strict=True):
        assert torch.equal(ours, theirs)
    expected = everything(eager)
    for name, tensor in everything(step).items():
        assert torch.equal(tensor, expected[name]), name
    assert not bool(step.failed)


@pytest.mark.parametrize("at", [1, 6], ids=["warming up", "replayed"])
@pytest.mark.parametrize("flags", OPTIMIZERS, ids=["nesterov", "sgd", "adam", "adamw", "muon", "muon decayed"])
def test_a_loss_that_is_not_finite_moves_nothing_and_is_noticed(flags: dict[str, Any], at: int) -> None:
    step = make_step(**flags)
    recorded = RecordedStep(step, 6, Tapes())
    recorded.begin_epoch()
    for number in range(at):
        recorded(number, *batch(number))
    before = everything(step)
    scale = step.input_step.scale
    good = scale.clone()
    scale.fill_(float("nan"))
    recorded(at, *batch(at))
    assert bool(step.failed)
    scale.copy_(good)
    recorded(at + 1, *batch(at + 1))
    assert bool(step.failed)
    # Batch norm's own figures are the forward pass's.
    watched = {name: tensor for name, tensor in everything(step).items() if "running" not in name}
    for name, tensor in watched.items():
        assert torch.equal(tensor, before[name]) or "num_batches" in name, name


def test_a_thawed_backbone_is_recorded_anew() -> None:
    """Also where network and input step are the same objects as before."""
    step, tapes = make_step(freeze="backbone", unfreeze_epoch=3), Tapes()
    body = step.forward.body
    recorded = RecordedStep(step, 6, tapes)
    body.requires_grad_(False)
    for epoch in range(4):
        if epoch == 2:
            body.requires_grad_(True)
        # The first convolution's bias has no gradient but by rounding, since batch norm takes it out again.
        parameters = [p for name, p in body.named_parameters() if name != "0.bias"]
        before = [p.detach().clone() for p in parameters]
        recorded.begin_epoch()
        for number in range(WARM_UP_STEPS + 2):
            recorded(number, *batch(number))
        moved = [not torch.equal(p, was) for p, was in zip(parameters, before, strict=True)]
        assert all(moved) if epoch >= 2 else not any(moved)
    assert (tapes.recorded, tapes.warmed_up) == (2, 2 * WARM_UP_STEPS)


def test_what_cannot_be_recorded_is_one_line() -> None:
    class Refusing(Again):
        def record(self, work: Work) -> Work:
            raise RuntimeError("operation not permitted when stream is capturing\nmore")

    recorded = RecordedStep(make_step(), 6, Refusing())
    recorded.begin_epoch()
    with pytest.raises(sl.UsageError, match=r"--execution: .* \(operation not permitted when stream is capturing\)\."):
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

    eager, step = make_step(**flags), make_step(**flags)
    settings = build_settings(
        None,
        {"shift": 1, "flip": "alternate", "fill": "reflect", "erase": 0.5, "cutout": 2, "brightness": 0.2, **flags},
    )
    augment = build_augmentation(settings.augment, count=100, seed=0, device=CPU)
    recorded = RecordedStep(step, 6, recorder())
    recorded.begin_epoch()
    sums = EpochSums.zero(CPU)
    with counting_waits(monkeypatch) as waits:
        for number in range(WARM_UP_STEPS + 3):
            prepare_update(step.optimizer, settings.optimizer, 0.25, number)
            pixels, labels = batch(number)
            _, logits = recorded(number, augment(pixels, torch.arange(6), number), labels)
            sums.add(logits, labels)
    assert waits.count == 0
    with counting_waits(monkeypatch) as waits:
        eager(0, *batch(0))  # asks whether the loss is finite
        assert waits.count == 1
        sums.means()
        assert waits.count == 2


def test_adam_says_capturable_only_while_it_is_recorded() -> None:
    """Its own check while a graph is recorded; at other times torch warns of the flag."""
    for flags in OPTIMIZERS:
        step, seen = make_step(**flags), []

        class Looking(Again):
            def record(self, work: Work, *, step: TrainingStep = step, seen: list[Any] = seen) -> Work:
                seen.append({group.get("capturable") for group in step.optimizer.param_groups})
                return work

        recorded = RecordedStep(step, 6, Looking())
        for number in range(WARM_UP_STEPS + 1):
            recorded(number, *batch(number))
        adam = flags["optimizer"].startswith("adam")
        assert seen == [{True}] if adam else seen == [{None}]
        assert {group.get("capturable") for group in step.optimizer.param_groups} == ({False} if adam else {None})
    step = make_step(optimizer="adamw")
    with pytest.raises(RuntimeError, match="told"), recordable(step.optimizer):
        raise RuntimeError("told")
    assert not any(group["capturable"] for group in step.optimizer.param_groups)


@pytest.fixture
def taped(monkeypatch: pytest.MonkeyPatch) -> list[Tapes]:
    """Let every run on the CPU be recorded, on tapes; rates are ones that float32 has."""
    made: list[Tapes] = []

    def tapes(*_: Any) -> Tapes:
        made.append(Tapes())
        return made[-1]

    monkeypatch.setattr(loop, "CudaGraphs", tapes)
    monkeypatch.setattr(loop, "decide", lambda *_: Execution(recorded=True, line="steps run on tape"))
    return made


RUNS: list[dict[str, Any]] = [
    {"ema_decay": 0.9, "dropout": 0.3, "shift": 1, "flip": "alternate", "schedule": "one_cycle", "log_steps": 3},
    {"optimizer": "adamw", "lr": 0.002, "last_batch": "wrap", "precision": "bf16", "label_smoothing": 0.1},
]


@pytest.mark.parametrize("changes", RUNS, ids=["sgd", "adamw"])
def test_a_whole_run_is_the_eager_one_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, changes: dict[str, Any]
) -> None:
    real = loop.learning_rate
    monkeypatch.setattr(loop, "learning_rate", lambda *a, **k: float(np.float32(real(*a, **k))))
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


def decided(total_steps: int, *, device: torch.device = CUDA, own: bool = False, **flags: Any) -> Execution:
    precision = flags.pop("precision", "bf16")
    settings = build_settings(None, {"batch_size": 16, **flags})
    if own:
        settings = settings.model_copy(update={"model": None})
    order = BatchOrder(150, settings.training.batch_size, 0, settings.training.last_batch)
    return decide(settings, Compute(device, precision), order, total_steps)


def test_the_length_of_the_run_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sightline.training.cuda_graph._can_compile", lambda: True)
    forms = [
        (found.compiled, found.recorded)
        for found in map(decided, (1, GRAPH_FROM_STEPS - 1, GRAPH_FROM_STEPS, COMPILE_FROM_STEPS - 1, 10**6))
    ]
    assert forms == [(False, False), (False, False), (False, True), (False, True), (True, True)]
    monkeypatch.setattr("sightline.training.cuda_graph._can_compile", lambda: False)
    assert not decided(10**6).compiled
    assert decided(10**6, device=CPU) == decided(10**6, device=torch.device("mps")) == Execution()


@pytest.mark.parametrize(
    ("flags", "compiled", "recorded", "told"),
    [
        ({"execution": "eager"}, False, False, "steps run eagerly: as asked"),
        ({"execution": "graph"}, False, True, "as a CUDA graph: as asked; an epoch's last batch, of 6, eagerly"),
        ({"execution": "graph", "last_batch": "wrap"}, False, True, "steps run as a CUDA graph: as asked"),
        ({"execution": "compile"}, True, True, "steps run compiled, as a CUDA graph: as asked"),
        ({"execution": "compile", "precision": "fp16"}, True, False, "as asked; no graph, since the loss scaling"),
        ({"execution": "graph", "precision": "fp16"}, False, False, "graph was asked for; no graph, since the loss"),
        ({"optimizer": "adadelta"}, False, False, "adadelta is none here"),
        ({"fused": False}, False, False, "sgd is none here"),
        ({"optimizer": "adam", "eps_hat": True}, False, False, "eps_hat sets another eps"),
        ({"batch_size": 200}, False, False, "no batch has the full size"),
        ({"own": True}, False, False, "a module of your own may ask the host"),
        ({"own": True, "execution": "graph"}, False, True, "as asked"),
        ({}, False, True, f"1,000 steps, and recording pays from {GRAPH_FROM_STEPS} on"),
    ],
)
def test_what_stands_against_recording_is_told(
    flags: dict[str, Any], compiled: bool, recorded: bool, told: str
) -> None:
    found = decided(1000, **flags)
    assert (found.compiled, found.recorded) == (compiled, recorded)
    assert found.line is not None and told in found.line and "\n" not in found.line


def test_a_graph_without_a_gpu_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    told = r"--execution: graph needs an NVIDIA GPU, and the device is cpu \(expected eager or compile\)"
    with pytest.raises(sl.UsageError, match=told):
        small(tmp_path / "runs", execution="graph", device="cpu")
    assert not (tmp_path / "runs").exists()
    assert resolve(build_settings(None, {"execution": "eager", "device": "cpu"}).device).device == CPU


def test_settings_of_older_runs_are_read() -> None:
    text = settings_to_yaml(build_settings(None, {}))
    assert "execution: auto" in text
    for old, new in (("false", "eager"), ("true", "compile")):
        assert settings_from_yaml(text.replace("execution: auto", f"compile: {old}"), "it").device.execution == new


def test_the_gpu_benchmark_runs_without_one(tmp_path: Path) -> None:
    script = Path(__file__).parent.parent / "benchmarks" / "gpu.py"
    done = subprocess.run(
        [sys.executable, str(script), "--smoke", "--out", str(tmp_path / "gpu.json")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["smoke"] and found["skipped"]
    assert all(row["images_per_second"]["eager"]["median"] > 0 for row in found["steps"])
