"""What is wrong with the images, told before training: counts, imbalance, unreadable pictures, exact duplicates."""

from __future__ import annotations

from typing import Any

import numpy as np

from sightline.checking.duplicates import exact_copies, pixel_digest
from sightline.data.folder import FolderData
from sightline.data.image_set import ImageData, ImageSet
from sightline.data.split import Splits

CHUNK_BYTES = 1 << 26
NAMED_PAIRS = 20
IMBALANCE_WORTH_TELLING = 2.0


def audit(splits: Splits, data: ImageData) -> dict[str, Any]:
    """Look the images over; the answer can be written as JSON.

    `parts`: images and class counts of each part. `imbalance`: images of the largest training class by those of the
    smallest (None where one has none). `skipped`: pictures left out, with the reason; `ignored_files`: files of a
    folder that are no pictures by their suffix. `duplicates`: images whose decoded pixels are equal, `inside` each part
    (copies beyond the first; how many of them bear another label) and `across` parts (pairs of a later part's image
    with the first equal one of an earlier part; `with_test`: how many of the pairs have a test image; up to 20 of
    them named).
    """
    parts = splits.parts()
    counts = splits.train.class_counts()
    return {
        "parts": {
            name: {
                "images": len(part),
                "classes": dict(zip(part.class_names, part.class_counts().tolist(), strict=True)),
            }
            for name, part in parts.items()
        },
        "imbalance": round(float(counts.max() / counts.min()), 3) if counts.min() else None,
        "skipped": dict(data.skipped),
        "ignored_files": data.ignored if isinstance(data, FolderData) else 0,
        "duplicates": _duplicates(parts),
    }


def _duplicates(parts: dict[str, ImageSet]) -> dict[str, Any]:
    inside = {name: {"images": 0, "other_label": 0} for name in parts}
    across: dict[str, Any] = {"pairs": 0, "other_label": 0, "with_test": 0, "named": []}
    for copy in exact_copies({name: _row_digests(part) for name, part in parts.items()}):
        first, part = parts[copy.first_part], parts[copy.part]
        same = bool(first.labels[copy.first] == part.labels[copy.later])
        if copy.first_part == copy.part:
            inside[copy.part]["images"] += 1
            inside[copy.part]["other_label"] += not same
            continue
        across["pairs"] += 1
        across["other_label"] += not same
        across["with_test"] += "test" in (copy.first_part, copy.part)
        if len(across["named"]) < NAMED_PAIRS:
            names = [first.ids[copy.first], part.ids[copy.later]]
            across["named"].append({"parts": [copy.first_part, copy.part], "images": names, "same_label": same})
    return {"inside": inside, "across": across}


def _row_digests(part: ImageSet) -> list[bytes]:
    chunk = max(1, CHUNK_BYTES // int(np.prod(part.size)))
    return [pixel_digest(image) for start in range(0, len(part), chunk) for image in part.images(start, start + chunk)]


def audit_lines(found: dict[str, Any]) -> list[str]:
    """Say the audit in short plain sentences: the counts always, everything else only where there is something."""
    lines: list[str] = []
    for name, part in found["parts"].items():
        counts = list(part["classes"].values())
        spread = f"{min(counts):,}" if min(counts) == max(counts) else f"{min(counts):,} to {max(counts):,}"
        lines.append(f"{name}: {part['images']:,} images in {len(counts)} classes, {spread} a class")
        if absent := [label for label, count in part["classes"].items() if count == 0]:
            lines.append(f"{name} has no image of {_some(absent)}")
    if found["imbalance"] is not None and found["imbalance"] >= IMBALANCE_WORTH_TELLING:
        lines.append(f"the largest class has {found['imbalance']:.1f} times the images of the smallest")
    if found["skipped"]:
        skipped = _counted(len(found["skipped"]), "unreadable picture")
        lines.append(f"{skipped} left out: {_some(list(found['skipped']))}")
    if found["ignored_files"]:
        lines.append(f"{_counted(found['ignored_files'], 'file')} without a picture's suffix ignored")
    for name, copies in found["duplicates"]["inside"].items():
        if copies["images"]:
            duplicates = _counted(copies["images"], "exact duplicate")
            lines.append(f"{duplicates} inside {name}{_conflicts(copies['other_label'])}")
    across = found["duplicates"]["across"]
    if across["pairs"]:
        names = _some([" = ".join(pair["images"]) for pair in across["named"]], across["pairs"])
        duplicates = _counted(across["pairs"], "exact duplicate")
        lines.append(f"{duplicates} across parts{_conflicts(across['other_label'])}: {names}")
    return lines


def _counted(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def _conflicts(count: int) -> str:
    return f", {count} with another label" if count else ""


def _some(names: list[str], total: int | None = None) -> str:
    shown = names[:3]
    more = (total or len(names)) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
