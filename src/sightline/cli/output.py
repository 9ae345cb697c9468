"""What all commands share: --json, --debug and the output streams."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter

from sightline.language import said

OUTPUT = Group("Output", sort_key=90)


@Parameter(name="*")
@dataclass(frozen=True)
class Output:
    """Flags of every command."""

    json: Annotated[
        bool, Parameter(negative="", group=OUTPUT, help="Print the result, and nothing else, as JSON on stdout.")
    ] = False
    lang: Annotated[
        Literal["en", "zh"] | None,
        Parameter(
            group=OUTPUT, metavar="NAME", help="Language of messages, plots and reports: en or zh. [the system's]"
        ),
    ] = None
    debug: Annotated[bool, Parameter(negative="", group=OUTPUT, help="Show the traceback of an error.")] = False

    @contextlib.contextmanager
    def working(self) -> Generator[None]:
        """While a command works, whatever a library prints must not get among the JSON: it goes to stderr."""
        with contextlib.redirect_stdout(sys.stderr) if self.json else contextlib.nullcontext():
            yield


AS_TEXT = Output()


def print_json(result: Any) -> None:
    """Print `result` as one line of JSON on stdout, with null where a number is not finite.

    Of a file's name that is not UTF-8 each odd byte is escaped, as json.loads reads it and os.fsencode takes it.
    """
    text = json.dumps(finite(result), ensure_ascii=False, allow_nan=False, default=str)
    print(escaped(text))


def say(text: str) -> None:
    """Print a line for people on stdout."""
    print(said(text))


def print_notes(notes: Sequence[str]) -> None:
    """Print what people should know besides the result, on stderr."""
    for note in notes:
        print(escaped(said(note, "notes")), file=sys.stderr)


def escaped(text: str) -> str:
    """Escape what is no UTF-8: of a file's name, which may be any bytes, Python keeps such bytes as lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def finite(value: Any) -> Any:
    """Give `value` with None for every NaN and infinity in it, since JSON has neither."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [finite(item) for item in value]
    return value
