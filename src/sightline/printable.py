"""Text from outside, such as the names of files and classes, made safe to show on a terminal, in a table or a message.

A name may hold anything: escape sequences that act on a terminal, line breaks that break a table, marks that reverse
the direction of what follows, bytes that are no UTF-8. JSON and CSV keep names exactly; what people read goes through
here.
"""

from __future__ import annotations

import unicodedata

LONGEST_NAME = 40
"""Columns of a terminal that the name of a class gets in a table."""
HIDDEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
"""Unicode's categories of control, format, surrogate, and line and paragraph separator characters."""
JOINERS = "\u200c\u200d"
"""Format characters that are part of words in Persian and Indic scripts, and of emoji."""


def is_printable(character: str) -> bool:
    """Whether a character shows itself and does nothing else."""
    return character.isprintable() or character in JOINERS or unicodedata.category(character) not in HIDDEN


def printable(text: str) -> str:
    r"""Write every character that would act instead of being seen as its escape, such as \x1b, \n or \u202e.

    The bytes of a file's name that are no UTF-8, which Python keeps as lone surrogates, become \udc80 to \udcff.
    """
    if text.isprintable():
        return text
    return "".join(c if is_printable(c) else c.encode("unicode_escape").decode("ascii") for c in text)


def shortened(name: str, longest: int = LONGEST_NAME) -> str:
    """Make a name printable, and leave out the middle of one that is longer than so many columns."""
    name = printable(name)
    if _columns(name) <= longest:
        return name
    half = (longest - 1) // 2
    return f"{_beginning(name, longest - 1 - half)}…{_beginning(name[::-1], half)[::-1]}"


def _columns(text: str) -> int:
    return sum(map(_width, text))


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _beginning(text: str, columns: int) -> str:
    """The longest beginning of a text that fits into so many columns."""
    used = 0
    for place, character in enumerate(text):
        used += _width(character)
        if used > columns:
            return text[:place]
    return text
