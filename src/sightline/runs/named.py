"""Runs that are called by a name of their own in one folder, each begun once, and gone on with where it was stopped."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from sightline.runs.folder import RunFolder


@dataclass(frozen=True)
class NamedRuns:
    """The folder of the runs of a comparison or a cross-validation."""

    path: Path

    def find(self, name: str) -> RunFolder | None:
        """The run with this name, None before it began."""
        begun = [run for run in self._called(name) if run.settings_path.is_file()]
        return begun[-1] if begun else None

    def find_finished(self, name: str) -> RunFolder | None:
        """The same if it is tested. Raises FileError where its records have changed."""
        run = self.find(name)
        return RunFolder.open(run.path) if run is not None and run.test_folder.metrics_path.is_file() else None

    def forget_unbegun(self, name: str) -> None:
        """Remove what ended before it began; only for whoever holds the run's lock, since it may be beginning."""
        for run in self._called(name):
            if not run.settings_path.is_file():
                shutil.rmtree(run.path, ignore_errors=True)

    def lock_path(self, name: str) -> Path:
        """The file whose lock is held by the one process that works on a run."""
        return self.path / ".locks" / name

    def _called(self, name: str) -> list[RunFolder]:
        return [RunFolder(path) for path in sorted(self.path.glob(f"{name}-[0-9][0-9][0-9]"))]
