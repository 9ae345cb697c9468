"""Every picture of a dataset, looked at once: what is readable, what each is, and which are the same or nearly so."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sightline.checking.listing import Listing, list_data
from sightline.checking.picture_facts import PictureFacts, all_picture_facts
from sightline.data.decoder import decode_raw
from sightline.data.duplicates import SIDE, exact_copies, near_duplicates, pixel_digest, thumbnail
from sightline.data.image_set import ImageSet
from sightline.data.readers import READERS
from sightline.progress import ProgressBar
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


def survey_of(settings: DataSettings, *, quiet: bool) -> tuple[Survey, Callable[[str], Pixels]]:
    """Look at every picture of a dataset with a name, or of one's own; also give what reads a picture by its id."""
    if settings.name in READERS:
        data = READERS[settings.name](settings, quiet=quiet)
        parts = {"train": data.train, "val": data.val, "test": data.test}
        return _survey_arrays({name: part for name, part in parts.items() if part is not None}, quiet=quiet)
    listing = list_data(settings, quiet=quiet)
    return _survey_folder(listing, quiet=quiet), lambda name: decode_raw(listing.root / name)


def _survey_folder(listing: Listing, *, quiet: bool) -> Survey:
    survey = Survey(list(listing.classes), listing.classes, listing=listing)
    thumbnails = np.empty((len(listing.files), SIDE, SIDE), np.uint8)
    facts = all_picture_facts([listing.root / file.id for file in listing.files])
    with (
        ProgressBar(f"Reading {len(listing.files):,} pictures", len(listing.files), quiet=quiet) as bar,
        contextlib.closing(facts),
    ):
        for file, found in zip(listing.files, facts, strict=True):
            bar.advance(1)
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
    total = sum(map(len, parts.values()))
    with ProgressBar(f"Reading {total:,} pictures", total, quiet=quiet) as bar:
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
                bar.advance(1)
    survey.thumbnails = np.stack(thumbnails)

    def picture(name: str) -> Pixels:
        part, index = place[name]
        return part.images(index, index + 1)[0]

    return survey, picture


def exact_pairs(survey: Survey) -> list[Pair]:
    """Find the pictures that have the same pixels."""
    rows: dict[str, list[int]] = {name: [] for name in survey.part_names}
    for row, part in enumerate(survey.parts):
        rows[survey.part_names[part]].append(row)
    digests = {name: [survey.digests[row] for row in found] for name, found in rows.items()}
    copies = exact_copies(digests)
    return [Pair(rows[copy.first_part][copy.first], rows[copy.part][copy.later], 1.0) for copy in copies]


def near_pairs(survey: Survey, exact: list[Pair], alike: float, *, quiet: bool) -> list[Pair]:
    """Search among the first of equals only: copies would bring all their pairs again."""
    copies = {pair.later for pair in exact}
    rows = np.array([row for row in range(len(survey.ids)) if row not in copies], np.int64)
    parts = np.array(survey.parts, np.int64)[rows]
    with ProgressBar(f"Comparing {len(rows):,} pictures", len(rows), quiet=quiet) as bar:
        found = near_duplicates(survey.thumbnails[rows], parts, alike=alike, advance=bar.advance)
    return [Pair(int(rows[pair.first]), int(rows[pair.later]), pair.similarity) for pair in found]
