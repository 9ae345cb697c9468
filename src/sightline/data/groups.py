"""Images that belong together, of one person, video or day, or nearly equal: kept in one part, no test flatters.

A rule makes groups of the images' names; near duplicates join theirs. A split then keeps each group on one side.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from sightline.data.duplicates import near_duplicates, thumbnail
from sightline.data.image_set import Grouping, ImageSet
from sightline.errors import UsageError

BY_PARENT = "parent"

Groups = NDArray[np.int64]


def grouped(images: ImageSet, rule: str | None, *, near: bool) -> tuple[ImageSet, Grouping | None]:
    """Give the images with a group each, by `rule` and, where `near`, with near duplicates in one group, and how.

    Where each image would be a group of its own they come back as they are, without groups.

    `rule`: parent, the folder that a picture lies in, or a regular expression in the picture's path, whose first group
    (without one all that it matches) names the group. Images that have groups already, as from a column, keep them.
    Raises UsageError for an expression that is none, or that not every path has.
    """
    own = images.groups if images.groups is not None and rule is None else _by_rule(images.ids, rule)
    told, joined = ("a column" if rule is None and images.groups is not None else rule), 0
    count = len(np.unique(own))
    if near:
        thumbnails = np.stack([thumbnail(images.images(row, row + 1)[0]) for row in range(len(images))])
        pairs = near_duplicates(thumbnails, np.zeros(len(images), np.int64))
        together = _join(own, [(pair.first, pair.later) for pair in pairs])
        joined = sum(own[pair.first] != own[pair.later] for pair in pairs)
        own = together
    if told is None and not joined:
        return images, None
    return replace(images, groups=own), Grouping(told, count, int(joined))


def _by_rule(ids: Sequence[str], rule: str | None) -> Groups:
    if rule is None:
        return np.arange(len(ids))
    names = [_parent(name) for name in ids] if rule == BY_PARENT else _matches(ids, rule)
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def _parent(name: str) -> str:
    return str(PurePosixPath(name).parent)


def _matches(ids: Sequence[str], rule: str) -> list[str]:
    try:
        pattern = re.compile(rule)
    except re.error as error:
        raise UsageError(
            "--group", f"{rule!r} is not a regular expression ({error})", "parent, or one that is"
        ) from None
    found = [pattern.search(name) for name in ids]
    without = [name for name, match in zip(ids, found, strict=True) if match is None]
    if without:
        few = f"{without[0]}{f' and {len(without) - 1} more' if len(without) > 1 else ''}"
        raise UsageError("--group", f"{rule!r} does not occur in {few}", "an expression that every picture's path has")
    return [match[1 if pattern.groups else 0] or "" for match in found if match is not None]


def _join(groups: Groups, pairs: Sequence[tuple[int, int]]) -> Groups:
    """Make one group of those that a pair connects."""
    if not pairs:
        return groups
    # Whoever serves or tests an ONNX file needs no SciPy.
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    first, later = (groups[list(rows)] for rows in zip(*pairs, strict=True))
    count = int(groups.max()) + 1
    edges = coo_matrix((np.ones(len(first), bool), (first, later)), shape=(count, count))
    return connected_components(edges, directed=False)[1].astype(np.int64)[groups]


def stratified_groups(labels: NDArray[np.int64], groups: Groups, count: int, seed: int) -> NDArray[np.int64]:
    """Choose about `count` images, whole groups of them, each class with about its share: rows, int64 (n,), sorted.

    Groups come in a random order, by `seed`, and one is taken where it brings the classes' counts nearer to their
    shares and leaves each class an image; where none does, the one that brings them nearest. Every class keeps an image
    out of the choice, so the choice is empty where only one group has all of some class.
    """
    classes = np.unique(labels, return_inverse=True)[1]
    members = np.unique(groups, return_inverse=True)[1]
    table = np.zeros((members.max() + 1, classes.max() + 1), np.int64)
    np.add.at(table, (members, classes), 1)
    totals = table.sum(axis=0)
    share = totals * count / len(labels)
    taken = np.zeros(len(totals))
    generator = np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed)))
    order = generator.permutation(len(table))
    chosen: list[int] = []
    for group in order:
        after = taken + table[group]
        if (after < totals).all() and np.abs(after - share).sum() < np.abs(taken - share).sum():
            chosen.append(int(group))
            taken = after
    if not chosen:
        fits = [group for group in order if (table[group] < totals).all()]
        chosen = sorted(fits, key=lambda group: float(np.abs(table[group] - share).sum()))[:1]
    return np.flatnonzero(np.isin(members, chosen)).astype(np.int64)
