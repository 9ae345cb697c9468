"""Which images train, which select, which test: decided once, recorded with hashes, and checked when a run goes on.

Validation is a stratified part of the training images, so that nothing is ever selected by the test images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.data.image_set import ImageData, ImageSet
from sightline.errors import DataError, FileError, UsageError
from sightline.settings.data import DataSettings

CHUNK_BYTES = 1 << 26
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Splits:
    """The images of a run. `validation` is None where nothing is selected, `test` where there are no test images."""

    train: ImageSet
    validation: ImageSet | None
    test: ImageSet | None
    split_seed: int = 0

    def parts(self) -> dict[str, ImageSet]:
        """Give the parts that there are by name, in the order train, validation, test."""
        found = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in found.items() if part is not None}


def split(data: ImageData, settings: DataSettings, watch_test: bool) -> Splits:
    """Hold out the validation images.

    They are the folder's own `val/` where it has one, otherwise a stratified part of train of `settings.validation`
    images (a number, or a fraction of train below 1) by `settings.split_seed`. With `watch_test`, and with
    `validation` 0, all of train trains and there are none.

    Raises UsageError when so many cannot be held out: every class keeps at least one training image.
    """
    seed = settings.split_seed
    if watch_test or (data.val is None and settings.validation == 0):
        return Splits(data.train, None, data.test, seed)
    if data.val is not None:
        return Splits(data.train, data.val, data.test, seed)
    train, validation = hold_out(data.train, settings.validation, seed, "--validation")
    return Splits(train, validation, data.test, seed)


def hold_out(images: ImageSet, amount: float, seed: int, flag: str) -> tuple[ImageSet, ImageSet]:
    """Split off a stratified part, a number of images or a fraction below 1: (the rest, the part).

    Raises UsageError, naming `flag`, when so many cannot be held out: every class keeps an image.
    """
    total = len(images)
    most = total - int((images.class_counts() > 0).sum())
    if amount >= 1 and amount != int(amount):
        raise UsageError(flag, f"{amount:g} found", "a fraction below 1 or a whole number of images")
    count = int(amount) if amount >= 1 else round(amount * total)
    if not 1 <= count <= most:
        found = f"{amount:g} of {total} images is {count}" if amount < 1 else f"{count} of {total} images"
        room = f"1 to {most}, since each class keeps one" if most else "classes of two images or more"
        raise UsageError(flag, found, room)
    part = stratified(images.labels, count, len(images.class_names), seed)
    return images.select(_others(part, total)), images.select(part)


def _others(indices: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    keep = np.ones(total, bool)
    keep[indices] = False
    return np.flatnonzero(keep)


def stratified(labels: NDArray[np.int64], count: int, classes: int, seed: int) -> NDArray[np.int64]:
    """Choose `count` indices of `labels`, each class with its share, exactly: the largest remainders round up.

    Every class keeps at least one image of its own out of the choice, so `count` is at most len(labels) minus the
    number of classes that occur. Sorted, int64 (count,). The same for the same arguments with every NumPy version: its
    legacy generator is frozen.
    """
    sizes = np.bincount(labels, minlength=classes)
    most = np.maximum(sizes - 1, 0)
    assert 0 <= count <= most.sum(), f"{count} of {len(labels)} cannot be chosen"
    shares = count * sizes / max(1, len(labels))
    take = np.minimum(np.floor(shares).astype(np.int64), most)
    while missing := count - int(take.sum()):
        room = np.flatnonzero(take < most)
        by_remainder = room[np.argsort(-(shares - take)[room], kind="stable")]
        take[by_remainder[:missing]] += 1
    generator = np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed)))
    chosen = [generator.permutation(np.flatnonzero(labels == k))[: take[k]] for k in range(classes)]
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def record(splits: Splits) -> dict[str, Any]:
    """Describe the splits for splits.json: each part's size, class counts and hashes, and which ids validate.

    `ids_sha256` is over the ids, `content_sha256` over the pixels and labels, in order.
    """
    parts = {name: _describe(part) for name, part in splits.parts().items()}
    held_out = list(splits.validation.ids) if splits.validation is not None else []
    return {
        "split_seed": splits.split_seed,
        "classes": list(splits.train.class_names),
        "parts": parts,
        "validation_ids": held_out,
    }


def verify(recorded: Mapping[str, Any], splits: Splits) -> None:
    """Check that `splits` are those that `record` described.

    Raises DataError, naming the part, when the images have changed since, and FileError when `recorded` is no record.
    """
    try:
        classes = [str(name) for name in recorded["classes"]]
        parts = {str(name): dict(part) for name, part in recorded["parts"].items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        raise FileError("splits.json", "it is damaged", "a record of splits") from None
    advice = "Restore the data, or start a new run."
    if classes != list(splits.train.class_names):
        raise DataError(
            "data", f"the classes are {_some(splits.train.class_names)}", f"{_some(classes)}, as in the run", advice
        )
    now = splits.parts()
    if set(parts) != set(now):
        raise DataError("data", f"it has {_some(list(now))}", f"{_some(list(parts))}, as in the run", advice)
    for name in (part for part in PARTS if part in now):
        then = parts[name]
        if then.get("images") != len(now[name]):
            raise DataError(f"{name} images", f"{len(now[name])} found", f"{then.get('images')}, as in the run", advice)
        description = _describe(now[name])
        if then.get("ids_sha256") != description["ids_sha256"]:
            raise DataError(f"{name} images", "they are not those that the run was started with", advice=advice)
        if then != description:
            raise DataError(
                f"{name} images", "their pixels or labels have changed since the run started", advice=advice
            )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:10])
    return shown if len(names) <= 10 else f"{shown} and {len(names) - 10} more"


def _describe(part: ImageSet) -> dict[str, Any]:
    return {
        "images": len(part),
        "size": list(part.size),
        "class_counts": part.class_counts().tolist(),
        "ids_sha256": hashlib.sha256("\n".join(part.ids).encode("utf-8", "surrogateescape")).hexdigest(),
        "content_sha256": _content_hash(part),
    }


def _content_hash(part: ImageSet) -> str:
    digest = hashlib.sha256(repr(part.size).encode())
    chunk = max(1, CHUNK_BYTES // int(np.prod(part.size)))
    for start in range(0, len(part), chunk):
        digest.update(np.ascontiguousarray(part.images(start, start + chunk)).data)
    digest.update(np.ascontiguousarray(part.labels, dtype="<i8").data)
    return digest.hexdigest()
