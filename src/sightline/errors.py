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

tests/test_error_sentences.py checks the form of every place that makes an error.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Generator, Iterable
from typing import ClassVar

from sightline.installation import install_command

LONGEST_LIST = 20


class SightlineError(Exception):
    """Anything that Sightline refuses or cannot do, told in one line: `SUBJECT: FOUND (expected EXPECTED). ADVICE`.

    - `subject`: the flag, file or setting that the error is about.
    - `found`: what is there, as a short clause or a noun phrase: "it has no settings.yaml", "12 found".
    - `expected`: a noun phrase that goes on from the word "expected": "a run folder", "a whole number, 1 or more".
    - `advice`: whole sentences in the imperative, or a question: "Pass --overwrite to replace it."

    `expected` and `advice` may be empty and are then left out. Only advice ends in a period or a question mark: the
    other parts have none of their own, so a message without advice ends without one.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, subject: str, found: str, expected: str = "", advice: str = "") -> None:
        self.subject, self.found, self.expected, self.advice = subject, found, expected, advice
        wanted = f" (expected {expected})" if expected else ""
        message = f"{subject}: {found}{wanted}{f'. {advice}' if advice else ''}"
        super().__init__(" ".join(message.split()))


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


def unknown(subject: str, name: str, known: Iterable[str], kind: type[SightlineError] = UsageError) -> SightlineError:
    """The error for a name that is none of `known`, with the nearest of them first."""
    names = sorted(known)
    near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
    advice = f"Did you mean {' or '.join(near)}?" if near else ""
    listed = f"one of {', '.join(names)}" if len(names) <= LONGEST_LIST or not near else ""
    return kind(subject, f"'{name}' is not known", listed, advice)


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
