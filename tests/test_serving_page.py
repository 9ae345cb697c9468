"""The page, in a browser: drawing, choosing, pasting, what goes wrong, languages, and small screens."""

from __future__ import annotations

import base64
import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from served import SLOW, Rule, classifier, picture, running
from sightline.serving import Limits
from strokes import DIGITS, draw, settled

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
TEN = tuple(str(digit) for digit in range(10))


class Left(Rule):
    """Ten classes: where in the picture, from left to right, the brightness lies."""

    def probabilities(self, pixels):
        super().probabilities(pixels)
        columns = pixels.astype(np.float64).sum(axis=(1, 3))
        tenths = np.stack([part.sum(axis=1) for part in np.array_split(columns, 10, axis=1)], axis=1) + 1
        return (tenths / tenths.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def browser():
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        pytest.skip("playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no chromium is installed")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def rule():
    return Left(seconds=SLOW)


@pytest.fixture(scope="module")
def digits(rule):
    with running(classifier(rule, (28, 28, 1), TEN), Limits(max_batch=8)) as server:
        yield server


@pytest.fixture(scope="module")
def pictures():
    with running(classifier(), Limits(max_batch=8, max_images=3, max_body_mib=0.1)) as server:
        yield server


@pytest.fixture
def visit(browser):
    """Open a page; whatever its console complains of, such as a broken policy, fails the test unless expected."""
    contexts, complaints = [], []

    def opened(url, *, width=1280, language="en-US", expected=(), **options):
        context = browser.new_context(viewport={"width": width, "height": 844}, locale=language, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)

        def hear(message):
            if message.type in ("error", "warning") and not any(word in message.text for word in expected):
                complaints.append(message.text)

        page.on("console", hear)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        page.wait_for_selector("#choose:not([hidden])")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def seen(page):
    url = page.locator(".card img").first.get_attribute("src")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))


@pytest.mark.parametrize(("scale", "left", "top"), [(1, 0, 0), (0.3, 0.05, 0.6)])
def test_a_drawing_reaches_the_network_as_mnists_digits_are(visit, digits, scale, left, top):
    page = visit(digits.url)
    draw(page, DIGITS[7], scale=scale, left=left, top=top)
    settled(page)
    levels = seen(page)
    assert levels.shape == (28, 28)
    rows, columns = np.nonzero(levels > 20)
    # MNIST: a box of 20 x 20 with the aspect kept, the centre of mass in the middle of 28 x 28.
    assert 19 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 21
    total = levels.sum()
    assert (levels.sum(axis=1) * np.arange(28)).sum() / total == pytest.approx(13.5, abs=0.3)
    assert (levels.sum(axis=0) * np.arange(28)).sum() / total == pytest.approx(13.5, abs=0.3)
    drawn = np.ptp([x for x, _ in DIGITS[7][0]]) / np.ptp([y for _, y in DIGITS[7][0]])
    assert (np.ptp(columns) + 1 - 2.6) / (np.ptp(rows) + 1 - 2.6) == pytest.approx(drawn, abs=0.1)
    assert 0.08 < (levels > 127).mean() < 0.2  # as much ink as MNIST's digits have, at any size of drawing


def test_a_field_of_few_pixels_is_filled_as_the_embedded_digits_fill_it(visit, rule):
    with running(classifier(rule, (8, 8, 1), TEN), Limits(max_batch=8)) as server:
        page = visit(server.url)
        draw(page, DIGITS[1], scale=0.5)
        settled(page)
        levels = seen(page)
        page.goto("about:blank")  # leave before the server does
    assert levels.shape == (8, 8)
    rows = np.flatnonzero((levels > 60).any(axis=1))
    assert (rows[0], rows[-1]) == (0, 7)


def test_ten_bars_stay_in_order_and_say_the_servers_figures(visit, digits):
    page = visit(digits.url)
    draw(page, DIGITS[1])
    settled(page)
    assert page.locator(".bars .name").all_inner_texts() == list(TEN)
    values = [float(text.rstrip("%")) / 100 for text in page.locator(".bars .value").all_inner_texts()]
    stream = io.BytesIO()
    Image.fromarray(seen(page)).save(stream, "PNG")
    (answer,) = digits.post(stream.getvalue()).json()["predictions"]
    expected = {each["name"]: each["probability"] for each in answer["classes"]}
    assert values == pytest.approx([expected[name] for name in TEN], abs=0.0006)
    assert page.locator(".bars .top .name").all_inner_texts() == [answer["label"]]
    page.wait_for_function("() => document.getElementById('spoken').textContent !== ''")
    assert page.locator("#spoken").inner_text().startswith(f"{answer['label']}, ")
    assert "ms in the server" in page.locator("#latency").inner_text()


def test_undo_and_clear(visit, digits):
    page = visit(digits.url)
    assert page.locator("#undo").is_disabled()
    draw(page, DIGITS[4])
    settled(page)
    both = seen(page)
    page.click("#undo")
    settled(page)
    assert not np.array_equal(both, seen(page))
    page.click("#clear")
    page.wait_for_selector(".card", state="detached")
    assert page.locator("#undo").is_disabled()
    assert page.locator("#cards").inner_text() == "Nothing yet."


def test_the_keyboard_draws(visit, digits):
    page = visit(digits.url)
    page.focus("#pad")
    page.keyboard.press(" ")
    for _ in range(12):
        page.keyboard.press("ArrowDown")
    settled(page)
    levels = seen(page)
    rows, columns = np.nonzero(levels > 100)
    assert np.ptp(rows) >= 17
    assert np.ptp(columns) <= 4
    page.keyboard.press("Escape")
    page.wait_for_selector(".card", state="detached")


def press(page, *keys):
    page.focus("#pad")
    for key in keys:
        page.keyboard.press(key)


def drag(page, *points):
    """Draw with the mouse and do not let go."""
    box = page.locator("#pad").bounding_box()
    for number, (x, y) in enumerate(points):
        page.mouse.move(box["x"] + box["width"] * x, box["y"] + box["height"] * y, steps=3)
        if number == 0:
            page.mouse.down()


@pytest.mark.parametrize("taken_back", ["Control+z", "Escape"])
def test_a_stroke_that_is_taken_back_is_not_gone_on_with(visit, digits, taken_back):
    page = visit(digits.url)
    press(page, " ", *["ArrowDown"] * 5)
    settled(page)
    press(page, taken_back, *["ArrowDown"] * 3)  # the pen is up
    page.wait_for_selector(".card", state="detached")
    assert page.evaluate("scrollY") == 0
    assert page.locator("#undo").is_disabled()

    drag(page, (0.3, 0.3), (0.6, 0.3))
    settled(page)
    page.keyboard.press(taken_back)
    box = page.locator("#pad").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.8, steps=5)
    page.mouse.up()
    page.wait_for_selector(".card", state="detached")
    assert page.locator("#undo").is_disabled()
    draw(page, DIGITS[1])  # and the next one is drawn
    settled(page)


def test_no_stroke_goes_on_in_another(visit, digits):
    page = visit(digits.url)
    draw(page, DIGITS[1])
    settled(page)
    alone = seen(page)
    press(page, " ", *["ArrowRight"] * 8, "Control+z", *["ArrowLeft"] * 3)
    page.wait_for_timeout(300)
    settled(page)
    assert np.array_equal(alone, seen(page))
    page.click("#clear")
    # The mouse held down, and a stroke begun with the keyboard: the mouse has no part in that one.
    drag(page, (0.3, 0.3), (0.31, 0.3))
    press(page, " ", "ArrowDown")
    settled(page)
    before = seen(page)
    box = page.locator("#pad").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + box["height"] * 0.9, steps=5)
    page.mouse.up()
    page.wait_for_timeout(300)
    settled(page)
    assert np.array_equal(before, seen(page))


def test_a_finger_draws(visit, digits):
    page = visit(digits.url, width=390, has_touch=True, is_mobile=True)
    box = page.locator("#pad").bounding_box()
    page.touchscreen.tap(box["x"] + 40, box["y"] + 40)
    settled(page)
    assert 3 <= np.count_nonzero(seen(page) > 100) <= 16  # a dot


def test_while_the_network_computes_calls_do_not_pile_up(visit, digits, rule):
    page = visit(digits.url)
    rule.free.clear()
    before = rule.calls
    draw(page, DIGITS[8])
    page.wait_for_timeout(300)
    assert digits.app.in_hand <= 1
    rule.free.set()
    settled(page)
    whole = seen(page)
    assert rule.calls - before < 6
    draw(page, [[(0.1, 0.1)]])
    settled(page)
    assert not np.array_equal(whole, seen(page))  # the latest is what is shown


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
    assert "cannot be read as a picture" in page.locator(".card").nth(1).inner_text()
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
    assert "no picture" in page.locator("#message").inner_text()


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
    page.wait_for_function("() => document.getElementById('message').textContent.includes('cannot be read')")
    choose("white")
    settled(page)
    assert page.locator(".best").first.inner_text().startswith("light")
    assert page.locator("#message").is_hidden()
    choose("white", "white", "white", "no")
    page.wait_for_selector("#message:not([hidden])")
    assert page.locator("#message").inner_text() == "At most 3 pictures at once; the first 3 were taken."
    page.context.set_offline(True)
    choose("white")
    page.wait_for_function("() => document.getElementById('message').textContent.includes('does not answer')")


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


@pytest.mark.skipif("SIGHTLINE_MNIST_MODEL" not in os.environ, reason="SIGHTLINE_MNIST_MODEL names no run of MNIST")
def test_nine_of_ten_drawn_digits_are_read_right(visit):
    from sightline.classifier import load

    with running(load(os.environ["SIGHTLINE_MNIST_MODEL"]), Limits(max_batch=8)) as server:
        page = visit(server.url)
        read = {}
        for digit, strokes in DIGITS.items():
            draw(page, strokes)
            settled(page)
            read[digit] = page.locator(".best").inner_text().split()[0]
            page.click("#clear")
            page.wait_for_selector(".card", state="detached")
    right = [digit for digit, label in read.items() if label == str(digit)]
    assert len(right) >= 9, read
