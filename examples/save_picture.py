"""Write one test picture of a dataset as a PNG file: python examples/save_picture.py DATA FILE [NUMBER]."""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

from sightline.data import load
from sightline.settings import DataSettings


def main(name: str, file: str, number: str = "0") -> None:
    """Write the picture, and say what it shows."""
    images = load(DataSettings(name=name)).test
    assert images is not None, f"{name} has no test images"
    index = int(number)
    pixels = images.images(index, index + 1)[0]
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.squeeze()).save(path)
    print(f"{path}: test image {index}, which shows: {images.class_names[images.labels[index]]}")


if __name__ == "__main__":
    main(*sys.argv[1:])
