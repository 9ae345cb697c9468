"""The errors, each kind with its exit code.

    SightlineError                 1
    ├── UsageError                 2   a wrong name, flag, type or value
    ├── DataError                  3   images, labels, dataset files
    │   └── ImageError             3   one picture that cannot be read
    │       └── ImageSizeError     3   one larger than is decoded
    ├── FileError                  4   a model file or a run folder
    ├── NumericError               5   NaN, infinity, failed parity
    ├── ResourceError              6   memory, disk, port
    └── Interrupted              130   Ctrl-C

Every message is one line: `SUBJECT: FOUND (expected NOUN PHRASE). Advice as a sentence.`, for example

    --model: 'resnte18' is not known (expected one of cnn, resnet18, sprint). Did you mean resnet18?

A message is written once, with the command line's flags. The command line prints `error.line()`; in Python,
`str(error)` and tracebacks have keywords instead (`model`). tests/test_error_sentences.py checks the form of every
place that makes an error.
"""

from __future__ import annotations

import contextlib
import difflib
from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from pathlib import PurePath
from typing import ClassVar

from sightline.installation import install_command
from sightline.keywords import in_python
from sightline.printable import printable

# Of known names: how many are listed at most, and how many near ones are.
LONGEST_LIST, MOST_NEAR = 10, 3
REASONS_SHOWN = 20


class SightlineError(Exception):
    """Anything that Sightline refuses or cannot do, told in one line: `SUBJECT: FOUND (expected EXPECTED). ADVICE`.

    `str(error)` names settings as Python does: `lr`, `batch_size=64`. `error.line()` and the four parts name them as
    the command line does: `--lr`, `--batch-size 64`.

    - `subject`: the flag, file or setting that the error is about.
    - `found`: what is there, as a short clause or a noun phrase: "it has no settings.yaml", "12 found".
    - `expected`: a noun phrase that goes on from the word "expected": "a run folder", "a whole number, 1 or more".
    - `advice`: whole sentences in the imperative, or a question: "Pass --overwrite to replace it."

    `expected` and `advice` may be empty and are then left out. Only advice ends in a period or a question mark: the
    other parts have none of their own, so a message without advice ends without one.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, subject: str, found: str, expected: str = "", advice: str = "") -> None:
        # All four, since copies and pickles are made from them.
        super().__init__(subject, found, expected, advice)
        self.subject, self.found, self.expected, self.advice = subject, found, expected, advice

    def line(self) -> str:
        """The message with the flags of the command line."""
        wanted = f" (expected {self.expected})" if self.expected else ""
        told = " ".join(f"{self.found}{wanted}{f'. {self.advice}' if self.advice else ''}".split())
        return printable(f"{self.subject}: {told}")

    def __str__(self) -> str:
        return in_python(self.line())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class UsageError(SightlineError):
    """A wrong name, flag, type or value."""

    exit_code = 2


class DataError(SightlineError):
    """Images, labels or dataset files that cannot be used."""

    exit_code = 3


class ImageError(DataError):
    """One picture that cannot be read."""


class ImageSizeError(ImageError):
    """A picture that is larger than is decoded, by its header."""


class FileError(SightlineError):
    """A model file or run folder that is damaged, foreign or refused."""

    exit_code = 4


class NumericError(SightlineError):
    """A non-finite loss or gradient, or two back ends that disagree."""

    exit_code = 5


class ResourceError(SightlineError):
    """Too little memory or disk, or a port in use."""

    exit_code = 6


class Interrupted(SightlineError):  # noqa: N818
    """The user stopped the work; what was done is kept."""

    exit_code = 130


def with_reasons(bad: Sequence[tuple[str, str]]) -> str:
    """List the first of unreadable pictures, each a name and a reason, and count the rest by the endings of names."""
    shown = ", ".join(f"{name} ({reason})" for name, reason in bad[:REASONS_SHOWN])
    rest = bad[REASONS_SHOWN:]
    if not rest:
        return shown
    endings = Counter(PurePath(name).suffix.lower() or "without an ending" for name, _ in rest)
    return f"{shown} and {len(rest)} more ({', '.join(f'{count} {ending}' for ending, count in endings.most_common())})"


def unknown(
    subject: str, name: str, known: Iterable[str], kind: type[SightlineError] = UsageError, *, listed_by: str = ""
) -> SightlineError:
    """The error for a name that is none of `known`: all of them where they are few, otherwise the nearest.

    `listed_by` is what lists the names, such as a command, for where they are many and none is near.
    """
    return kind(subject, f"'{name}' is not known", *known_names(name, known, listed_by))


def known_names(name: str, known: Iterable[str], listed_by: str = "") -> tuple[str, str]:
    """What an error for a wrong `name` expects and advises, as `unknown` has it."""
    names = sorted(known)
    near = difflib.get_close_matches(name.lower(), names, n=MOST_NEAR, cutoff=0.5)
    many = len(names) > LONGEST_LIST
    advice = f"See {listed_by} for all names." if many and listed_by else ""
    if near:
        advice = f"Did you mean {' or '.join(near)}?"
    return "" if many or not names else f"one of {', '.join(names)}", advice


@contextlib.contextmanager
def needs(subject: str, extra: str, *modules: str, package: str = "", why: str = "") -> Generator[None]:
    """Raise UsageError with what to install where an import within fails for want of one of `modules`.

    `package` is what people call it, left out where that is the module's name; `why` says what it does, as in
    "computes ONNX files".
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in modules:
            raise
        lacking = f"{package or missing}, which {why}," if why else package or missing
        advice = f"Run {install_command(extra)} to install it."
        raise UsageError(subject, f"{lacking} is not installed", advice=advice) from error
