"""One progress bar for everything that takes a while: on stderr if that is a terminal, and removed at the end."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Self

from sightline.language import said
from sightline.printable import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


class ProgressBar:
    """A bar of `total` units, None where nobody knows how many yet, shown from `start` to `stop`.

    Nothing is shown where it is `quiet`, or where stderr is no terminal; a `console` shows it whatever it is.
    `in_bytes` tells how many bytes there are and how fast they come. rich is imported where there is a bar to show.
    """

    def __init__(
        self,
        description: str,
        total: float | None = None,
        *,
        done: float = 0,
        in_bytes: bool = False,
        quiet: bool = False,
        console: Console | None = None,
    ) -> None:
        self._description, self._total, self._done = printable(said(description, "notes")), total, done
        self._in_bytes, self._console = in_bytes, console
        # Without a terminal there may be no stderr at all.
        stderr: Any = sys.stderr
        self._shown = console is not None or (not quiet and stderr is not None and stderr.isatty())
        self._bar: Progress | None = None

    def start(self) -> None:
        """Show the bar."""
        if self._shown:
            self._bar = _bar(self._console, in_bytes=self._in_bytes)
            self._task = self._bar.add_task(self._description, total=self._total, metrics="")
            self._bar.update(self._task, completed=self._done)
            self._bar.start()

    def stop(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def advance(self, units: float) -> None:
        """Move the bar on."""
        if self._bar is not None:
            self._bar.advance(self._task, units)

    def update(self, **changes: Any) -> None:
        """Change `total`, `completed`, `description`, or `metrics`, the text after the bar."""
        if self._bar is not None:
            self._bar.update(self._task, **changes)


def _bar(console: Console | None, *, in_bytes: bool) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        *((DownloadColumn(), TransferSpeedColumn()) if in_bytes else ()),
        TextColumn("{task.fields[metrics]}", markup=False),
        TimeRemainingColumn(),
        console=console or Console(stderr=True),
        transient=True,
        expand=True,
    )
