"""Shared by all tests: small datasets, and no more threads than there are test processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

# A shell's background job starts with Ctrl-C ignored and hands that down, so that programs under test would not end.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
