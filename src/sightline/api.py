"""What `import sightline` offers: train, resume and test by keywords, with the same names as the flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightline.recipes import resolve
from sightline.testing import TestResult, test_model

# What needs torch is imported where it is used: testing an ONNX file does not.
if TYPE_CHECKING:
    from torch import nn

    from sightline.calibration import CalibrationResult
    from sightline.comparison.compare import ComparisonResult
    from sightline.data import ImageData
    from sightline.exporting import ExportResult
    from sightline.settings import DataSettings
    from sightline.training import TrainResult
    from sightline.tuning.tune import TuneResult


def train(
    data: str | Path | ImageData | None = None,
    *,
    model: str | nn.Module | None = None,
    recipe: str | None = None,
    runs: str | Path = "runs",
    name: str | None = None,
    quiet: bool = False,
    **settings: Any,
) -> TrainResult:
    """Train a classifier and test it.

    `data`: a dataset's name, a folder of pictures, or an ImageData of your own; left out, that of the recipe, and
    without one the embedded digits. `model`: a preset's or family's name,
    or your own torch module, float (N, C, H, W) to logits (N, K). `recipe`: a recipe's name or YAML file; left out, the
    dataset's own; "none" for the plain defaults. `settings`: any setting by its flat name, as on the command line:
    `lr=0.1, epochs=5, batch_size=64`.

    Raises UsageError, DataError, FileError, NumericError, ResourceError or Interrupted, all SightlineErrors.
    """
    from sightline.data import ImageData
    from sightline.training import make_reporter
    from sightline.training import train as train_run

    own_data = data if isinstance(data, ImageData) else None
    own_module = None if model is None or isinstance(model, str) else model
    flags = {**settings, "model": model if own_module is None else None}
    named = own_data.name if own_data else None if data is None else str(data)
    resolved = resolve(named, recipe, flags)
    reporter = make_reporter(quiet=quiet)
    return train_run(resolved, runs=Path(runs), name=name, module=own_module, data=own_data, reporter=reporter)


def resume(
    run: str | Path,
    *,
    epochs: int | None = None,
    steps: int | None = None,
    add_epochs: int | None = None,
    add_steps: int | None = None,
    module: nn.Module | None = None,
    data: ImageData | None = None,
    quiet: bool = False,
) -> TrainResult:
    """Go on with a run as if it had never stopped, or make it longer: to a total, or by `add_epochs` or `add_steps`.

    What is added comes on top of what the run was to do, whether it had got there or not. `module` and `data` are
    needed where the run was trained with some of your own. Raises FileError where `run` is no run folder, UsageError
    for a shorter run or the other unit than the run counts in, DataError where the images have changed.
    """
    from sightline.training import make_reporter
    from sightline.training import resume as resume_run

    return resume_run(
        Path(run), epochs=epochs, steps=steps, add_epochs=add_epochs, add_steps=add_steps,
        module=module, data=data, reporter=make_reporter(quiet=quiet),
    )  # fmt: skip


def test(
    path: str | Path,
    data: str | Path | None = None,
    *,
    out: str | Path | None = None,
    steps: int | None = None,
    tta: bool = False,
    explain: int | None = None,
    module: nn.Module | None = None,
    device: str = "auto",
    **settings: Any,
) -> TestResult:
    """Test a run or a model file, on its own test images or on other data with the same classes.

    `steps` looks only at the first so many batches of the run's batch size; what the run's folder holds of a full test
    then stays, and files are written only to `out`. `tta` adds the accuracy of the mean answer for shifted and mirrored
    views, as `report["tta"]`, where the run's training images were shifted or mirrored. `explain`: Grad-CAM maps of so
    many of the worst mistakes (`pip install 'sightline[explain]'`). `settings`: settings of the
    data by their flat names, e.g. `data_dir`, `skip_bad`. Raises DataError, FileError or UsageError.
    """
    named, changes = _data_settings({**settings, "data": data})
    return test_model(
        Path(path),
        named,
        changes=changes,
        out=Path(out) if out else None,
        steps=steps,
        tta=tta,
        explain=explain,
        module=module,
        device=device,
    )


def calibrate(
    run: str | Path, *, write: bool = False, module: nn.Module | None = None, device: str = "auto", **settings: Any
) -> CalibrationResult:
    """Fit a temperature to a run's probabilities on its validation images, and tell what it does to the test images'.

    Nothing is changed unless `write` puts the temperature into the model file of the run; answers stay the same then,
    their probabilities do not. `module`: an instance of your own class, where the run trained one. `settings`: settings
    of the data by their flat names, e.g. `data_dir`. Raises UsageError for anything but a folder, FileError for one
    that is no run, DataError where there are no validation images or they have changed, and where `write` is asked for
    and `doubt` says why the temperature is of no use.
    """
    from sightline.calibration import calibrate_run

    _, changes = _data_settings(settings)
    return calibrate_run(Path(run), changes=changes, write=write, module=module, device=device)


def export(
    path: str | Path,
    *,
    out: str | Path | None = None,
    force: bool = False,
    data: str | Path | None = None,
    images: int = 1000,
    module: nn.Module | None = None,
    **settings: Any,
) -> ExportResult:
    """Write a run's selected weights, or a model file, as one ONNX file: uint8 (N, H, W, C) in, probabilities out.

    It is written to `out`, else to RUN/model.onnx or beside the model file, and only if its answers for `images`
    pictures are the classifier's: the run's own test images, those of `data`, or random ones where there are none.
    `force` lets it replace a file. `module`: an instance of your own class, where the file holds one. `settings`:
    settings of the data by their flat names, e.g. `data_dir`.

    Needs ONNX and ONNX Runtime: `pip install 'sightline[export]'`. Raises UsageError without them and for a file that
    exists, FileError where `path` is neither run nor model file, NumericError where the answers differ.
    """
    from sightline.exporting import export_model

    named, changes = _data_settings({**settings, "data": data})
    return export_model(
        Path(path),
        out=Path(out) if out is not None else None,
        force=force,
        settings=named,
        changes=changes,
        images=images,
        module=module,
    )


def compare(
    sides: Sequence[str | Path],
    *,
    data: str | Path | None = None,
    seeds: int | Sequence[int] = 5,
    seconds: float | None = None,
    own_lengths: bool = False,
    confidence: float = 0.95,
    jobs: int = 1,
    comparisons: str | Path = "comparisons",
    name: str | None = None,
    quiet: bool = False,
    **settings: Any,
) -> ComparisonResult:
    """Tell whether one classifier is better than another: several seeds of each side, and a verdict on each pair.

    `sides`: two or more recipes, networks or recipe files, each with changes: `"mnist-cnn:lr=0.05,batch_size=256"`; or
    the folders of finished runs, of which those that differ in nothing but the seed are one side. `seeds`: how many,
    from 0, or which. `settings`: settings of all sides by their flat names, `epochs` or `steps` among them; `seconds`
    gives each side as many steps as it does in that time; `own_lengths` leaves each recipe its own. `jobs`: runs at a
    time. A comparison that was stopped goes on with `resume_comparison`.

    Raises UsageError where the sides cannot be compared, DataError for runs that were tested on different images, and
    what `train` raises.
    """
    from sightline.comparison import compare as comparing
    from sightline.training import make_reporter

    texts = [str(side) for side in sides]
    if runs := comparing.finished_runs(texts):
        return comparing.compare_runs(runs, confidence=confidence, comparisons=Path(comparisons), name=name)
    return comparing.compare(
        texts, data=None if data is None else str(data), seeds=range(seeds) if isinstance(seeds, int) else seeds,
        seconds=seconds, one_length=not own_lengths, confidence=confidence, processes=jobs, flags=settings,
        comparisons=Path(comparisons), name=name, reporter=make_reporter(quiet=quiet),
    )  # fmt: skip


def resume_comparison(
    folder: str | Path, *, seeds: int | Sequence[int] | None = None, jobs: int = 1, quiet: bool = False
) -> ComparisonResult:
    """Go on with a comparison that was stopped, or give it more seeds. Finished runs stay as they are.

    Raises FileError where `folder` is no comparison, UsageError where `seeds` leaves out some that it has.
    """
    from sightline.comparison import compare as comparing
    from sightline.training import make_reporter

    which = range(seeds) if isinstance(seeds, int) else seeds
    return comparing.go_on(Path(folder), seeds=which, processes=jobs, reporter=make_reporter(quiet=quiet))


def tune(
    data: str | Path,
    *,
    recipe: str | None = None,
    space: Mapping[str, Any] | str | Path | None = None,
    trials: int = 30,
    seconds: float | None = None,
    seeds: int | Sequence[int] = 5,
    storage: str | None = None,
    study: str | None = None,
    studies: str | Path = "studies",
    name: str | None = None,
    quiet: bool = False,
    **settings: Any,
) -> TuneResult:
    """Search for better settings on validation images, then compare the winner with where the search began.

    `recipe` and `settings` say where it begins, as in `train`. `space`: what is searched, a YAML file or a dictionary
    such as `{"lr": {"low": 0.01, "high": 1, "log": True}, "flip": {"choices": ["none", "random"]}}`; left out: learning
    rate, batch size, width, depth and augmentation. It ends after `trials`, or with the trial in which `seconds` are
    over. `seeds`: those of the comparison at the end, the only look at the test images; 0 or () for none. `storage` and
    `study`: an Optuna storage URL and the name in it, for machines that search together.

    Needs Optuna: `pip install 'sightline[tune]'`. Raises UsageError for settings that cannot be searched, DataError
    where there are no validation images, and what `train` raises.
    """
    from sightline.training import make_reporter
    from sightline.tuning import tune as tuning

    if isinstance(space, str | Path):
        space = tuning.read_space(Path(space))
    elif space is not None:
        space = tuning.space_of(space, "space")
    return tuning.tune(
        str(data), recipe=recipe, space=space, trials=trials, seconds=seconds,
        seeds=range(seeds) if isinstance(seeds, int) else seeds, storage=storage, study=study, flags=settings,
        studies=Path(studies), name=name, reporter=make_reporter(quiet=quiet),
    )  # fmt: skip


def resume_study(
    folder: str | Path,
    *,
    trials: int | None = None,
    seconds: float | None = None,
    seeds: int | Sequence[int] | None = None,
    quiet: bool = False,
) -> TuneResult:
    """Go on with a study that was stopped, or to `trials` of them, or for `seconds` more; then compare as `tune` does.

    What is left out is as `tune` was asked for it. Raises FileError where `folder` is no study.
    """
    from sightline.training import make_reporter
    from sightline.tuning import tune as tuning

    which = range(seeds) if isinstance(seeds, int) else seeds
    return tuning.go_on(Path(folder), trials=trials, seconds=seconds, seeds=which, reporter=make_reporter(quiet=quiet))


def _data_settings(flags: Mapping[str, Any]) -> tuple[DataSettings | None, dict[str, Any]]:
    """The settings of the data that `flags` name, None where they name none, and those of them that are given."""
    from sightline.settings import build_settings

    data = flags.get("data")
    given = build_settings(None, {**flags, "data": None if data is None else str(data)}).data
    return None if data is None else given, {name: getattr(given, name) for name in given.model_fields_set}
