"""Arrays of one's own as a dataset: images and labels that are in memory already."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.data.image_set import ImageData, ImageSet
from sightline.data.split import hold_out
from sightline.errors import UsageError
from sightline.settings.data import DataSettings

ARRAYS = "arrays"
"""What such a dataset is called."""
SHAPES = "images (N, H, W) or (N, H, W, C) with C 1 or 3"


def from_arrays(arrays: tuple[Any, Any], settings: DataSettings) -> ImageData:
    """Make a dataset of `(images, labels)`, or of `((images, labels), (test_images, test_labels))`.

    `images`: (N, H, W) or (N, H, W, C), C 1 or 3, whole numbers from 0 to 255, or floats from 0 to 1, which are scaled
    by 255 and rounded. `labels`: (N,) or (N, 1), numbers or texts; classes are the sorted values. Without test images a
    stratified `test_fraction` is held out by `split_seed`, as of a folder. Raises UsageError for anything else.
    """
    if len(arrays) != 2:
        raise UsageError("data", f"a tuple of {len(arrays)} found", "(images, labels), or two such pairs")
    pairs: list[Any] = list(arrays) if isinstance(arrays[0], tuple) else [arrays]
    names: dict[Any, int] = {}
    parts: list[ImageSet] = []
    for name, pair in zip(("train", "test"), pairs, strict=False):
        if len(pair) != 2:
            raise UsageError("data", f"{len(pair)} arrays of {name} found", "(images, labels)")
        pixels, values = _pixels(pair[0], name), _labels(pair[1], name)
        if len(pixels) != len(values):
            raise UsageError(f"{name} labels", f"{len(values)} found", f"{len(pixels)}, one for each image")
        names = names or {value: place for place, value in enumerate(np.unique(values).tolist())}
        if odd := [value for value in np.unique(values).tolist() if value not in names]:
            raise UsageError(f"{name} labels", f"{odd[0]!r} found", "a label that the training images have")
        labels = np.array([names[value] for value in values.tolist()], np.int64)
        ids = [f"{name}/{number:06d}" for number in range(len(labels))]
        parts.append(ImageSet.from_arrays(pixels, labels, ids, tuple(str(value) for value in names)))
    if len(names) < 2:
        raise UsageError("train labels", f"one class only, {next(iter(names), 'none')}", "two classes or more")
    if parts[-1].size != parts[0].size:
        raise UsageError(
            "test images", f"their size is {parts[-1].size}", f"{parts[0].size}, as of the training images"
        )
    train, test = (
        parts if len(parts) == 2 else hold_out(parts[0], settings.test_fraction, settings.split_seed, "--test-fraction")
    )
    return ImageData(ARRAYS, train, None, test, {}, {})


def _pixels(images: Any, name: str) -> NDArray[np.uint8]:
    found = np.asarray(images)
    subject = f"{name} images"
    if found.ndim == 3:
        found = found[..., None]
    if found.ndim != 4 or found.shape[3] not in (1, 3) or 0 in found.shape:
        advice = "Put the channels last." if found.ndim == 4 and found.shape[1] in (1, 3) else ""
        raise UsageError(subject, f"their shape is {np.shape(images)}", SHAPES, advice)
    if found.dtype == np.uint8:
        return np.ascontiguousarray(found)
    if found.dtype.kind not in "fiub":
        raise UsageError(subject, f"they are of type {found.dtype}", "numbers")
    low, high = float(found.min()), float(found.max())
    white = 1 if found.dtype.kind in "fb" else 255
    if not 0 <= low <= high <= white:
        expected = "whole numbers from 0 to 255, or floats from 0 to 1"
        raise UsageError(subject, f"their values go from {low:g} to {high:g} in {found.dtype}", expected)
    return np.rint(found * np.float32(255)).astype(np.uint8) if white == 1 else found.astype(np.uint8)


def _labels(labels: Any, name: str) -> NDArray[Any]:
    found = np.asarray(labels)
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim != 1 or found.dtype.kind not in "iubUf" or (found.dtype.kind == "f" and not np.isfinite(found).all()):
        said = f"their shape is {found.shape} and their type {found.dtype}"
        raise UsageError(f"{name} labels", said, "numbers or strings of shape (N,)")
    return found
