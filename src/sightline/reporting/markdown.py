"""A report as Markdown, its pictures in a folder beside it."""

from __future__ import annotations

import re
from urllib.parse import quote

from sightline.printable import printable
from sightline.reporting.blocks import Block, Code, Figures, Paragraph, Picture, Pictures, Points, Report, Table
from sightline.reporting.words import Words


def markdown(report: Report, words: Words, folder: str | None) -> str:
    """Set the report as Markdown (CommonMark with tables).

    Pictures are found in `folder`, relative to it, or at their own paths where there is none.
    """
    parts = [f"# {_plain(report.title)}", _plain(report.subtitle)]
    for section in report.sections:
        parts.append(f"## {_plain(section.title)}")
        parts += [_block(block, words, folder) for block in section.blocks]
    parts += ["---", _plain(report.made_by)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _block(block: Block, words: Words, folder: str | None) -> str:  # noqa: PLR0911
    match block:
        case Paragraph(said):
            return _plain(said.text)
        case Points(items):
            return "\n".join(f"- {_plain(item.text)}" for item in items)
        case Code(text, language):
            return f"```{language}\n{text}\n```"
        case Figures(items):
            lines = ["- " + words.labelled(_plain(name), f"**{_plain(cell.text)}**") for name, cell in items]
            return "\n".join(lines) + _sources(block.files(), words)
        case Picture():
            return _picture(block, words, folder)
        case Pictures(items):
            return "\n\n".join(_picture(picture, words, folder) for picture in items)
        case Table(head, rows):
            lines = [f"| {' | '.join(map(_cell, head))} |"]
            lines.append(f"|{'|'.join('---:' if block.is_number(place) else '---' for place in range(len(head)))}|")
            lines += [f"| {' | '.join(_cell(cell.text) for cell in row)} |" for row in rows]
            return "\n".join(lines) + _sources(block.files(), words)


def _picture(picture: Picture, words: Words, folder: str | None) -> str:
    place = picture.path.as_posix() if folder is None else f"{folder}/{picture.path.name}"
    source = [words("source", files=picture.file)] if picture.file else []
    told = words("gap").join([picture.caption, *source])
    return f"![{_plain(picture.caption)}]({quote(place)})\n\n{_plain(told)}"


def _sources(files: list[str], words: Words) -> str:
    return f"\n\n{_plain(words('source', files=words('comma').join(files)))}" if files else ""


def _plain(text: str) -> str:
    """Let no character of a name be taken for markup."""
    return re.sub(r"([\\`*_\[\]<>#|~$&])", r"\\\1", printable(" ".join(text.split())))


def _cell(text: str) -> str:
    return _plain(text) or " "
