"""JPEG files: their markers, and how many scans and segments they may have (ITU-T T.81, annex B)."""

from __future__ import annotations

import re

from sightline.errors import ImageError

FEWEST_SCANS, MOST_SCANS, SCANNED_PIXELS = 24, 500, 1_000_000_000
"""Scans that a picture of any size may have; the most that any may have, where libjpeg-turbo's own fuzzers stop too;
and in between, the pixels that all scans together may go over. Ordinary progressive files have about 10 scans."""
ARITHMETIC_SCANS = 12
"""Scans in arithmetic coding, where a few bytes can stand for any number of values."""
MOST_SEGMENTS = 5_000
"""Segments between markers. Each holds up to 64 KB; color profiles, thumbnails and notes of cameras take hundreds."""
MOST_EXIF_SEGMENTS = 64
"""Segments of EXIF, which Pillow copies once more for each."""
MOST_JUNK = 1 << 20
"""Bytes before the first scan that belong to no segment; Pillow skips them one by one."""
SMALL_BYTES = 4 * MOST_SEGMENTS
"""A file smaller than this cannot have more segments, nor any else to be refused but scans."""
LARGEST_BLOCK = 32
START, END, SCAN, APP1, EXIF = 0xD8, 0xD9, 0xDA, 0xE1, b"Exif\0\0"
HUFFMAN_FRAMES, SEQUENTIAL_FRAMES = 0xC8, (0xC0, 0xC1)
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
ADVICE = "Save it again with another program."
_MARKER = re.compile(rb"\xff([^\x00\x01\xff\xd0-\xd7])")
"""A marker with a segment behind it, or the start or end of a picture: no stuffed byte, no restart, no padding."""


def scans_allowed(pixels: int) -> int:
    """Scans that a picture of so many pixels may have."""
    return max(FEWEST_SCANS, min(MOST_SCANS, SCANNED_PIXELS // max(1, pixels)))


def count_scans(content: bytes, start: int, end: int) -> int:
    """Count what may be the beginning of a scan. Only a few times more are there than scans: in thumbnails."""
    return content.count(bytes((0xFF, SCAN)), start, end)


def check(content: bytes, subject: str) -> None:
    """Raise ImageError for a file of more scans or segments than any program writes.

    Walks the markers up to the picture's end, past every segment by its length, as libjpeg does. It stops at the first
    scan where there are few at all, or where that has everything, as in most photographs: libjpeg then reads no other.
    """
    if len(content) < SMALL_BYTES and count_scans(content, 0, len(content)) <= ARITHMETIC_SCANS:
        return
    place, junk, segments, exif, scans, allowed, in_one = 2, 0, 0, 0, 0, MOST_SCANS, b""
    while found := _MARKER.search(content, place):
        code, segments = found[1][0], segments + 1
        junk += 0 if scans else found.start() - place
        _refuse_more(subject, segments, exif, junk)
        place = found.end()
        if code == END and scans:
            return
        if code in (START, END):
            continue
        if code in FRAMES:
            allowed = scans_allowed(_padded(content[place + 3 : place + 5]) * _padded(content[place + 5 : place + 7]))
            in_one = content[place + 7 : place + 8] if code in SEQUENTIAL_FRAMES else b""
            if code > HUFFMAN_FRAMES:
                allowed = ARITHMETIC_SCANS
        elif code == APP1:
            exif += content[place + 2 : place + 2 + len(EXIF)] == EXIF
        elif code == SCAN:
            scans += 1
            if scans == 1 and (
                content[place + 2 : place + 3] == in_one or count_scans(content, place, len(content)) < allowed
            ):
                return
            if scans > allowed:
                raise ImageError(subject, "it has more scans than any program writes", f"at most {allowed}", ADVICE)
        place += int.from_bytes(content[place : place + 2], "big")
    _refuse_more(subject, segments, exif, junk + (0 if scans else len(content) - place))


def _padded(side: bytes) -> int:
    """A side in pixels, as many as its blocks have at the coarsest sampling."""
    return -(-int.from_bytes(side, "big") // LARGEST_BLOCK) * LARGEST_BLOCK


def _refuse_more(subject: str, segments: int, exif: int, junk: int) -> None:
    if segments > MOST_SEGMENTS:
        raise ImageError(subject, "it has more segments than any program writes", f"at most {MOST_SEGMENTS:,}", ADVICE)
    if exif > MOST_EXIF_SEGMENTS:
        raise ImageError(
            subject, "its EXIF has more segments than any program writes", f"at most {MOST_EXIF_SEGMENTS}", ADVICE
        )
    if junk > MOST_JUNK:
        found = f"it has {junk:,} bytes that belong to no segment"
        raise ImageError(subject, found, f"at most {MOST_JUNK:,}", ADVICE)
