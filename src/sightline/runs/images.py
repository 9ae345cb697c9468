"""A run's images: recorded with hashes when it begins, loaded again, and held against what was recorded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from sightline import data
from sightline.data import ImageSet, load, split
from sightline.data.layout import some
from sightline.errors import DataError
from sightline.runs.folder import RunFolder
from sightline.runs.records import SplitPart, Splits

CHUNK_BYTES = 1 << 26


def images_of_run(run: RunFolder, changes: Mapping[str, Any] = MappingProxyType({})) -> data.Splits:
    """Load a run's images and split them as it did; `changes` replaces some of its data settings, such as `data_dir`.

    Raises DataError where they are not the same as when the run was trained, or cannot be loaded.
    """
    own = run.settings()
    settings = own.data.replace(**{"cache_size": "input", **changes})  # crops are for training alone
    splits = split(load(settings), settings, own.training.watch_test)
    verify(run.read(Splits), splits)
    return splits


def record(splits: data.Splits) -> Splits:
    """Describe the images for splits.json: each part's size, class counts and hashes, and which ids validate."""
    return Splits(
        split_seed=splits.split_seed,
        classes=list(splits.train.class_names),
        parts={name: _describe(part) for name, part in splits.parts().items()},
        validation_ids=list(splits.validation.ids) if splits.validation is not None else [],
        grouping=splits.grouping,
    )


def verify(recorded: Splits, splits: data.Splits) -> None:
    """Check that `splits` are those that `record` described. Raises DataError, naming the part, where they are not."""
    advice = "Restore the data, or start a new run."
    classes = list(splits.train.class_names)
    if recorded.classes != classes:
        raise DataError("data", f"the classes are {some(classes)}", f"{some(recorded.classes)}, as in the run", advice)
    then, now = recorded.parts, splits.parts()
    if set(then) != set(now):
        raise DataError("data", f"it has {some(list(now))}", f"{some(list(then))}, as in the run", advice)
    for name, part in now.items():
        images = f"{name} images"
        if then[name].images != len(part):
            raise DataError(images, f"{len(part)} found", f"{then[name].images}, as in the run", advice)
        description = _describe(part)
        if then[name].ids_sha256 != description.ids_sha256:
            raise DataError(images, "they are not those that the run was started with", advice=advice)
        if then[name] != description:
            raise DataError(images, "their pixels or labels have changed since the run started", advice=advice)


def _describe(part: ImageSet) -> SplitPart:
    return SplitPart(
        images=len(part),
        size=part.size,
        class_counts=part.class_counts().tolist(),
        ids_sha256=hashlib.sha256("\n".join(part.ids).encode("utf-8", "surrogateescape")).hexdigest(),
        content_sha256=_content_hash(part),
    )


def _content_hash(part: ImageSet) -> str:
    digest = hashlib.sha256(repr(part.size).encode())
    chunk = max(1, CHUNK_BYTES // int(np.prod(part.size)))
    for start in range(0, len(part), chunk):
        digest.update(np.ascontiguousarray(part.images(start, start + chunk)).data)
    digest.update(np.ascontiguousarray(part.labels, dtype="<i8").data)
    return digest.hexdigest()
