"""Labelled images in memory, as every later stage sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sightline.settings.data import Resizing


@dataclass(frozen=True)
class ImageSet:
    """N labelled images: rows of one array, which may be memory-mapped and shared by several sets.

    `pixels`: uint8, shape (M, H, W, C), C 1 or 3. `rows`: int64, shape (N,), which of the M pixels' rows belong to this
    set, in order. `labels`: int64, shape (N,), 0 to len(class_names) - 1. `ids`: N names, unique within a dataset
    (a file's path relative to the folder, or part and number as in `test/00042`). `groups`: int64 (N,), which images
    belong together and so on one side of a split; None where each stands for itself. `larger`: the same images as
    `pixels`, row by row, at a size that random crops are cut from; None where that is their own.
    """

    pixels: NDArray[np.uint8]
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    ids: Sequence[str]
    class_names: tuple[str, ...]
    groups: NDArray[np.int64] | None = None
    larger: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        assert self.pixels.dtype == np.uint8 and self.pixels.ndim == 4 and self.pixels.shape[3] in (1, 3)
        assert len(self.rows) == len(self.labels) == len(self.ids)

    @classmethod
    def from_arrays(
        cls, pixels: NDArray[np.uint8], labels: NDArray[np.int64], ids: Sequence[str], class_names: tuple[str, ...]
    ) -> ImageSet:
        """A set of all rows of `pixels`."""
        return cls(pixels, np.arange(len(pixels)), np.asarray(labels, np.int64), ids, class_names)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def size(self) -> tuple[int, int, int]:
        """(H, W, C) of every image."""
        _, height, width, channels = self.pixels.shape
        return height, width, channels

    def images(self, start: int = 0, stop: int | None = None) -> NDArray[np.uint8]:
        """Images `start` to `stop` of this set, uint8 (n, H, W, C), copied."""
        return self.pixels[self.rows[start:stop]]

    def select(self, indices: NDArray[np.int64]) -> ImageSet:
        """The images at `indices` of this set, sharing the pixels."""
        ids = [self.ids[int(i)] for i in indices]
        groups = None if self.groups is None else self.groups[indices]
        return replace(self, rows=self.rows[indices], labels=self.labels[indices], ids=ids, groups=groups)

    def to_crop_from(self) -> ImageSet:
        """The same images at the size that random crops are cut from."""
        return self if self.larger is None else replace(self, pixels=self.larger, larger=None)

    def class_counts(self) -> NDArray[np.int64]:
        """Number of images of each class, int64 (K,)."""
        return np.bincount(self.labels, minlength=len(self.class_names))


@dataclass(frozen=True)
class Grouping:
    """How images that belong together were found. `rule` as it was asked for, None for none.

    `groups`: how many groups it made. `joined`: how many images were put into the group of another, because they are
    nearly equal to it.
    """

    rule: str | None
    groups: int
    joined: int

    def line(self) -> str:
        """One line for people."""
        parts = [f"{self.groups:,} groups by {self.rule}, each in one part"] if self.rule is not None else []
        if self.joined:
            parts.append(f"{self.joined:,} near duplicates kept in the part of the picture that they resemble")
        return f"split: {'; '.join(parts)}"


@dataclass(frozen=True)
class ImageData:
    """A dataset as it was read: `val` only where a folder brings its own, `test` None where there is none yet.

    `files` names each source file (or the folder's listing) with its SHA-256; `skipped` the pictures left out by
    skip_bad, with the reason; `resizing` says how pictures were brought to their size, None where they
    have their own; `grouping` how images that belong together were found, where they were looked for; `notes` what
    people should know of where the images were found.
    """

    name: str
    train: ImageSet
    val: ImageSet | None
    test: ImageSet | None
    files: Mapping[str, str]
    skipped: Mapping[str, str]
    resizing: Resizing | None = None
    grouping: Grouping | None = None
    notes: tuple[str, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes, in the order of their labels."""
        return self.train.class_names
