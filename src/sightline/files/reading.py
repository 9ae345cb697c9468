"""Reading files that may be anything: what is no file is refused, and damaged JSON or YAML is one kind of error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sightline.errors import FileError, SightlineError

LARGEST_FILE = 1 << 29
"""Bytes of a text file of ours: a million long names of pictures are a fifth of it."""
MOST_VALUES, DEEPEST, LONGEST_NUMBER = 1_000_000, 50, 20
"""What settings in YAML may come to once their aliases are followed; digits of a whole number."""


def refuse_no_file(path: Path, kind: type[SightlineError] = FileError, expected: str = "") -> None:
    """Raise `kind` for a folder, a pipe or a device, which would be read for ever. What is missing passes."""
    try:
        odd = path.exists() and not path.is_file()
    except OSError as error:
        raise kind(str(path), f"it cannot be read ({(error.strerror or type(error).__name__).lower()})") from None
    if odd:
        raise kind(str(path), "it is not a file", expected)


def read_bytes(path: Path, expected: str = "", most: int = LARGEST_FILE) -> bytes:
    """A file's bytes, at most `most`. Raises FileError, saying what is `expected`, for one that cannot be read."""
    refuse_no_file(path, expected=expected)
    try:
        if (size := path.stat().st_size) > most:
            raise FileError(str(path), f"it has {size:,} bytes", f"at most {most:,}")
        return path.read_bytes()
    except FileNotFoundError:
        raise FileError(str(path), "no such file", expected) from None
    except OSError as error:
        raise FileError(str(path), f"it cannot be read ({(error.strerror or type(error).__name__).lower()})") from None


def read_text(path: Path, expected: str = "", errors: str = "strict") -> str:
    """A file's text, UTF-8, as it stands. Raises FileError, saying what is `expected`, for one that has none."""
    try:
        return read_bytes(path, expected).decode("utf-8", errors)
    except UnicodeDecodeError:
        raise FileError(str(path), "it cannot be read (it is not UTF-8)", expected) from None


def parse_json(text: str | bytes) -> Any:
    """Read JSON. Raises ValueError, and nothing else, where it is damaged, too deep, or has numbers beyond reason."""
    try:
        return json.loads(text, parse_int=_whole_number)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def parse_yaml(text: str) -> Any:
    """Read YAML. Raises ValueError, and nothing else, where it is damaged or goes on beyond reason."""
    import yaml

    # In C where there is one: a list of runs reads hundreds of files of settings.
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        # The loader goes into what is nested by recursion, in C without a limit; the events come one by one.
        depth = 0
        for event in yaml.parse(text, loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise ValueError("it is nested too deeply")
        content = yaml.load(text, loader)
    except (yaml.YAMLError, RecursionError, TypeError, AttributeError, LookupError, OverflowError) as error:
        raise ValueError(f"it is no YAML ({type(error).__name__})") from None
    waiting, seen = [(content, 0)], 0
    while waiting:
        value, depth = waiting.pop()
        seen += 1
        if seen > MOST_VALUES or depth > DEEPEST:
            raise ValueError("it is nested too deeply")
        if isinstance(value, int) and abs(value) >= 10**LONGEST_NUMBER:
            raise ValueError("it has a number of too many digits")
        inner = [*value.keys(), *value.values()] if isinstance(value, dict) else value
        if isinstance(inner, list | tuple | set):
            waiting += [(item, depth + 1) for item in inner]
    return content


def _whole_number(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise ValueError("it has a number of too many digits")
    return int(digits)
