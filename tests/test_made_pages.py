"""Pages that are made from the code, or describe all of it, are complete and up to date."""

from __future__ import annotations

import re
import runpy
from collections import Counter
from pathlib import Path

import sightline

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def test_the_reference_has_every_public_name_once() -> None:
    listed = re.findall(r"^::: sightline\.(\w+)$", (DOCS / "python.md").read_text("utf-8"), re.MULTILINE)
    assert Counter(listed) == Counter(sightline.__all__)


def test_the_table_of_layers_is_what_the_contract_says() -> None:
    made = runpy.run_path(str(DOCS / "site/layers.py"))["page"]()
    assert (DOCS / "architecture.md").read_text("utf-8") == made, "run: python docs/site/layers.py"


def test_the_list_of_settings_has_every_keyword_of_train_once() -> None:
    shown = (ROOT / "tests/help/train-all.txt").read_text("utf-8").partition("\nData\n")[2].partition("\nOutput\n")[0]
    flags = {flag.replace("-", "_") for flag in re.findall(r"^  --(?:\[no-\])?([\w-]+)", shown, re.MULTILINE)}
    listed = re.findall(r"^### `(\w+)`$", runpy.run_path(str(DOCS / "site/settings_page.py"))["listed"](), re.MULTILINE)
    assert len(flags) > 100 and Counter(listed) == Counter(flags | {"data"})


# The log


def entries() -> dict[str, str]:
    """Every entry of the log, by its heading."""
    text = "".join(path.read_text("utf-8") for path in sorted(DOCS.glob("log/*.md"), reverse=True))
    return {part.partition("\n")[0]: part for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]}


def test_the_log_has_a_row_for_each_entry_in_their_order() -> None:
    rows = re.findall(
        r"^\| ([\d-]+) \| \[.*?\]\(log/([\d-]+)\.md#(.*?)\) \|", (DOCS / "log.md").read_text("utf-8"), re.M
    )
    slugs = [re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", heading.lower())) for heading in entries()]
    assert len(slugs) > 30 and [slug for _, _, slug in rows] == slugs
    assert all(slug.startswith(date) and date.startswith(month) for date, month, slug in rows)
    assert [date for date, *_ in rows] == sorted((date for date, *_ in rows), reverse=True)


def test_each_entry_of_the_log_has_one_form() -> None:
    wrong = [
        heading
        for heading, text in entries().items()
        if re.findall(r"^\*\*(Question|Answer|Command)\.\*\* \S", text, re.M) != ["Question", "Answer", "Command"]
    ]
    assert not wrong
