"""Chromium, visits to the page that hear what it complains of, and ten classes that a drawing decides on."""

from __future__ import annotations

import base64
import contextlib
import io
import shutil

import numpy as np
import pytest
from PIL import Image

from helpers.serving import Rule

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
TEN = tuple(str(digit) for digit in range(10))


class Left(Rule):
    """Ten classes: where in the picture, from left to right, the brightness lies."""

    def probabilities(self, pixels):
        super().probabilities(pixels)
        columns = pixels.astype(np.float64).sum(axis=(1, 3))
        tenths = np.stack([part.sum(axis=1) for part in np.array_split(columns, 10, axis=1)], axis=1) + 1
        return (tenths / tenths.sum(axis=1, keepdims=True)).astype(np.float32)


@contextlib.contextmanager
def chromium():
    """A browser until the block ends; the test is skipped where there is none."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        pytest.skip("playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no chromium is installed")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@contextlib.contextmanager
def visits(browser):
    """Open pages; whatever their console complains of, such as a broken policy, fails the test unless expected."""
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
