"""The problems that `sightline check` reports: the most serious first, each with advice."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from sightline.checking.audit import IMBALANCE_WORTH_TELLING, look_alike, same_looking
from sightline.checking.listing import WHOLE, Listing
from sightline.checking.records import Entry, Problem
from sightline.checking.survey import Pair, Survey
from sightline.data.duplicates import flat
from sightline.data.formats import count_formats
from sightline.data.layout import PLAIN_NAMES, PartName, is_utf8, part_of

FEW_PICTURES = 10
SIZE_FACTOR, LONGEST_ASPECT = 4.0, 3.0
SMALLEST_SIDE = 8
WITHOUT_PICTURES = frozenset({
    "missing_class", "empty_class", "class_names", "not_utf8", "one_class", "no_train", "no_classes", "several_val",
    "several_parts", "other_names", "same_subfolders", "untested_class",
    "unlisted", "ignored", "unread", "few", "imbalance",
})  # fmt: skip
"""The kinds whose entries name folders, or files that are no pictures."""


def find_problems(survey: Survey, exact: list[Pair], near: list[Pair]) -> tuple[Problem, ...]:
    """List what is wrong, then what is worth knowing."""
    everything = [
        *_file_problems(survey),
        *_part_problems(survey),
        *_class_problems(survey),
        *_pair_problems(survey, exact, near),
    ]
    everything += [*_picture_problems(survey), *_balance_problems(survey)]
    return tuple(sorted((problem for problem in everything if problem.entries), key=lambda problem: not problem.wrong))


def _problem(kind: str, entries: Iterable[Entry], text: str, advice: str, *, wrong: bool, more: str = "") -> Problem:
    """Make a problem. `text` has what one and what several need in brackets: `{n} file[s] [is|are] ...`."""
    entries = tuple(entries)
    return Problem(kind, _in_number(text, len(entries)) + more, advice, wrong, entries)


def _in_number(text: str, count: int) -> str:
    """`{n} file[s] [is|are]` -> `1 file is`, `2 files are`."""
    pieces = text.replace("{n}", f"{count:,}").split("[")
    words = [pieces[0]]
    for piece in pieces[1:]:
        choice, _, rest = piece.partition("]")
        one, _, several = choice.rpartition("|")
        words += [one if count == 1 else several, rest]
    return "".join(words)


def _file_problems(survey: Survey) -> Iterator[Problem]:
    repair = "repair or remove them; with skip_bad, training skips them"
    yield _problem(
        "unreadable", (Entry((name,), why) for name, why in survey.bad.items()),
        "{n} file[s] cannot be read", repair, wrong=True,
    )  # fmt: skip
    facts = list(zip(survey.ids, survey.facts, strict=False))
    yield _problem(
        "cut_short", (Entry((name,), f"{fact.format}, end missing") for name, fact in facts if fact.cut_short),
        "{n} file[s] [is|are] truncated, but [its|their] pixels could be read",
        "download or copy them again", wrong=True,
    )  # fmt: skip
    listing = survey.listing
    if listing is None:
        return
    repeated = [(first, later, first.label == later.label) for first, later in listing.twice]
    yield _problem(
        "two_labels", (Entry((later.id,), f"{first.label} in line {first.line}, {later.label} in line {later.line}")
                       for first, later, same in repeated if not same),
        "{n} row[s] [gives|give] a picture a different label than an earlier row",
        "look at the pictures, and keep one label", wrong=True,
    )  # fmt: skip
    yield _problem(
        "repeated", (Entry((later.id,), f"lines {first.line} and {later.line}")
                     for first, later, same in repeated if same),
        "{n} row[s] [repeats|repeat] an earlier one", "remove them from the label file", wrong=True,
    )  # fmt: skip
    yield _problem(
        "unlisted", (Entry((name,), why) for name, why in listing.unlisted.items()),
        "{n} folder[s] or link[s] cannot be read", "change the permissions, or remove them", wrong=True,
    )  # fmt: skip
    yield _problem(
        "loose", (Entry((name,)) for name in listing.loose),
        "{n} picture[s] [is|are] outside any class folder and will not be used",
        "move them into a class folder", wrong=True,
    )  # fmt: skip
    lies = ((name, fact) for name, fact in facts if not fact.suits(PurePosixPath(name).suffix))
    yield _problem(
        "suffix", (Entry((name,), f"is {fact.format}", format=fact.format) for name, fact in lies),
        "{n} file[s] [has|have] another format than [its|their] suffix says",
        "rename them; Sightline reads the content, but other programs may rely on the suffix", wrong=False,
    )  # fmt: skip
    yield _problem(
        "frames", (Entry((name,), f"{fact.frames} pictures", frames=fact.frames) for name, fact in facts
                   if fact.frames > 1),
        "{n} file[s] [holds|hold] several pictures, of which only the first is used",
        "save the picture that you need as a single file", wrong=False,
    )  # fmt: skip
    yield from _left_out_problems(listing)


def _left_out_problems(listing: Listing) -> Iterator[Problem]:
    formats = ", ".join(f"{count:,} {name}" for name, count in count_formats(listing.unread).items())
    yield _problem(
        "unread", (Entry((name,)) for name in listing.unread),
        "{n} picture[s] [has|have] a format that is not read", "save them as JPEG or PNG to use them", wrong=False,
        more=f" ({formats})",
    )  # fmt: skip
    kinds = Counter(PurePosixPath(name).suffix.lower() or "no suffix" for name in listing.ignored)
    most = ", ".join(f"{count:,} {suffix}" for suffix, count in kinds.most_common(3))
    yield _problem(
        "ignored", (Entry((name,)) for name in listing.ignored),
        "{n} file[s] [does|do] not have the suffix of a picture",
        "if they are pictures, save them as JPEG or PNG", wrong=False, more=f" ({most})",
    )  # fmt: skip


def _part_problems(survey: Survey) -> Iterator[Problem]:
    named: dict[PartName | None, list[str]] = defaultdict(list)
    for part in survey.classes:
        named[part_of(part)].append(part)
    if named["test"] and not named["train"]:
        found = [Entry((part,)) for part in named["test"]]
        yield _problem("no_train", found, "there is a test split but no training split", "add train/", wrong=True)
    yield _problem(
        "no_classes", (Entry((part,)) for part, classes in survey.classes.items() if not classes),
        "{n} split[s] [has|have] no class folder",
        "every split needs a folder for each class: move the pictures into such folders, or remove the split",
        wrong=True,
    )  # fmt: skip
    several = [(part, kind) for kind, parts_ in named.items() if kind and len(parts_) > 1 for part in parts_]
    yield _problem(
        "several_val", (Entry((part,)) for part, kind in several if kind == "val"),
        "there are {n} folders for validation pictures", "training uses only one: remove the others", wrong=True,
    )  # fmt: skip
    yield _problem(
        "several_parts", (Entry((part,), f"a {kind} folder") for part, kind in several if kind != "val"),
        "there are {n} folders for the same split", "training uses only one per split: remove the others", wrong=True,
    )  # fmt: skip
    guessed = [(part, kind) for kind, parts_ in named.items() if kind for part in parts_ if part not in PLAIN_NAMES]
    yield _problem(
        "other_names", (Entry((part,), f"taken as {kind}") for part, kind in guessed if survey.listing is not None),
        "{n} folder[s] [is|are] taken as [a split|splits] by [its|their] name[s]",
        "rename them to train, val and test if that is right, so that nothing is guessed", wrong=True,
    )  # fmt: skip
    subfolders = {} if survey.listing is None else survey.listing.subfolders
    yield _problem(
        "same_subfolders", (Entry((part,), ", ".join(names)) for part, names in subfolders.items()
                            if names and part_of(part) in (None, "train")),
        "every class has the same subfolders, so the subfolders may be the classes",
        "put the classes first; if they are first, pass --group parent to train", wrong=True,
    )  # fmt: skip


def _class_problems(survey: Survey) -> Iterator[Problem]:
    parts = list(survey.classes.items())
    names = list(dict.fromkeys(name for _, classes in parts for name in classes))
    used = set(zip((survey.part_names[part] for part in survey.parts), survey.labels, strict=True))
    yield _problem(
        "one_class", [Entry((names[0],))] if len(names) == 1 else [], "there is only one class",
        "add another one, for example of pictures that do not show the first", wrong=True,
    )  # fmt: skip
    needed = {name for _, name in used} | {
        name for part, classes in parts if part_of(part) not in ("val", "test") for name in classes
    }
    absent = [
        (part, name) for part, classes in parts if classes for name in names if name in needed and name not in classes
    ]
    yield _problem(
        "missing_class", (Entry((f"{part}/{name}",), f"no {name} in {part}") for part, name in absent
                          if part_of(part) == "train"),
        "{n} class[es] [is|are] missing from a split", "the training split needs every class: add pictures, or remove "
        "the class from all splits", wrong=True,
    )  # fmt: skip
    empty = [(part, name) for part, classes in parts for name in classes if (part, name) not in used]
    tested = [(part, name) for part, name in (*absent, *empty) if part_of(part) in ("val", "test")]
    yield _problem(
        "untested_class", (Entry((f"{part}/{name}",), f"no {name} in {part}") for part, name in tested),
        "{n} class[es] [has|have] no picture in a split", "add pictures; without them, the metrics of that split "
        "leave the class out", wrong=False,
    )  # fmt: skip
    empty = [place for place in empty if place not in tested]
    yield _problem(
        "empty_class", (Entry((name if part == WHOLE else f"{part}/{name}",)) for part, name in empty),
        "{n} class[es] [has|have] no readable picture", "add pictures, or remove the class", wrong=True,
    )  # fmt: skip
    yield _problem(
        "not_utf8", (Entry((name,)) for name in names if not is_utf8(name)),
        "{n} class[es] [has|have] a name that is not UTF-8, which a model file cannot store", "rename the folder",
        wrong=True,
    )  # fmt: skip
    alike: dict[str, list[str]] = defaultdict(list)
    for name in names:
        alike[_plain(name)].append(name)
    twins = [group for group in alike.values() if len(group) > 1]
    yield _problem(
        "class_names", (Entry(tuple(group), _spelled(group)) for group in twins),
        "{n} class[es] [has|have] several names that differ only in case, spaces, hyphens or how accents are stored",
        "use one name per class", wrong=True,
    )  # fmt: skip


def _spelled(group: list[str]) -> str:
    return look_alike(group) if same_looking(group) else " and ".join(f"'{name}'" for name in group)


def _plain(name: str) -> str:
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(character for character in folded if not character.isspace() and character not in "-_")


def _pair_problems(survey: Survey, exact: list[Pair], near: list[Pair]) -> Iterator[Problem]:
    for word, pairs in (("exact", exact), ("near", near)):
        sorts: dict[str, list[Entry]] = {"other_label": [], "across": [], "inside": []}
        for pair in pairs:
            sorts[_sort(survey, pair)].append(_pair_entry(survey, pair, word))
        yield _problem(
            f"{word}_other_label", sorts["other_label"],
            f"{{n}} pair[s] of {word} duplicates [has|have] different labels",
            "look at them: one label of each pair is wrong, or the classes overlap", wrong=True,
        )  # fmt: skip
        yield _problem(
            f"{word}_across", sorts["across"],
            f"{{n}} pair[s] of {word} duplicates [is|are] in different splits",
            "remove them from the training split: otherwise the test result is too optimistic", wrong=True,
        )  # fmt: skip
        # What is held out of the whole, by chance, would part the pairs.
        whole = survey.part_names == [WHOLE]
        yield _problem(
            f"{word}_inside", sorts["inside"],
            f"{{n}} pair[s] of {word} duplicates [is|are] in one split",
            "keep one of each: images held out of this split may be copies of training images",
            wrong=whole,
        )  # fmt: skip


def _sort(survey: Survey, pair: Pair) -> str:
    if survey.labels[pair.first] != survey.labels[pair.later]:
        return "other_label"
    return "inside" if survey.parts[pair.first] == survey.parts[pair.later] else "across"


def _pair_entry(survey: Survey, pair: Pair, word: str) -> Entry:
    first, later = pair.first, pair.later
    labels = survey.labels[first], survey.labels[later]
    note = "equal" if word == "exact" else f"{100 * pair.similarity:.1f}% similar"
    if labels[0] != labels[1]:
        note += f", {labels[0]} and {labels[1]}"
    return Entry(
        (survey.ids[first], survey.ids[later]),
        note,
        parts=(survey.part_names[survey.parts[first]], survey.part_names[survey.parts[later]]),
        labels=labels,
        similarity=round(pair.similarity, 4),
    )


def _picture_problems(survey: Survey) -> Iterator[Problem]:
    shade = flat(survey.thumbnails)
    yield _problem(
        "flat", (Entry((survey.ids[row],), "one color") for row in np.flatnonzero(shade)),
        "{n} picture[s] [shows|show] a single color", "check whether they are blank by mistake", wrong=False,
    )  # fmt: skip
    if not survey.facts:
        return
    sides = np.array([(fact.width, fact.height) for fact in survey.facts], np.float64)
    areas = np.sqrt(sides.prod(axis=1))
    usual, aspects = np.median(areas), sides.max(axis=1) / sides.min(axis=1)
    tiny = (sides.min(axis=1) < SMALLEST_SIDE) & (usual >= SMALLEST_SIDE)
    odd = (areas > SIZE_FACTOR * usual) | (areas < usual / SIZE_FACTOR) | tiny
    width, height = np.median(sides, axis=0)
    yield _problem(
        "size", _sized(survey, odd),
        f"the size of {{n}} picture[s] differs strongly from the median, {width:.0f} x {height:.0f}",
        "check whether they belong here; an enlarged small picture shows few details", wrong=False,
    )  # fmt: skip
    long = (aspects > LONGEST_ASPECT) & (np.median(aspects) <= LONGEST_ASPECT)
    yield _problem(
        "aspect", _sized(survey, long), f"{{n}} picture[s] [is|are] more than {LONGEST_ASPECT:g} times as long as wide",
        "crop them, or set fit to crop or pad", wrong=False,
    )  # fmt: skip
    counts = Counter(kind for fact in survey.facts for kind in fact.kinds)
    for kind, count in counts.items():
        # What most of them are is how the dataset is.
        if 2 * count <= len(survey.facts):
            rows = (name for name, fact in zip(survey.ids, survey.facts, strict=True) if kind in fact.kinds)
            yield _problem(
                "kind", (Entry((name,), kind, picture_kind=kind) for name in rows),
                f"{{n}} picture[s] [is|are] {KIND_WORDS[kind]}, the others are not",
                "if one class has more of them, the network may recognize it by that alone", wrong=False,
            )  # fmt: skip


KIND_WORDS = {
    "gray": "gray",
    "alpha": "partly transparent",
    "CMYK": "in CMYK colors",
    "16-bit": "deeper than 8 bits",
    "palette": "in palette colors",
    "1-bit": "black and white only",
}


def _sized(survey: Survey, chosen: NDArray[np.bool_]) -> Iterator[Entry]:
    for row in np.flatnonzero(chosen):
        fact = survey.facts[row]
        yield Entry((survey.ids[row],), f"{fact.width} x {fact.height}", size=(fact.width, fact.height))


def _balance_problems(survey: Survey) -> Iterator[Problem]:
    counts = Counter(zip(survey.parts, survey.labels, strict=True))
    first = 0
    few = [(label, count) for (part, label), count in sorted(counts.items()) if part == first and count < FEW_PICTURES]
    part = survey.part_names[first]
    yield _problem(
        "few", (Entry((label if part == WHOLE else f"{part}/{label}",), f"{count}") for label, count in few),
        f"{{n}} class[es] [has|have] fewer than {FEW_PICTURES} pictures; validation may get none of them",
        "add pictures, or provide your own val/", wrong=False,
    )  # fmt: skip
    uneven: list[Entry] = []
    for number, group in groupby(sorted(counts.items()), key=lambda item: item[0][0]):
        sizes = sorted(((count, label) for (_, label), count in group), key=lambda pair: pair[0])
        (least, smallest), (most, largest) = sizes[0], sizes[-1]
        if most >= IMBALANCE_WORTH_TELLING * least:
            note = f"{largest} {most:,}, {smallest} {least:,}: {most / least:.1f} times as many"
            uneven.append(Entry((survey.part_names[number],), note, imbalance=round(most / least, 3)))
    yield _problem(
        "imbalance", uneven, "{n} split[s] [has|have] classes of very different sizes",
        "look at balanced accuracy and macro F1, not only at accuracy", wrong=False,
    )  # fmt: skip
