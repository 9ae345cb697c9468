"""What an older version wrote is read by this one: runs, comparisons, studies, settings and model files.

tests/data/made-by-183a39b.zip was made by that commit, on synthetic images: a finished run, one that was interrupted at
step 15 and has no weights, a comparison of two sides with three seeds, a study of five trials with its comparison, and
the finished run's settings.yaml and model file once more.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sightline as sl
from sightline.evaluation.predictions import Predictions
from sightline.files.json_records import to_json
from sightline.runs.folder import RESULTS, RunFolder
from sightline.runs.records import Audit, Environment, NetworkSummary, Splits
from sightline.settings import settings_from_yaml

ARCHIVE = Path(__file__).parent / "data" / "made-by-183a39b.zip"
FINISHED, BROKEN, COMPARISON, STUDY = "runs/old-001", "runs/broken-001", "comparisons/old-001", "studies/old-001"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(tmp_path)
    return tmp_path


def content(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8"))


def test_every_run_is_listed(old: Path) -> None:
    listed = sl.list_runs(old / "runs", old / "comparisons", old / "studies")
    assert listed.left_out == {}
    by_name = {run.name: run for run in listed.runs}
    assert len(listed.runs) == len(by_name) == 2 + 6 + 4 + 5
    finished, broken = by_name["old-001"], by_name["broken-001"]
    assert (finished.state, finished.epochs, finished.steps, finished.seed) == ("done", 3, 27, 0)
    assert (finished.data, finished.model, finished.val_accuracy) == ("synthetic", "cnn", 0.666666667)
    report = content(old / FINISHED / "test" / "metrics.json")
    assert (finished.test_accuracy, finished.test_interval) == (report["accuracy"], tuple(report["interval"]))
    assert (broken.state, broken.test_accuracy) == ("interrupted", None)


def test_the_records_hold_what_the_files_hold(old: Path) -> None:
    folder = RunFolder.open(old / FINISHED)
    for kind, name in ((Environment, "environment"), (Splits, "splits"), (Audit, "audit"), (NetworkSummary, "network")):
        assert {"schema": 1, **to_json(folder.read(kind))} == content(folder.path / f"{name}.json")
    assert to_json(folder.test_folder.read()) == content(folder.path / "test" / "metrics.json")
    assert folder.tested_step() == 9  # the earliest of three equals
    samples = folder.samples()
    assert samples is not None and samples[0].shape == (18, 8, 8, 1)


def test_testing_again_gives_what_was_stored(old: Path) -> None:
    folder = RunFolder.open(old / FINISHED)
    before = content(folder.test_folder.metrics_path)
    stored = Predictions.load(folder.test_folder.predictions_path)
    result = sl.test(folder.path, device="cpu")
    assert before["accuracy"] == pytest.approx(14 / 30) == pytest.approx(result.accuracy, abs=1e-6)
    assert result.loss == pytest.approx(before["loss"], abs=1e-5)
    # Newer figures may have come in between.
    assert [key for key in result.to_dict() if key in before] == list(before)
    assert result.confusion_matrix == before["confusion_matrix"]
    assert result.predictions.ids == stored.ids
    np.testing.assert_allclose(result.predictions.probabilities, stored.probabilities, atol=1e-5)


def test_the_interrupted_run_comes_to_its_end(old: Path) -> None:
    folder = RunFolder.open(old / BROKEN)
    before = folder.rows(RESULTS)
    assert folder.weights() is None and not folder.is_finished()
    result = sl.resume(folder.path, quiet=True)
    after = folder.rows(RESULTS)
    assert (result.epochs, result.steps) == (3, 27) and folder.is_finished()
    assert after[0] == before[0] and [row["step"] for row in after] == ["9", "18", "27"]
    # Bit for bit only on the same processor.
    assert [float(row["train_loss"]) for row in after] == pytest.approx(
        [float(row["train_loss"]) for row in before], abs=0.1
    )
    assert result.test_accuracy == folder.test_folder.read().accuracy


def test_the_finished_run_is_made_longer(old: Path) -> None:
    folder = RunFolder.open(old / FINISHED)
    before = folder.rows(RESULTS)
    result = sl.resume(folder.path, add_epochs=1, quiet=True)
    assert (result.epochs, result.steps) == (4, 36)
    assert folder.rows(RESULTS)[:3] == before
    assert folder.settings().extended_from_step == 27
    assert [path.name for path in folder.checkpoints()] == ["step-000036.safetensors", "step-000027.safetensors"]


@pytest.mark.parametrize("place", [FINISHED, BROKEN, COMPARISON, STUDY])
def test_a_report_is_written(old: Path, place: str) -> None:
    pytest.importorskip("pptx", reason="python-pptx is not installed")
    written = sl.report(old / place, slides=True).files
    assert [path.name for path in written] == ["report.html", "slides.pptx"]
    page = written[0].read_text("utf-8")
    known = {
        FINISHED: ("46.67%", "30.23", "settings.yaml", "test/metrics.json"),
        BROKEN: ("splits.json",),
        COMPARISON: ("76.67%", "36.67%", "results.json"),
        STUDY: ("80.00%", "results.json"),
    }
    assert [text for text in known[place] if text not in page] == []


def test_the_comparison_gets_one_more_seed(old: Path) -> None:
    before = content(old / COMPARISON / "results.json")
    sl.resume_comparison(old / COMPARISON, seeds=4, quiet=True)
    after = content(old / COMPARISON / "results.json")
    assert (before["looks"], after["looks"]) == ([3], [3, 4])
    for old_side, side in zip(before["sides"], after["sides"], strict=True):
        assert (side["name"], side["seeds"], side["n"]) == (old_side["name"], [0, 1, 2, 3], 4)
        assert side["accuracies"][:3] == old_side["accuracies"]
        assert {seed: run for seed, run in side["runs"].items() if seed != "3"} == old_side["runs"]


def test_the_study_gets_one_more_trial(old: Path) -> None:
    pytest.importorskip("optuna", reason="optuna is not installed")
    before = content(old / STUDY / "results.json")
    sl.resume_study(old / STUDY, trials=6, quiet=True)
    after = content(old / STUDY / "results.json")
    assert (before["complete"], after["complete"] + after["pruned"]) == (5, 6)
    assert after["all_trials"][:5] == before["all_trials"]
    assert after["validation"] >= before["validation"] and (after["final"] is not None) == bool(after["changes"])


def test_the_model_file_predicts(old: Path) -> None:
    classifier = sl.load(old / "model.safetensors", device="cpu")
    assert list(classifier.class_names) == ["class0", "class1", "class2"]
    pixels, _ = RunFolder.open(old / FINISHED).samples() or pytest.fail("it has no samples")
    answers = classifier.predict(list(pixels[:3]))
    assert [answer.label for answer in answers] == [
        classifier.class_names[place] for place in classifier.probabilities(pixels[:3]).argmax(axis=1)
    ]
    again = sl.load(old / FINISHED, device="cpu")
    np.testing.assert_array_equal(again.probabilities(pixels), classifier.probabilities(pixels))


def test_the_run_is_exported_as_it_was(old: Path) -> None:
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    folder = RunFolder.open(old / FINISHED)
    pixels, _ = folder.samples() or pytest.fail("it has no samples")
    former = sl.load(folder.onnx_path).probabilities(pixels)
    np.testing.assert_allclose(sl.load(folder.path, device="cpu").probabilities(pixels), former, atol=1e-5)
    result = sl.export(folder.path, force=True)
    np.testing.assert_allclose(sl.load(result.path).probabilities(pixels), former, atol=1e-5)


def test_settings_are_read_and_are_a_recipe(old: Path) -> None:
    path = old / "settings.yaml"
    settings = settings_from_yaml(path.read_text("utf-8"), str(path))
    assert settings == RunFolder.open(old / FINISHED).settings()
    assert (settings.optimizer.lr, settings.training.epochs, settings.data.synthetic_count) == (0.05, 3, 150)
    result = sl.train(recipe=str(path), epochs=1, runs=old / "again", quiet=True)
    made = RunFolder.open(result.run).settings()
    assert (
        made.replace(
            recipe=None, epochs=3, interpolation="auto", near_duplicates="auto", cache_size="auto", crop_fraction="auto"
        )
        == settings
    )
