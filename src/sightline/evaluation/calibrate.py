"""The temperature of a run's probabilities, fitted on its validation images (arXiv 1706.04599, section 4.2).

Probabilities are softmax(logits / temperature). Above 1 they come closer to each other, below 1 further apart; their
order, and so the answer, stays. The test images only show what it does.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sightline.classifier import load, model_file, torch_backend
from sightline.data import ImageSet
from sightline.device import find_device
from sightline.errors import DataError, NumericError, UsageError
from sightline.evaluation.predictions import BLOWN_UP, evaluate, metrics, report_of, store_test
from sightline.runs.folder import CALIBRATION, SPLITS, WEIGHTS, RunFolder
from sightline.runs.images import images_of_run
from sightline.runs.records import FEWEST_TO_CALIBRATE, Calibration, CalibrationSummary, EffectSize
from sightline.settings import build_data_settings

if TYPE_CHECKING:
    from torch import nn

LOWEST, HIGHEST = 0.01, 100.0
NO_TEMPERATURE = f"no temperature from {LOWEST:g} to {HIGHEST:g} is best for these probabilities"
BATCH_SIZE = 256


@dataclass(frozen=True)
class FittedTemperature:
    """A temperature, above 0, and its 95 % interval: all with which the labels are nearly as likely."""

    value: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class CalibrationResult:
    """A fitted temperature and its 95 % interval, both None if the validation images do not determine one.

    `validation` has the effect on the images that the temperature was fitted on; `test` has the unbiased effect on the
    test images, and is None without them. "Before" is always without a temperature, even if the model file has one.
    `doubt` says in one line why the temperature does not help, and is empty if it does. `stored` is the model file that
    contains it now, or None without `write`.
    """

    run: Path
    temperature: float | None
    interval: tuple[float, float] | None
    validation: EffectSize
    test: EffectSize | None
    doubt: str
    stored: Path | None

    @property
    def outdated_export(self) -> Path | None:
        """The run's ONNX file, if it is older than the stored temperature and so lacks it."""
        exported = RunFolder(self.run).onnx_path
        return exported if self.stored is not None and exported.is_file() else None

    def to_dict(self) -> dict[str, Any]:
        """The result for JSON."""
        stored = None if self.stored is None else str(self.stored)
        return {**asdict(self), "run": str(self.run), "stored": stored}


def calibration_summary(labels: metrics.Labels, logits: NDArray[np.float32], temperature: float) -> CalibrationSummary:
    """Compute the metrics of softmax(logits / temperature)."""
    probabilities = softmax(logits, temperature)
    ece, mce = metrics.calibration_errors(metrics.confidence_bins(labels, probabilities))
    return CalibrationSummary(
        accuracy=metrics.accuracy(labels, probabilities),
        loss=metrics.negative_log_likelihood(labels, probabilities),
        ece=ece,
        ece_equal_mass=metrics.equal_mass_calibration_error(labels, probabilities),
        mce=mce,
        brier=metrics.brier_score(labels, probabilities),
    )


def softmax(logits: NDArray[np.floating[Any]], temperature: float) -> NDArray[np.float64]:
    """Probabilities float64 (N, K) of logits (N, K) divided by `temperature`."""
    from scipy.special import softmax as of

    return of(logits.astype(np.float64) / temperature, axis=1)


def fit_temperature(labels: metrics.Labels, logits: NDArray[np.floating[Any]]) -> FittedTemperature | None:
    """Find the temperature with the least negative log-likelihood of `labels`, int64 (N,), by logits (N, K).

    The likelihood has one maximum, since its logarithm is concave in 1 / temperature. None where that lies outside of
    LOWEST to HIGHEST: below where every image is answered rightly, so that surer is always better; above where the
    logits tell nothing of the labels. The interval is that of the likelihood ratio, cut off at the same bounds.
    """
    from scipy.optimize import minimize_scalar, root_scalar
    from scipy.stats import chi2

    below = _below_the_largest(logits)
    own = np.take_along_axis(below, labels[:, None], axis=1)[:, 0]
    if not own.any():  # the loss is 0 at many temperatures then, for as far as float64 can tell
        return None

    def loss(logarithm: float) -> float:
        inverse = math.exp(-logarithm)
        return float(np.mean(np.log(np.exp(inverse * below).sum(axis=1)) - inverse * own))

    bounds = math.log(LOWEST), math.log(HIGHEST)
    best = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-7})
    if min(abs(best.x - bound) for bound in bounds) < 1e-3:
        return None
    least = best.fun + float(chi2.ppf(0.95, 1)) / (2 * len(labels))

    def too_unlikely(logarithm: float) -> float:
        return loss(logarithm) - least

    low, high = (
        math.exp(root_scalar(too_unlikely, bracket=(bound, best.x)).root if too_unlikely(bound) > 0 else bound)
        for bound in bounds
    )
    return FittedTemperature(math.exp(best.x), (low, high))


def calibrate(
    run: str | Path, *, write: bool = False, module: nn.Module | None = None, device: str = "auto", **settings: Any
) -> CalibrationResult:
    """Fit a temperature to a run's probabilities on its validation images, and measure its effect on the test images.

    Nothing changes unless `write` is set: then the temperature is stored in the run's model file, the result is written
    to calibration.json, and the run is tested again. Predictions stay the same; probabilities change.
    weights/last.safetensors gets no temperature, because a temperature belongs to the weights that it was fitted to.
    With `write`, the run is locked, so that no other process can train it. `module`: an instance of your own class, if
    the run trained one. `settings`: data settings by name, e.g. `data_dir`.

    Raises UsageError if `run` is not a folder, FileError if it is not a run, DataError if there are no validation
    images, if they have changed, or if `write` is set and `doubt` says that the temperature does not help;
    ResourceError with `write` if another process is training the run.
    """
    path = Path(run)
    _, changes = build_data_settings(settings)
    if path.is_file():
        problem = "a file, which does not know the validation images"
        raise UsageError(str(path), problem, "a run's folder", f"Give the folder that holds {WEIGHTS}/ and {SPLITS}")
    folder = RunFolder.open(path)
    with folder.in_work() if write else contextlib.nullcontext():
        return _calibrate(folder, changes, write=write, module=module, device=device)


def _calibrate(
    run: RunFolder, changes: Mapping[str, Any], *, write: bool, module: nn.Module | None, device: str
) -> CalibrationResult:
    path = run.path
    file = run.model_file()
    splits = images_of_run(run, changes)
    if splits.validation is None:
        raise DataError(
            str(path),
            "this run has no validation images, and a temperature must not be fitted to test images",
            advice="Train with --validation 0.1 and without --watch-test.",
        )
    backend, _ = torch_backend.from_file(file, module, find_device(device))
    labels, logits = splits.validation.labels, _logits(backend, splits.validation)
    fitted = fit_temperature(labels, logits)
    temperature, interval = (fitted.value, fitted.interval) if fitted else (None, None)
    validation = _effect(labels, logits, temperature)
    test = None
    if splits.test is not None:
        test = _effect(splits.test.labels, _logits(backend, splits.test), temperature)
    doubt = _doubt(fitted, validation)
    result = CalibrationResult(path, temperature, interval, validation, test, doubt or "", file if write else None)
    if write:
        if doubt is not None or fitted is None:
            raise DataError(str(path), doubt or NO_TEMPERATURE, advice="Nothing was written.")
        name = file.relative_to(path).as_posix()
        with run.rewriting(name, CALIBRATION):
            tensors, header = model_file.load(file)
            model_file.save(file, tensors, header.model_copy(update={"temperature": fitted.value}))
            if splits.test is not None:
                predictions = evaluate(load(file, module=module, device=device), splits.test)
                report = report_of(predictions, run.tested_step(), fitted.value)
                store_test(predictions, run.test_folder, report, splits.test)
            run.write(Calibration(fitted.value, fitted.interval, validation, test, name))
    return result


def _logits(backend: torch_backend.TorchBackend, images: ImageSet) -> NDArray[np.float32]:
    """Compute float32 (N, K) anew from the images.

    Logarithms of stored probabilities would do for most: but float32 knows none below 1e-45, and networks that are far
    too sure, for which all this is made, give them.
    """
    starts = range(0, len(images), BATCH_SIZE)
    logits = np.concatenate([backend.logits(images.images(start, start + BATCH_SIZE)) for start in starts])
    if not np.isfinite(logits).all():
        raise NumericError("model", "the network gives NaN or infinite logits", advice=BLOWN_UP)
    return logits


def _effect(labels: metrics.Labels, logits: NDArray[np.float32], temperature: float | None) -> EffectSize:
    after = None if temperature is None else calibration_summary(labels, logits, temperature)
    return EffectSize(len(labels), calibration_summary(labels, logits, 1.0), after)


def _doubt(fitted: FittedTemperature | None, validation: EffectSize) -> str | None:
    if validation.before.accuracy == 1:
        return (
            f"all {validation.n} validation images are classified correctly, so the lowest temperature is always best"
        )
    if fitted is None:
        return NO_TEMPERATURE
    low, high = fitted.interval
    if math.isclose(low, LOWEST) or math.isclose(high, HIGHEST):
        return f"the validation images allow all temperatures from {low:.3g} to {high:.3g}"
    if validation.n < FEWEST_TO_CALIBRATE:
        return f"there are only {validation.n} validation images, but {FEWEST_TO_CALIBRATE} are needed"
    return None


def _below_the_largest(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    exact = logits.astype(np.float64)
    return exact - exact.max(axis=1, keepdims=True)
