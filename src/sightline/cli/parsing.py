"""Report words that do not parse in one line, instead of cyclopts' panel."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import get_args

from cyclopts import (
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from sightline.errors import SightlineError, UsageError, unknown

KINDS = {int: "a whole number", float: "a number", bool: "yes or no"}


def explain(error: CycloptsError) -> SightlineError:
    """Say in a UsageError what `error` means, with the nearest names where a name is wrong."""
    command = " ".join(["sightline", *(error.command_chain or ())])
    see = f"Run {command} --help to see what it takes."
    match error:
        case UnknownOptionError():
            flag = (error.token.keyword or error.token.value).split("=")[0]
            known = (name for argument in error.argument_collection for name in argument.names)
            found = UsageError(flag, f"{command} has no such flag", advice=_nearest(flag, known) or see)
        case UnknownCommandError():
            known = [name for name in (error.app or ()) if not name.startswith("-")]
            found = unknown("command", (error.unused_tokens or ["?"])[0], known, listed_by=f"{command} --help")
        case UnusedCliTokensError():
            found = UsageError(" ".join(error.unused_tokens or []), f"it is more than {command} takes", advice=see)
        case RepeatArgumentError():
            found = UsageError(error.token.keyword or error.token.value, "it is given twice", advice="Give it once.")
        case MissingArgumentError():
            found = UsageError(_name(error), "its value is missing", advice=see)
        case CoercionError():
            found = _not_of_its_kind(error)
        case _:
            error.verbose = False
            found = UsageError(command, str(error).strip().rstrip("."), advice=see)
    return found


def _name(error: MissingArgumentError) -> str:
    if error.argument is None:
        return error.keyword or "a flag"
    positional = error.argument.index is not None
    return error.argument.name.lstrip("-").upper() if positional else error.keyword or error.argument.name


def _not_of_its_kind(error: CoercionError) -> UsageError:
    token = error.token
    name = (token.keyword if token else None) or (error.argument.name if error.argument else "value")
    found = f"'{token.value}' found" if token else "its value does not fit"
    choices = error.argument.get_choices() if error.argument else None
    if choices:
        expected = f"one of {', '.join(choices)}"
    else:
        target = next((kind for kind in get_args(error.target_type) if kind in KINDS), error.target_type)
        expected = KINDS.get(target, "a value of another type") if target else ""
    return UsageError(name, found, expected)


def _nearest(flag: str, known: Iterable[str]) -> str:
    written = f"--{flag.lstrip('-').replace('_', '-')}"
    near = difflib.get_close_matches(written, list(known), n=2, cutoff=0.6)
    return f"Did you mean {' or '.join(near)}?" if near else ""
