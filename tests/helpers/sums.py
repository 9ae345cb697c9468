"""Folders whose files may be edited, and bits that flip."""

from __future__ import annotations

from pathlib import Path


def unlisted(folder: Path) -> Path:
    """Make a folder, with the runs in it, one of a version that kept no sums: its files may then be edited."""
    for path in folder.rglob("sums.json"):
        path.unlink()
    return folder


def flipped(path: Path, place: int, bit: int) -> bytes:
    """Change one bit of a file, and give what it held before."""
    before = path.read_bytes()
    content = bytearray(before)
    content[place] ^= 1 << bit
    path.write_bytes(content)
    return before
