"""Pictures that cost a decoder far more than their bytes and pixels tell."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from helpers.decoding import encoded, smooth

SCAN = b"\xff\xda"


def scan_bomb(scans, side=5000, progressive=True):
    """A JPEG of side x side pixels whose last scan is there so many times more."""
    content = encoded(smooth(64, 64), "JPEG", progressive=progressive)
    last = content[content.rindex(SCAN) : -2]
    return resized(content[:-2] + last * scans + content[-2:], side)


def resized(content, side):
    """A JPEG that says of itself that it has side x side pixels."""
    frame = max(content.find(b"\xff\xc0"), content.find(b"\xff\xc2"))
    return content[: frame + 5] + struct.pack(">HH", side, side) + content[frame + 9 :]


def with_segments(count, kind=0xFE, body=b""):
    """A JPEG with so many segments more behind its start."""
    content = encoded(smooth(), "JPEG")
    return content[:2] + (bytes((0xFF, kind)) + struct.pack(">H", len(body) + 2) + body) * count + content[2:]


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def with_chunks(*chunks):
    """A PNG with chunks more before its pixels, and the same behind them."""
    content = encoded(smooth(), "PNG")
    place = content.index(b"IDAT") - 4
    added = b"".join(chunks)
    return content[:place] + added + content[place:-12] + added + content[-12:]


def run_length_bmp(width, height):
    """A BMP in run-length coding of which each row is begun and left."""
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 0, 0, 0, 256, 0)
    palette = b"".join(bytes((level, level, level, 0)) for level in range(256))
    rows = b"\x01\x07\x00\x00" * height + b"\x00\x01"
    start = 14 + len(header) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + header + palette + rows


def tiff(entries, order="<", data=b""):
    """A TIFF of one directory: (tag, type, count, value), each value in the entry itself, and `data` at byte 8."""
    body = b"".join(struct.pack(f"{order}HHII", *entry) for entry in entries)
    place = 8 + len(data)
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(f"{order}I", place) + data + struct.pack(f"{order}H", len(entries)) + body + b"\0" * 4


def npz_bomb(path, shape):
    """An .npz of zeros, compressed a thousand times."""
    np.savez_compressed(path, probabilities=np.zeros(shape, np.float32))
    return path


def avif_bomb(frames, side=1000):
    """An AVIF whose picture's frame is there so many times more, in its item's data."""
    content = encoded(smooth(side, side), "AVIF", speed=10, quality=10)
    place = content.rindex(b"mdat")
    head, data = content[: place - 4], content[place + 4 :]
    assert data[:2] == b"\x12\0" and data[2] == 0x0A  # a delimiter, and what holds for all frames
    frame = data[4 + data[3] :]
    assert frame[0] >> 3 == 6
    new, size = data + frame * frames, len(data).to_bytes(4, "big")
    assert head.count(size) == 1
    return head.replace(size, len(new).to_bytes(4, "big")) + (len(new) + 8).to_bytes(4, "big") + b"mdat" + new
