"""The rest of the page, in a browser: choosing, pasting, what goes wrong, languages, small screens, and contrast."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from helpers.browser import TEN, Left, chromium, visits
from helpers.serving import SLOW, classifier, picture, running
from helpers.strokes import DIGITS, draw, settled
from sightline.serving import Limits


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def digits():
    with running(classifier(Left(seconds=SLOW), (28, 28, 1), TEN), Limits(max_batch=8)) as server:
        yield server


@pytest.fixture(scope="module")
def pictures():
    with running(classifier(), Limits(max_batch=8, max_images=3, max_body_mib=0.1)) as server:
        yield server


@pytest.fixture
def visit(browser):
    with visits(browser) as opened:
        yield opened


def test_pictures_are_chosen_and_answered_one_below_the_other(visit, pictures, tmp_path):
    for name, level in (("white", 255), ("black", 0)):
        (tmp_path / f"{name}.png").write_bytes(picture(level))
    (tmp_path / "broken.png").write_bytes(b"nothing")
    page = visit(pictures.url)
    assert page.locator("#draw").is_hidden()
    page.set_input_files("#files", [tmp_path / f"{name}.png" for name in ("white", "broken", "black")])
    page.wait_for_selector(".card")
    assert page.locator(".card h3").all_inner_texts() == ["white.png", "broken.png", "black.png"]
    assert [text.split()[0] for text in page.locator(".best").all_inner_texts()] == ["light", "dark"]
    assert "not a readable picture" in page.locator(".card").nth(1).inner_text()
    assert page.locator(".card").nth(0).locator(".bars .name").first.inner_text() == "light"


def transfer(page, content: bytes, kind="image/png"):
    """Make a DataTransfer with a file, as a paste or a drop has it."""
    return page.evaluate_handle(
        """([base64, kind]) => {
            const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], "pasted.png", { type: kind }));
            return transfer;
        }""",
        [base64.b64encode(content).decode(), kind],
    )


def test_a_picture_is_pasted_and_dropped(visit, pictures):
    page = visit(pictures.url)
    page.evaluate(
        "data => document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true }))",
        transfer(page, picture(255)),
    )
    settled(page)
    assert page.locator(".best").first.inner_text().startswith("light")
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer(page, picture(0))})
    settled(page)
    assert page.locator(".best").first.inner_text().startswith("dark")
    page.evaluate(
        "document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: new DataTransfer(), bubbles: true }))"
    )
    page.wait_for_selector("#message:not([hidden])")
    assert "not a picture" in page.locator("#message").inner_text()


def test_what_goes_wrong_is_said_and_taken_back(visit, pictures, tmp_path):
    page = visit(pictures.url, expected=("Failed to load resource",))
    files = {"huge": os.urandom(200_000), "no": b"nothing", "white": picture(255)}
    for name, content in files.items():
        (tmp_path / f"{name}.png").write_bytes(content)

    def choose(*names):
        page.set_input_files("#files", [tmp_path / f"{name}.png" for name in names])

    choose("huge")
    page.wait_for_selector("#message:not([hidden])")
    assert "Too large" in page.locator("#message").inner_text()
    choose("no")
    page.wait_for_function("() => document.getElementById('message').textContent.includes('not a readable picture')")
    choose("white")
    settled(page)
    assert page.locator(".best").first.inner_text().startswith("light")
    assert page.locator("#message").is_hidden()
    choose("white", "white", "white", "no")
    page.wait_for_selector("#message:not([hidden])")
    assert page.locator("#message").inner_text() == "At most 3 pictures at once; only the first 3 are used."
    page.context.set_offline(True)
    choose("white")
    page.wait_for_function("() => document.getElementById('message').textContent.includes('does not respond')")


def test_names_of_files_are_text_and_nothing_else(visit, pictures):
    page = visit(pictures.url)
    name = "<img src=x onerror=alert(1)>.png"
    page.set_input_files("#files", [{"name": name, "mimeType": "image/png", "buffer": picture(0)}])
    page.wait_for_selector(".card")
    assert page.locator(".card h3").inner_text() == name
    assert page.locator(".card h3 img").count() == 0


def test_both_languages(visit, digits):
    page = visit(digits.url, language="zh-CN")
    assert page.locator("#draw-title").inner_text() == "写一个数字"
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    page.click("#language")
    assert page.locator("#draw-title").inner_text() == "Draw a digit"
    page.reload()
    page.wait_for_selector("#draw:not([hidden])")
    assert page.locator("#draw-title").inner_text() == "Draw a digit"  # the choice is kept


def test_every_word_is_there_in_both_languages():
    text = (Path(__file__).parent.parent / "src/sightline/serving/page_files/words.js").read_text("utf-8")
    english, chinese = text.split("  zh: {")
    keys = [
        {line.split(":")[0].strip() for line in part.splitlines() if line.startswith("    ") and ":" in line}
        for part in (english, chinese.split("\n};")[0])
    ]
    assert keys[0] == keys[1]
    assert len(keys[0]) > 20


@pytest.mark.parametrize("width", [320, 390])
def test_nothing_is_wider_than_the_screen(visit, pictures, digits, width, tmp_path):
    page = visit(digits.url, width=width)
    draw(page, DIGITS[3])
    settled(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    (tmp_path / f"{'long' * 30}.png").write_bytes(picture(9))
    page = visit(pictures.url, width=width, language="zh-CN")
    page.set_input_files("#files", [tmp_path / f"{'long' * 30}.png"])
    settled(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


CONTRAST = """() => {
  const luminance = (colour) => {
    const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if (!/, 0\\)|transparent/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const poor = [];
  for (const element of document.querySelectorAll("h1, h2, p, button:enabled, label, a, li span, figcaption")) {
    if (!element.textContent.trim() || !element.getClientRects().length) continue;
    const [a, b] = [luminance(getComputedStyle(element).color), luminance(behind(element))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) poor.push(element.outerHTML);
  }
  return poor;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_and_everything_has_a_name(visit, digits, scheme):
    page = visit(digits.url, color_scheme=scheme)
    draw(page, DIGITS[2])
    settled(page)
    assert page.evaluate(CONTRAST) == []
    tree = page.locator("body").aria_snapshot()
    for part in (
        'heading "Draw a digit"',
        'button "Undo"',
        'button "Clear"',
        "Drawing pad",
        'button "Choose pictures"',
    ):
        assert part in tree
    page.click("h1")  # where Tab then goes on from
    order = []
    for _ in range(6):
        page.keyboard.press("Tab")
        order.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert order == ["language", "pad", "undo", "clear", "files", "A"]
