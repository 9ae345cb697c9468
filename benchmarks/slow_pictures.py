"""The slowest pictures that the decoder accepts, format by format, and how long it takes for them.

    python benchmarks/slow_pictures.py --megapixels 25

Each file is as slow as its format allows within the limits of `sightline/data/cost.py`: as many scans, strips, frames
and rows as pass. Printed are the file's size, the seconds of the processor, and the picture's size.
"""

from __future__ import annotations

import argparse
import io
import struct
import time
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from sightline.data.decoder import decode_raw
from sightline.data.jpeg import scans_allowed
from sightline.data.tiff import MOST_PIECES
from sightline.errors import ImageError

SCAN = b"\xff\xda"
PLAIN = (90, 120, 30)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Encode a picture."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def files(side: int) -> Iterator[tuple[str, bytes]]:
    """Make the files, each with its name, of about side x side pixels."""
    plain, pixels = Image.new("RGB", (side, side), PLAIN), side * side
    for subsampling in (0, 2):
        content = encoded(plain, "JPEG", progressive=True, subsampling=subsampling)
        last = content[content.rindex(SCAN) : -2]
        yield f"JPEG, subsampling {subsampling}", content
        more = scans_allowed(pixels) - content.count(SCAN) - 2
        yield f"JPEG, subsampling {subsampling}, {more} scans more", content[:-2] + last * more + content[-2:]
    noise = np.random.default_rng(0).integers(0, 256, (side // 2, side // 2, 3), dtype=np.uint8)
    yield "JPEG, noise", encoded(Image.fromarray(noise).resize((side, side)), "JPEG", progressive=True, quality=60)
    yield "PNG, 16 bits, RGBA", png(side, side, 16, 6, 8 * side)
    yield "PNG, narrow", png(max(1, pixels // 1_000_000), 1_000_000, 8, 2, 3 * max(1, pixels // 1_000_000))
    yield "GIF", encoded(Image.new("P", (side, side), 3), "GIF")
    width = min(side, 16_383)
    yield "WebP, lossless", encoded(Image.new("RGB", (width, pixels // width), PLAIN), "WEBP", lossless=True, method=0)
    yield "AVIF", encoded(plain, "AVIF", speed=10)
    yield "AVIF, 6 frames more", avif(encoded(plain, "AVIF", speed=10), 6)
    import tifffile

    for codec in (None, "zlib"):
        stream = io.BytesIO()
        rows = np.zeros((MOST_PIECES, max(1, pixels // MOST_PIECES), 3), np.uint8)
        tifffile.imwrite(stream, rows, rowsperstrip=1, photometric="rgb", compression=codec)
        yield f"TIFF, strips of a row, {codec}", stream.getvalue()
    yield "BMP, run-length, narrow", run_length(4, 1_000_000, b"\x01\x07\x00\x00" * 1_000_000)
    yield "BMP, run-length, wide", run_length(1_000_000, 4, b"\x01\x07\x00\x00" * 4)
    yield "BMP, run-length, nothing", run_length(2000, 2000, b"\x00\x02\x00\x00" * 1_990_000)


def png(width: int, height: int, depth: int, kind: int, row: int) -> bytes:
    """A black PNG whose rows have `row` bytes."""
    packer = zlib.compressobj(1)
    rows = b"".join(packer.compress(bytes(row + 1)) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", rows), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


def avif(content: bytes, frames: int) -> bytes:
    """An AVIF with its frame so many times more in the data of its item."""
    place = content.rindex(b"mdat")
    head, data = content[: place - 4], content[place + 4 :]
    frame = data[4 + data[3] :]
    new = data + frame * frames
    return head.replace(struct.pack(">I", len(data)), struct.pack(">I", len(new))) + (
        struct.pack(">I", len(new) + 8) + b"mdat" + new
    )


def run_length(width: int, height: int, rows: bytes) -> bytes:
    """A BMP in run-length coding."""
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 0, 0, 0, 256, 0) + bytes(1024)
    start = 14 + len(header)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + header + rows + b"\x00\x01"


def main() -> None:
    """Make and decode them one after the other."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--megapixels", type=float, default=25)
    arguments = parser.parse_args()
    for name, content in files(int((1e6 * arguments.megapixels) ** 0.5)):
        began = time.process_time()
        try:
            came = "{1} x {0}".format(*decode_raw(content).shape)
        except ImageError as error:
            came = error.found
        seconds = time.process_time() - began
        print(f"{name:42} {len(content) / 1e6:8.2f} MB {seconds:6.2f} s  {came}", flush=True)


if __name__ == "__main__":
    main()
