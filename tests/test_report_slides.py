"""Slides, Markdown, languages, and pages in a browser and on paper."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

import sightline as sl
from helpers.reports import lines, overflows, page_of, wide, with_hostile_names
from helpers.sums import unlisted
from sightline.cli.app import run as command
from sightline.drawing import canvas
from sightline.installation import install_command
from sightline.reporting import words as words_room
from sightline.reporting.blocks import Cell, Table
from sightline.reporting.make import report
from sightline.reporting.sections.shortening import first_rows

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


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
    assert install_command("report") in capsys.readouterr().err and not (copy / "report.html").exists()


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


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_slides_say_what_only_the_report_has(compared: Path, lang: str, tmp_path: Path) -> None:
    pptx = pytest.importorskip("pptx", reason="python-pptx is not installed")
    folder = unlisted(shutil.copytree(compared, tmp_path / "copy"))
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
    folder = unlisted(shutil.copytree(compared, tmp_path / "copy"))
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
    assert note == ["10 of 12 rows; the report has more."]
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
    hostile = unlisted(shutil.copytree(trained, tmp_path / "hostile"))
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
