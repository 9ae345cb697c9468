"""Text in pictures: how wide it is, and how it is shortened where it does not fit."""

from __future__ import annotations

import unicodedata


def columns(text: str) -> int:
    """Count columns: Chinese and other wide characters take two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def shortened(text: str, most: int, front: float = 2 / 3) -> str:
    """Bring a text to one line of at most `most` columns by leaving out its middle; `front` is the part kept there.

    Names that begin alike often differ at the end, and a path tells most there. What is not UTF-8 cannot be drawn and
    is replaced.
    """
    text = " ".join(text.encode("utf-8", "replace").decode("utf-8").split())
    wide = columns(text)
    if wide <= most:
        return text
    kept = max(2, (most - 1) * len(text) // wide)
    head = max(1, round(kept * front))
    return f"{text[:head]}…{text[len(text) - (kept - head) :]}"
