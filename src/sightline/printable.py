"""Text from outside, such as the names of files and classes, made safe to show on a terminal, in a table or a message.

A name may hold anything: escape sequences that act on a terminal, line breaks that break a table, marks that reverse
the direction of what follows, bytes that are no UTF-8. JSON and CSV keep names exactly; what people read goes through
here.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

LONGEST_NAME = 40
"""Columns of a terminal that the name of a class gets in a table."""
HIDDEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
"""Unicode's categories of control, format, surrogate, and line and paragraph separator characters."""
JOINERS = "\u200c\u200d"
"""Format characters that are part of words in Persian and Indic scripts, and of emoji."""


def printable(text: str, escape: Callable[[str], str] | None = None) -> str:
    r"""Write every character that would act instead of being seen as its escape, such as \x1b, \n or \u202e.

    The bytes of a file's name that are no UTF-8, which Python keeps as lone surrogates, become \udc80 to \udcff.
    `escape` writes a character in another way than Python's.
    """
    if text.isprintable():
        return text
    acting = {c for c in set(text) if unicodedata.category(c) in HIDDEN and c not in JOINERS}
    return text.translate({ord(c): (escape or _escape)(c) for c in acting})


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def columns(text: str) -> int:
    """Count the columns that a text takes: Chinese and other wide characters take two."""
    return sum(map(_width, text))


def shortened(name: str, most: int = LONGEST_NAME, front: float = 1 / 2) -> str:
    """Make a name printable, and bring it to `most` columns by leaving out its middle; `front` is the part kept there.

    Names that begin alike often differ at the end, and a path tells most there.
    """
    name = printable(name)
    if columns(name) <= most:
        return name
    head = round((most - 1) * front)
    return f"{_beginning(name, head)}…{_beginning(name[::-1], most - 1 - head)[::-1]}"


def _width(character: str) -> int:
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _beginning(text: str, most: int) -> str:
    """The longest beginning of a text that fits into so many columns."""
    used = 0
    for place, character in enumerate(text):
        used += _width(character)
        if used > most:
            return text[:place]
    return text
