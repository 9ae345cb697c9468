"""The catalogue: English texts, as the source has them, with their translations.

An English text may have blanks, `{}`, where the source fills something in. Its translation numbers them, since it may
need them in another order: `{0}` gives a blank as it is, which is right for names, paths and numbers; `{0:text}`
translates it in turn, `{0:found}` by another section of the catalogue; `{0:list}` writes `a, b or c` as `a、b 或 c`;
`{0:texts}` and `{0:clauses}` translate each part between commas, or semicolons; `{0:pictures}` is for a list of
`errors.with_reasons`.

A text is looked up as it is, then against the texts with blanks, those with the most words of their own first. A blank
holds one character or more, and each ends at the first place where the text can go on, so that a long file name costs
no time. What is not found stays English.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import yaml

BLANK = "{}"
SAFE_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
WIDE = r"[\u3400-\u9fff]"
NARROW = r"[!-~]"
MARKS = {" or ": "或", " and ": "和"}
DEEPEST = 4
MORE = r"(?s)(.*) and (\d+) more \(([^()]*)\)"
"""How `errors.with_reasons` ends where there are many pictures."""


@dataclass(frozen=True)
class Pattern:
    """An English text with blanks, as what stands between them."""

    pieces: tuple[str, ...]

    @property
    def length(self) -> int:
        """How many characters are its own."""
        return sum(map(len, self.pieces))

    def blanks(self, text: str) -> list[str] | None:
        """What `text` has in the blanks, None where it is another text. Takes time in proportion to its length."""
        first, *middle, last = self.pieces
        if not text.startswith(first) or not text.endswith(last):
            return None
        place, end, found = len(first), len(text) - len(last), list[str]()
        for piece in middle:
            at = text.find(piece, place + 1, end)
            if at < 0:
                return None
            found.append(text[place:at])
            place = at + len(piece)
        if place >= end:
            return None
        found.append(text[place:end])
        # What stands before the text's own words is a name or a number, and no beginning of another text.
        return None if not first and re.search("[:;] ", found[0]) else found


class Section:
    """One part of the catalogue, such as what errors advise; `catalogue` has all parts by name."""

    def __init__(self, texts: Mapping[str, str], catalogue: Mapping[str, Section]) -> None:
        self.catalogue = catalogue
        self.texts = texts
        patterns = [Pattern(tuple(english.split(BLANK))) for english in texts if BLANK in english]
        self._patterns = sorted(patterns, key=lambda pattern: -pattern.length)

    def text(self, english: str, depth: int = 0) -> str:
        """Translate, or give the English where it is not known."""
        found = self.find(english, depth)
        return english if found is None else found

    def find(self, english: str, depth: int = 0) -> str | None:
        """Translate; None for what is not known."""
        match = self.match(english) if depth < DEEPEST else None
        if match is None:
            return self._joined(english, depth) if depth < DEEPEST else None
        known, blanks = match
        text = self.texts[known]
        return text.format(*(_Blank(blank, self, depth + 1) for blank in blanks)) if blanks else text

    def _joined(self, english: str, depth: int) -> str | None:
        """Translate what semicolons or commas join, each part by itself; None unless all are known.

        It may be a line of several: indented, or with a comma at its end.
        """
        core = english.strip(" ").removesuffix(",")
        before = " " * (len(english) - len(english.lstrip(" ")))
        after = "，" if english.endswith(",") else ""
        for mark, chinese in (("; ", "；"), (", ", "、")):
            found = self._each([part for part in core.split(mark) if part != english], depth + 1)
            if found:
                return f"{before}{chinese.join(found)}{after}"
        return None

    def _each(self, parts: Sequence[str], depth: int) -> list[str]:
        """Translate each of `parts`; nothing where one is not known."""
        found: list[str] = []
        for part in parts:
            text = self.find(part, depth)
            if text is None:
                return []
            found.append(text)
        return found

    def match(self, english: str) -> tuple[str, list[str]] | None:
        """Find the catalogue's English text that this one is, and what stands in its blanks."""
        if english in self.texts:
            return english, []
        for pattern in self._patterns:
            if (blanks := pattern.blanks(english)) is not None:
                return BLANK.join(pattern.pieces), blanks
        return None


class _Blank:
    """What stands in a blank; the translation says how it is written: as it is, translated, or as a list."""

    def __init__(self, text: str, section: Section, depth: int) -> None:
        self._text, self._section, self._depth = text, section, depth

    def __format__(self, how: str) -> str:
        match how:
            case "":
                return self._text
            case "list":
                return self._list()
            case "texts":
                return "、".join(map(self._known, self._text.split(", ")))
            case "clauses":
                return "；".join(map(self._known, self._text.split("; ")))
            case "pictures":
                return self._pictures()
            case _:
                section = self._section if how == "text" else self._section.catalogue[how]
                return section.text(self._text, self._depth)

    def _pictures(self) -> str:
        """Translate the reasons in `a.png (it is empty), b.png (it is not a file) and 3 more (3 .jpg)`."""
        known, more = self._section.catalogue["pictures"], re.fullmatch(MORE, self._text)
        *first, last = (self._text if more is None else more[1]).split("), ")
        told = "、".join(map(self._picture, (*(f"{picture})" for picture in first), last)))
        if more is None:
            return told
        endings = "、".join(map(known.text, more[3].split(", ")))
        return known.texts["{} and {} more ({})"].format(told, more[2], endings)

    def _picture(self, picture: str) -> str:
        """Translate `NAME (REASON)`, where both may contain brackets."""
        for bracket in re.finditer(r" \(", picture.removesuffix(")")):
            reason = self._section.catalogue["found"].find(picture[bracket.end() : -1])
            if reason is not None:
                return self._section.catalogue["pictures"].texts["{} ({})"].format(picture[: bracket.start()], reason)
        return picture

    def _known(self, text: str) -> str:
        return self._section.text(text, self._depth)

    def _list(self) -> str:
        joined, *parts = re.split(r"(, | or | and )", self._text)
        for place, mark in enumerate(parts[::2]):
            name, again = parts[2 * place + 1], mark in parts[2 * place + 2 :: 2]
            joined = f"{joined}、{name}" if mark == ", " or again else closed_up(closed_up(joined, MARKS[mark]), name)
        return joined


def closed_up(before: str, after: str) -> str:
    """Join two texts, with a space where Chinese meets a Latin letter or a number."""
    gap = " " if re.fullmatch(f"{WIDE}{NARROW}|{NARROW}{WIDE}", before[-1:] + after[:1]) else ""
    return f"{before}{gap}{after}"


@cache
def sections(language: str) -> Mapping[str, Section]:
    """The sections of a language's catalogue, from all files in its folder."""
    folder = resources.files("sightline.language") / language
    texts: dict[str, Mapping[str, str]] = {}
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        texts |= yaml.load(file.read_text("utf-8"), SAFE_LOADER)
    catalogue: dict[str, Section] = {}
    for name, entries in texts.items():
        catalogue[name] = Section(entries, catalogue)
    return catalogue
