"""Reports: made of what is there, every number traceable, whole in every window, in both languages."""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
import shutil
import string
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image, ImageFont

import sightline as sl
from sightline.cli.app import run as command
from sightline.cli.seeds import seeds_of
from sightline.comparison.folder import ComparisonFolder
from sightline.drawing import canvas
from sightline.drawing.words import ENGLISH
from sightline.evaluation.predictions import Predictions
from sightline.files import arrays, atomic
from sightline.reporting import words as words_room
from sightline.reporting.blocks import Cell, Table
from sightline.reporting.make import report
from sightline.reporting.sections.shortening import first_rows
from sightline.tuning.folder import StudyFolder

FAST: dict[str, Any] = {"threads": 1, "precision": "fp32", "batch_size": 64, "quiet": True}
VOID = {"meta", "img", "br", "hr", "link", "input"}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("made") / "runs"
    return sl.train("digits", model="cnn", epochs=2, runs=place, **FAST).run


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("made")
    sides = ["cnn:hidden=16", "cnn:hidden=64", "resnet8:epochs=1"]
    return sl.compare(sides, data="digits", epochs=1, seeds=2, comparisons=place, **FAST).folder


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("optuna", reason="Optuna is not installed")
    place = tmp_path_factory.mktemp("made")
    space = {"lr": {"low": 1e-6, "high": 0.3, "log": True}, "hidden": {"choices": [16, 128]}}
    # It begins where next to nothing is learned, so that the search finds something.
    return sl.tune("digits", epochs=1, lr=1e-6, space=space, trials=4, seeds=2, studies=place, **FAST).folder


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    kept = shutil.ignore_patterns("report*", "slides*")
    return shutil.copytree(trained, tmp_path / "digits-001", ignore=kept)


@pytest.fixture(params=["trained", "compared", "searched"])
def subject(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


# The words


def blanks(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def catalogue(language: str) -> dict[str, dict[str, str]]:
    return yaml.safe_load(Path(words_room.__file__).with_name(f"{language}.yaml").read_text("utf-8"))


@pytest.mark.parametrize("part", ["plots", "report"])
def test_both_languages_have_the_same_keys_and_blanks(part: str) -> None:
    english, chinese = catalogue("en")[part], catalogue("zh")[part]
    assert english.keys() == chinese.keys()
    differ = {key for key, text in english.items() if blanks(text) != blanks(chinese[key])}
    assert not differ


def test_the_english_plots_say_what_they_say_without_a_report() -> None:
    assert catalogue("en")["plots"] == asdict(ENGLISH)


def test_every_sentence_is_used() -> None:
    room = Path(words_room.__file__).parent
    source = "\n".join(path.read_text("utf-8") for path in [*room.rglob("*.py"), *room.glob("*.j2")])
    made_up = re.compile(r"(data|part)_(train|validation|test)|(epochs|steps)_one")
    unused = [
        key for key in catalogue("en")["report"] if not re.search(f"[\"']{key}[\"']", source) and not made_up.match(key)
    ]
    assert not unused


# The page, taken apart


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
        return text == value or text == value.lower()
    if isinstance(value, dict):
        return all(name in text for name, found in value.items() if found not in (0, 0.0, None, "none", "zero"))
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


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_number_comes_from_a_file_and_its_cell_says_which(subject: Path, lang: str) -> None:
    page, _ = page_of(subject, lang=lang)
    cells = [
        element for element in page.elements if element["tag"] in ("td", "dd", "p", "li") and "data-file" in element
    ]
    singles = [
        cell for cell in cells if "data-key" in cell and cell["tag"] in ("td", "dd") and ", " not in cell["data-key"]
    ]
    assert len(singles) > 40
    for cell in cells:
        for key in (cell.get("data-key") or "").split(", "):
            value = value_at(subject, cell["data-file"], key) if key else (subject / cell["data-file"]).is_file()
            if cell in singles:
                assert says(cell["text"], value), (cell["text"], cell["title"], value)
    nameless = [
        cell["text"]
        for cell in page.elements
        if (cell["tag"] == "dd" or (cell["tag"] == "td" and cell["place"])) and re.search(r"\d", cell["text"])
        and "data-key" not in cell and cell["text"] not in ("ResNet8",)
    ]  # fmt: skip
    # The types of a network's parts are names, which may hold a digit.
    assert not [text for text in nameless if not re.fullmatch(r"[A-Za-z]+\w*", text)]


def test_the_check_of_numbers_can_fail(trained: Path) -> None:
    assert says("97.77%", 0.9777) and not says("97.77%", 0.9779)
    assert says("95.67% to 98.87%", [0.95674, 0.98868]) and not says("95.67% to 98.87%", [0.95674, 0.9])
    assert says("1,294", 1294) and not says("1,294", 1295)
    assert says("32×4×4", [1, 32, 4, 4]) and not says("32×4×4", [1, 32, 4, 5])


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_page_is_well_formed_and_needs_nothing_else(subject: Path, lang: str) -> None:
    page, text = page_of(subject, lang=lang)
    assert not page.wrong
    assert {"en": "en", "zh": "zh-Hans"}[lang] == page.elements[0]["lang"]
    assert not {"script", "link", "iframe", "object", "embed"} & {e["tag"] for e in page.elements}
    assert all(
        element["src"].startswith("data:image/png;base64,") for element in page.elements if element["tag"] == "img"
    )
    assert all(element.get("alt") for element in page.elements if element["tag"] == "img")
    style = next(element["text"] for element in page.elements if element["tag"] == "style")
    assert "url(" not in style and "@import" not in style and "http" not in re.sub(r"data:[^\"]*", "", text)
    ids = [element["id"] for element in page.elements if "id" in element]
    links = [element["href"] for element in page.elements if element["tag"] == "a"]
    assert len(ids) == len(set(ids)) and links == [f"#{name}" for name in ids]


def test_a_run_has_every_part(trained: Path) -> None:
    page, _ = page_of(trained)
    ids = [element["id"] for element in page.elements if element["tag"] == "section"]
    assert ids == [
        "question",
        "data",
        "network",
        "training",
        "results",
        "mistakes",
        "calibration",
        "cost",
        "conclusions",
        "repeat",
    ]


@pytest.mark.draws
def test_pictures_are_drawn_into_the_page(copy: Path) -> None:
    page, _ = page_of(copy)
    images = [element["src"].split(",")[1] for element in page.elements if element["tag"] == "img"]
    sizes = [Image.open(BytesIO(base64.b64decode(image))).size for image in images]
    assert len(sizes) == 6 and min(min(size) for size in sizes) > 100


# Made of what is there


def remove(*names: str) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        for name in names:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return act


@pytest.mark.parametrize(
    ("change", "said", "sections"),
    [
        (remove("network.json"), "not described in this folder", 10),
        (remove("samples.npz"), "No training images were kept", 10),
        (remove("test/mistakes.npz"), "Their pictures are not kept", 10),
        (remove("test"), "has not been tested", 8),
        (remove("test", "weights/last.safetensors"), "training has not ended", 8),
        (remove("test", "weights", "results.csv", "checkpoints"), "No epoch has been finished", 8),
        (remove("network.json", "samples.npz", "test", "weights", "results.csv"), "training has not ended", 8),
    ],
)
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_report_is_made_of_what_is_there(
    copy: Path, change: Callable[[Path], None], said: str, sections: int, lang: str
) -> None:
    pptx = pytest.importorskip("pptx", reason="python-pptx is not installed")
    change(copy)
    page, text = page_of(copy, lang=lang, slides=True, markdown=True)
    assert sum(element["tag"] == "section" for element in page.elements) == sections
    if lang == "en":
        assert said in html.unescape(text)
    mark = "" if lang == "en" else ".zh"
    assert 8 <= len(pptx.Presentation(copy / f"slides{mark}.pptx").slides) <= 12


def test_a_test_of_an_older_version_is_told_without_what_it_lacks(copy: Path) -> None:
    path = copy / "test/metrics.json"
    metrics = json.loads(path.read_text())
    for key in ("ece", "ece_equal_mass", "mce", "brier", "reliability"):
        del metrics[key]
    path.write_text(json.dumps(metrics))
    page, _ = page_of(copy)
    assert "calibration" not in {element.get("id") for element in page.elements}


def test_half_a_row_behind_a_kill_is_no_row(copy: Path) -> None:
    whole, _ = page_of(copy)
    with (copy / "results.csv").open("a") as stream:
        stream.write("3,60,0.01,0.")
    page, _ = page_of(copy)
    seconds = [
        [e["text"] for e in p.elements if e["tag"] == "dd" and e["data-file"] == "results.csv"] for p in (whole, page)
    ]
    assert seconds[0] == seconds[1] and len(seconds[0]) == 2


DAMAGED = [
    "settings.yaml", "splits.json", "audit.json", "environment.json", "network.json", "results.csv", "samples.npz",
    "test/metrics.json", "test/predictions.npz", "test/mistakes.npz",
]  # fmt: skip


DAMAGED_TEXTS = [b"", b"{}", b"[1]", b'{"accuracy": "high", "parts": 3}', b"\xff\xfe\x00half", "cut"]


@pytest.mark.parametrize("file", DAMAGED)
@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[1]", b'{"accuracy": "high", "parts": 3}', b"\xff\xfe\x00half", "cut"]
)
def test_a_damaged_file_is_named_in_one_line(
    copy: Path, file: str, content: bytes | str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy / file
    damaged = path.read_bytes()[: path.stat().st_size // 2] if isinstance(content, str) else content
    if file == "results.csv" and isinstance(content, str):
        damaged = b"epoch,step\none,two\n"
    path.write_bytes(damaged)
    (copy / "report.html").write_text("the old one")
    code = command(["report", str(copy)])
    told = capsys.readouterr().err
    if code == 0:  # an empty table is one without rows, and so is one without a whole row
        assert file in ("results.csv", "settings.yaml", "environment.json")
        assert content in DAMAGED_TEXTS[: 5 if file == "results.csv" else 4]
        return
    assert code == 4 and told.count("\n") == 1 and told.startswith("error: ") and "internal error" not in told
    assert Path(file).name in told
    assert (copy / "report.html").read_text() == "the old one"


def test_a_comparison_that_has_not_ended_says_how_to_go_on(
    compared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(compared, tmp_path / "half")
    (folder / "results.json").unlink()
    assert command(["report", str(folder)]) == 4
    assert f"sightline compare --resume {folder}" in capsys.readouterr().err


def test_a_study_of_an_older_version_says_how_it_is_written_anew(
    searched: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(searched, tmp_path / "old")
    results = json.loads((folder / "results.json").read_text())
    del results["all_trials"]
    (folder / "results.json").write_text(json.dumps(results))
    assert command(["report", str(folder)]) == 4
    assert f"sightline tune --resume {folder} --trials 4" in capsys.readouterr().err


def test_a_search_without_a_comparison_shows_its_best_trial(searched: Path, tmp_path: Path) -> None:
    pptx = pytest.importorskip("pptx", reason="python-pptx is not installed")
    folder = shutil.copytree(searched, tmp_path / "alone")
    results = json.loads((folder / "results.json").read_text())
    (folder / "results.json").write_text(
        json.dumps({**results, "final": None, "budget": {**results["budget"], "seeds": []}})
    )
    study = StudyFolder(folder)
    study.write_plan(replace(study.plan(), seeds=()))
    page, text = page_of(folder, slides=True)
    assert "not compared" in text and {"data", "network", "training"} <= {
        element.get("id") for element in page.elements
    }
    assert 8 <= len(pptx.Presentation(folder / "slides.pptx").slides) <= 12
    # Another machine may have made that trial.
    shutil.rmtree(folder / "trials")
    page, _ = page_of(folder, slides=True)
    assert "data" not in {element.get("id") for element in page.elements}
    assert 8 <= len(pptx.Presentation(folder / "slides.pptx").slides) <= 12


# Names that were not meant well

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


@pytest.mark.draws
def test_hostile_names_are_text_and_nothing_else(copy: Path) -> None:
    pptx = pytest.importorskip("pptx", reason="python-pptx is not installed")
    with_hostile_names(copy)
    page, text = page_of(copy, slides=True, markdown=True)
    assert not page.wrong
    assert not [e for e in page.elements if e["tag"] == "script" or any(name.startswith("on") for name in e)]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    names = {element["text"] for element in page.elements if element["tag"] == "td" and not element["place"]}
    assert {"<script>alert(1)</script>", "a|b `c` [d](e) *f*", "{accuracy}", "&amp;"} <= names
    written = (copy / "report.md").read_text("utf-8")
    assert "<script>" not in written.replace("\\<script\\>", "") and "\\[d\\](e)" in written
    rows = [line for line in written.splitlines() if line.startswith("| ") and "script" in line]
    assert len(re.findall(r"(?<!\\)\|", rows[0])) == 6
    overflows(pptx.Presentation(copy / "slides.pptx"))


# Slides


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


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_slides_are_eight_to_twelve_and_nothing_overflows(subject: Path, lang: str) -> None:
    pptx = pytest.importorskip("pptx", reason="python-pptx is not installed")
    found = report(subject, slides=True, lang=lang)
    deck = pptx.Presentation(found.files[1])
    assert 8 <= len(deck.slides) <= 12
    overflows(deck)
    for slide in deck.slides:
        for shape in slide.shapes:
            if shape.shape_type == 13:
                assert shape._element._nvXxPr.cNvPr.get("descr") and slide.notes_slide.notes_text_frame.text


def test_the_check_of_slides_can_fail() -> None:
    assert lines("word " * 40, 20, 4.0) == 8 and lines("字" * 40, 20, 4.0) == 3
    assert wide("m" * 50, 12) > 5


def test_without_its_library_there_are_no_slides_and_nothing_is_written(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pptx", None)
    assert command(["report", str(copy), "--slides"]) == 2
    assert "sightline[report]" in capsys.readouterr().err and not (copy / "report.html").exists()


# Markdown


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_links_of_the_markdown_lead_to_its_pictures(subject: Path, lang: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report(subject, markdown=True, lang=lang, out=out)
    mark = "" if lang == "en" else ".zh"
    folder = out / f"report_pictures{mark}"
    stale = folder / "99-stale.png"
    stale.write_bytes(b"")
    (folder / "mine.png").write_bytes(b"")
    report(subject, markdown=True, lang=lang, out=out)
    text = (out / f"report{mark}.md").read_text("utf-8")
    links = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    assert links and {f"{folder.name}/{path.name}" for path in folder.iterdir()} - {f"{folder.name}/mine.png"} == set(
        links
    )
    assert not stale.exists()
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


# Languages and fonts


@pytest.mark.parametrize("installed", [True, False])
def test_without_a_chinese_font_the_plots_stay_english_and_it_is_said(
    copy: Path, installed: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(canvas, "draws_chinese", lambda: installed)
    assert words_room.words("zh").drawn.epoch == ("轮次" if installed else "epoch")
    assert words_room.words("zh")("question") == "问题"
    assert command(["report", str(copy), "--lang", "zh"]) == 0
    told = capsys.readouterr()
    assert (told.err.strip() == "") is installed and told.err.count("\n") <= 1
    assert told.out.split() == [str(copy / "report.zh.html")]


def test_an_unknown_language_is_refused(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["report", str(copy), "--lang", "fr"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(sl.UsageError, match="en, zh"):
        sl.report(copy, lang="fr")


# The command


def test_json_tells_what_was_written(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / "report.html").write_text("the old one")
    assert command(["report", str(copy), "--markdown", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["files"] == [str(copy / name) for name in ("report.html", "report.md", "report_pictures")]
    assert (copy / "report.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.write_text("a file")])
def test_what_is_no_run_is_refused(
    make: Callable[[Path], Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "thing")
    assert command(["report", str(tmp_path / "thing")]) == 4
    assert capsys.readouterr().err.count("\n") == 1 and not (tmp_path / "thing/report.html").exists()


def test_the_same_run_gives_the_same_page(copy: Path) -> None:
    assert page_of(copy)[1] == page_of(copy)[1]


def test_no_torch_is_needed(copy: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; import sightline as sl;"
        "from PIL import Image; from sightline.drawing import canvas;"
        "canvas.write = lambda path, draw, trim=False: Image.new('L', (1, 1)).save(path);"
        "print(*sl.report(sys.argv[1]).files)"
    )
    found = subprocess.run([sys.executable, "-c", code, str(copy)], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == str(copy / "report.html")


# Repeating


def commands(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(folder.parent.parent)
    page, _ = page_of(folder)
    return [element["text"] for element in page.elements if element["tag"] == "pre"]


def test_the_commands_of_a_run_repeat_it_to_the_bit(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test = commands(trained, monkeypatch)[0].splitlines()
    assert train == f"sightline train --recipe runs/{trained.name}/settings.yaml"
    assert command([*shlex.split(train)[1:], "--runs", str(tmp_path / "again"), "--quiet"]) == 0
    (again,) = (tmp_path / "again").iterdir()
    page, _ = page_of(again)
    digest = next(e["text"] for e in page.elements if e.get("data-key") == "sha256()")
    first, _ = page_of(trained)
    assert digest == next(e["text"] for e in first.elements if e.get("data-key") == "sha256()")
    assert command(shlex.split(test)[1:]) == 0


def test_the_commands_of_a_comparison_repeat_it(
    compared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (line,) = commands(compared, monkeypatch)
    assert command([*shlex.split(line)[1:], "--comparisons", str(tmp_path / "again"), "--quiet"]) == 0
    (again,) = (tmp_path / "again").iterdir()
    means = [
        [side["accuracies"] for side in json.loads((f / "results.json").read_text())["sides"]]
        for f in (compared, again)
    ]
    assert means[0] == means[1]


def test_the_commands_of_a_study_repeat_it(searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search, space, _ = commands(searched, monkeypatch)
    Path("space.yaml").write_text(space)
    words = shlex.split(search)[1:]
    words[words.index("--seeds") + 1] = "0"
    assert command([*words, "--studies", str(tmp_path / "again"), "--quiet"]) == 0
    (again,) = (tmp_path / "again").iterdir()
    found = [json.loads((folder / "results.json").read_text())["all_trials"] for folder in (searched, again)]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("change", "said"), [({"extended_from_step": 20}, "no single command"), ({"model": None}, "a module of its own")]
)
def test_what_no_command_repeats_is_said(copy: Path, change: dict[str, Any], said: str) -> None:
    path = copy / "settings.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **change}))
    assert said in page_of(copy)[1]


def test_a_comparison_of_runs_made_longer_says_why_no_command_repeats_it(compared: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(compared, tmp_path / "copy")
    path = next((folder / "runs").iterdir()) / "settings.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "extended_from_step": 20}))
    text = page_of(folder)[1]
    assert "made longer after their end" in text
    assert "a module of its own" not in text
    assert "<pre" not in text


def changed_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def command_of(folder: Path) -> str:
    """The command in the last section of a comparison's page, empty where none is there."""
    found = re.search(r"<pre[^>]*>(?:<code>)?(sightline compare[^<]*)", page_of(folder)[1])
    return found[1] if found else ""


def test_a_comparison_s_command_has_its_seeds_and_its_confidence(compared: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(compared, tmp_path / "copy")
    assert command_of(folder).endswith("--own-lengths --seeds 0,1")
    results = json.loads((folder / "results.json").read_text())
    alone = [{**side, "seeds": [0], "n": 1, "runs": {"0": side["runs"]["0"]}} for side in results["sides"]]
    changed_json(folder / "results.json", confidence=0.99, sides=alone)
    assert command_of(folder).endswith("--seeds 0, --confidence 0.99")
    assert seeds_of("0,") == [0]


@pytest.mark.parametrize(
    ("section", "change"), [("training", {"watch_test": True}), ("data", {"validation": 0.2, "split_seed": 3})]
)
def test_a_comparison_that_no_command_can_make_has_none(
    compared: Path, section: str, change: dict[str, Any], tmp_path: Path
) -> None:
    folder = shutil.copytree(compared, tmp_path / "copy")
    path = next((folder / "runs").iterdir()) / "settings.yaml"
    settings = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**settings, section: {**settings[section], **change}}))
    assert command_of(folder) == ""
    assert "no single command repeats it" in page_of(folder)[1]


def test_a_comparison_of_other_seeds_on_each_side_has_no_command(compared: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(compared, tmp_path / "copy")
    first, *others = json.loads((folder / "results.json").read_text())["sides"]
    changed_json(folder / "results.json", sides=[{**first, "seeds": [5, 6]}, *others])
    assert command_of(folder) == ""


def test_a_study_s_command_has_words_as_they_were_given(searched: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(searched, tmp_path / "copy")
    plan = StudyFolder(folder).plan()
    StudyFolder(folder).write_plan(replace(plan, flags={**plan.flags, "data_dir": "/Data/MNIST"}))
    assert "--data-dir /Data/MNIST" in page_of(folder)[1]


# What has not ended


def test_more_seeds_that_are_not_trained_yet_make_no_report(compared: Path, tmp_path: Path) -> None:
    folder = ComparisonFolder(shutil.copytree(compared, tmp_path / "copy"))
    folder.write_plan(replace(folder.plan(), seeds=(0, 1, 2)))
    with pytest.raises(sl.FileError, match=r"this comparison has not ended.*--resume"):
        report(folder.path)


def test_a_longer_run_that_was_stopped_is_not_told_by_its_former_test(copy: Path) -> None:
    accuracy = f"{100 * json.loads((copy / 'test' / 'metrics.json').read_text())['accuracy']:.2f}%"
    assert accuracy in page_of(copy)[1]
    path = copy / "settings.yaml"
    settings = yaml.safe_load(path.read_text())
    longer = {**settings["training"], "epochs": settings["training"]["epochs"] + 5}
    path.write_text(f"# schema 1\n{yaml.safe_dump({**settings, 'training': longer})}")
    text = page_of(copy)[1]
    assert "The training has not ended" in text and accuracy not in text


def test_a_test_of_other_weights_does_not_count(copy: Path) -> None:
    changed_json(copy / "test" / "metrics.json", step=1)
    assert "It has not been tested" in page_of(copy)[1]


# Several runs, many sides


def test_a_title_of_many_long_names_is_no_obstacle(compared: Path, tmp_path: Path) -> None:
    pptx = pytest.importorskip("pptx", reason="python-pptx is not installed")
    folder = shutil.copytree(compared, tmp_path / "copy")
    sides = json.loads((folder / "results.json").read_text())["sides"]
    named = [{**side, "name": f"{side['name']}:{'label_smoothing=0.1,' * 6}"} for side in sides]
    changed_json(folder / "results.json", sides=named)
    deck = pptx.Presentation(report(folder, slides=True).files[1])
    assert 200 < len(deck.core_properties.title) <= 255


def test_test_images_among_the_others_are_told_however_many_there_are(copy: Path) -> None:
    audit = json.loads((copy / "audit.json").read_text())
    named = [{"parts": ["train", "validation"], "images": ["a", "b"], "same_label": True}] * 20
    across = {"pairs": 150, "other_label": 0, "with_test": 50, "named": named}
    changed_json(copy / "audit.json", duplicates={**audit["duplicates"], "across": across})
    assert "How it does without the test images that are also among those" in page_of(copy)[1]
    changed_json(copy / "audit.json", duplicates={**audit["duplicates"], "across": {**across, "with_test": 0}})
    assert "How it does without the test images that are also among those" not in page_of(copy)[1]


def test_what_runs_of_a_comparison_differ_in_is_told(compared: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(compared, tmp_path / "copy")
    path = sorted((folder / "runs").iterdir())[-1] / "environment.json"
    found = json.loads(path.read_text())
    path.write_text(json.dumps({**found, "threads": found["threads"] + 1}))
    text = page_of(folder)[1]
    assert f"threads: {found['threads']}, {found['threads'] + 1}," in text
    assert re.search(r"\b1 epoch\b", text)
    assert "1 epochs" not in text


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_slides_say_what_only_the_report_has(compared: Path, lang: str, tmp_path: Path) -> None:
    pptx = pytest.importorskip("pptx", reason="python-pptx is not installed")
    folder = shutil.copytree(compared, tmp_path / "copy")
    path = folder / "results.json"
    results = json.loads(path.read_text())
    path.write_text(json.dumps({**results, "pairs": results["pairs"] * 5}))
    deck = pptx.Presentation(report(folder, slides=True, lang=lang).files[1])
    overflows(deck)
    rest = {"en": "And 11 more, in the report.", "zh": "另有 11 条，见报告。"}[lang]
    texts = [shape.text_frame.text for slide in deck.slides for shape in slide.shapes if shape.has_text_frame]
    assert sum(rest in text for text in texts) >= 2


@pytest.mark.parametrize("copies", [1, 5])
def test_the_plot_on_the_results_slide_can_be_read(compared: Path, copies: int, tmp_path: Path) -> None:
    pptx = pytest.importorskip("pptx", reason="python-pptx is not installed")
    folder = shutil.copytree(compared, tmp_path / "copy")
    path = folder / "results.json"
    results = json.loads(path.read_text())
    path.write_text(json.dumps({**results, "pairs": results["pairs"] * copies}))
    deck = pptx.Presentation(report(folder, slides=True).files[1])
    (plot,) = (
        shape
        for slide in deck.slides
        if slide.shapes[0].text_frame.text == "Results"
        for shape in slide.shapes
        if hasattr(shape, "image")
    )
    drawn_inches = plot.image.size[1] / plot.image.dpi[1]
    assert plot.height.inches / drawn_inches > 0.7
    assert ("differences" in plot._element._nvXxPr.cNvPr.get("descr")) == (copies == 1)


def test_a_table_that_is_cut_says_so() -> None:
    table = Table(["row"], [[Cell(str(place))] for place in range(12)])
    short, note = first_rows(table, 10, words_room.words("en"))
    assert [row[0].text for row in short.rows] == [str(place) for place in range(10)]
    assert note == ["10 of 12 rows; all are in the report."]
    assert first_rows(table, 12, words_room.words("en")) == (table, [])


# In a browser

MEASURE = """<script>addEventListener('load', () => {
  const width = document.documentElement.clientWidth, wide = [];
  for (const one of document.querySelectorAll('body *')) {
    const box = one.getBoundingClientRect(), style = getComputedStyle(one);
    const head = one.closest('thead');
    if (!box.width || (head && getComputedStyle(head).position === 'absolute')) continue;
    const spills = one.clientWidth > 0 && style.display !== 'inline' && one.scrollWidth > one.clientWidth + 1;
    if (box.right > width + 0.5 || box.left < -0.5 || spills)
      wide.push(one.tagName + ': ' + one.textContent.trim().slice(0, 40));
  }
  parent.postMessage({name: NAME, width, scroll: document.documentElement.scrollWidth, wide}, '*');
})</script></body>"""
COLLECT = """<!doctype html><body><pre id="found"></pre><script>const found = [];
addEventListener('message', (event) => { found.push(event.data);
  document.getElementById('found').textContent = JSON.stringify(found); })</script>"""
A4_WIDTH = 673


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_in_a_browser_and_on_paper_nothing_is_wider_than_the_page(
    trained: Path, compared: Path, searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In place of the pictures that are not drawn, one that is wider than any page.
    large = BytesIO()
    Image.new("L", (2400, 500), 200).save(large, "PNG")
    monkeypatch.setattr(canvas.write.__self__, "_pixel", large.getvalue())  # type: ignore[attr-defined]
    hostile = shutil.copytree(trained, tmp_path / "hostile")
    with_hostile_names(hostile)
    frames: list[str] = []
    for subject in (hostile, compared, searched):
        for lang in ("en", "zh"):
            _, text = page_of(subject, lang=lang, out=tmp_path / subject.name)
            on_paper = text.replace("@media screen and (max-width: 700px)", "@media not all").replace(
                "@media print", "@media all"
            )
            for shown, width in ((text, 1280), (text, 390), (on_paper, A4_WIDTH)):
                name = f"{subject.name}-{lang}-{width}"
                path = tmp_path / f"{name}.html"
                path.write_text(shown.replace("</body>", MEASURE.replace("NAME", json.dumps(name))), "utf-8")
                frames.append(f'<iframe src="{path.name}" width="{width}" height="900" style="border:0"></iframe>')
    (tmp_path / "all.html").write_text(COLLECT + "".join(frames), "utf-8")
    words = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
             "--virtual-time-budget=20000", "--dump-dom", (tmp_path / "all.html").as_uri()]  # fmt: skip
    shown = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True).stdout
    found = json.loads(html.unescape(re.findall(r'<pre id="found">(.*?)</pre>', shown, re.DOTALL)[0]))
    assert len(found) == len(frames)
    for page in found:
        assert page["scroll"] <= page["width"] and not page["wide"], page
