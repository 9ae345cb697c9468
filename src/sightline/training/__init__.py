"""Training: from settings to a run folder with a tested model in it.

`train` begins a run, `resume` goes on with one, exactly as if it had never stopped.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sightline import data as data_room
from sightline import device as device_room
from sightline.classifier import model_file
from sightline.errors import UsageError
from sightline.evaluation import evaluate, report_of, store_test
from sightline.run_folder import RESULTS, RunFolder
from sightline.settings import Settings, data_name, model_name
from sightline.training.loop import Trainer
from sightline.training.pace import training_pace
from sightline.training.progress import Reporter, Silence, make_reporter
from sightline.training.start import (
    RunImages,
    Start,
    begin,
    begin_again,
    build,
    check_own,
    check_rules,
    describe,
    samples_of,
    with_augmentation,
)
from sightline.training.tracking import check_tracking, track_test
from sightline.training.weights import save_tested

if TYPE_CHECKING:
    from sightline.data import ImageData

PICTURES_SHOWN = 18

__all__ = ["TrainResult", "make_reporter", "resume", "train", "training_pace"]


@dataclass(frozen=True)
class TrainResult:
    """A finished run. Accuracies are fractions; val_accuracy is the selected epoch's, test_accuracy that of the same
    weights, with its 95 % Wilson interval; None where there were no such images.
    """

    run: Path
    model: str
    data: str
    epochs: int
    steps: int
    train_seconds: float
    val_accuracy: float | None
    test_accuracy: float | None
    test_interval: tuple[float, float] | None
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """The result for JSON."""
        return {**vars(self), "run": str(self.run)}


def train(
    settings: Settings,
    *,
    runs: Path = Path("runs"),
    name: str | None = None,
    module: nn.Module | None = None,
    data: ImageData | None = None,
    reporter: Reporter | None = None,
    draws: bool = True,
) -> TrainResult:
    """Train, select, save and test, in a new folder below `runs`.

    `module` is a network of the user's own, float (N, C, H, W) to logits (N, K), instead of settings.model; `data` a
    dataset already loaded, instead of settings.data.name; `draws`: whether curves and augmentation are drawn. Raises
    DataError, UsageError, NumericError, ResourceError or Interrupted; what was reached is kept in the folder.
    """
    reporter = reporter or Silence()
    check_tracking(settings)
    with device_room.explain_memory("training"), contextlib.ExitStack() as held:
        compute = device_room.resolve(settings.device)
        images = RunImages.of(settings, data)
        check_rules(settings, images.splits)
        settings, choices = with_augmentation(settings, images)
        own = module is not None
        start = Start(module) if module is not None else begin(settings, images)
        module = start.module
        if own:
            check_own(module, images.splits)
            settings = settings.model_copy(update={"model": None})
        folder = RunFolder.create(runs, name or run_name(settings, module))
        held.enter_context(folder.in_work())
        audit = data_room.audit(images.splits, images.loaded)
        folder.write_fact("environment", device_room.environment(compute))
        folder.write_fact("splits", data_room.record(images.splits))
        folder.write_fact("audit", audit)
        folder.write_fact("network", describe(module, images.splits))
        folder.write_samples(*samples_of(images.splits.train))
        if start.report is not None:
            folder.write_fact("pretrained", start.report.to_dict())
        folder.write_settings(settings)
        for line in (*data_room.audit_lines(audit), *choices, *start.lines(settings)):
            reporter.note(line)
        trainer = Trainer(settings, folder, images.splits, images.preprocessing, module, compute, reporter)
        trainer.progress.seconds = start.seconds
        reporter.note(_opening_line(settings, trainer, module))
        trainer.run()
        return _finish(trainer, reporter, draws=draws)


def resume(
    run: Path,
    *,
    epochs: int | None = None,
    steps: int | None = None,
    add_epochs: int | None = None,
    add_steps: int | None = None,
    module: nn.Module | None = None,
    data: ImageData | None = None,
    reporter: Reporter | None = None,
) -> TrainResult:
    """Go on with a run from its latest checkpoint, to a larger number of epochs or steps, or by so many more.

    Bit-identical to never having stopped, on the same processor type, torch and thread count (on CUDA with
    --deterministic). Raises FileError where the folder is no run, UsageError for fewer epochs or steps than before, for
    more than one length and for the other unit than the run counts in, DataError where the images have changed.
    """
    reporter = reporter or Silence()
    folder = RunFolder.open(run)
    lengths = {"epochs": epochs, "steps": steps, "add-epochs": add_epochs, "add-steps": add_steps}
    settings = _longer(folder, {flag: length for flag, length in lengths.items() if length is not None})
    check_tracking(settings)
    before = folder.fact("environment")
    pinned = settings.device.model_copy(
        update={
            "threads": settings.device.threads or before.get("threads"),
            "precision": before.get("precision", settings.device.precision),
        }
    )
    with device_room.explain_memory("training"), folder.in_work():
        compute = device_room.resolve(pinned)
        now = device_room.environment(compute)
        differing = [key for key in ("torch", "processor", "threads", "device", "gpu") if before.get(key) != now[key]]
        if differing:
            told = ", ".join(f"{key} was {before.get(key)} and is {now[key]}" for key in differing)
            reporter.note(f"warning: {told}; the result will not be bit-identical to an unbroken run")
        images = RunImages.of(settings, data)
        data_room.verify(folder.fact("splits"), images.splits)
        if module is None:
            if settings.model is None:
                raise UsageError(str(run), "this run trains a module of your own", "sightline.resume(run, module=...)")
            module = build(settings, images.splits) if folder.checkpoints() else begin_again(settings, images, folder)
        trainer = Trainer(settings, folder, images.splits, images.preprocessing, module, compute, reporter)
        trainer.restore()
        if settings != folder.settings():
            folder.write_settings(settings)
        reporter.note(f"{run}: goes on from step {trainer.progress.step} of {trainer.plan.total_steps}")
        trainer.run()
        return _finish(trainer, reporter)


def run_name(settings: Settings, module: nn.Module) -> str:
    """What a run's folder is called before its number: the recipe, or the data and the model."""
    data = data_name(settings.data)
    if settings.recipe:
        return settings.recipe if settings.recipe.startswith(data) else f"{data}-{settings.recipe}"
    return f"{data}-{model_name(settings.model, type(module).__name__.lower())}"


def _longer(folder: RunFolder, lengths: Mapping[str, int]) -> Settings:
    """The run's settings with more epochs or steps; `lengths` has the flag that asks for them, if one does."""
    settings = folder.settings()
    if not lengths:
        return settings
    if len(lengths) > 1:
        first, second, *_ = lengths
        raise UsageError(f"--{second}", f"given together with --{first}", "one of them says how long the run is to be")
    ((flag, asked),) = lengths.items()
    unit = flag.removeprefix("add-")
    adds = flag != unit
    if adds and asked < 1:
        raise UsageError(f"--{flag}", f"{asked} found", "it should be at least 1")
    training = settings.training
    old = getattr(training, unit)
    if old is None:
        other = "steps" if unit == "epochs" else "epochs"
        advice = f"use --{flag.replace(unit, other)}"
        raise UsageError(f"--{flag}", f"{asked} found", f"this run counts in {other}", advice)
    new = old + asked if adds else asked
    if new < old:
        raise UsageError(f"--{flag}", f"{asked} found", f"{old} or more, since only a longer run can go on")
    if new == old:
        return settings
    start = _finished_step(folder)
    return settings.model_copy(
        update={
            "training": training.model_copy(update={unit: new}),
            "extended_from_step": settings.extended_from_step if start is None else start,
        }
    )


def _finished_step(folder: RunFolder) -> int | None:
    """The step at which a finished run ended, None for one that is still under way."""
    checkpoints = folder.checkpoints()
    if not checkpoints or not folder.is_finished():
        return None
    return int(checkpoints[0].stem.removeprefix("step-"))


def _opening_line(settings: Settings, trainer: Trainer, module: nn.Module) -> str:
    parameters = sum(parameter.numel() for parameter in module.parameters())
    height, width, channels = trainer.splits.train.size
    name = model_name(settings.model, type(module).__name__)
    compute = trainer.compute
    threads = torch.get_num_threads()
    where = str(compute.device)
    if compute.device.type == "cpu":
        where += f", {threads} thread{'s' if threads > 1 else ''}"
    return (
        f"{name}, {parameters:,} parameters, images {channels}x{height}x{width}; {where}, {compute.precision};"
        f" {trainer.plan.total_steps} steps; {trainer.folder.path}"
    )


def _finish(trainer: Trainer, reporter: Reporter, *, draws: bool = True) -> TrainResult:
    """Save the last weights, test the selected ones once, and draw."""
    folder, settings, progress = trainer.folder, trainer.settings, trainer.progress
    if progress.stopped:
        reporter.note(f"stopped at step {progress.step}: {progress.stopped}")
    last, best = trainer.tested_model.state_dict(), trainer.best
    if best is None:
        temperature = save_tested(folder, folder.last_weights, last, trainer.header, reporter)
    else:
        model_file.save(folder.last_weights, last, trainer.header)
        temperature = save_tested(folder, folder.best_weights, best, trainer.header, reporter)
    rows = [_numbers(row) for row in folder.rows(RESULTS)]
    if draws:
        _draw(trainer, rows)
    report: Mapping[str, Any] = {}
    if trainer.splits.test is not None:
        trainer.tested_model.load_state_dict(best or last)
        predictions = evaluate(trainer.classifier_at(temperature), trainer.splits.test)
        report = report_of(predictions, folder.tested_step(), temperature)
        store_test(predictions, folder.test_folder, report, trainer.splits.test)
        track_test(settings, folder, report)
    interval = report.get("interval")
    return TrainResult(
        run=folder.path,
        model=model_name(settings.model, type(trainer.model).__name__),
        data=data_name(settings.data),
        epochs=progress.step // trainer.plan.steps_per_epoch,
        steps=progress.step,
        train_seconds=progress.seconds,
        val_accuracy=_selected_accuracy(rows, progress.best_epoch),
        test_accuracy=report.get("accuracy"),
        test_interval=(interval[0], interval[1]) if interval else None,
        seed=settings.training.seed,
    )


def _draw(trainer: Trainer, rows: list[dict[str, Any]]) -> None:
    from sightline.drawing import augmentation, curves

    folder = trainer.folder
    curves.draw(rows, folder.curves_path, selected_epoch=trainer.progress.best_epoch, title=folder.path.name)
    originals, seen = trainer.seen(PICTURES_SHOWN)
    if trainer.settings.augment.changes_images:
        title = "above: the image, below: what the network sees"
        augmentation.draw(seen, folder.augmentation_path, originals=originals, title=title)
    else:
        augmentation.draw(seen, folder.augmentation_path, title="what the network sees")


def _selected_accuracy(rows: list[dict[str, Any]], epoch: int | None) -> float | None:
    return next((row["val_accuracy"] for row in rows if row["epoch"] == epoch), None)


def _numbers(row: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {name: float(value) if value else None for name, value in row.items()}
    return found | {name: int(row[name]) for name in ("epoch", "step")}
