"""GIF files: their blocks (GIF89a, sections 12 to 27)."""

from __future__ import annotations

from collections.abc import Iterator

from sightline.errors import ImageError

MOST_BLOCKS = 20_000
"""Blocks of up to 255 bytes before the first picture, which hold comments and the like."""
MOST_COUNTED = 1_000_000
"""Blocks within which pictures are counted; beyond, the first ones have to do."""
FLAGS, HEADER = 10, 13
EXTENSION, PICTURE, NOTHING = b"!", b",", b"\0"


def check(content: bytes, subject: str) -> None:
    """Raise ImageError for a file with more before its first picture than any program writes."""
    for kind, blocks in _blocks(content):
        if blocks > MOST_BLOCKS:
            found = f"it has more than {MOST_BLOCKS:,} blocks before its picture"
            raise ImageError(subject, found, f"at most {MOST_BLOCKS:,}", "Save it again with another program.")
        if kind == PICTURE:
            return


def count_pictures(content: bytes) -> int:
    """Count the pictures of a file, at least 1."""
    pictures = 0
    for kind, blocks in _blocks(content):
        pictures += kind == PICTURE
        if blocks > MOST_COUNTED:
            break
    return max(1, pictures)


def _blocks(content: bytes) -> Iterator[tuple[bytes, int]]:
    """Give each block's kind, and how many blocks and parts of blocks came before it."""
    place, blocks = HEADER + _palette(content, FLAGS), 0
    while (kind := content[place : place + 1]) in (EXTENSION, PICTURE, NOTHING) and kind:
        yield kind, blocks
        place, blocks = place + 1, blocks + 1
        if kind == NOTHING:  # Pillow passes over it
            continue
        place += 1 if kind == EXTENSION else 10 + _palette(content, place + 8)
        while size := int.from_bytes(content[place : place + 1], "big"):
            place, blocks = place + 1 + size, blocks + 1
        place += 1


def _palette(content: bytes, place: int) -> int:
    """Bytes of the palette that the flags at `place` announce."""
    flags = int.from_bytes(content[place : place + 1], "big")
    return 3 << (flags & 7) + 1 if flags & 128 else 0
