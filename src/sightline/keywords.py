"""Messages for Python: what is `--batch-size 64` on the command line is `batch_size=64` there.

Messages are written once, in the words of the command line; whoever writes one need not think of Python.
"""

from __future__ import annotations

import re

SWITCHES = frozenset((
    "allow_remote", "auxiliary", "batch_norm", "centered", "channels_last", "conv_bias", "deterministic", "eps_hat",
    "everywhere", "flip_vertical", "force", "fused", "identity_start", "keep_norm", "log", "markdown", "near",
    "nesterov", "own_lengths", "projection_norm", "quiet", "random_crop", "residual", "skip_bad", "slides", "tta",
    "watch_test", "write", "zero_residual",
))  # fmt: skip
"""The keywords that are True or False: the only list of names here, which a test keeps complete."""
OTHER_NAMES = {"all": "everywhere", "allow_origin": "allow_origins"}
"""Keywords whose flags have another name."""
ARGUMENTS = {"MODEL": "model", "RUN": "sides", "SIDE": "sides"}
"""What a command takes without a flag, where a message is about it."""

_NO_VALUE = "a|an|and|as|by|for|from|in|is|it|of|on|or|so|the|to|together|with|without"
_WORDS = re.compile(
    # A shell command, to the end of its clause.
    r"(?P<command>(?<![\w./-])(?:sightline|pip) [a-z-].*?(?= (?:and|or|to) |[.,;:)]+(?:\s|$)|$))"
    # A flag, and its value if one follows. Or it is the subject, before a colon.
    r"|(?<![\w-])--(?P<no>no-)?(?P<flag>[A-Za-z][\w-]*)"
    rf"(?:(?P<subject>:\s)| (?!(?:{_NO_VALUE})\s)(?P<value>(?:[\w./~…]|-\d)\S*?)(?=[.,;:)]*(?:\s|$)))?"
    rf"|^(?P<argument>{'|'.join(ARGUMENTS)})(?=:\s)"
)


def in_python(message: str) -> str:
    """Rewrite the flags of a message as keywords; shell commands in it stay as they are.

    `--lr` becomes `lr`, `--lr 0.1` becomes `lr=0.1`, `--form small` becomes `form="small"`. A flag without a value
    becomes `force=True`, or `near=False` for `--no-near`, except at the start, where it is what the message is about.
    """
    return _WORDS.sub(_keyword, message)


def _keyword(match: re.Match[str]) -> str:
    if match["command"]:
        return match["command"]
    if match["argument"]:
        return ARGUMENTS[match["argument"]]
    name = match["flag"].replace("-", "_")
    name = OTHER_NAMES.get(name, name)
    if match["subject"]:
        return f"{name}{match['subject']}"
    if name in SWITCHES:
        return f"{name}={not match['no']}" + (f" {match['value']}" if match["value"] else "")
    return f"{name}={_literal(match['value'])}" if match["value"] else name


def _literal(value: str) -> str:
    """A value as Python has it; one in capitals stands for any."""
    return value if value.isupper() or re.fullmatch(r"-?[\d.]+(e-?\d+)?", value) else f'"{value}"'
