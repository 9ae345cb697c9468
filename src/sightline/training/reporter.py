"""What a user sees while a network trains: a live display on a terminal, plain lines anywhere else, or nothing."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TextIO, cast

from rich.console import Console

from sightline.language import said
from sightline.printable import printable
from sightline.progress import ProgressBar


class Reporter(Protocol):
    """Told of a run's progress. Steps are counted from 0, epochs from 1."""

    def note(self, text: str) -> None:
        """A sentence about the run."""

    def begin(self, *, step: int, total_steps: int, steps_per_epoch: int, counts_steps: bool = False) -> None:
        """Training starts or goes on; `counts_steps` where its length was given in steps."""

    def step(self, step: int, images_per_second: float, loss: float | None, accuracy: float | None) -> None:
        """A step is done. Loss and accuracy are the epoch's so far, None where the device would have to be asked."""

    def log(self, row: Mapping[str, Any]) -> None:
        """A row of steps.csv was written: step (counted from 1), epoch, lr, loss, images_per_second."""

    def epoch(self, row: Mapping[str, Any]) -> None:
        """An epoch is done: its row of results.csv."""

    def end(self) -> None:
        """Training is over, for whatever reason."""


class Silence:
    """Says nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""

    def begin(self, *, step: int, total_steps: int, steps_per_epoch: int, counts_steps: bool = False) -> None:
        """Say nothing."""

    def step(self, step: int, images_per_second: float, loss: float | None, accuracy: float | None) -> None:
        """Say nothing."""

    def log(self, row: Mapping[str, Any]) -> None:
        """Say nothing."""

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Say nothing."""

    def end(self) -> None:
        """Say nothing."""


class Lines(Silence):
    """A line an epoch, and one every log_steps of a run counted in steps: for logs, pipes and notebooks."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._epochs = 0
        self._steps: int | None = None

    def note(self, text: str) -> None:
        """Print it. Where nobody can read it any more, training goes on all the same."""
        text = printable(said(text, "notes"))
        with contextlib.suppress(OSError, ValueError):
            try:
                print(text, file=self._stream, flush=True)
            except UnicodeEncodeError:  # a ValueError too
                print(text.encode("ascii", "backslashreplace").decode("ascii"), file=self._stream, flush=True)

    def begin(self, *, step: int, total_steps: int, steps_per_epoch: int, counts_steps: bool = False) -> None:
        """Remember how many epochs, and steps where they are counted, there are."""
        del step
        self._epochs = -(-total_steps // steps_per_epoch)
        self._steps = total_steps if counts_steps else None

    def log(self, row: Mapping[str, Any]) -> None:
        """Print the steps' line where the run is counted in steps."""
        if self._steps is not None:
            self.note(step_line(row, self._steps))

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Print the epoch's line."""
        self.note(epoch_line(row, self._epochs))


class Live:
    """A line an epoch and a moving bar below them, for terminals."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream)
        self._bar: ProgressBar | None = None
        self._epochs = 0
        self._steps: int | None = None
        self._steps_per_epoch = 1

    def note(self, text: str) -> None:
        """Print it above the bar."""
        self._console.print(printable(said(text, "notes")), markup=False, highlight=False)

    def begin(self, *, step: int, total_steps: int, steps_per_epoch: int, counts_steps: bool = False) -> None:
        """Show the bar."""
        self._epochs = -(-total_steps // steps_per_epoch)
        self._steps = total_steps if counts_steps else None
        self._steps_per_epoch = steps_per_epoch
        self._bar = ProgressBar(self._place(step), total_steps, done=step, console=self._console)
        self._bar.start()

    def step(self, step: int, images_per_second: float, loss: float | None, accuracy: float | None) -> None:
        """Move the bar."""
        if self._bar is None:
            return
        self._bar.update(completed=step + 1, description=self._place(step))
        if loss is not None and accuracy is not None:
            figures = (f"loss {loss:.4f}", f"accuracy {accuracy:.4f}", f"{images_per_second:,.0f} images/s")
            self._bar.update(metrics=_columns(figures))

    def log(self, row: Mapping[str, Any]) -> None:
        """Print the steps' line above the bar where the run is counted in steps."""
        if self._steps is not None:
            self.note(step_line(row, self._steps))

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Print the epoch's line above the bar."""
        self.note(epoch_line(row, self._epochs))

    def end(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _place(self, step: int) -> str:
        return said(f"epoch {step // self._steps_per_epoch + 1}/{self._epochs}", "notes")


def step_line(row: Mapping[str, Any], steps: int) -> str:
    """One row of steps.csv in one line: step, loss, speed."""
    width = len(str(steps))
    speed = f"{row['images_per_second']:,.0f} images/s"
    return _columns((f"step {row['step']:>{width}}/{steps}", f"loss {row['loss']:.4f}", speed))


def epoch_line(row: Mapping[str, Any], epochs: int) -> str:
    """One epoch in one line: loss, accuracies, speed, seconds. What was not measured is left out."""
    width = len(str(epochs))
    fitted = row["train_loss"] is None
    parts = [f"epoch {row['epoch']:>{width}}/{epochs}", "fitted head" if fitted else f"loss {row['train_loss']:.4f}"]
    for part in ("train", "val", "test"):
        value = row.get(f"{part}_accuracy")
        if value not in (None, ""):
            parts.append(f"{part} {value:.4f}")
    if not fitted:
        parts += [f"{row['images_per_second']:,.0f} images/s", f"{row['seconds']:.1f} s"]
    return _columns(parts)


def _columns(parts: Iterable[str]) -> str:
    return "  ".join(said(part, "notes") for part in parts)


def make_reporter(*, quiet: bool = False, stream: TextIO | None = None) -> Reporter:
    """The reporter for a stream, stderr if none is named: live on a terminal, lines otherwise, silent when `quiet`."""
    stream = stream or sys.stderr
    if quiet or stream is None:  # pyright: ignore[reportUnnecessaryComparison]
        return Silence()
    return Live(stream) if stream.isatty() else Lines(stream)


def told_once(reporter: Reporter) -> Reporter:
    """Make a reporter that passes a sentence on once, such as those on the images of each run."""
    return cast(Reporter, _ToldOnce(reporter))


class _ToldOnce:
    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._told: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reporter, name)

    def note(self, text: str) -> None:
        """Pass a sentence on, once."""
        if text not in self._told:
            self._told.add(text)
            self._reporter.note(text)
