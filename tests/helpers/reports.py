"""Small runs, comparisons and studies that are reported, and what a report says of them."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import ImageFont

from sightline.drawing import canvas
from sightline.evaluation.predictions import Predictions
from sightline.files import arrays, atomic
from sightline.reporting.make import report
from sightline.settings import AugmentSettings

FAST: dict[str, Any] = {"threads": 1, "precision": "fp32", "batch_size": 64, "quiet": True}
VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Elements with their attributes and text, and whether every tag is closed in its order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[dict[str, Any]] = []
        self.open: list[dict[str, Any]] = []
        self.wrong: list[str] = []
        self.feed(text)
        self.close()
        self.wrong += [element["tag"] for element in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = {"tag": tag, "text": "", "parents": [parent["tag"] for parent in self.open], **dict(attrs)}
        if tag == "tr":
            self.cells = 0
        if tag == "td":
            element["place"], self.cells = self.cells, self.cells + 1
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop()["tag"] != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element["text"] += data


def page_of(folder: Path, **options: Any) -> tuple[Page, str]:
    found = report(folder, **options)
    text = found.files[0].read_text("utf-8")
    return Page(text), text


def value_at(folder: Path, file: str, key: str) -> Any:
    """Look a key up, without any of the report's own code; in several files, every value once."""
    if "*" in file:
        every = [value_at(folder, path.relative_to(folder).as_posix(), key) for path in folder.glob(file)]
        assert every
        return ", ".join(sorted(set(map(str, every))))
    path = folder / file
    function, _, inner = key.rstrip(")").rpartition("(")
    if function in ("size", "sha256"):
        return path.stat().st_size if function == "size" else atomic.sha256_of(path)
    if path.suffix == ".csv":
        lines = [line.split(",") for line in path.read_text().splitlines()]
        column = [line[lines[0].index(inner)] for line in lines[1:]]
        return {"median": np.median, "sum": sum, "": list}[function]([float(value) for value in column])
    value = json.loads(path.read_text()) if path.suffix == ".json" else yaml.safe_load(path.read_text())
    for part in inner.split(".") if inner else []:
        value = value[int(part)] if isinstance(value, list) else value[part]
    return {"len": len, "min": min, "max": max, "": lambda found: found}[function](value)


def numbers(text: str) -> list[tuple[float, float, bool]]:
    """Each number in a text, half of its last digit, and whether per cent."""
    found = re.findall(r"([+\-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)(%?)", text)
    made: list[tuple[float, float, bool]] = []
    for digits, percent in found:
        value = float(digits.replace(",", ""))
        mantissa, _, exponent = digits.partition("e")
        decimals = len(mantissa.partition(".")[2]) - int(exponent or 0)
        made.append((value, 0.5001 * 10**-decimals, percent == "%"))
    return made


def says(text: str, value: Any) -> bool:
    """Whether a cell's text is this value, rounded."""
    if text == "":
        return value is None
    if isinstance(value, str):
        return text.lower() == value.lower() or text.endswith(f"（{value}）")
    if isinstance(value, dict):
        usual = {**AugmentSettings().model_dump(mode="json"), "fill": value.get("fill")}
        return all(name in text for name, found in value.items() if found != usual.get(name))
    if isinstance(value, bool) or value is None:
        return text.lower() in (str(value).lower(), "none", "无")
    values = value if isinstance(value, list) else [value]
    shown = numbers(text)
    if re.fullmatch(r"[\d×]+", text) and isinstance(value, list):
        return [int(part) for part in text.split("×")] == value[1:]
    if text.startswith("<"):
        return values[0] < float(text[1:])
    if len(shown) != len(values):
        return False
    unit = 1e6 if text.endswith("MB") else 1e3 if text.endswith("kB") else 1
    near = [
        any(abs(number - truth * scale / unit) <= half for scale in ((100,) if percent else (1, 100)))
        for (number, half, percent), truth in zip(shown, values, strict=True)
    ]
    return all(near)


HOSTILE = ["<script>alert(1)</script>", "x" * 500, "数字零" * 30, "a|b `c` [d](e) *f*", '"><img src=x onerror=a()>',
           "two\nlines", "{accuracy}", "&amp;", "${}", "Ω" * 40]  # fmt: skip


def with_hostile_names(folder: Path) -> None:
    splits = json.loads((folder / "splits.json").read_text())
    (folder / "splits.json").write_text(json.dumps({**splits, "classes": HOSTILE}))
    metrics = json.loads((folder / "test/metrics.json").read_text())
    for found, name in zip(metrics["per_class"], HOSTILE, strict=True):
        found["name"] = name
    (folder / "test/metrics.json").write_text(json.dumps(metrics))
    stored = Predictions.load(folder / "test/predictions.npz")
    named = np.array(HOSTILE)
    arrays.save(folder / "test/predictions.npz", ids=np.array(stored.ids), labels=stored.labels,
                probabilities=stored.probabilities, class_names=named)  # fmt: skip


def wide(text: str, size: float) -> float:
    """Width in inches: a font wider than those that slides are set in, Chinese as wide as high."""
    font = ImageFont.truetype(str(Path(canvas.matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), 100)
    chinese = sum(ord(character) > 0x2E7F for character in text)
    latin = "".join(character for character in text if ord(character) <= 0x2E7F)
    return (font.getlength(latin) / 100 + chinese) * size / 72


def lines(text: str, size: float, room: float) -> int:
    count, used = 1, 0.0
    for word in re.findall(r"[⺀-鿿＀-￯、。]|[^\s⺀-鿿＀-￯、。]+|\s+", text):
        width = wide(word, size)
        if used and used + width > room and not word.isspace():
            count, used = count + 1, 0.0
        while width > room:
            count, width = count + 1, width - room
        used += width
    return count


def overflows(deck: Any) -> None:
    """Fail where a text does not fit into its frame or cell, or a shape does not lie on the slide."""
    inch = 914400
    for number, slide in enumerate(deck.slides, start=1):
        for shape in slide.shapes:
            assert min(shape.left, shape.top) >= 0, number
            assert shape.left + shape.width <= deck.slide_width and shape.top + shape.height <= deck.slide_height, (
                number
            )
            if shape.has_text_frame and shape.text_frame.text:
                height = 0.0
                for place, paragraph in enumerate(shape.text_frame.paragraphs):
                    (one,) = paragraph.runs
                    height += lines(one.text, one.font.size.pt, shape.width / inch) * 1.2 * one.font.size.pt / 72
                    height += (paragraph.space_after.pt / 72) if place + 1 < len(shape.text_frame.paragraphs) else 0
                assert height <= shape.height / inch, (number, shape.text_frame.text)
            if shape.has_table:
                for row in shape.table.rows:
                    for column, cell in zip(shape.table.columns, row.cells, strict=True):
                        (one,) = cell.text_frame.paragraphs[0].runs
                        room = (column.width - cell.margin_left - cell.margin_right) / inch
                        assert wide(one.text, one.font.size.pt) <= room, (number, one.text)


def changed_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
