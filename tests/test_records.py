"""The records of a run's files: as JSON and back, with what older files lack and newer ones have."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sightline.errors import FileError
from sightline.files.json_records import from_json, to_json
from sightline.runs.folder import RunFolder, TestFolder
from sightline.runs.records import (
    Audit,
    AuditPart,
    AveragedAccuracy,
    ClassScores,
    ConfidenceBin,
    CopiesAcross,
    Duplicates,
    Environment,
    NetworkPart,
    NetworkSummary,
    Pretrained,
    SplitPart,
    Splits,
    TestReport,
)

REPORT = TestReport(
    accuracy=0.75,
    interval=(0.3, 0.95),
    n=4,
    loss=0.5,
    top_k=1,
    top_k_accuracy=0.75,
    macro_f1=0.7,
    balanced_accuracy=0.8,
    ece=0.1,
    ece_equal_mass=0.2,
    mce=0.3,
    brier=0.4,
    reliability=(ConfidenceBin(0.0, 0.5, 0, None, None), ConfidenceBin(0.5, 1.0, 4, 0.8, 0.75)),
    per_class=(ClassScores("a", 1.0, 0.5, 0.67, 2), ClassScores("b", 0.67, 1.0, 0.8, 2)),
    confusion_matrix=[[1, 1], [0, 2]],
)
FULL = replace(REPORT, step=3, temperature=1.5, data="digits", tta=AveragedAccuracy(3, 0.8, (0.4, 0.9)))
PARTS = (NetworkPart("a", "b", (1, 2), 3, 4), NetworkPart("c", "d", None, 0, 0))
NO_DUPLICATES = Duplicates({}, CopiesAcross(pairs=0, other_label=0, named=[]))
PLACE = Path("metrics.json")


def test_a_test_names_only_what_there_is() -> None:
    always = [
        "accuracy", "interval", "n", "loss", "top_k", "top_k_accuracy", "macro_f1", "balanced_accuracy", "ece",
        "ece_equal_mass", "mce", "brier", "reliability", "per_class", "confusion_matrix",
    ]  # fmt: skip
    assert list(to_json(REPORT)) == always
    assert list(to_json(FULL)) == [*always[:2], "step", "temperature", *always[2:], "data", "tta"]
    assert to_json(FULL)["tta"] == {"views": 3, "accuracy": 0.8, "interval": [0.4, 0.9]}
    assert to_json(REPORT)["reliability"][0] == {
        "low": 0.0, "high": 0.5, "n": 0, "confidence": None, "accuracy": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    "record",
    [
        REPORT,
        FULL,
        Environment(torch="2", gpu=None, threads=3),
        NetworkSummary("x", (1, 3, 8, 8), PARTS, 3, None),
        Pretrained("a", "b", "c", "torchvision", ("x",), ("y",), (), (None, 10), (3, 1), None),
        Audit({"train": AuditPart(2, {"a": 2, "b": 0})}, None, {"x": "cut short"}, 1, NO_DUPLICATES),
    ],
    ids=lambda record: type(record).__name__,
)
def test_a_record_comes_back(record: Any) -> None:
    assert from_json(type(record), json.loads(json.dumps(to_json(record), allow_nan=False)), PLACE) == record


def test_null_stands_where_it_always_stood() -> None:
    assert to_json(Environment(gpu=None))["gpu"] is None
    assert to_json(NetworkSummary("x", (1, 3, 8, 8), (), 3, None))["macs"] is None


def test_keys_of_newer_versions_are_ignored_and_those_that_older_ones_lack_are_not_needed() -> None:
    content = to_json(REPORT)
    assert from_json(TestReport, {**content, "schema": 1, "later": [1]}, PLACE) == REPORT
    lacking = ("ece", "ece_equal_mass", "mce", "brier", "reliability")
    older = from_json(TestReport, {key: value for key, value in content.items() if key not in lacking}, PLACE)
    assert (older.accuracy, older.ece, older.reliability) == (REPORT.accuracy, None, ())
    assert from_json(Environment, {"python": "3.11"}, PLACE) == Environment(python="3.11")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"accuracy": "high"}, "damaged at accuracy (input should be a valid number"),
        ({"interval": [0.1]}, "it has no interval.1"),
        ({"per_class": [{"name": "a"}]}, "it has no per_class.0.precision"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    folder = TestFolder(tmp_path)
    folder.write(REPORT)
    assert folder.read() == REPORT
    folder.metrics_path.write_text(json.dumps({**to_json(REPORT), **change}))
    with pytest.raises(FileError) as caught:
        folder.read("Run sightline test.")
    assert (caught.value.subject, caught.value.advice) == (str(folder.metrics_path), "Run sightline test.")
    assert caught.value.found.startswith(said)


def test_a_run_folder_knows_the_file_of_each_record(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with pytest.raises(FileError, match=r"splits\.json: no such file"):
        folder.read(Splits)
    assert not folder.has(Splits) and not folder.forget(Splits)
    train = SplitPart(2, (8, 8, 1), [1, 1], "1a", "2b")
    record = Splits(split_seed=3, classes=["a", "b"], parts={"train": train}, validation_ids=[])
    folder.write(record)
    assert json.loads((tmp_path / "splits.json").read_text()) == {
        "schema": 1, "split_seed": 3, "classes": ["a", "b"], "validation_ids": [],
        "parts": {
            "train": {
                "images": 2, "size": [8, 8, 1], "class_counts": [1, 1], "ids_sha256": "1a", "content_sha256": "2b",
            },
        },
    }  # fmt: skip
    assert folder.read(Splits) == record
    assert folder.forget(Splits) and not folder.has(Splits)
