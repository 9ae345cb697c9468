"""Text in columns of a terminal, where a Chinese character takes two cells.

English text is wrapped by textwrap. A Chinese line may end after any character that is not an opening bracket, but no
line begins with a closing mark, and a Latin word such as a flag is never broken.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata

CLOSING = "，。、；：？！）】》”’…"
OPENING = "（【《“‘"
# A Latin word with what sticks to it, a wide character with its marks, or a space.
PIECES = rf"[{OPENING}]*(?:[^\s\u2e80-\uffef]+|[^\s])[{CLOSING}]*|\s+"  # compiled when Chinese is first wrapped


def width(text: str) -> int:
    """Count the cells of a terminal that a text takes."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def padded(text: str, cells: int) -> str:
    """Fill a text up with spaces to that many cells."""
    return text + " " * (cells - width(text))


def wrapped(
    text: str, cells: int, *, initial_indent: str = "", subsequent_indent: str = "", break_long_words: bool = True
) -> list[str]:
    """Break a text into lines of at most `cells` cells, never at a hyphen, where a name could not be copied."""
    if width(text) == len(text):
        return textwrap.wrap(
            text, cells, initial_indent=initial_indent, subsequent_indent=subsequent_indent,
            break_long_words=break_long_words, break_on_hyphens=False,
        )  # fmt: skip
    lines: list[str] = []
    line = initial_indent
    for piece in re.findall(PIECES, " ".join(text.split())):
        if line.strip() and width(line + piece.rstrip()) > cells:
            lines.append(line.rstrip())
            line = subsequent_indent + piece.lstrip()
        else:
            line += piece
    return [*lines, line.rstrip()]


def filled(text: str, cells: int, *, initial_indent: str = "", subsequent_indent: str = "") -> str:
    """Do as `wrapped`, and give the lines as one text."""
    return "\n".join(wrapped(text, cells, initial_indent=initial_indent, subsequent_indent=subsequent_indent))
