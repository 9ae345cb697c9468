"""Running one side in a process of its own, and keeping what came of it until all are finished."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from plan import OURS, Side
from report import Measurement

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# What would give one side other conditions than its user has. Importing Sightline sets one of them, for instance.
DROPPED = ("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "ONEDNN_", "DNNL_", "TF_", "KERAS_", "TORCH", "MALLOC_",
           "GLIBC_", "PYTHON", "SIGHTLINE_", "LD_PRELOAD")  # fmt: skip


class SideError(Exception):
    """A side that ended without an answer. Its message is one line."""


class Sides:
    """Starts sides, one at a time, each in its environment, all with the same number of threads."""

    def __init__(self, threads: int, work: Path, data_dir: str | None, cifar10_folder: str | None) -> None:
        self._work = work
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith(DROPPED)}
        self._environment |= {
            "OMP_NUM_THREADS": str(threads),
            "OPENBLAS_NUM_THREADS": str(threads),
            "CUDA_VISIBLE_DEVICES": "",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "SIGHTLINE_CACHE": str(work / "cache"),
            "SPEED_WORK": str(work),
        }
        if data_dir:
            self._environment["SIGHTLINE_DATA"] = data_dir
        if cifar10_folder:
            self._environment["SPEED_CIFAR10_FOLDER"] = cifar10_folder
        self._commit = _commit()

    @staticmethod
    def python(program: str) -> Path:
        """The interpreter that a side is run by."""
        return ROOT / (".venv" if program in OURS else ".venv-peers") / "bin" / "python"

    def ask(self, side: Side, case: str, number: int) -> Measurement:
        """Have one side do one job; its measurement, or one with `absent`. Raises SideError."""
        job = side.job_of(number)
        command = [str(self.python(side.program)), str(HERE / side.program), json.dumps(job)]
        at = datetime.now(UTC).isoformat(timespec="seconds")
        start = time.perf_counter()
        done = subprocess.run(
            command, capture_output=True, text=True, env=self._environment, cwd=self._work, check=False
        )
        wall = round(time.perf_counter() - start, 3)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["no message"]
            raise SideError(f"exit code {done.returncode}: {lines[-1].replace(str(ROOT), '.')}")
        answer = json.loads(done.stdout.strip().splitlines()[-1])
        about = {"case": case, "side": side.name, "round": number, "job": job}
        return {**about, **answer, "wall_seconds": wall, "at": at, "commit": self._commit}


def _commit() -> str:
    """Which state of the repository this is, "" where git cannot tell."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout.strip()


def sources() -> str:
    """What Sightline's code and recipes are now: a hash of the files."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "src" / "sightline").rglob("*")):
        if path.suffix in (".py", ".yaml"):
            digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


class Store:
    """Finished measurements in a file of JSON lines, until a report of all is written.

    The first line is the machine: what was begun on another one, or with other versions, is not gone on with. What was
    measured of Sightline counts only as long as its `sources` are the same; a peer's hours are not lost by that.
    """

    def __init__(self, path: Path, sources: str) -> None:
        self._path = path
        self._sources = sources
        self._found: dict[str, Measurement] = {}
        self._used: set[str] = set()
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        if whole != text:  # killed while it wrote its last line
            path.write_text(whole, encoding="utf-8")
        first, *lines = [json.loads(line) for line in whole.splitlines()] or [None]
        self.machine: dict[str, Any] | None = first
        for line in lines:
            if line["sources"] in ("", sources):
                self._found[line["key"]] = line["measurement"]

    def __len__(self) -> int:
        return len(self._found)

    def begin(self, machine: dict[str, Any]) -> None:
        """Start the file, if nothing is kept in it."""
        if not self._found:
            self.machine = machine
            self._path.write_text(f"{json.dumps(machine)}\n", encoding="utf-8")

    @staticmethod
    def _key(side: Side, number: int) -> str:
        # By what is done, not by where it is reported: a step that two sections need is measured once.
        return json.dumps([side.program, side.job_of(number), number], sort_keys=True)

    def get(self, side: Side, case: str, number: int) -> Measurement | None:
        """What is stored of a side's round, as of `case`."""
        key = self._key(side, number)
        self._used.add(key)
        found = self._found.get(key)
        return None if found is None else {**found, "case": case, "side": side.name}

    def add(self, side: Side, measurement: Measurement) -> None:
        """Keep a measurement, at once, unless it is kept already."""
        key = self._key(side, measurement["round"])
        if key not in self._found:
            self._append(key, measurement)

    def _append(self, key: str, measurement: Measurement) -> None:
        self._found[key] = measurement
        sources = self._sources if json.loads(key)[0] in OURS else ""
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(f"{json.dumps({'key': key, 'sources': sources, 'measurement': measurement})}\n")
            stream.flush()
            os.fsync(stream.fileno())

    def discard_used(self) -> None:
        """Forget what was asked for; what another command has left here stays."""
        left = {key: measurement for key, measurement in self._found.items() if key not in self._used}
        self._path.unlink(missing_ok=True)
        self._found = {}
        if left and self.machine is not None:
            self.begin(self.machine)
            for key, measurement in left.items():
                self._append(key, measurement)
