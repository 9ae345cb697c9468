"""`train`: from a dataset and settings to a run folder with a tested model in it."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightline.checking.audit import audit, audit_lines
from sightline.data import ImageData
from sightline.data.in_memory import ARRAYS, from_arrays
from sightline.errors import NumericError, UsageError
from sightline.evaluation.predictions import blamed_on, evaluate, report_of, store_test
from sightline.files.json_records import to_json
from sightline.recipes import NO_RECIPE, default_recipe, resolve, why_folder_recipe
from sightline.runs.folder import RECORDED, RESULTS, TRAINED, RunFolder
from sightline.runs.images import record
from sightline.runs.records import Failure, TestReport
from sightline.runs.selection import selected_row
from sightline.settings import Settings, data_name, model_name
from sightline.training.reporter import Reporter, Silence, make_reporter

if TYPE_CHECKING:
    from torch import nn

    from sightline.device import Compute
    from sightline.training.prepare import PreparedRun, RunData
    from sightline.training.trainer import Trainer

PICTURES_SHOWN = 18
OWN_PARTS, NAMED_DATA = "arrays and an ImageData have parts of their own", "a dataset's name or the path of pictures"


@dataclass(frozen=True)
class TrainResult:
    """A finished run. Accuracies are fractions.

    `val_accuracy` is that of the selected epoch. `test_accuracy` is that of the same weights, with its 95 % Wilson
    interval, and `test_report` has all metrics of that test. Each is None if there were no such images.
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
    test_report: TestReport | None = None

    def to_dict(self) -> dict[str, Any]:
        """The result for JSON."""
        told = {name: value for name, value in vars(self).items() if name != "test_report"}
        report = self.test_report
        if report is not None and report.is_unequal:
            worst = report.worst_class
            told |= {"test_balanced_accuracy": report.balanced_accuracy}
            told |= {"worst_class": worst.name, "worst_class_recall": worst.recall}
        return {**told, "run": str(self.run)}


def train(
    data: str | Path | ImageData | tuple[Any, Any] | None = None,
    *,
    model: str | nn.Module | None = None,
    recipe: str | None = None,
    runs: str | Path = "runs",
    name: str | None = None,
    quiet: bool = False,
    **settings: Any,
) -> TrainResult:
    """Train a classifier and test it.

    `data`: a dataset's name; a folder, an archive or a label file; arrays `(images, labels)` or
    `((images, labels), (test_images, test_labels))`, with images (N, H, W[, C]) of 0 to 255 or floats of 0 to 1, and
    labels (N,) of numbers or strings; or your own ImageData. By default the recipe's data, or the embedded digits.
    `model`: a preset or family, or your own torch module, float (N, C, H, W) to logits (N, K). `recipe`: a recipe's
    name or YAML file; by default the dataset's own; "none" for the plain defaults. `settings`: any setting, named like
    its flag: `lr=0.1, epochs=5, batch_size=64`.

    Raises UsageError, DataError, FileError, NumericError, ResourceError or Interrupted, all SightlineErrors.
    """
    arrays = data if isinstance(data, tuple) else None
    own_data = data if isinstance(data, ImageData) else None
    own_module = None if model is None or isinstance(model, str) else model
    preset = model if isinstance(model, str) else None
    flags = {**settings, "model": preset}
    named = ARRAYS if arrays is not None else own_data.name if own_data else None if data is None else str(data)
    # Before torch is imported, which takes a while: wrong settings are told at once.
    asked = "a module of your own" if own_module is not None else preset
    if arrays is not None:
        recipe = recipe or NO_RECIPE
    resolved = resolve(named, recipe or default_recipe(named or "digits", asked), flags)
    if (arrays is not None or own_data is not None) and resolved.data.fold is not None:
        raise UsageError("--fold", OWN_PARTS, NAMED_DATA, "Use scikit-learn's cross_val_score for them.")
    if arrays is not None:
        own_data = from_arrays(arrays, resolved.data)
    reporter = make_reporter(quiet=quiet)
    if (why := why_folder_recipe(named, recipe, asked)) is not None:
        reporter.note(why)
    return train_settings(resolved, runs=Path(runs), name=name, module=own_module, data=own_data, reporter=reporter)


def train_settings(
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
    DataError, UsageError, NumericError, ResourceError or Interrupted. What was reached is kept in the folder; one that
    no step was taken in is removed.
    """
    began = time.monotonic()  # before torch is imported, which takes a while
    from sightline import device as device_room
    from sightline.training.budget import Budget, plan_epochs
    from sightline.training.prepare import RunData, prepare_run
    from sightline.training.tracking import check_tracking
    from sightline.training.trainer import Trainer
    from sightline.training.validation import check_rules

    reporter = reporter or Silence()
    check_tracking(settings)
    with device_room.explain_memory("training"), contextlib.ExitStack() as held:
        compute = device_room.resolve(settings.device)
        images = RunData.from_settings(settings, data)
        check_rules(settings, images.splits)
        run = prepare_run(settings, images, compute, module)
        folder = RunFolder.create(runs, name or run_name(run.settings, run.network))
        refused = held.enter_context(contextlib.ExitStack())
        refused.callback(shutil.rmtree, folder.path, ignore_errors=True)
        held.enter_context(folder.in_work())
        held.enter_context(folder.rewriting(*TRAINED))
        seconds = run.settings.training.time
        plan = None if seconds is None else plan_epochs(run, folder, images, compute, Budget(began, seconds))
        if plan is not None:
            run = replace(run, settings=run.settings.replace(epochs=plan.epochs), notes=(*run.notes, plan.line()))
        for note in (*_record(folder, run, images, compute), *run.notes):
            reporter.note(note)
        trainer = Trainer(run.settings, folder, images, run.network, compute, reporter)
        trainer.backbone.take_front(run.front)
        if plan is not None:
            plan.hand_over(trainer)
        trainer.state.seconds = run.seconds
        reporter.note(_opening_line(trainer))
        refused.pop_all()  # from here on there is something to keep
        return run_to_end(trainer, draws=draws)


def run_to_end(trainer: Trainer, *, draws: bool = True) -> TrainResult:
    """Train, save, test and draw. Where the network diverges, the folder says so until training goes on."""
    folder = trainer.folder
    folder.forget(Failure)
    try:
        trainer.run()
        return finish(trainer, draws=draws)
    except NumericError as error:
        folder.write(Failure(error.found, trainer.state.step))
        raise


def run_name(settings: Settings, network: nn.Module | None = None) -> str:
    """What a run's folder is called before its number: the recipe, or the data and the model.

    `network` names the model where the settings do not.
    """
    data = data_name(settings.data)
    if settings.recipe:
        return settings.recipe if settings.recipe.startswith(data) else f"{data}-{settings.recipe}"
    return f"{data}-{model_name(settings.model, type(network).__name__.lower())}"


def _record(folder: RunFolder, run: PreparedRun, images: RunData, compute: Compute) -> list[str]:
    """Write what is known before the first step, settings.yaml last; give what is odd about the images."""
    from sightline.device import environment
    from sightline.training.prepare import describe, sample_images

    found = audit(images.splits, images.loaded)
    with folder.rewriting(*RECORDED):
        folder.write(environment(compute))
        folder.write(record(images.splits))
        folder.write(found)
        folder.write(describe(run.network, images.splits))
        folder.write_samples(*sample_images(images.splits.train))
        if run.pretrained is not None:
            folder.write(run.pretrained)
        folder.write_settings(run.settings)
    grouping = images.splits.grouping
    return [*images.loaded.notes, *audit_lines(found), *([] if grouping is None else [grouping.line()])]


def _opening_line(trainer: Trainer) -> str:
    """Say what is about to be trained, on what."""
    from torch import get_num_threads

    network, compute, threads = trainer.model, trainer.compute, get_num_threads()
    parameters = sum(parameter.numel() for parameter in network.parameters())
    height, width, channels = trainer.data.splits.train.size
    name = model_name(trainer.settings.model, type(network).__name__)
    where = str(compute.device)
    if compute.device.type == "cpu":
        where = f"cpu, {threads} thread{'s' if threads > 1 else ''}"
    return (
        f"{name}, {parameters:,} parameters, images {channels}x{height}x{width}; {where}, {compute.precision};"
        f" {trainer.length.total_steps} steps; {trainer.folder.path}"
    )


def finish(trainer: Trainer, *, draws: bool = True) -> TrainResult:
    """Save the last weights, test the selected ones once, and draw."""
    from sightline.training.tracking import track_test

    folder, settings, state, test = trainer.folder, trainer.settings, trainer.state, trainer.data.splits.test
    if state.stopped:
        trainer.reporter.note(f"stopped at step {state.step}: {state.stopped}")
    classifier = trainer.weights.finish(trainer.validation.best)
    rows = [_numbers(row) for row in folder.rows(RESULTS)]
    if draws:
        _draw(trainer, rows)
    report: TestReport | None = None
    if test is not None:
        with blamed_on(str(folder.path)):
            predictions = evaluate(classifier, test)
        report = report_of(predictions, folder.tested_step(), classifier.temperature)
        store_test(predictions, folder.test_folder, report, test)
        track_test(settings, folder, to_json(report))
    selected = selected_row(rows, settings.training.select)
    return TrainResult(
        run=folder.path,
        model=model_name(settings.model, type(trainer.model).__name__),
        data=data_name(settings.data),
        epochs=state.step // trainer.length.steps_per_epoch,
        steps=state.step,
        train_seconds=state.seconds,
        val_accuracy=None if selected is None else selected["val_accuracy"],
        test_accuracy=None if report is None else report.accuracy,
        test_interval=None if report is None else report.interval,
        seed=settings.training.seed,
        test_report=report,
    )


def _draw(trainer: Trainer, rows: list[dict[str, Any]]) -> None:
    from sightline.drawing import augmentation, curves
    from sightline.drawing.words import lettered

    folder = trainer.folder
    selected = None if trainer.settings.training.select == "last" else trainer.state.best_epoch
    curves.draw(rows, folder.curves_path, selected_epoch=selected, title=folder.path.name)
    originals, augmented = trainer.sample_images(PICTURES_SHOWN)
    if trainer.settings.augment.changes_images:
        title = lettered("above: the image, below: what the network sees")
        augmentation.draw(augmented, folder.augmentation_path, originals=originals, title=title)
    else:
        augmentation.draw(augmented, folder.augmentation_path, title=lettered("what the network sees"))


def _numbers(row: Mapping[str, str]) -> dict[str, Any]:
    numbers: dict[str, Any] = {name: float(value) if value else None for name, value in row.items()}
    return numbers | {name: int(row[name]) for name in ("epoch", "step")}
