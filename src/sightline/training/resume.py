"""`resume`: going on with a run from its latest checkpoint, exactly as if it had never stopped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightline import device as device_room
from sightline.data.in_memory import from_arrays
from sightline.errors import ResourceError, UsageError
from sightline.files.locks import only_one
from sightline.runs.folder import SETTINGS, TRAINED, RunFolder, checkpoint_step
from sightline.runs.images import verify
from sightline.runs.named import NamedRuns
from sightline.runs.records import Environment, Splits
from sightline.settings import Settings
from sightline.training.prepare import RunData, prepare_resume
from sightline.training.reporter import Reporter, make_reporter
from sightline.training.tracking import check_tracking
from sightline.training.train import TrainResult, run_to_end, train_settings
from sightline.training.trainer import Trainer

if TYPE_CHECKING:
    from torch import nn

    from sightline.data import ImageData

LOCK_SECONDS = 60
"""How long a run of several whose former process is still writing its checkpoint is waited for."""


def resume(
    run: str | Path,
    *,
    epochs: int | None = None,
    steps: int | None = None,
    add_epochs: int | None = None,
    add_steps: int | None = None,
    module: nn.Module | None = None,
    data: ImageData | tuple[Any, Any] | None = None,
    quiet: bool = False,
    reporter: Reporter | None = None,
) -> TrainResult:
    """Continue an interrupted run, or extend a run: to a total length, or by `add_epochs` or `add_steps`.

    An extension is added to the planned length, whether the run has reached it or not. `module` and `data` are needed
    if the run was trained with your own. `reporter` receives the progress; by default it goes to stderr unless `quiet`.
    The result is bit-identical to a run that never stopped, on the same processor type, torch version and number of
    threads (on CUDA with --deterministic).

    Raises FileError if `run` is not a run folder or its files have changed, UsageError for a shorter run, for more than
    one length and for the wrong unit, DataError if the images have changed.
    """
    reporter = reporter or make_reporter(quiet=quiet)
    folder = RunFolder.open(Path(run))
    lengths = {"epochs": epochs, "steps": steps, "add-epochs": add_epochs, "add-steps": add_steps}
    settings = _longer(folder, {flag: length for flag, length in lengths.items() if length is not None})
    check_tracking(settings)
    before = folder.read(Environment)
    pinned = settings.device.replace(
        threads=settings.device.threads or before.threads,
        precision=before.precision or settings.device.precision,
    )
    with device_room.explain_memory("training"), folder.in_work(), folder.rewriting(*TRAINED):
        compute = device_room.resolve(pinned)
        now = device_room.environment(compute)
        differing = [
            key
            for key in ("torch", "processor", "threads", "device", "gpu")
            if getattr(before, key) != getattr(now, key)
        ]
        if differing:
            told = ", ".join(f"{key} was {getattr(before, key)} and is {getattr(now, key)}" for key in differing)
            reporter.note(f"warning: {told}; the result will not be bit-identical to an uninterrupted run")
        own = from_arrays(data, settings.data) if isinstance(data, tuple) else data
        images = RunData.from_settings(settings, own)
        verify(folder.read(Splits), images.splits)
        if module is None:
            if settings.model is None:
                advice = "Call sightline.resume(run, module=...) from Python."
                raise UsageError(str(run), "this run trains a module of your own", advice=advice)
            module = prepare_resume(settings, images, folder, compute)
        trainer = Trainer(settings, folder, images, module, compute, reporter)
        trainer.restore()
        if settings != folder.settings():
            with folder.rewriting(SETTINGS):
                folder.write_settings(settings)
        reporter.note(f"{run}: continues from step {trainer.state.step} of {trainer.length.total_steps}")
        return run_to_end(trainer)


def begin_or_resume(runs: NamedRuns, name: str, settings: Settings, data: ImageData, reporter: Reporter) -> TrainResult:
    """Begin the run called `name` in a folder of several, or go on with it, to its end.

    Raises ResourceError where another process is working on it, and as `train_settings` and `resume` do.
    """
    refusal = ResourceError(name, "another process is working on this run", advice="Wait until it has ended.")
    with only_one(runs.lock_path(name), refusal, LOCK_SECONDS):
        runs.forget_unbegun(name)
        run = runs.find(name)
        if run is not None:
            return resume(run.path, data=data, reporter=reporter)
        return train_settings(settings, runs=runs.path, name=name, data=data, reporter=reporter)


def _longer(folder: RunFolder, lengths: Mapping[str, int]) -> Settings:
    """The run's settings with more epochs or steps; `lengths` has the flag that asks for them, if one does."""
    settings = folder.settings()
    if not lengths:
        return settings
    if len(lengths) > 1:
        first, second, *_ = lengths
        raise UsageError(f"--{second}", f"given together with --{first}", "one length", "Leave one of them out.")
    ((flag, asked),) = lengths.items()
    unit = flag.removeprefix("add-")
    adds = flag != unit
    if adds and asked < 1:
        raise UsageError(f"--{flag}", f"{asked} found", "a whole number, 1 or more")
    training = settings.training
    old = getattr(training, unit)
    if old is None:
        other = "steps" if unit == "epochs" else "epochs"
        advice = f"Use --{flag.replace(unit, other)}."
        raise UsageError(f"--{flag}", f"this run counts in {other}", advice=advice)
    new = old + asked if adds else asked
    if new < old:
        raise UsageError(f"--{flag}", f"{asked} found", f"{old} or more, since a run can only be extended")
    if new == old:
        return settings
    start = _finished_step(folder)
    extended_from_step = settings.extended_from_step if start is None else start
    return settings.replace(**{unit: new}, extended_from_step=extended_from_step)


def _finished_step(folder: RunFolder) -> int | None:
    """The step at which a finished run ended, None for one that is still under way."""
    checkpoints = folder.checkpoints()
    if not checkpoints or not folder.is_finished():
        return None
    return checkpoint_step(checkpoints[0])
