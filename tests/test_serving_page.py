"""The drawing pad of the page, in a browser: what the network gets, undo, the keyboard, a finger, and the answers."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
from PIL import Image

from helpers.browser import TEN, Left, chromium, seen, visits
from helpers.serving import SLOW, classifier, running
from helpers.strokes import DIGITS, draw, settled
from sightline.serving import Limits


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def rule():
    return Left(seconds=SLOW)


@pytest.fixture(scope="module")
def digits(rule):
    with running(classifier(rule, (28, 28, 1), TEN), Limits(max_batch=8)) as server:
        yield server


@pytest.fixture
def visit(browser):
    with visits(browser) as opened:
        yield opened


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
