"""A report as one HTML file: pictures within, no script, light and dark, for wide and narrow windows and for paper."""

from __future__ import annotations

import base64
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from PIL import Image

from sightline.drawing.canvas import DPI
from sightline.printable import printable
from sightline.reporting.blocks import Block, Report
from sightline.reporting.words import Words

# Pictures are drawn with more dots than a screen's 96 an inch, and shown a little larger than on paper.
SHOWN_DPI = 120
LONG_CELL = 28


def page(report: Report, words: Words) -> str:
    """Set the report as HTML."""
    return _template().render(
        report=report, words=words, kind_of=_kind, data_of=_data, width_of=_width, long_cell=LONG_CELL
    )


@cache
def _template() -> Template:
    source = (resources.files("sightline.reporting") / "page.html.j2").read_text("utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True, finalize=_shown)
    return environment.from_string(source)


def _shown(value: Any) -> Any:
    """Make what a name may hold printable; lines of code stay lines."""
    return "\n".join(map(printable, value.split("\n"))) if type(value) is str else value


def _kind(block: Block) -> str:
    return type(block).__name__


def _data(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def _width(path: Path) -> int:
    with Image.open(path) as opened:
        return max(1, round(opened.width * SHOWN_DPI / DPI))
