"""How help looks: a title for each group of flags, a column of names, a column of what they do."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sightline.language import said
from sightline.language.columns import padded, wrapped

if TYPE_CHECKING:
    from cyclopts.help import HelpEntry, HelpPanel
    from rich.console import Console, ConsoleOptions

INDENT = 2
WIDEST_NAME = 26
WIDEST_PAGE = 100
# What a setting does, the names that it can have, and its default: each is translated alone.
PARTS = r"(?s)(?P<what>.*?)(?: One of (?P<names>[^.]*)\.)?(?: \[(?P<default>[^\[\]]*)\])?"


def section(title: str, rows: Iterable[tuple[str, str]], *, width: int) -> list[str]:
    """Lay out one titled table of (name, text), wrapped to `width` columns, as lines."""
    rows = list(rows)
    column = INDENT + min(WIDEST_NAME, max(len(name) for name, _ in rows)) + 2
    lines = [title]
    for name, text in rows:
        head = " " * INDENT + name
        rest = wrapped(text, width - column, break_long_words=False) or [""]
        if len(head) + 2 > column:
            lines.append(head)
        else:
            lines.append((padded(head, column) + rest.pop(0)).rstrip())
        lines.extend(" " * column + line for line in rest)
    return lines


class HelpLayout:
    """Print cyclopts' help with `section`; with `usual_alone` no flags of settings but those that most people use."""

    def __init__(self, *, usual_alone: bool = False) -> None:
        self._usual_alone = usual_alone

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:  # noqa: ARG002
        """Print one group of flags."""
        rows = [(_label(entry), _text(entry)) for entry in panel.entries if self._shows(entry)]
        if not rows:
            return
        title, *lines = section(said(str(panel.title), "help"), rows, width=min(console.width, WIDEST_PAGE))
        console.print()
        _print(console, title, style="bold")
        _print(console, "\n".join(lines))

    def _shows(self, entry: HelpEntry) -> bool:
        if not self._usual_alone or not entry.positive_names:
            return True
        from sightline.cli.flags import UNUSUAL

        return entry.positive_names[0] not in UNUSUAL

    def render_usage(self, console: Console, options: ConsoleOptions, usage: Any) -> None:  # noqa: ARG002
        """Print the usage line."""
        _print(console, said(f"Usage: {str(usage).strip()}", "help"))

    def render_description(self, console: Console, options: ConsoleOptions, description: Any) -> None:  # noqa: ARG002
        """Print what the command does."""
        _print(console, f"\n{_plain(description)}")


def _label(entry: HelpEntry) -> str:
    if entry.positional_label:
        return entry.positional_label
    name = entry.positive_names[0]
    if f"--no-{name[2:]}" in entry.negative_names:
        return f"--[no-]{name[2:]}"
    return ", ".join([*entry.positive_names, *entry.positive_shorts]) + (f" {entry.metavar}" if entry.metavar else "")


def _text(entry: HelpEntry) -> str:
    default = f" [{entry.default}]" if entry.default and entry.metavar else ""
    return translated(_plain(entry.description) + default)


def translated(text: str) -> str:
    """Give what a flag does in the language that is spoken."""
    if (match := re.fullmatch(PARTS, text)) is None:
        return text
    what, names, default = match["what"], match["names"], match["default"]
    return "".join(
        [
            said(what, "help"),
            said(f" One of {names}.", "help") if names else "",
            f" [{said(default, 'help')}]" if default else "",
        ]
    )


def _plain(description: Any) -> str:
    return str(getattr(description, "primary_renderable", description))


def _print(console: Console, text: str, style: str | None = None) -> None:
    console.print(text, style=style, markup=False, highlight=False, emoji=False, soft_wrap=True)
