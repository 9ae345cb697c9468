"""What all commands share: --json, --debug and the output streams."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TextIO

from cyclopts import Group, Parameter

from sightline.cli.streams import is_utf8
from sightline.language import said
from sightline.printable import printable

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

    What would act on a terminal, and what stdout's encoding may lack, is escaped: json.loads gives the exact text. Of a
    file's name that is not UTF-8 each odd byte is a lone surrogate, as os.fsencode takes it.
    """
    text = json.dumps(finite(result), ensure_ascii=not is_utf8(sys.stdout), allow_nan=False, default=str)
    print(printable(text, lambda character: json.dumps(character)[1:-1]))


def print_notes(notes: Sequence[str]) -> None:
    """Print what people should know besides the result, on stderr."""
    for note in notes:
        show(said(note, "notes"), on=sys.stderr)


def print_exactly(text: str) -> None:
    """Print what programs read too, such as a path or a table of them, exactly; on a terminal, made printable."""
    print("\n".join(map(printable, text.split("\n"))) if sys.stdout.isatty() else text)


def say(*lines: str) -> None:
    """Print lines for people, in their language."""
    show(*map(said, lines))


def show(*lines: str, on: TextIO | None = None) -> None:
    """Print lines as they are, on stdout or another stream. What a name in them holds is shown, never done."""
    for line in lines or ("",):
        print(printable(line), file=on)


def finite(value: Any) -> Any:
    """Give `value` with None for every NaN and infinity in it, since JSON has neither."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [finite(item) for item in value]
    return value
