"""What is wrong with the images, told before training: counts, imbalance, unreadable pictures, exact duplicates."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable

import numpy as np

from sightline.data.duplicates import exact_copies, pixel_digest
from sightline.data.folder import FolderData
from sightline.data.image_set import ImageData, ImageSet
from sightline.data.split import Splits
from sightline.runs.records import (
    UNEQUAL,
    Audit,
    AuditPart,
    CopiesAcross,
    CopiesInside,
    Duplicates,
    EqualPair,
    LeftOutPictures,
)

CHUNK_BYTES = 1 << 26
NAMED_PAIRS = 20
IMBALANCE_WORTH_TELLING = 2.0


def audit(splits: Splits, data: ImageData) -> Audit:
    """Look the images over; of the pairs across parts up to 20 are named."""
    parts = splits.parts()
    counts = splits.train.class_counts()
    return Audit(
        parts={
            name: AuditPart(len(part), dict(zip(part.class_names, part.class_counts().tolist(), strict=True)))
            for name, part in parts.items()
        },
        imbalance=round(float(counts.max() / counts.min()), 3) if counts.min() else None,
        skipped=dict(data.skipped),
        ignored_files=data.ignored if isinstance(data, FolderData) else 0,
        left_out=_left_out(data),
        duplicates=_duplicates(parts),
    )


def _left_out(data: ImageData) -> LeftOutPictures | None:
    left_out = data.left_out if isinstance(data, FolderData) else None
    if left_out is None or not (left_out.unread or left_out.loose or left_out.shrunk):
        return None
    classes = {place: count for place, (count, _) in left_out.shrunk.items()}
    return LeftOutPictures(dict(left_out.unread), left_out.loose, classes)


def _duplicates(parts: dict[str, ImageSet]) -> Duplicates:
    inside = {name: Counter[str]() for name in parts}
    across = Counter[str]()
    named: list[EqualPair] = []
    for copy in exact_copies({name: _row_digests(part) for name, part in parts.items()}):
        first, part = parts[copy.first_part], parts[copy.part]
        same = bool(first.labels[copy.first] == part.labels[copy.later])
        counts = inside[copy.part] if copy.first_part == copy.part else across
        counts["images"] += 1
        counts["other_label"] += not same
        if counts is across:
            counts["with_test"] += "test" in (copy.first_part, copy.part)
            if len(named) < NAMED_PAIRS:
                ids = (first.ids[copy.first], part.ids[copy.later])
                named.append(EqualPair((copy.first_part, copy.part), ids, same))
    return Duplicates(
        {name: CopiesInside(counts["images"], counts["other_label"]) for name, counts in inside.items()},
        CopiesAcross(
            pairs=across["images"], other_label=across["other_label"], with_test=across["with_test"], named=named
        ),
    )


def _row_digests(part: ImageSet) -> list[bytes]:
    chunk = max(1, CHUNK_BYTES // int(np.prod(part.size)))
    return [pixel_digest(image) for start in range(0, len(part), chunk) for image in part.images(start, start + chunk)]


def audit_lines(audit: Audit) -> list[str]:
    """Say the audit in short plain sentences: the counts always, everything else only where there is something."""
    lines: list[str] = []
    for name, part in audit.parts.items():
        counts = list(part.classes.values())
        spread = f"{min(counts):,}" if min(counts) == max(counts) else f"{min(counts):,} to {max(counts):,}"
        lines.append(f"{name}: {part.images:,} images in {len(counts)} classes, {spread} per class")
        if absent := [label for label, count in part.classes.items() if count == 0]:
            lines.append(f"{name} has no image of {_some(absent)}")
    if audit.imbalance is not None and audit.imbalance >= IMBALANCE_WORTH_TELLING:
        advice = ": accuracy alone says little; see the settings class_weights, sampler and select (balanced_accuracy)"
        told = advice if audit.imbalance >= UNEQUAL else ""
        lines.append(f"the largest class has {audit.imbalance:.1f} times as many images as the smallest{told}")
    lines += [
        f"{look_alike(group)} are different classes, though their names look the same"
        for group in same_looking({label for part in audit.parts.values() for label in part.classes})
    ]
    if audit.skipped:
        count = len(audit.skipped)
        lines.append(f"{count:,} unreadable picture{_s(count)} skipped: {_some(list(audit.skipped))}")
    if audit.ignored_files:
        count = audit.ignored_files
        lines.append(f"{count:,} file{_s(count)} without a picture's suffix ignored")
    for name, copies in audit.duplicates.inside.items():
        if copies.images:
            count = copies.images
            lines.append(f"{count:,} exact duplicate{_s(count)} inside {name}{_conflicts(copies.other_label)}")
    across = audit.duplicates.across
    if across.pairs:
        names = _some([" = ".join(pair.images) for pair in across.named], across.pairs)
        count = across.pairs
        lines.append(f"{count:,} exact duplicate{_s(count)} across splits{_conflicts(across.other_label)}: {names}")
    return lines


def same_looking(names: Iterable[str]) -> list[list[str]]:
    """Group names that differ only in how Unicode writes their accents, as a disk may: NFC and NFD."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        groups[unicodedata.normalize("NFC", name)].append(name)
    return [group for group in groups.values() if len(group) > 1]


def look_alike(names: Iterable[str]) -> str:
    """Write names that look the same so that they differ."""
    return " and ".join(map(ascii, names))


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def _conflicts(count: int) -> str:
    return f", {count} with another label" if count else ""


def _some(names: list[str], total: int | None = None) -> str:
    shown = names[:3]
    more = (total or len(names)) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
