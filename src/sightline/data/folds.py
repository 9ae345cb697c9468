"""Folds: all pictures parted into K, of which each is tested once, by a model that was trained on the others.

What is parted are the pictures that train and select; a test part that a dataset brings stays out.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sightline.data.image_set import ImageData, ImageSet
from sightline.errors import UsageError

FLAG = "--folds"


def fold_of(data: ImageData, numbers: NDArray[np.int64], fold: int) -> ImageData:
    """Give the dataset whose test images are those training images of `data` whose number, int64 (N,), is `fold`."""
    inside, outside = np.flatnonzero(numbers == fold), np.flatnonzero(numbers != fold)
    return replace(data, train=data.train.select(outside), test=data.train.select(inside))


def fold_numbers(images: ImageSet, count: int, seed: int) -> NDArray[np.int64]:
    """Part images into `count` folds, by stratum and by `seed`: the fold of each, int64 (N,), 1 to `count`.

    Images with groups are parted group by group, so that no group is divided; class shares are then kept about as well
    as the groups allow (scikit-learn's StratifiedKFold and StratifiedGroupKFold). Raises UsageError for fewer than two
    folds, for more than there are images or groups, or images of a class, and where a class would have no image left
    to train on.
    """
    if count < 2:
        raise UsageError(FLAG, f"{count} found", "2 or more")
    if count > len(images):
        raise UsageError(FLAG, f"{count} folds of {len(images)} pictures", f"{len(images)} or fewer")
    counts = images.class_counts()
    present = np.flatnonzero(counts)
    smallest = int(present[np.argmin(counts[present])])
    if counts[smallest] < count:
        found = f"{count} folds, and class {images.class_names[smallest]} has {_pictures(int(counts[smallest]))}"
        raise UsageError(FLAG, found, f"{count} pictures of each class or more", _fewer(int(counts[smallest])))
    numbers = _grouped(images, count, seed) if images.groups is not None else _ungrouped(images.labels, count, seed)
    for number in range(1, count + 1):
        if not (numbers == number).any():
            found = f"fold {number} of {count} gets no picture, since no group is divided"
            raise UsageError(FLAG, found, "fewer folds, or more groups")
        left = np.bincount(images.labels[numbers != number], minlength=len(counts))
        if (missing := present[left[present] == 0]).size:
            name = images.class_names[int(missing[0])]
            found = f"without fold {number} of {count} no picture of class {name} is left to train on"
            raise UsageError(FLAG, found, "classes of several groups", "Group the pictures by something else.")
    return numbers


def _ungrouped(labels: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    # Whoever serves or tests an ONNX file needs no scikit-learn.
    from sklearn.model_selection import StratifiedKFold

    numbers = np.zeros(len(labels), np.int64)
    parts = StratifiedKFold(count, shuffle=True, random_state=_generator(seed)).split(labels, labels)
    for number, (_, inside) in enumerate(parts, start=1):
        numbers[inside] = number
    return numbers


def _grouped(images: ImageSet, count: int, seed: int) -> NDArray[np.int64]:
    from sklearn.model_selection import StratifiedGroupKFold

    names, members = np.unique(np.asarray(images.groups), return_inverse=True)
    if count > len(names):
        raise UsageError(FLAG, f"{count} folds of {len(names)} groups", f"{len(names)} or fewer", _fewer(len(names)))
    numbers = np.zeros(len(images), np.int64)
    # Its own shuffling lost the strata in older versions. Groups that are alike it takes in their order.
    shuffled = _generator(seed).permutation(len(names))[members]
    parts = StratifiedGroupKFold(count).split(images.labels, images.labels, shuffled)
    for number, (_, inside) in enumerate(parts, start=1):
        numbers[inside] = number
    return numbers


def _generator(seed: int) -> np.random.RandomState:
    """Give NumPy's frozen generator, as the other splits have it."""
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed)))


def _pictures(count: int) -> str:
    return f"{count} picture{'' if count == 1 else 's'}"


def _fewer(most: int) -> str:
    return f"Ask for {FLAG} {most}." if most > 2 else f"Ask for {FLAG} 2." if most == 2 else ""
