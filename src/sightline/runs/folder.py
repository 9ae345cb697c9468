"""The folder of a run: the only room that knows its file names and their schema version.

settings.yaml  environment.json  splits.json  audit.json     before step 1; settings.yaml is written last
network.json  samples.npz                                     the network part by part; a few training images a class
pretrained.json                                               what came from which file, where weights did
calibration.json                                              the temperature of the weights, where they have one
forecast.json  forecast.png  failure.json     what more pictures would bring, on request; why training diverged
results.csv  steps.csv  probabilities.csv                     a row an epoch; a row every log_steps; on request
tensorboard/                                                  the same as events, on request
weights/best.safetensors  weights/last.safetensors  checkpoints/step-000400.safetensors
model.onnx                                                    the selected weights as ONNX, on request
test/metrics.json  test/predictions.npz  test/mistakes.npz      figures; what was answered; the pictures of mistakes
test/confusion_matrix.png  test/reliability.png  test/mistakes.png
test/explanations.npz  test/explanations.png                  where the network looked, on request
curves.png  augmentation.png  .lock                          .lock is held while the run is trained
sums.json                                                     the SHA-256 of each of these (files/sums.py)
"""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sightline.errors import FileError, ResourceError
from sightline.files import arrays, atomic, sums
from sightline.files.json_records import from_json, to_json
from sightline.files.locks import is_held, only_one
from sightline.files.reading import parse_json, read_text, refuse_no_file
from sightline.runs import tables
from sightline.runs.records import (
    Audit,
    Calibration,
    Environment,
    Failure,
    Forecast,
    NetworkSummary,
    Pretrained,
    Splits,
    TestReport,
)
from sightline.runs.selection import selected_row
from sightline.runs.tables import read_json
from sightline.settings import Settings, model_name, settings_from_yaml, settings_to_yaml

SCHEMA_VERSION = 1
SETTINGS = "settings.yaml"
ENVIRONMENT, SPLITS, AUDIT, NETWORK = "environment.json", "splits.json", "audit.json", "network.json"
PRETRAINED, CALIBRATION, FORECAST, FAILURE = "pretrained.json", "calibration.json", "forecast.json", "failure.json"
RESULTS, STEPS, PROBABILITIES = "results.csv", "steps.csv", "probabilities.csv"
SAMPLES, ONNX, CURVES, AUGMENTATION, LOCK = "samples.npz", "model.onnx", "curves.png", "augmentation.png", ".lock"
WEIGHTS, BEST, LAST = "weights", "best.safetensors", "last.safetensors"
CHECKPOINTS, CHECKPOINT, EVENTS, TEST = "checkpoints", "step-", "tensorboard", "test"
METRICS, PREDICTIONS, MISTAKES, EXPLANATIONS = "metrics.json", "predictions.npz", "mistakes.npz", "explanations.npz"
CONFUSION_PICTURE, RELIABILITY_PICTURE = "confusion_matrix.png", "reliability.png"
MISTAKES_PICTURE, EXPLANATIONS_PICTURE = "mistakes.png", "explanations.png"
FORECAST_PICTURE = "forecast.png"
TIME_COLUMNS = ("seconds", "images_per_second")
CHECKPOINT_HEADER = "sightline_checkpoint"
TABLES = (RESULTS, STEPS, PROBABILITIES)
RECORDED = (SETTINGS, ENVIRONMENT, SPLITS, AUDIT, NETWORK, PRETRAINED, SAMPLES)
SHOWN = (METRICS, PREDICTIONS, CONFUSION_PICTURE, RELIABILITY_PICTURE, MISTAKES_PICTURE, EXPLANATIONS_PICTURE)
TESTED = (*SHOWN, MISTAKES, EXPLANATIONS)
TRAINED = (
    *TABLES, f"{WEIGHTS}/{BEST}", f"{WEIGHTS}/{LAST}", f"{CHECKPOINTS}/{CHECKPOINT}*",
    f"{EVENTS}/*", CURVES, AUGMENTATION, CALIBRATION, FAILURE, *(f"{TEST}/{name}" for name in TESTED),
)  # fmt: skip
ADVICE = "Restore a copy of it, or train again."
LOCK_SECONDS = 5
"""How long training waits for a run that another process holds; to look whether it does takes a moment."""
T = TypeVar("T")
_RECORDS: Mapping[type, str] = {
    Environment: ENVIRONMENT,
    Splits: SPLITS,
    Audit: AUDIT,
    NetworkSummary: NETWORK,
    Pretrained: PRETRAINED,
    Calibration: CALIBRATION,
    Forecast: FORECAST,
    Failure: FAILURE,
}
Record = Environment | Splits | Audit | NetworkSummary | Pretrained | Calibration | Forecast | Failure


@dataclass(frozen=True)
class TestFolder:
    """The files of one test, in a run's test/ or in any other folder."""

    __test__ = False

    path: Path

    @property
    def metrics_path(self) -> Path:
        """The record of the test."""
        return self.path / METRICS

    @property
    def predictions_path(self) -> Path:
        """The stored probabilities."""
        return self.path / PREDICTIONS

    def files(self) -> list[Path]:
        """What there is to be looked at: the metrics, the predictions, and the pictures."""
        return [path for name in SHOWN if (path := self.path / name).is_file()]

    def rewriting(self) -> AbstractContextManager[None]:
        """While its files are written, take them off the list of sums; afterwards list them."""
        return sums.rewriting(self._place.parent, *self._listed(TESTED))

    def check(self, *names: str, advice: str = "Test again, or restore a copy of it.") -> None:
        """Raise FileError, with `advice`, where one of these files is not as it was written."""
        sums.check(self._place.parent, *self._listed(names), advice=advice)

    def _listed(self, names: Sequence[str]) -> list[str]:
        return [f"{glob.escape(self._place.name)}/{name}" for name in names]

    @property
    def _place(self) -> Path:
        return self.path if self.path.name else self.path.absolute()  # "." has no name

    def write(self, report: TestReport) -> None:
        """Record what came of the test."""
        atomic.write_json(self.metrics_path, to_json(report))

    def read(self, advice: str = "") -> TestReport:
        """Read what `write` recorded. Raises FileError, with `advice`, where it is missing or damaged."""
        return from_json(TestReport, read_json(self.metrics_path), self.metrics_path, advice)

    def forget(self, *names: str) -> None:
        """Remove files that are no longer of this test."""
        for name in names:
            (self.path / name).unlink(missing_ok=True)


@dataclass(frozen=True)
class RunFolder:
    """A run's folder on disk."""

    path: Path

    @classmethod
    def create(cls, runs: Path, name: str) -> RunFolder:
        """A new, empty folder `runs/NAME-001`, or the next number that is free."""
        return cls(sums.new_folder(runs, name, "run"))

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """A run that exists, begun at least. Raises FileError for anything else, and where its records have changed."""
        if not path.is_dir():
            raise FileError(str(path), "no such run folder")
        folder = cls(path)
        if not folder.settings_path.is_file():
            raise FileError(
                str(path), f"it has no {SETTINGS}", "a run folder", "It was stopped before it began. Start it again."
            )
        folder.check(*RECORDED[:-1], *TABLES)  # not the sample images, which reports alone show
        return folder

    def check(self, *names: str, advice: str = ADVICE) -> None:
        """Raise FileError, with `advice`, where one of these files is not as it was written."""
        sums.check(self.path, *names, advice=advice)

    def rewriting(self, *names: str) -> AbstractContextManager[None]:
        """While these files are written, take them off the list of sums; afterwards list them."""
        return sums.rewriting(self.path, *names)

    @property
    def settings_path(self) -> Path:
        """Where the settings are."""
        return self.path / SETTINGS

    @property
    def best_weights(self) -> Path:
        """The selected model file."""
        return self.path / WEIGHTS / BEST

    @property
    def last_weights(self) -> Path:
        """The model file of the last step."""
        return self.path / WEIGHTS / LAST

    @property
    def onnx_path(self) -> Path:
        """Where the exported model is, on request."""
        return self.path / ONNX

    @property
    def test_folder(self) -> TestFolder:
        """The test on the run's own test images."""
        return TestFolder(self.path / TEST)

    def other_test_folder(self, data: str, number: int) -> TestFolder:
        """A test on other data: one of several, counted from 1, whose data have the same name."""
        return TestFolder(self.path / (f"{TEST}-{data}" + ("" if number == 1 else f"-{number:03d}")))

    @property
    def samples_path(self) -> Path:
        """A few training images of each class."""
        return self.path / SAMPLES

    def write_samples(self, pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        """Keep training images, uint8 (n, H, W, C), with their labels."""
        arrays.save(self.samples_path, pixels=pixels, labels=labels)

    def samples(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]] | None:
        """Read what `write_samples` kept; None where a run of an older version kept none. Raises FileError."""
        if not self.samples_path.is_file():
            return None
        stored = arrays.load(self.samples_path, ("pixels", "labels"), "samples written by Sightline")
        if len(stored) < 2 or stored["pixels"].ndim != 4 or len(stored["pixels"]) != len(stored["labels"]):
            raise FileError(str(self.samples_path), "damaged", "samples written by Sightline")
        return stored["pixels"].astype(np.uint8), stored["labels"].astype(np.int64)

    @property
    def events_folder(self) -> Path:
        """Where TensorBoard's event files are."""
        return self.path / EVENTS

    @property
    def curves_path(self) -> Path:
        """The picture of accuracy and loss."""
        return self.path / CURVES

    @property
    def forecast_path(self) -> Path:
        """The picture of what more pictures would bring, on request."""
        return self.path / FORECAST_PICTURE

    @property
    def augmentation_path(self) -> Path:
        """The picture of what the network sees."""
        return self.path / AUGMENTATION

    def in_work(self) -> AbstractContextManager[None]:
        """Hold the run for this process while it trains. Raises ResourceError where another process does."""
        refusal = ResourceError(
            str(self.path), "another process is training this run", advice="Wait until it has ended."
        )
        return only_one(self.path / LOCK, refusal, LOCK_SECONDS)

    def is_in_work(self) -> bool:
        """Whether a process is training the run; no where that cannot be told, as on a read-only disk."""
        return is_held(self.path / LOCK)

    def weights(self) -> Path | None:
        """The selected weights if there are some, else the last; None when there are none yet."""
        return next((path for path in (self.best_weights, self.last_weights) if path.is_file()), None)

    def model_file(self) -> Path:
        """The same. Raises FileError when there are none yet, and where they are not as they were written."""
        if path := self.weights():
            if path == self.last_weights and f"{WEIGHTS}/{BEST}" in (sums.listed(self.path) or {}):
                raise FileError(str(self.best_weights), "it is missing", advice=self.mend_weights())
            self.check(f"{WEIGHTS}/{path.name}", advice=self.mend_weights())
            return path
        raise FileError(str(self.path), "it has no weights yet", advice="Continue it with sightline train --resume.")

    def mend_weights(self) -> str:
        """Say what to do about damaged weights."""
        resume = f"Run sightline train --resume {self.path} to write it anew, or restore a copy of it."
        return resume if self.checkpoints() else ADVICE

    def mend_checkpoint(self) -> str:
        """Say what to do about a damaged latest checkpoint."""
        before = self.checkpoints()[1:2]
        return f"Delete it to resume from {before[0].name}, or restore a copy of it." if before else ADVICE

    def tested_step(self) -> int | None:
        """The training step of the weights in `model_file`, by results.csv; None where it has no row yet."""
        rows = self.results()
        last = rows[-1] if rows else None
        row = selected_row(rows, self.settings().training.select) if self.best_weights.is_file() else last
        return None if row is None else int(row["step"])

    def write_settings(self, settings: Settings) -> None:
        """Record what the run does."""
        atomic.write_text(self.settings_path, f"# schema {SCHEMA_VERSION}\n{settings_to_yaml(settings)}")

    def settings(self) -> Settings:
        """What the run does. Raises FileError where the file is damaged or of another schema."""
        text = read_text(self.settings_path)
        head = re.match(r"# schema (\d{1,9})\r?\n", text)
        if head and int(head[1]) != SCHEMA_VERSION:
            raise FileError(str(self.settings_path), f"schema {head[1]}", f"schema {SCHEMA_VERSION}")
        return settings_from_yaml(text, str(self.settings_path))

    def network_name(self, settings: Settings) -> str:
        """Name the network of the run's settings, a user's own by its class, where the run says so."""
        try:
            return model_name(settings.model) if settings.model else self.read(NetworkSummary).name
        except FileError:
            return model_name(None)

    def write(self, record: Record) -> None:
        """Put a record into its file."""
        atomic.write_json(self.record_path(type(record)), {"schema": SCHEMA_VERSION, **to_json(record)})

    def read(self, kind: type[T]) -> T:
        """Read the record of this kind. Raises FileError where it is missing or damaged."""
        path = self.record_path(kind)
        return from_json(kind, read_json(path), path)

    def has(self, kind: type[Record]) -> bool:
        """Whether there is a record of this kind."""
        return self.record_path(kind).is_file()

    def forget(self, kind: type[Record]) -> bool:
        """Remove a record that is true no more; whether there was one."""
        known = self.has(kind)
        self.record_path(kind).unlink(missing_ok=True)
        return known

    def record_path(self, kind: type) -> Path:
        """Where the record of this kind is, or would be."""
        return self.path / next(file for known, file in _RECORDS.items() if issubclass(kind, known))

    def append_rows(self, file: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows to results.csv, steps.csv or probabilities.csv; the first row of a file gives its columns."""
        tables.append(self.path / file, rows)

    def rows(self, file: str) -> list[dict[str, str]]:
        """The rows of results.csv, steps.csv or probabilities.csv. Raises FileError where it cannot be read."""
        return tables.read(self.path / file)

    def results(self) -> list[dict[str, float]]:
        """The rows of results.csv as numbers. Raises FileError where it is damaged."""
        return self.numbers(self.rows(RESULTS))

    def numbers(self, rows: Sequence[Mapping[str, str]]) -> list[dict[str, float]]:
        """Rows of results.csv as numbers, without what is empty. Raises FileError where there are others."""
        return tables.numbers(self.path / RESULTS, rows, whole=("epoch", "step"))

    def cut_rows(self, file: str, count: int, sha256: str | None = None) -> None:
        """Keep the first `count` rows and nothing behind them, not even a half-written one.

        Raises FileError where these rows do not have this SHA-256; None where nobody knows it.
        """
        tables.cut(self.path / file, count, sha256)

    def table_sums(self) -> dict[str, str]:
        """The SHA-256 of each CSV file as it is."""
        found = {file: sums.sum_of(self.path / file) for file in TABLES}
        return {file: value for file, value in found.items() if value is not None}

    def checkpoint_path(self, step: int) -> Path:
        """Where the checkpoint of a step is."""
        return self.path / CHECKPOINTS / f"{CHECKPOINT}{step:06d}.safetensors"

    def checkpoints(self) -> list[Path]:
        """All checkpoints, the latest first."""
        return sorted((self.path / CHECKPOINTS).glob(f"{CHECKPOINT}*.safetensors"), key=checkpoint_step, reverse=True)

    def is_finished(self) -> bool:
        """Whether training came to the end that settings.yaml plans, or ended itself early; tested or not.

        Raises FileError where the run's files are damaged.
        """
        if not self.last_weights.is_file() or not (rows := self.results()):
            return False
        # A finished run that was made longer still has the files of its former end.
        training = self.settings().training
        count, planned = ("epoch", training.epochs) if training.steps is None else ("step", training.steps)
        reached = planned is not None and rows[-1][count] >= planned
        return reached or self.was_stopped_early()

    def was_stopped_early(self) -> bool:
        """Whether a rule, such as patience, ended training before its last step, by the latest checkpoint."""
        from safetensors import SafetensorError, safe_open

        for path in self.checkpoints()[:1]:
            refuse_no_file(path)
            try:
                with safe_open(path, framework="numpy") as stream:
                    header: str = (stream.metadata() or {})[CHECKPOINT_HEADER]
                state = parse_json(header)
                # Where the run was made longer, what had ended it holds no more.
                return state.get("stopped") is not None and state["step"] != self.settings().extended_from_step
            except (OSError, SafetensorError, LookupError, ValueError, AttributeError, TypeError):
                raise FileError(str(path), "damaged", "a checkpoint") from None
        return False

    def prune_checkpoints(self, keep: int) -> None:
        """Remove all but the last `keep` checkpoints, and what a killed write left behind."""
        for path in self.checkpoints()[keep:]:
            path.unlink(missing_ok=True)
        for path in (self.path / CHECKPOINTS).glob(f"{atomic.TEMPORARY_PREFIX}*"):
            path.unlink(missing_ok=True)


def checkpoint_step(path: Path) -> int:
    """The step of a checkpoint, by its name."""
    return int(path.stem.removeprefix(CHECKPOINT))
