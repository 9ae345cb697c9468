"""Records in JSON files: what is written is read again, and what is damaged is named."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import sightline as sl
from sightline.comparison.folder import ComparisonFolder
from sightline.files.json_records import OMIT_NONE, from_json, to_json
from sightline.tuning.folder import StudyFolder

OLD = Path(__file__).parent / "data" / "made-by-183a39b.zip"
PATH = Path("some.json")


@dataclass(frozen=True)
class Part:
    size: tuple[int, int]
    name: str | None


@dataclass(frozen=True, kw_only=True)
class Whole:
    late: int | None = field(default=None, metadata=OMIT_NONE)
    parts: tuple[Part, ...]
    by_seed: Mapping[int, Part]


@dataclass(frozen=True, kw_only=True)
class Further(Whole):
    folder: Path


WHOLE = Whole(parts=(Part((1, 2), None), Part((3, 4), "b")), by_seed={7: Part((5, 6), "c")})
CONTENT: dict[str, Any] = {
    "parts": [{"size": [1, 2], "name": None}, {"size": [3, 4], "name": "b"}],
    "by_seed": {"7": {"size": [5, 6], "name": "c"}},
}


def test_a_record_becomes_json_in_the_order_of_its_fields_and_back() -> None:
    assert json.dumps(to_json(WHOLE)) == json.dumps(CONTENT)
    assert from_json(Whole, CONTENT, PATH) == WHOLE


def test_none_is_left_out_only_of_fields_that_say_so() -> None:
    late = Whole(late=3, parts=(), by_seed={})
    assert list(to_json(late)) == ["late", "parts", "by_seed"]
    assert from_json(Whole, to_json(late), PATH) == late
    assert "late" not in to_json(WHOLE) and to_json(WHOLE.parts[0])["name"] is None


def test_the_fields_of_a_base_class_can_be_written_alone() -> None:
    further = Further(folder=Path("a"), **vars(WHOLE))
    assert to_json(further, Whole) == CONTENT


def test_keys_that_are_not_known_are_ignored() -> None:
    assert from_json(Whole, {**CONTENT, "schema": 1}, PATH) == WHOLE


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"parts": []}, "it has no by_seed"),
        ({"parts": [{"size": [1, 2]}], "by_seed": {}}, "it has no parts.0.name"),
        ({"parts": [{"size": [1, "x"], "name": None}], "by_seed": {}}, "damaged at parts.0.size.1 (input should be"),
        ({"parts": 3, "by_seed": {}}, "damaged at parts (input should be a valid tuple"),
    ],
)
def test_what_is_missing_or_damaged_is_named(content: dict[str, Any], words: str) -> None:
    with pytest.raises(sl.FileError) as caught:
        from_json(Whole, content, PATH, "Write it again.")
    assert caught.value.found.startswith(words)
    assert (caught.value.subject, caught.value.advice) == ("some.json", "Write it again.")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    with zipfile.ZipFile(OLD) as archive:
        archive.extractall(tmp_path)
    return tmp_path


def in_order(content: dict[str, Any]) -> str:
    """Content with its keys in their order; 0 is written as 0.0, which it may be read as."""
    return json.dumps(json.loads(json.dumps(content), parse_int=float))


def test_results_of_an_older_version_are_read_whole(old: Path) -> None:
    for place in ("comparisons/old-001", "studies/old-001/final/winner-001"):
        written = json.loads((old / place / "results.json").read_text())
        comparison = ComparisonFolder.open(old / place).results()
        assert in_order({"schema": 1, **comparison.to_dict()}) == in_order(written)
        assert comparison.sides[1].runs[0].endswith("-s0-001") and comparison.pairs[0].bootstrap.resamples == 10_000
    study = StudyFolder.open(old / "studies/old-001").results()
    written = json.loads((old / "studies/old-001/results.json").read_text())
    assert in_order({"schema": 1, **study.to_dict()}) == in_order(written)
    assert study.all_trials[study.best_trial].value == study.validation


def test_a_study_of_the_first_versions_has_no_budget(old: Path) -> None:
    folder = StudyFolder.open(old / "studies/old-001")
    written = json.loads(folder.results_path.read_text())
    del written["budget"]
    folder.results_path.write_text(json.dumps(written))
    assert folder.results().budget is None
    assert {"schema": 1, **folder.results().to_dict()} == written
    assert sl.report(folder.path).files


def test_results_that_are_damaged_say_where_and_how_they_are_written_anew(old: Path) -> None:
    folder = StudyFolder.open(old / "studies/old-001")
    written = json.loads(folder.results_path.read_text())
    written["all_trials"][0]["number"] = "first"
    folder.results_path.write_text(json.dumps(written))
    with pytest.raises(sl.FileError, match=r"damaged at all_trials\.0\.number .*--trials 5 to write it anew"):
        folder.results()
