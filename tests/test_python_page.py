"""docs/python.md is made from the docstrings, and stands as it would be made now."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_page_on_python_is_what_the_docstrings_say() -> None:
    found = runpy.run_path(str(ROOT / "docs/make_python.py"))
    assert (ROOT / "docs/python.md").read_text("utf-8") == found["page"](), "run: make docs"
