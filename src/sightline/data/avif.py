"""AVIF files: how many frames an item or the first sample makes a decoder decode before it gives a picture.

ISO/IEC 14496-12 for the boxes, 23008-12 for items, and the AV1 bitstream specification, 5.3, for its units (OBU).
"""

from __future__ import annotations

from collections.abc import Iterator

from sightline.data.heif import AVIF_BRANDS
from sightline.errors import ImageError

MOST_FRAMES, MOST_UNITS, MOST_EXTENTS = 8, 1_000, 100_000
"""Frames and units of one item, which has one frame or a few layers of one; and pieces of all items, such as tiles."""
CONTAINERS = frozenset((b"moov", b"trak", b"mdia", b"minf", b"stbl"))
FRAME_HEADER, FRAME = 3, 6
ADVICE = "Save it again with another program."


def is_avif(content: bytes) -> bool:
    """Tell by the first box whether a file may be AVIF."""
    return content[4:8] == b"ftyp" and any(
        brand in content[8 : int.from_bytes(content[:4], "big")] for brand in AVIF_BRANDS
    )


def check(content: bytes, subject: str) -> None:
    """Raise ImageError where an item, or the first sample of a track, holds more frames than a picture has."""
    total = count = 0
    for pieces in _coded(content, 0, len(content)):
        count += len(pieces)
        total += sum(max(0, end - start) for start, end in pieces)
        if count > MOST_EXTENTS or total > 4 * len(content):
            raise ImageError(subject, "its items overlap or are too many", "a complete AVIF picture", ADVICE)
        data = b"".join(content[start:end] for start, end in pieces)
        for units, frames in _counted(data):
            if frames > MOST_FRAMES or units > MOST_UNITS:
                found = "it has more frames in one picture than any program writes"
                raise ImageError(subject, found, f"at most {MOST_FRAMES}", ADVICE)


def _boxes(content: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Give the kind of each box between two places, and where its content begins and ends."""
    while start + 8 <= end:
        size, head = int.from_bytes(content[start : start + 4], "big"), 8
        if size == 1:
            size, head = int.from_bytes(content[start + 8 : start + 16], "big"), 16
        stop = min(end, start + size) if size else end
        if stop < start + head:
            return
        yield content[start + 4 : start + 8], start + head, stop
        start = stop


def _coded(content: bytes, start: int, end: int) -> Iterator[list[tuple[int, int]]]:
    """Give the places of each item's data, and of the first sample of each track."""
    first, size = 0, 0
    for kind, begin, stop in _boxes(content, start, end):
        if kind == b"meta":
            inner = {name: (low, high) for name, low, high in _boxes(content, begin + 4, stop)}
            if b"iloc" in inner:
                yield from _items(content, inner[b"iloc"][0], inner.get(b"idat", (0, 0))[0])
        elif kind in CONTAINERS:
            yield from _coded(content, begin, stop)
        elif kind in (b"stco", b"co64"):
            first = int.from_bytes(content[begin + 8 : begin + (12 if kind == b"stco" else 16)], "big")
        elif kind == b"stsz":
            same = int.from_bytes(content[begin + 4 : begin + 8], "big")
            size = same or int.from_bytes(content[begin + 12 : begin + 16], "big")
    if first and size:
        yield [(first, min(len(content), first + size))]


def _items(content: bytes, place: int, data: int) -> Iterator[list[tuple[int, int]]]:
    """Read an item location box (ISO/IEC 14496-12, 8.11.3). `data` is where the box `idat` begins."""
    version, sizes = content[place : place + 1], content[place + 4 : place + 6]
    wide = 4 if version == b"\2" else 2
    offsets, lengths, bases, indices = (value for byte in sizes for value in (byte >> 4, byte & 15))
    place += 6
    items, place = _number(content, place, wide)
    for _ in range(items):
        method, extents = 0, []
        place += wide
        if version != b"\0":
            method, place = _number(content, place, 2)
        base, place = _number(content, place + 2, bases)
        count, place = _number(content, place, 2)
        for _ in range(count):
            if version != b"\0":
                place += indices
            offset, place = _number(content, place, offsets)
            length, place = _number(content, place, lengths)
            start = base + offset + (data if method & 15 == 1 else 0)
            extents.append((start, min(len(content), start + length) if length else len(content)))
        if place > len(content):
            return
        yield extents


def _number(content: bytes, place: int, size: int) -> tuple[int, int]:
    """Give a number of so many bytes, and where it ends."""
    return int.from_bytes(content[place : place + size], "big"), place + size


def _counted(data: bytes) -> Iterator[tuple[int, int]]:
    """Count units and frames, unit by unit; what is no AV1, as a box of EXIF, soon ends."""
    place = units = frames = 0
    while place < len(data):
        head = data[place]
        if head & 0x80:  # the forbidden bit
            return
        units, frames = units + 1, frames + ((head >> 3) & 15 in (FRAME_HEADER, FRAME))
        yield units, frames
        place += 2 if head & 4 else 1
        if not head & 2:  # it goes to the end
            return
        size = shift = 0
        while place < len(data) and shift < 56:
            byte, place = data[place], place + 1
            size, shift = size | (byte & 127) << shift, shift + 7
            if byte < 128:
                break
        place += size
