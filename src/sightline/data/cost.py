"""What decoding a picture will cost, counted from its bytes before a decoder sees it.

The size in pixels does not tell: a JPEG can repeat a scan of 42 bytes a thousand times over 25 megapixels, and a file
can consist of a million tiny blocks. Such files are made on purpose. They are refused here, within a second. The limits
lie far beyond what cameras and programs write, and what passes decodes in seconds (docs/log.md has the slowest file of
each format). WebP needs no limits but its pixels.
"""

from __future__ import annotations

from sightline.data import avif, gif, jpeg, png, tiff
from sightline.errors import ImageError

MOST_RUN_LENGTH_PIXELS = 4_000_000
"""Pixels of a BMP in run-length coding, which Pillow decodes in Python; it is from a time of smaller pictures."""
RUN_LENGTH_CODINGS = (1, 2)


def refuse_costly(content: bytes, subject: str) -> None:
    """Raise ImageError where decoding would take far longer than the picture's pixels explain."""
    if content[:3] == b"\xff\xd8\xff":
        jpeg.check(content, subject)
    elif content[:8] == png.SIGNATURE:
        png.check(content, subject)
    elif content[:4] in tiff.SIGNATURES:
        tiff.check(content, subject)
    elif content[:4] == b"GIF8":
        gif.check(content, subject)
    elif avif.is_avif(content):
        avif.check(content, subject)
    elif content[:2] == b"BM":
        _check_bmp(content, subject)


def _check_bmp(content: bytes, subject: str) -> None:
    header, width, height, coding = (
        int.from_bytes(content[place : place + 4], "little", signed=True) for place in (14, 18, 22, 30)
    )
    pixels = abs(width * height)
    if header < 40 or coding not in RUN_LENGTH_CODINGS:
        return
    if pixels > MOST_RUN_LENGTH_PIXELS or len(content) > 2 * MOST_RUN_LENGTH_PIXELS:
        found = f"it is a BMP in run-length coding of {pixels:,} pixels and {len(content):,} bytes"
        expected = f"at most {MOST_RUN_LENGTH_PIXELS:,} pixels, and twice as many bytes"
        raise ImageError(subject, found, expected, "Save it without compression.")
