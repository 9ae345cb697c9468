"""What is left out of pictures of one's own, so that it is told: how many, which formats, which classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction

from sightline.data.formats import count_formats, uneven_line, unread_line
from sightline.data.layout import Part, PartName

MOST_NAMED = 3


@dataclass(frozen=True)
class LeftOut:
    """Pictures that are left out.

    `unread`: how many of each format that is not read, such as `RAW (.nef)`; `loose`: how many beside the class
    folders; `shrunk`: of each class that loses some, called `train/cat` where there are several parts, how many of how
    many pictures, those that `skip_bad` skips included. `lines` say so to people.
    """

    unread: Mapping[str, int]
    loose: int
    shrunk: Mapping[str, tuple[int, int]]
    lines: tuple[str, ...]

    @classmethod
    def of(cls, parts: Mapping[PartName, Part], bad: Collection[str] = ()) -> LeftOut:
        """Count what is left out of parts; `bad` are the paths of their pictures that cannot be read."""
        unread = [name for part in parts.values() for name, _ in part.unread]
        loose = sum(part.loose for part in parts.values())
        shrunk: dict[str, tuple[int, int]] = {}
        for name, part in parts.items():
            lost = Counter(label for _, label in part.unread if label)
            total = Counter(part.class_names[picture.label] for picture in part.pictures) + lost
            lost.update(part.class_names[picture.label] for picture in part.pictures if picture.id in bad)
            shrunk |= {
                f"{name}/{label}" if len(parts) > 1 else label: (count, total[label]) for label, count in lost.items()
            }
        lines = [unread_line(unread)] if unread else []
        if loose:
            lines.append(_loose_line(loose))
        most = sorted(shrunk, key=lambda place: Fraction(*shrunk[place]), reverse=True)[:MOST_NAMED]
        lines += [f"{place}: {shrunk[place][0]:,} of its {shrunk[place][1]:,} pictures are left out" for place in most]
        lines += [line for part in parts.values() if (line := _uneven(part)) is not None]
        return cls(count_formats(unread), loose, shrunk, tuple(dict.fromkeys(lines)))


def _loose_line(count: int) -> str:
    if count == 1:
        return "1 picture is left out, because it is in no class folder"
    return f"{count:,} pictures are left out, because they are in no class folder"


def _uneven(part: Part) -> str | None:
    names: dict[str, list[str]] = {name: [] for name in part.class_names}
    for picture in part.pictures:
        names[part.class_names[picture.label]].append(picture.id)
    return uneven_line(names)
