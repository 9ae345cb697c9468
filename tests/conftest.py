"""Shared by all tests: small datasets, and no more threads than there are test processes."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sightline.drawing import canvas
from sightline.files import atomic

# Tests expect English, whatever language the machine speaks; those of Chinese ask for it.
os.environ["SIGHTLINE_LANG"] = "en"

# What the tests of reports read; a file's own fixtures of the same names go before.
pytest_plugins = ["helpers.report_fixtures"]

# A shell's background job starts with Ctrl-C ignored and hands that down, so that programs under test would not end.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


class _Pictures:
    """Draws, or writes one white pixel: drawing takes longer than most runs of the tests."""

    draws = True

    def __init__(self) -> None:
        self._draw = canvas.write
        pixel = io.BytesIO()
        Image.new("L", (1, 1), 255).save(pixel, "PNG")
        self._pixel = pixel.getvalue()

    def write(self, path: Path, draw: Callable[[], Any], *, trim: bool = False) -> None:
        """Do as canvas.write does."""
        if self.draws:
            self._draw(path, draw, trim=trim)
        else:
            atomic.write_bytes(path, self._pixel)


pictures = _Pictures()
# Before any room takes it from there.
canvas.write = pictures.write


# With SIGHTLINE_NO_SKIPS, which CI sets, a skipped test fails unless the machine itself, not what it lacks, is why.
MAY_BE_SKIPPED = (
    "root may", "file system takes", "gives memory in pieces", "only glibc", "no oneDNN", "POSIX",
    "one family is enough", "schemathesis", "SIGHTLINE_MNIST_MODEL", "sh is not installed",
)  # fmt: skip


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not report.skipped or not os.environ.get("SIGHTLINE_NO_SKIPS") or hasattr(report, "wasxfail"):
        return
    reason = str(report.longrepr)
    allowed = MAY_BE_SKIPPED if os.environ.get("SIGHTLINE_DATA") else (*MAY_BE_SKIPPED, "SIGHTLINE_DATA")
    if not any(part in reason for part in allowed):
        report.outcome = "failed"
        report.longrepr = f"skipped although SIGHTLINE_NO_SKIPS is set: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Draw for tests with the mark `draws`, also for the fixtures that they are the first to ask for."""
    pictures.draws = item.get_closest_marker("draws") is not None


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def real_data() -> Path:
    """The folder of the official files; the test is skipped where there is none."""
    folder = os.environ.get("SIGHTLINE_DATA")
    if not folder:
        pytest.skip("SIGHTLINE_DATA is not set, so the official files are not here")
    return Path(folder)


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the pictures that are decoded in this process."""
    count = [0]
    from sightline.data import cache

    real = cache.decode

    def counting(*args: Any, **kwargs: Any) -> Any:
        count[0] += 1
        return real(*args, **kwargs)

    monkeypatch.setattr(cache, "decode", counting)
    return count
