"""Pictures of one's own, read: a folder's, an archive's, or those that a label file names.

`data.source` finds them, `data.layout` and `data.labelled` list them; here they are decoded, once, into image sets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sightline.data.cache import Decoded, Picture, Request, Size, decoded, listing_hash
from sightline.data.decoder import probe
from sightline.data.groups import grouped
from sightline.data.image_set import ImageData, ImageSet
from sightline.data.layout import Part, PartName, some
from sightline.data.left_out import LeftOut
from sightline.data.preprocessing import Preprocessing
from sightline.data.source import Source, find_source, list_source, list_test_part
from sightline.data.split import hold_out
from sightline.errors import DataError, ImageError
from sightline.settings.data import DataSettings, data_name

SAMPLE = 2000
SMALLEST_SIDE, LARGEST_SIDE = 8, 224


@dataclass(frozen=True)
class FolderData(ImageData):
    """A folder as it was read. `ignored` counts the files that are no pictures by their suffix."""

    ignored: int = 0
    left_out: LeftOut | None = None


def load_folder(settings: DataSettings, *, quiet: bool = False, pool: bool = False) -> FolderData:
    """Read pictures of one's own for training: decoded once into the cache, to the size that `settings` ask for.

    Without `image_size` the side is the median of the training pictures' shorter sides (of at most 2,000 of them,
    evenly chosen, by their headers), 8 at least and 224 at most; without `channels` it is 1 where all of these are
    gray, else 3. Where there is no test part, a stratified `test_fraction` is held out by `split_seed`.
    With `pool` all pictures but those of a test part, which are not read, come as `train`, for folds to be made of.

    Raises DataError for no or one class, an empty class folder in `train`, classes that only another part has, and
    unreadable pictures unless `skip_bad`, and as `find_source` and `read_labelled` do; ResourceError where neither disk
    nor memory holds the decoded pictures.
    """
    source = find_source(settings, quiet=quiet)
    with source.called_by_name():
        return _load(source, settings, quiet=quiet, pool=pool)


def _load(source: Source, settings: DataSettings, *, quiet: bool, pool: bool) -> FolderData:
    listed = list_source(source, settings)
    parts: dict[PartName, Part] = {name: part for name, part in listed.parts.items() if name != "test" or not pool}
    if "train" not in parts:
        raise DataError(str(source.table), "its split column has no training picture", "at least one")
    names = parts["train"].class_names
    if len(names) == 1:
        raise DataError(parts["train"].subject, f"it has only one class, {names[0]}", "two classes or more")
    for part in parts.values():
        refuse_extra_classes(part.subject, part.class_names, names, "train/")
    pictures = [picture for part in parts.values() for picture in part.pictures]
    side = settings.image_size
    # Where larger ones are trained on, these are looked at a few times only.
    few_looks = settings.cache_size not in ("auto", "input")
    request = Request(
        source.root, pictures, "all", side, side, settings.channels, settings.resizing, source.owner, few_looks
    )

    def size() -> Size:
        return _choose_size(source.root, parts["train"].pictures, side, settings.channels)

    result = decoded(request, size, skip_bad=settings.skip_bad, quiet=quiet)
    sets: dict[PartName, ImageSet] = {}
    groups = _groups(parts.values())
    start = 0
    for name, part in parts.items():
        sets[name] = _image_set(result, part, start, names, groups)
        start += len(part.pictures)
    left_out = LeftOut.of(parts, {pictures[row].id for row in result.bad})
    notes = (*listed.notes, *left_out.lines, *(() if pool else _divided_groups(sets)))
    trained = parts["train"].pictures
    if pool and "val" in sets:
        trained = pictures
        sets["train"] = _joined(sets["train"], sets.pop("val"))
    if pool and "test" in listed.parts:
        notes = (*notes, unseen_test(len(listed.parts["test"].pictures)))
    sets["train"] = replace(sets["train"], larger=_larger(request, trained, result, settings, quiet=quiet))
    train, grouping = grouped(sets["train"], settings.group, near=settings.near_duplicates == "together")
    test = sets.get("test")
    if test is None and not pool:
        train, test = hold_out(train, settings.test_fraction, settings.split_seed, "--test-fraction")
    return FolderData(
        data_name(settings),
        train,
        sets.get("val"),
        test,
        {"listing": listing_hash(pictures), **source.files},
        {pictures[row].id: why for row, why in result.bad.items()},
        settings.resizing,
        grouping,
        notes,
        sum(part.ignored for part in parts.values()),
        left_out,
    )


def unseen_test(count: int) -> str:
    """Say what becomes of a test part while folds are made of the rest."""
    return f"folds: the test part, {count:,} pictures, stays out of them and unseen"


def _joined(first: ImageSet, second: ImageSet) -> ImageSet:
    """Put two sets of the same pixels behind each other."""
    rows, labels = (np.concatenate(both) for both in ((first.rows, second.rows), (first.labels, second.labels)))
    groups = None
    if first.groups is not None and second.groups is not None:
        groups = np.concatenate((first.groups, second.groups))
    return replace(first, rows=rows, labels=labels, ids=[*first.ids, *second.ids], groups=groups)


def _larger(
    request: Request, trained: Sequence[Picture], result: Decoded, settings: DataSettings, *, quiet: bool
) -> NDArray[np.uint8] | None:
    """Decode the pictures trained on, which come first, at the size that random crops are cut from: whole pictures."""
    _, height, _, channels = result.pixels.shape
    side = settings.cache_side(height)
    if side == height:
        return None
    resizing = request.resizing._replace(crop_fraction=1.0)
    wanted = Request(request.root, trained, "train", side, side, 1 if channels == 1 else 3, resizing, request.owner)
    # Which pictures are bad, and that they may be left out, is known by now.
    return decoded(wanted, lambda: (side, side, channels), skip_bad=True, quiet=quiet).pixels


def load_test_folder(
    settings: DataSettings, class_names: tuple[str, ...], preprocessing: Preprocessing, *, quiet: bool = False
) -> tuple[ImageSet, tuple[str, ...]]:
    """Read the test images of pictures of one's own as a model wants them, and give what people should know of them.

    They are the test part, or all where there are no parts. Labels follow the model's order of classes, of which some
    may have no image. Raises DataError for a class that the model does not have, when there is a `train/` without a
    `test/`, and as `load_folder` does.
    """
    source = find_source(settings, quiet=quiet)
    channels: Literal[1, 3] = preprocessing.channels
    height, width = preprocessing.height, preprocessing.width
    resizing = preprocessing.resizing
    with source.called_by_name():
        part, notes = list_test_part(source, settings)
        refuse_extra_classes(part.subject, part.class_names, class_names)
        request = Request(source.root, part.pictures, "test", height, width, channels, resizing, source.owner)
        result = decoded(request, lambda: (height, width, channels), skip_bad=settings.skip_bad, quiet=quiet)
        left_out = LeftOut.of({"test": part}, {part.pictures[row].id for row in result.bad})
        return _image_set(result, part, 0, class_names, _groups([part])), (*notes, *left_out.lines)


def refuse_extra_classes(subject: str, found: Sequence[str], expected: Sequence[str], whose: str = "the model") -> None:
    """Check that a part has no other classes than `expected`, some of which it may lack. Raises DataError."""
    extra = [name for name in found if name not in set(expected)]
    if extra:
        problem = f"class {some(extra)} is extra: its classes are {some(found)}"
        raise DataError(subject, problem, f"the classes of {whose}: {some(expected)}")


def _choose_size(root: Path, pictures: Sequence[Picture], side: int | None, channels: Literal[1, 3] | None) -> Size:
    if side is not None and channels is not None:
        return side, side, channels
    shorter: list[int] = []
    all_gray = True
    for picture in pictures[:: -(-len(pictures) // SAMPLE)]:
        try:
            width, height, gray = probe(root / picture.id)
        except ImageError:
            continue  # decoding will name it
        shorter.append(min(width, height))
        all_gray = all_gray and gray
    if side is None:
        side = int(np.clip(np.median(shorter), SMALLEST_SIDE, LARGEST_SIDE)) if shorter else SMALLEST_SIDE
    return side, side, channels or (1 if all_gray else 3)


def _groups(parts: Iterable[Part]) -> NDArray[np.int64] | None:
    """Number the groups that pictures belong to, over all parts, int64 (N,); one without a group is its own."""
    names = [name for part in parts for name in part.groups or ()]
    if not names:
        return None
    told = [name or f"\0{row}" for row, name in enumerate(names)]
    return np.unique(told, return_inverse=True)[1].astype(np.int64)


def _divided_groups(sets: Mapping[PartName, ImageSet]) -> list[str]:
    """Say which parts that were brought share groups: a test on people that training knows flatters."""
    groups = {name: set(part.groups.tolist()) for name, part in sets.items() if part.groups is not None}
    shared = {(one, other): len(groups[one] & groups[other]) for one, other in combinations(groups, 2)}
    return [
        f"{count:,} groups have pictures in {one} and in {other}, as the split column has them: a test may flatter"
        for (one, other), count in shared.items()
        if count
    ]


def _image_set(
    result: Decoded, part: Part, start: int, class_names: tuple[str, ...], groups: NDArray[np.int64] | None
) -> ImageSet:
    """Take the readable pictures of a part, whose first is row `start`."""
    order = np.array([class_names.index(name) for name in part.class_names], np.int64)
    good = [index for index in range(len(part.pictures)) if start + index not in result.bad]
    labels: NDArray[np.int64] = order[[part.pictures[index].label for index in good]]
    counts = np.bincount(labels, minlength=len(class_names))
    unreadable = [class_names[index] for index in sorted(order) if counts[index] == 0]
    if unreadable:
        raise DataError(part.subject, f"it has no readable picture in class {some(unreadable)}", "at least one in each")
    ids = [part.pictures[index].id for index in good]
    rows = np.array(good, np.int64) + start
    return ImageSet(result.pixels, rows, labels, ids, class_names, None if groups is None else groups[rows])
