"""What a schema cannot say: the bytes that the server takes are a picture's. Loaded by schemathesis, not by pytest."""

import struct
import zlib

import schemathesis
from hypothesis import strategies


def png(width: int, height: int, level: int) -> bytes:
    """Write a gray PNG of one level."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes([level]) * width) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


SIDES = strategies.integers(1, 40)
PICTURES = strategies.builds(png, SIDES, SIDES, strategies.integers(0, 255))

schemathesis.openapi.format("binary", PICTURES)
for kind in ("image/*", "application/octet-stream"):
    schemathesis.openapi.media_type(kind, PICTURES)
