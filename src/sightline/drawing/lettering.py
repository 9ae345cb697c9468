"""Text in pictures: how it is shortened where it does not fit."""

from __future__ import annotations

from sightline import printable


def shortened(text: str, most: int, front: float = 2 / 3) -> str:
    """Bring a text to one line of at most `most` columns; `front` is the part kept at its start."""
    return printable.shortened(" ".join(text.split()), most, front)
