"""Real images for the sides that are not Sightline: the official IDX files, or a folder of pictures, as arrays."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import side
from numpy.typing import NDArray
from PIL import Image

Part = tuple[NDArray[np.uint8], NDArray[np.int64]]


def load(data: str, images: int | None = None) -> tuple[Part, Part]:
    """Training and test part of `mnist`, `fashion-mnist` or `cifar10-folder`, which has train/ and test/.

    Pixels are uint8 (N, H, W, C). `images` keeps only so many of each part, evenly chosen, so that all classes remain.
    """
    if data == "cifar10-folder":
        root = Path(os.environ[side.CIFAR10_FOLDER])
        return _pictures(root / "train", images), _pictures(root / "test", images)
    root = Path(os.environ["SIGHTLINE_DATA"]) / data
    return _idx(root, "train", images), _idx(root, "t10k", images)


def _idx(root: Path, prefix: str, images: int | None) -> Part:
    with gzip.open(root / f"{prefix}-images-idx3-ubyte.gz") as stream:
        pixels = np.frombuffer(stream.read(), np.uint8, offset=16).reshape(-1, 28, 28, 1)
    with gzip.open(root / f"{prefix}-labels-idx1-ubyte.gz") as stream:
        labels = np.frombuffer(stream.read(), np.uint8, offset=8).astype(np.int64)
    every = _every(len(labels), images)
    return pixels[::every], labels[::every]


def _pictures(root: Path, images: int | None) -> Part:
    classes = sorted(path.name for path in root.iterdir() if path.is_dir())
    paths = [(path, label) for label, name in enumerate(classes) for path in sorted((root / name).iterdir())]
    paths = paths[:: _every(len(paths), images)]
    pixels = [np.asarray(Image.open(path).convert("RGB")) for path, _ in paths]
    return np.stack(pixels), np.array([label for _, label in paths], np.int64)


def _every(count: int, images: int | None) -> int:
    return 1 if images is None else max(1, count // images)
