"""`sightline check`: everything that may be wrong with a dataset, looked for in one pass over its pictures.

Training tells the same in brief (`audit`), about the images that it has decoded anyway. This looks at the files
themselves: it stops at none, reads each in its own size, and searches for near duplicates as well.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.data import folder_path
from sightline.data.cache import progress
from sightline.data.check_listing import Listing, list_folder
from sightline.data.check_problems import find_problems
from sightline.data.decoder import decode_raw
from sightline.data.duplicates import ALIKE, SIDE, exact_copies, near_duplicates, pixel_digest, thumbnail
from sightline.data.image_set import ImageSet
from sightline.data.picture_facts import PictureFacts, all_picture_facts
from sightline.data.readers import READERS
from sightline.errors import UsageError
from sightline.settings.data import DataSettings

Pixels = NDArray[np.uint8]


@dataclass
class Survey:
    """Every readable picture, part by part: row i of each list and array is picture i.

    `labels` are class names; `parts` numbers into `part_names`; `facts` only where there are files. `bad`: the files
    that cannot be read, with the reason. `classes`: each part's classes, those without a readable picture too.
    """

    part_names: list[str]
    classes: Mapping[str, list[str]]
    ids: list[str] = field(default_factory=list[str])
    parts: list[int] = field(default_factory=list[int])
    labels: list[str] = field(default_factory=list[str])
    digests: list[bytes] = field(default_factory=list[bytes])
    thumbnails: Pixels = field(default_factory=lambda: np.empty((0, SIDE, SIDE), np.uint8))
    facts: list[PictureFacts] = field(default_factory=list[PictureFacts])
    bad: dict[str, str] = field(default_factory=dict[str, str])
    listing: Listing | None = None


@dataclass(frozen=True)
class Pair:
    """Two pictures that are the same or nearly so: rows of the survey, the earlier first."""

    first: int
    later: int
    similarity: float


@dataclass(frozen=True)
class Check:
    """What was found. `report` can be written as JSON; `picture` gives a picture's pixels by its id.

    `report`: `parts` (pictures and class counts), `problems` (each with `kind`, `count`, `wrong`, `text`, `advice` and
    `found`, a list of `files` with what is to be said of them), `pictures`, `unreadable`, `wrong`, `seconds`.
    """

    report: dict[str, Any]
    picture: Callable[[str], Pixels]

    @property
    def wrong(self) -> bool:
        """Whether something is wrong that should be put right before training, and not only worth knowing."""
        return bool(self.report["wrong"])


def check(settings: DataSettings, *, near: bool = True, alike: float = ALIKE, quiet: bool = False) -> Check:
    """Look over a dataset with a name, or a folder of pictures.

    `near`: search for near duplicates, whose thumbnails correlate by at least `alike`, above 0 to 1. Raises UsageError
    for a name that is neither, DataError where there is no folder or no class in it; never for what is in a picture.
    """
    if not 0.5 <= alike <= 1:
        raise UsageError("--alike", f"{alike:g} found", "0.5 to 1")
    start = time.perf_counter()
    survey, picture = _survey(settings, quiet=quiet)
    exact = _exact_pairs(survey)
    near_pairs = _near_pairs(survey, exact, alike, quiet=quiet) if near else []
    problems = find_problems(survey, exact, near_pairs)
    report = {
        "data": settings.name,
        "files": len(survey.ids) + len(survey.bad),
        "pictures": len(survey.ids),
        "unreadable": len(survey.bad),
        "parts": _counts(survey),
        "near_duplicates": {"searched": near, "alike": alike},
        "wrong": any(problem["wrong"] for problem in problems),
        "problems": problems,
        "seconds": round(time.perf_counter() - start, 2),
    }
    return Check(report, picture)


def _survey(settings: DataSettings, *, quiet: bool) -> tuple[Survey, Callable[[str], Pixels]]:
    if settings.name in READERS:
        data = READERS[settings.name](settings, quiet=quiet)
        parts = {"train": data.train, "val": data.val, "test": data.test}
        return _survey_arrays({name: part for name, part in parts.items() if part is not None}, quiet=quiet)
    root = folder_path(settings.name)
    return _survey_folder(list_folder(root), quiet=quiet), lambda name: decode_raw(root / name)


def _survey_folder(listing: Listing, *, quiet: bool) -> Survey:
    survey = Survey(list(listing.classes), listing.classes, listing=listing)
    thumbnails = np.empty((len(listing.files), SIDE, SIDE), np.uint8)
    facts = all_picture_facts([listing.root / file.id for file in listing.files])
    with (
        progress("Reading", len(listing.files), quiet=quiet) as advance,
        contextlib.closing(facts),
    ):
        for file, found in zip(listing.files, facts, strict=True):
            advance(1)
            if isinstance(found, str):
                survey.bad[file.id] = found
                continue
            thumbnails[len(survey.ids)] = found.thumbnail
            survey.ids.append(file.id)
            survey.parts.append(survey.part_names.index(file.part))
            survey.labels.append(file.label)
            survey.digests.append(found.digest)
            survey.facts.append(found)
    survey.thumbnails = thumbnails[: len(survey.ids)]
    return survey


def _survey_arrays(parts: Mapping[str, ImageSet], *, quiet: bool) -> tuple[Survey, Callable[[str], Pixels]]:
    survey = Survey(list(parts), {name: list(part.class_names) for name, part in parts.items()})
    thumbnails: list[Pixels] = []
    place: dict[str, tuple[ImageSet, int]] = {}
    with progress("Reading", sum(map(len, parts.values())), quiet=quiet) as advance:
        for number, part in enumerate(parts.values()):
            for index in range(len(part)):
                (image,) = part.images(index, index + 1)
                name = str(part.ids[index])
                place[name] = part, index
                survey.ids.append(name)
                survey.parts.append(number)
                survey.labels.append(part.class_names[part.labels[index]])
                survey.digests.append(pixel_digest(image))
                thumbnails.append(thumbnail(image))
                advance(1)
    survey.thumbnails = np.stack(thumbnails)

    def picture(name: str) -> Pixels:
        part, index = place[name]
        return part.images(index, index + 1)[0]

    return survey, picture


def _exact_pairs(survey: Survey) -> list[Pair]:
    rows: dict[str, list[int]] = {name: [] for name in survey.part_names}
    for row, part in enumerate(survey.parts):
        rows[survey.part_names[part]].append(row)
    digests = {name: [survey.digests[row] for row in found] for name, found in rows.items()}
    copies = exact_copies(digests)
    return [Pair(rows[copy.first_part][copy.first], rows[copy.part][copy.later], 1.0) for copy in copies]


def _near_pairs(survey: Survey, exact: list[Pair], alike: float, *, quiet: bool) -> list[Pair]:
    """Search among the first of equals only: copies would bring all their pairs again."""
    copies = {pair.later for pair in exact}
    rows = np.array([row for row in range(len(survey.ids)) if row not in copies], np.int64)
    parts = np.array(survey.parts, np.int64)[rows]
    with progress("Comparing", len(rows), quiet=quiet) as advance:
        found = near_duplicates(survey.thumbnails[rows], parts, alike=alike, advance=advance)
    return [Pair(int(rows[pair.first]), int(rows[pair.later]), pair.similarity) for pair in found]


def _counts(survey: Survey) -> dict[str, Any]:
    counts = {name: dict.fromkeys(classes, 0) for name, classes in survey.classes.items()}
    for part, label in zip(survey.parts, survey.labels, strict=True):
        counts[survey.part_names[part]][label] += 1
    return {
        name: {
            "pictures": sum(found.values()),
            "classes": found,
            "imbalance": round(max(found.values()) / min(found.values()), 3) if found and min(found.values()) else None,
        }
        for name, found in counts.items()
    }
