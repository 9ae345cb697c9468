"""PNG files: their chunks, and what Pillow has to be helped with (the PNG specification, third edition)."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
from PIL import Image as PillowImage
from PIL.ImageFile import ImageFile

from sightline.errors import ImageError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MOST_CHUNKS, SMALLEST_CHUNK = 20_000, 1024
"""Chunks that a file of any size may have, and the bytes of a larger one for each further chunk. Pillow handles chunks
in Python; programs write pixels in chunks of 4 KB and more."""
UNUSED = frozenset((b"tEXt", b"zTXt", b"iTXt", b"iCCP"))
RAW_EXIF = b"Raw profile type exif\0"
"""EXIF as ImageMagick wrote it before PNG had a chunk for it."""
HIGHEST = {"L;2": 3, "L;4": 15}
"""Pillow's names for the raw pixels of gray in 2 and 4 bits, and the highest value of each."""


def check(content: bytes, subject: str) -> None:
    """Raise ImageError for a file of more chunks than any program writes."""
    most = MOST_CHUNKS + len(content) // SMALLEST_CHUNK
    for number, _ in enumerate(_chunks(content), 1):
        if number > most:
            found, advice = "it has more chunks than any program writes", "Save it again with another program."
            raise ImageError(subject, found, f"at most {most:,}", advice)


def without_text(content: bytes) -> bytes:
    """Leave out texts and color profiles, which are not used, and of which Pillow refuses more than 1 MiB.

    The same bytes where there are none, or where it is no PNG.
    """
    if content[:8] != SIGNATURE:
        return content
    kept, begun = [content[:8]], 8
    for kind, start, end in _chunks(content):
        if kind in UNUSED and content[start + 8 : start + 8 + len(RAW_EXIF)] != RAW_EXIF:
            kept.append(content[begun:start])
            begun = end
    return content if len(kept) == 1 else b"".join((*kept, content[begun:]))


def _chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Give each chunk's kind, where it begins, and where it ends, up to the last one that is whole."""
    place = 8
    while (end := place + 12 + int.from_bytes(content[place : place + 4], "big")) <= len(content):
        yield content[place + 4 : place + 8], place, end
        place = end


def mend_color_key(image: ImageFile, content: bytes) -> None:
    """Make a PNG's color key, the one value that is transparent, fit the pixels as Pillow loads them.

    Pillow scales 2 and 4 bits of gray to 8, but not their key. Of 16 bits of color it keeps the upper 8, where many
    colors are one: the key then counts at 16 bits, and becomes an alpha channel.
    """
    key = image.info.get("transparency")
    if image.format != "PNG" or key is None or not image.tile:
        return
    raw = image.tile[0].args
    if raw in HIGHEST:
        highest = HIGHEST[raw]
        image.info["transparency"] = (key & highest) * (255 // highest)
    elif raw == "RGB;16B":
        del image.info["transparency"]
        with PillowImage.open(io.BytesIO(without_text(content)), formats=("PNG",)) as again:
            # Read with its bytes the other way round, so that the lower 8 bits are what is kept.
            again.tile = [tile._replace(args="RGB;16L") for tile in again.tile]
            lower = np.asarray(again)
        opaque = ((np.asarray(image).astype(np.uint16) << 8 | lower) != key).any(axis=2)
        image.putalpha(PillowImage.fromarray(opaque))
