"""Make a report of a folder: HTML always, slides and Markdown when asked for."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightline.drawing import canvas
from sightline.errors import FileError
from sightline.files import atomic, sums
from sightline.printable import columns
from sightline.reporting.facts import Run
from sightline.reporting.html import page
from sightline.reporting.markdown import markdown as set_markdown
from sightline.reporting.pictures import Drawn
from sightline.reporting.sections.reports import report_of
from sightline.reporting.slides import slides as set_slides
from sightline.reporting.subjects import Comparison, Folds, Subject, read
from sightline.reporting.words import Words, words

HTML, SLIDES, MARKDOWN, PICTURES = "report.html", "slides.pptx", "report.md", "report_pictures"


@dataclass(frozen=True)
class ReportResult:
    """The written files, the HTML file first, and notes on requests that could not be met."""

    files: tuple[Path, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The result for JSON."""
        return {"files": [str(path) for path in self.files], "notes": list(self.notes)}


def report(
    folder: str | Path,
    *,
    slides: bool = False,
    markdown: bool = False,
    lang: str = "en",
    out: str | Path | None = None,
) -> ReportResult:
    """Write report.html for a run, a comparison, a cross-validation or a study, into its folder or into `out`.

    `slides` also writes slides.pptx (8 to 12 slides); `markdown` also writes report.md and a folder with its pictures.
    `lang`: "en" or "zh"; the file names of other languages than English contain the language (report.zh.html). An
    earlier report is replaced. Raises FileError for another folder, for damaged files, and for something that has not
    ended; UsageError for another language and without python-pptx.
    """
    said = words(lang)
    found = read(Path(folder))
    place = Path(folder) if out is None else Path(out)
    mark = "" if lang == "en" else f".{lang}"

    def named(name: str) -> Path:
        stem, dot, suffix = name.partition(".")
        return place / f"{stem}{mark}{dot}{suffix}"

    files = (*(named(name).name for name in (HTML, SLIDES, MARKDOWN)), f"{named(PICTURES).name}/*.png")
    with tempfile.TemporaryDirectory() as drawn_in, sums.rewriting(place, *files):
        made = report_of(found, Drawn(Path(drawn_in), said), said)
        # Slides first: without their library nothing is written.
        deck = set_slides(made) if slides else None
        written = [named(HTML)]
        atomic.write_text(named(HTML), page(made, said))
        if deck is not None:
            atomic.write_bytes(named(SLIDES), deck)
            written.append(named(SLIDES))
        if markdown:
            pictures = named(PICTURES)
            _move(Path(drawn_in), pictures)
            atomic.write_text(named(MARKDOWN), set_markdown(made, said, pictures.name))
            written += [named(MARKDOWN), *([pictures] if pictures.is_dir() else [])]
    return ReportResult(tuple(written), tuple(_notes(found, lang, said)))


def _move(drawn: Path, pictures: Path) -> None:
    """Put the pictures into their folder, and take away those of an earlier report."""
    names = {path.name for path in drawn.iterdir()}
    for name in sorted(names):
        atomic.write_bytes(pictures / name, (drawn / name).read_bytes())
    for path in pictures.glob("*.png"):
        if path.name not in names and re.fullmatch(r"\d\d-[a-z]+\.png", path.name):
            path.unlink()


def _notes(found: Subject, lang: str, said: Words) -> list[str]:
    if canvas.draws_chinese():
        return []
    if lang == "zh":
        return [said("note_plots")]
    try:
        match found:
            case Run():
                first = found
            case Comparison():
                first = found.named[0][1]
            case Folds():
                first = found.first
            case _:
                first = found.best
    except FileError:
        return []
    wide = first is not None and any(columns(name) > len(name) for name in first.classes)
    return [said("note_class_names")] if wide else []
