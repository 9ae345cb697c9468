"""The folder of a run: the only room that knows its file names and their schema version.

settings.yaml  environment.json  splits.json  audit.json     before step 1; settings.yaml is written last
network.json  samples.npz                                     the network part by part; a few training images a class
pretrained.json                                               what came from which file, where weights did
calibration.json                                              the temperature of the weights, where they have one
results.csv  steps.csv  probabilities.csv                     a row an epoch; a row every log_steps; on request
tensorboard/                                                  the same as events, on request
weights/best.safetensors  weights/last.safetensors  checkpoints/step-000400.safetensors
model.onnx                                                    the selected weights as ONNX, on request
test/metrics.json  test/predictions.npz  test/mistakes.npz      figures; what was answered; the pictures of mistakes
test/confusion_matrix.png  test/reliability.png  test/mistakes.png
curves.png  augmentation.png  .lock                          .lock is held while the run is trained
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.errors import FileError, ResourceError
from sightline.files import arrays, atomic
from sightline.files.locks import is_held, only_one
from sightline.settings import Settings, model_name, settings_from_yaml, settings_to_yaml

SCHEMA_VERSION = 1
RESULTS, STEPS, PROBABILITIES = "results.csv", "steps.csv", "probabilities.csv"
TIME_COLUMNS = ("seconds", "images_per_second")
CHECKPOINT_HEADER = "sightline_checkpoint"
FILE_NAMES = "surrogateescape"
"""How a CSV file holds the names of pictures, which may be any bytes: as these bytes."""
LOCK_SECONDS = 5
"""How long training waits for a run that another process holds; to look whether it does takes a moment."""
_FACTS = {
    "environment": "environment.json",
    "splits": "splits.json",
    "network": "network.json",
    "audit": "audit.json",
    "pretrained": "pretrained.json",
    "calibration": "calibration.json",
}


@dataclass(frozen=True)
class RunFolder:
    """A run's folder on disk."""

    path: Path

    @classmethod
    def create(cls, runs: Path, name: str) -> RunFolder:
        """A new, empty folder `runs/NAME-001`, or the next number that is free."""
        return cls(new_folder(runs, name, "run"))

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """A run that exists, begun at least. Raises FileError for anything else."""
        if not path.is_dir():
            raise FileError(str(path), "no such run folder")
        folder = cls(path)
        if not folder.settings_path.is_file():
            raise FileError(
                str(path), "it has no settings.yaml", "a run folder", "it was stopped before it began; start it again"
            )
        return folder

    @property
    def settings_path(self) -> Path:
        """Where the settings are."""
        return self.path / "settings.yaml"

    @property
    def best_weights(self) -> Path:
        """The selected model file."""
        return self.path / "weights" / "best.safetensors"

    @property
    def last_weights(self) -> Path:
        """The model file of the last step."""
        return self.path / "weights" / "last.safetensors"

    @property
    def onnx_path(self) -> Path:
        """Where the exported model is, on request."""
        return self.path / "model.onnx"

    @property
    def test_folder(self) -> Path:
        """Where the test's files are."""
        return self.path / "test"

    @property
    def metrics_path(self) -> Path:
        """The test's figures."""
        return self.test_folder / "metrics.json"

    @property
    def samples_path(self) -> Path:
        """A few training images of each class."""
        return self.path / "samples.npz"

    def write_samples(self, pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        """Keep training images, uint8 (n, H, W, C), with their labels."""
        arrays.save(self.samples_path, pixels=pixels, labels=labels)

    def samples(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]] | None:
        """Read what `write_samples` kept; None where a run of an older version kept none. Raises FileError."""
        if not self.samples_path.is_file():
            return None
        found = arrays.load(self.samples_path, ("pixels", "labels"), "samples written by Sightline")
        if len(found) < 2 or found["pixels"].ndim != 4 or len(found["pixels"]) != len(found["labels"]):
            raise FileError(str(self.samples_path), "damaged", "samples written by Sightline")
        return found["pixels"].astype(np.uint8), found["labels"].astype(np.int64)

    @property
    def events_folder(self) -> Path:
        """Where TensorBoard's event files are."""
        return self.path / "tensorboard"

    @property
    def curves_path(self) -> Path:
        """The picture of accuracy and loss."""
        return self.path / "curves.png"

    @property
    def augmentation_path(self) -> Path:
        """The picture of what the network sees."""
        return self.path / "augmentation.png"

    def in_work(self) -> AbstractContextManager[None]:
        """Hold the run for this process while it trains. Raises ResourceError where another process does."""
        found, advice = "another process is training this run", "wait until it has ended"
        refusal = ResourceError(str(self.path), found, advice=advice)
        return only_one(self.path / ".lock", refusal, LOCK_SECONDS)

    def is_in_work(self) -> bool:
        """Whether a process is training the run; no where that cannot be told, as on a read-only disk."""
        return is_held(self.path / ".lock")

    def weights(self) -> Path | None:
        """The selected weights if there are some, else the last; None when there are none yet."""
        return next((path for path in (self.best_weights, self.last_weights) if path.is_file()), None)

    def model_file(self) -> Path:
        """The same. Raises FileError when there are none yet."""
        if found := self.weights():
            return found
        raise FileError(str(self.path), "it has no weights yet", advice="go on with sightline train --resume")

    def tested_step(self) -> int | None:
        """The training step of the weights in `model_file`, by results.csv; None where it has no row yet."""
        rows = self.rows(RESULTS)
        if self.best_weights.is_file():
            rows = [row for row in rows if row.get("val_accuracy")]
            select = self.settings().training.select
            if select != "last":
                # Of equals max gives the first, which is the one that was selected.
                rows = [max(rows, key=lambda row: float(row[f"val_{select}"]))] if rows else []
        return int(rows[-1]["step"]) if rows else None

    def write_settings(self, settings: Settings) -> None:
        """Record what the run does."""
        atomic.write_text(self.settings_path, f"# schema {SCHEMA_VERSION}\n{settings_to_yaml(settings)}")

    def settings(self) -> Settings:
        """What the run does. Raises FileError where the file is damaged or of another schema."""
        text = _read(self.settings_path)
        head = re.match(r"# schema (\d+)\n", text)
        if head and int(head[1]) != SCHEMA_VERSION:
            raise FileError(str(self.settings_path), f"schema {head[1]}", f"schema {SCHEMA_VERSION}")
        return settings_from_yaml(text, str(self.settings_path))

    def network_name(self, settings: Settings) -> str:
        """Name the network of the run's settings, a user's own by its class, where the run says so."""
        try:
            return model_name(settings.model) if settings.model else str(self.fact("network")["name"])
        except (FileError, KeyError):
            return model_name(None)

    def write_fact(self, name: str, content: Mapping[str, Any]) -> None:
        """Record `environment`, `splits`, `network`, `audit`, `pretrained` or `calibration`."""
        atomic.write_json(self.path / _FACTS[name], {"schema": SCHEMA_VERSION, **content})

    def fact(self, name: str) -> dict[str, Any]:
        """Read what `write_fact` recorded. Raises FileError where it is missing or damaged."""
        return read_json(self.path / _FACTS[name])

    def forget_fact(self, name: str) -> bool:
        """Remove what `write_fact` recorded, since it is true no more; whether there was such a record."""
        path = self.path / _FACTS[name]
        known = path.is_file()
        path.unlink(missing_ok=True)
        return known

    def append_rows(self, file: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows to results.csv, steps.csv or probabilities.csv; the first row of a file gives its columns."""
        if not rows:
            return
        path = self.path / file
        text = io.StringIO()
        written = [{key: as_written(value) for key, value in row.items()} for row in rows]
        # Of its own accord csv quotes no carriage return, which its reader takes for the end of a record.
        has_returns = any("\r" in value for row in written for value in row.values())
        quoting = csv.QUOTE_ALL if has_returns else csv.QUOTE_MINIMAL
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n", quoting=quoting)
        with atomic.explain_disk(path):
            if not path.exists():
                writer.writeheader()
            writer.writerows(written)
            with path.open("ab") as stream:
                stream.write(text.getvalue().encode("utf-8", FILE_NAMES))
                stream.flush()

    def rows(self, file: str) -> list[dict[str, str]]:
        """The rows of results.csv, steps.csv or probabilities.csv. Raises FileError where it cannot be read."""
        path = self.path / file
        if not path.exists():
            return []
        try:
            return list(csv.DictReader(_records(_read(path, FILE_NAMES, newline=""))))
        except csv.Error:
            raise FileError(str(path), "damaged", "what training wrote") from None

    def results(self) -> list[dict[str, float]]:
        """The rows of results.csv as numbers. Raises FileError where it is damaged."""
        return self.numbers(self.rows(RESULTS))

    def numbers(self, rows: Sequence[Mapping[str, str]]) -> list[dict[str, float]]:
        """Rows of results.csv as numbers, without what is empty. Raises FileError where there are others."""
        try:
            return [
                {name: float(value) for name, value in row.items() if value}
                | {name: int(row[name]) for name in ("epoch", "step")}
                for row in rows
            ]
        except (TypeError, ValueError, KeyError):
            raise FileError(str(self.path / RESULTS), "damaged", "what training wrote") from None

    def cut_rows(self, file: str, count: int) -> None:
        """Keep the first `count` rows and nothing behind them, not even a half-written one."""
        path = self.path / file
        if not path.exists():
            return
        if count == 0:
            path.unlink()
            return
        text = _read(path, FILE_NAMES, newline="")
        kept = "".join(_records(text)[: count + 1])
        if kept != text:
            atomic.write_bytes(path, kept.encode("utf-8", FILE_NAMES))

    def checkpoint_path(self, step: int) -> Path:
        """Where the checkpoint of a step is."""
        return self.path / "checkpoints" / f"step-{step:06d}.safetensors"

    def checkpoints(self) -> list[Path]:
        """All checkpoints, the latest first."""
        found = (self.path / "checkpoints").glob("step-*.safetensors")
        return sorted(found, key=lambda path: int(path.stem.removeprefix("step-")), reverse=True)

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
            try:
                with safe_open(path, framework="numpy") as stream:
                    header: str = (stream.metadata() or {})[CHECKPOINT_HEADER]
                found = json.loads(header)
                # Where the run was made longer, what had ended it holds no more.
                return found.get("stopped") is not None and found["step"] != self.settings().extended_from_step
            except (OSError, SafetensorError, KeyError, ValueError, AttributeError):
                raise FileError(str(path), "damaged", "a checkpoint") from None
        return False

    def prune_checkpoints(self, keep: int) -> None:
        """Remove all but the last `keep` checkpoints, and what a killed write left behind."""
        for path in self.checkpoints()[keep:]:
            path.unlink(missing_ok=True)
        for path in (self.path / "checkpoints").glob(f"{atomic.TEMPORARY_PREFIX}*"):
            path.unlink(missing_ok=True)


def new_folder(parent: Path, name: str, kind: str) -> Path:
    """Make `parent/NAME-001`, or the next number that is free; without a name that can stand there, `kind` is it."""
    stem = re.sub(r"[^\w.-]+", "-", name).strip("-.") or kind
    with atomic.explain_disk(parent):
        parent.mkdir(parents=True, exist_ok=True)
        for number in range(1, 1_000_000):
            path = parent / f"{stem}-{number:03d}"
            try:
                path.mkdir()
            except FileExistsError:
                continue
            return path
    raise FileError(str(parent), f"a million folders are called {stem}", advice="choose another --name")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a run's file. Raises FileError where there is none."""
    try:
        content = json.loads(_read(path))
    except json.JSONDecodeError:
        raise FileError(str(path), "damaged", "a JSON object") from None
    if not isinstance(content, dict):
        raise FileError(str(path), "damaged", "a JSON object")
    return content


def _read(path: Path, errors: str = "strict", newline: str | None = None) -> str:
    try:
        with path.open(encoding="utf-8", errors=errors, newline=newline) as stream:
            return stream.read()
    except FileNotFoundError:
        raise FileError(str(path), "no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(str(path), f"cannot be read ({type(error).__name__})") from None


def _records(text: str) -> list[str]:
    """Split CSV into its records, each with its newline, but for a half-written one at the end.

    Only a newline outside of quotes ends a record, whatever else a name holds.
    """
    found, begun = [], ""
    for line in io.StringIO(text, newline="\n"):
        begun += line
        if begun.endswith("\n") and begun.count('"') % 2 == 0:
            found.append(begun)
            begun = ""
    return found


def as_written(value: Any) -> str:
    """What a CSV file says for a value: floats with nine digits, nothing for None."""
    if value is None:
        return ""
    return f"{value:.9g}" if isinstance(value, float) else os.fspath(value) if isinstance(value, Path) else str(value)
