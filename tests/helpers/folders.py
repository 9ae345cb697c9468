"""Folders of pictures for tests, and what is refused of them."""

from __future__ import annotations

import pytest
from PIL import Image

from sightline import data
from sightline.errors import DataError
from sightline.settings.data import DataSettings


def paint(path, value=100, size=(12, 10), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value, 0, 255 - value)).save(path)
    return path


def make(root, parts=("train", "test"), classes=("cat", "dog"), count=6, **options):
    for p, part in enumerate(parts):
        for k, name in enumerate(classes):
            for index in range(count):
                paint(root / part / name / f"{index}.png", 40 * p + 10 * k + index, **options)
    return root


def pictures(root, count=12, folder="", suffix=".png"):
    """Paint pictures of two classes in turn, each in another shade, and give (name, label) of each."""
    rows = []
    for index in range(count):
        name = f"{folder}{'/' if folder else ''}p{index:02d}{suffix}"
        paint(root / name, 10 + 5 * index)
        rows.append((name, ("cat", "dog")[index % 2]))
    return rows


def write(path, rows, separator=",", encoding="utf-8"):
    """Write a table of rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(separator.join(map(str, row)) + "\n" for row in rows).encode(encoding))
    return path


def load(root, **values):
    return data.load(DataSettings(name=str(root), **values))


def refused(root, said, **values):
    with pytest.raises(DataError, match=said) as caught:
        load(root, **values)
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)
