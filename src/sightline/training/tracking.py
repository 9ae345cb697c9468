"""A run's event files for TensorBoard: what its CSV files and its test say, to be looked at while it trains.

The CSV files are the truth. When a run goes on, its events are written anew from them, so that rows which were cut back
to the checkpoint are gone here too; of the old events only the times are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sightline.errors import needs
from sightline.files import atomic
from sightline.runs.folder import RESULTS, STEPS, RunFolder
from sightline.runs.tables import as_written
from sightline.settings import Settings, settings_to_yaml

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

GROUPS = {RESULTS: "results", STEPS: "steps"}
"""The files whose rows become events, and what stands before a column's name there."""
Times = dict[tuple[str, int], float]


def check_tracking(settings: Settings) -> None:
    """Raise UsageError where the settings ask for event files and TensorBoard is not installed."""
    if settings.training.track == "tensorboard":
        _writer_class()


class Tracker:
    """Writes a run's events while it trains. Values are those of the CSV files, rounded to float32 as events hold it.

    Raises ResourceError where they cannot be written.
    """

    def __init__(self, settings: Settings, folder: RunFolder) -> None:
        self._folder = folder
        place = folder.events_folder
        with atomic.explain_disk(place):
            old = sorted(place.glob("*tfevents*"))
            times = _times(old)
            # From step 0, so that a TensorBoard that looks on forgets what it read before.
            self._writer = _writer_class()(str(place), purge_step=0)
            self._writer.add_text("settings", f"```yaml\n{settings_to_yaml(settings)}```", 0)
            for file in GROUPS:
                for row in folder.rows(file):
                    self._add(file, row, times)
            self._writer.flush()
            for path in old:
                path.unlink(missing_ok=True)

    @classmethod
    def of(cls, settings: Settings, folder: RunFolder) -> Tracker | None:
        """Begin, or go on with, the events of a run that asks for them."""
        return cls(settings, folder) if settings.training.track == "tensorboard" else None

    def add(self, file: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows that were added to a CSV file; those of files that have no events are passed over."""
        if file not in GROUPS:
            return
        with atomic.explain_disk(self._folder.events_folder):
            for row in rows:
                self._add(file, row, {})
            self._writer.flush()

    def close(self) -> None:
        """Training is over, for whatever reason."""
        with atomic.explain_disk(self._folder.events_folder):
            self._writer.close()

    def _add(self, file: str, row: Mapping[str, Any], times: Times) -> None:
        step = int(row["step"])
        for column, value in row.items():
            written = as_written(value)
            if column != "step" and written:
                tag = f"{GROUPS[file]}/{column}"
                self._writer.add_scalar(tag, float(written), step, walltime=times.get((tag, step)))


def track_test(settings: Settings, folder: RunFolder, report: Mapping[str, Any]) -> None:
    """Add the figures of the test to a run's events, at the step of the tested weights."""
    if settings.training.track != "tensorboard":
        return
    with atomic.explain_disk(folder.events_folder):
        writer = _writer_class()(str(folder.events_folder), filename_suffix=".test")
        for name, value in report.items():
            if isinstance(value, float):
                writer.add_scalar(f"test/{name}", value, report.get("step"))
        writer.close()


def _writer_class() -> type[SummaryWriter]:
    with needs("--track", "tracking", "tensorboard"):
        from torch.utils.tensorboard import SummaryWriter
    return SummaryWriter


def _times(files: Sequence[Any]) -> Times:
    """Read when each event was, by tag and step; a file that a kill left broken is read as far as it goes."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    found: Times = {}
    for path in files:
        for event in EventFileLoader(str(path)).Load():
            found.update({(value.tag, event.step): event.wall_time for value in event.summary.value})
    return found
