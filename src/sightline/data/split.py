"""Which images train, which select, which test: decided once.

Validation is a stratified part of the training images, so that nothing is ever selected by the test images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightline.data.groups import stratified_groups
from sightline.data.image_set import Grouping, ImageData, ImageSet
from sightline.errors import UsageError
from sightline.settings.data import DataSettings


@dataclass(frozen=True)
class Splits:
    """The images of a run. `validation` is None where nothing is selected, `test` where there are no test images."""

    train: ImageSet
    validation: ImageSet | None
    test: ImageSet | None
    split_seed: int = 0
    grouping: Grouping | None = None

    def parts(self) -> dict[str, ImageSet]:
        """Give the parts that there are by name, in the order train, validation, test."""
        found = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in found.items() if part is not None}


def split(data: ImageData, settings: DataSettings, watch_test: bool) -> Splits:
    """Hold out the validation images.

    They are the folder's own `val/` where it has one, otherwise a stratified part of train of `settings.validation`
    images (a number, or a fraction of train below 1) by `settings.split_seed`. With `watch_test`, and with
    `validation` 0, all of train trains and there are none.

    Of what is left to train, `settings.train_images` do, where it says how many.

    Raises UsageError when so many cannot be held out, or train: every class keeps at least one training image.
    """
    seed = settings.split_seed
    train, validation = data.train, None if watch_test else data.val
    if not watch_test and validation is None and settings.validation > 0:
        train, validation = hold_out(data.train, settings.validation, seed, "--validation")
    if settings.train_images is not None:
        train = take(train, settings.train_images, seed)
    return Splits(train, validation, data.test, seed, data.grouping)


def take(images: ImageSet, amount: float, seed: int) -> ImageSet:
    """Take a stratified part, a number of images or a fraction below 1.

    A larger amount takes the same images and more, but for one of a class where shares are rounded another way. Raises
    UsageError for more images than there are, and for fewer than one of each class.
    """
    total, least = len(images), int((images.class_counts() > 0).sum())
    if amount >= 1 and amount != int(amount):
        raise UsageError("--train-images", f"{amount:g} found", "a fraction below 1 or a whole number of images")
    count = int(amount) if amount >= 1 else round(amount * total)
    if not least <= count <= total:
        found = f"{amount:g} of {total} images is {count}" if amount < 1 else f"{count} of {total} images"
        raise UsageError("--train-images", found, f"{least} to {total}, one of each class at least")
    # What is left out is chosen, since each class keeps one out of what is chosen.
    left_out = stratified(images.labels, total - count, len(images.class_names), seed)
    return images.select(_others(left_out, total))


def hold_out(images: ImageSet, amount: float, seed: int, flag: str) -> tuple[ImageSet, ImageSet]:
    """Split off a stratified part, a number of images or a fraction below 1: (the rest, the part).

    Images with groups are split group by group, about as many as asked for. Raises UsageError, naming `flag`, when so
    many cannot be held out: every class keeps an image.
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
    if images.groups is None:
        part = stratified(images.labels, count, len(images.class_names), seed)
    else:
        part = stratified_groups(images.labels, images.groups, count, seed)
    if not len(part):
        raise UsageError(flag, "no group of images can be held out", "classes of two groups or more")
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
