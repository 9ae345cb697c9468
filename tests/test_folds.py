"""Cross-validation: how pictures are parted, that every answer is out of fold, what all come to, and going on."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.stats import bootstrap
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix
from statsmodels.stats.proportion import proportion_confint
from torch import nn

import sightline as sl
from helpers.sums import unlisted
from helpers.training import SMALL, Stop, facts, stop_at
from sightline.cli.app import run
from sightline.data.load import load_pool
from sightline.evaluation.predictions import Predictions
from sightline.files import arrays
from sightline.folds.folder import FoldsFolder
from sightline.runs.folder import RunFolder
from sightline.runs.images import images_of_run
from sightline.settings import DataSettings
from sightline.stats import group_interval

FOLDS = 3
QUICK: dict[str, Any] = {
    "recipe": "none",
    "model": "cnn",
    "epochs": 1,
    "threads": 1,
    "precision": "fp32",
    "quiet": True,
}


def small(place: Path, **changes: Any) -> sl.CrossValidationResult:
    return sl.cross_validate("synthetic", FOLDS, runs=place, **{**SMALL, "epochs": 2, **changes})


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> sl.CrossValidationResult:
    return small(tmp_path_factory.mktemp("done"))


def noise(seed: int, light: int = 0) -> Image.Image:
    """A picture that resembles no other: coarse noise, enlarged, and as light as asked for."""
    values = np.random.default_rng(seed).integers(0, 100, (8, 8, 3)) + light
    return Image.fromarray(values.astype(np.uint8)).resize((16, 16), Image.Resampling.BICUBIC)


def paint(root: Path, part: str = "", count: int = 12, seed: int = 0) -> Path:
    for label, name in enumerate(("dark", "light")):
        (root / part / name).mkdir(parents=True)
        for index in range(count):
            noise(seed + 100 * label + index, 150 * label).save(root / part / name / f"{index:02}.png")
    return root


# Out of fold


def test_every_picture_is_answered_once_by_a_model_that_never_saw_it(done: sl.CrossValidationResult) -> None:
    everything = Predictions.load(done.folder / "test" / "predictions.npz")
    assert everything.folds is not None and len(set(everything.ids)) == len(everything) == done.images == 150
    for fold in done.folds:
        folder = RunFolder.open(done.folder / fold.run)
        parts = images_of_run(folder)
        assert parts.test is not None and parts.validation is not None
        rows = np.flatnonzero(everything.folds == fold.fold)
        assert [everything.ids[row] for row in rows] == list(parts.test.ids)
        assert not set(parts.test.ids) & {*parts.train.ids, *parts.validation.ids}
        assert len(parts.train) + len(parts.validation) + len(parts.test) == done.images
        # The run's own file is of its own weights: a test of them anew says the same.
        tested = sl.test(folder.path, device="cpu").predictions
        np.testing.assert_allclose(everything.probabilities[rows], tested.probabilities, atol=1e-6)
    assert all(name.startswith("train/") for name in everything.ids)  # no picture of the test part


def test_the_figures_are_those_of_other_libraries(done: sl.CrossValidationResult) -> None:
    stored = Predictions.load(done.folder / "test" / "predictions.npz")
    labels, answers = stored.labels, stored.probabilities.argmax(1)
    assert stored.folds is not None
    assert done.accuracy == accuracy_score(labels, answers)
    assert done.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, answers))
    assert np.array_equal(done.confusion_matrix, confusion_matrix(labels, answers))
    right = int((labels == answers).sum())
    assert done.interval == pytest.approx(proportion_confint(right, len(labels), method="wilson"))
    assert (done.interval_kind, done.groups, done.mistakes) == ("Wilson", None, len(labels) - right)
    each = [accuracy_score(labels[stored.folds == k], answers[stored.folds == k]) for k in range(1, FOLDS + 1)]
    assert [fold.accuracy for fold in done.folds] == pytest.approx(each)
    assert (done.mean, done.sd) == pytest.approx((np.mean(each), np.std(each, ddof=1)))
    recalls = np.diag(done.confusion_matrix) / np.sum(done.confusion_matrix, axis=1)
    assert done.worst_class_recall == pytest.approx(recalls.min())
    assert done.classes.index(done.worst_class) == recalls.argmin()
    written = json.loads((done.folder / "results.json").read_text())
    assert {**written, "cross_validation": str(done.folder)} == {"schema": 1, **done.to_dict()}
    assert json.loads((done.folder / "test" / "metrics.json").read_text())["interval"] == list(done.interval)


def test_a_wrong_label_is_the_first_to_be_looked_at(tmp_path: Path) -> None:
    folder = paint(tmp_path / "pictures", count=30)
    noise(900, 150).save(folder / "dark" / "wrong.png")
    found = sl.cross_validate(folder, FOLDS, runs=tmp_path, **{**QUICK, "epochs": 12})
    with found.answers.open() as stream:
        rows = list(csv.DictReader(stream))
    assert rows[0]["picture"] == "dark/wrong.png" and rows[0]["answer"] == "light"
    assert found.surest_mistakes[0].picture == "dark/wrong.png"
    doubts = [float(row["label_probability"]) for row in rows]
    assert len(rows) == found.images == 61 and doubts == sorted(doubts)


# What is parted


def test_a_test_part_is_not_even_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = paint(paint(tmp_path / "pictures", "train"), "val", 3, seed=500)
    for name in ("dark", "light"):
        (folder / "test" / name).mkdir(parents=True)
        (folder / "test" / name / "bad.png").write_bytes(b"no picture")
    found = sl.cross_validate(folder, FOLDS, runs=tmp_path, **{**QUICK, "quiet": False})
    assert found.images == 30  # train and val
    told = capsys.readouterr().err
    assert told.count("the test part, 2 pictures, stays out of them and unseen") == 1
    parts = images_of_run(RunFolder.open(found.folder / found.folds[0].run)).parts()
    assert {name.split("/")[0] for part in parts.values() for name in part.ids} == {"train", "val"}


def test_crops_are_cut_from_the_pictures_of_a_validation_part_too(tmp_path: Path) -> None:
    folder = paint(paint(tmp_path / "pictures", "train"), "val", 3, seed=500)
    pool = load_pool(DataSettings(name=str(folder), image_size=12, cache_size="larger")).train
    assert pool.larger is not None and pool.larger.shape[1] == 16 and len(pool) == 30
    shades = [pool.pixels.mean((1, 2, 3))[pool.rows], pool.larger.mean((1, 2, 3))[pool.rows]]
    np.testing.assert_allclose(*shades, atol=1)  # the same picture in each row: all differ by more
    settings = {**QUICK, "image_size": 12, "random_crop": True, "crop_area": (0.5, 1)}
    assert sl.cross_validate(folder, FOLDS, runs=tmp_path, **settings).images == 30


def test_no_group_is_divided_and_the_interval_is_over_groups(tmp_path: Path) -> None:
    for person in range(9):
        for frame in range(4):
            place = tmp_path / "people" / ("left", "right")[person % 2] / f"p{person}"
            place.mkdir(parents=True, exist_ok=True)
            noise(100 * person + frame).save(place / f"{frame}.png")
    found = sl.cross_validate(tmp_path / "people", FOLDS, runs=tmp_path, group="parent", **QUICK)
    stored = Predictions.load(found.folder / "test" / "predictions.npz")
    assert stored.folds is not None
    people = [name.split("/")[1] for name in stored.ids]
    assert len(set(zip(people, stored.folds.tolist(), strict=True))) == found.groups == 9
    right = stored.predicted() == stored.labels
    groups = np.unique(people, return_inverse=True)[1]
    assert found.interval == group_interval(right, groups) and found.interval_kind == "bootstrap over groups"
    # With four frames of a person that share their fate, it is no narrower than Wilson's.
    low, high = proportion_confint(right.sum(), len(right), method="wilson")
    assert found.interval[1] - found.interval[0] > 0.5 * (high - low)


def test_near_duplicates_are_in_one_fold(tmp_path: Path) -> None:
    folder = paint(tmp_path / "pictures")
    for index in range(12):
        picture = Image.open(folder / "dark" / f"{index:02}.png")
        Image.eval(picture, lambda value: min(255, value + 3)).save(folder / "dark" / f"{index:02}-again.png")
    found = sl.cross_validate(folder, FOLDS, runs=tmp_path, **QUICK)
    stored = Predictions.load(found.folder / "test" / "predictions.npz")
    assert stored.folds is not None
    fold = dict(zip(stored.ids, stored.folds.tolist(), strict=True))
    assert all(fold[f"dark/{index:02}.png"] == fold[f"dark/{index:02}-again.png"] for index in range(12))
    assert found.groups == 24 and found.images == 36


def test_the_interval_over_groups_is_that_of_scipy() -> None:
    rng = np.random.default_rng(5)
    groups = rng.integers(0, 40, 400)
    correct = rng.random(400) < np.clip(rng.normal(0.8, 0.2, 40), 0, 1)[groups]
    sizes = np.bincount(groups, minlength=40)
    right = np.bincount(groups, correct, minlength=40)
    expected = bootstrap(
        (right, sizes), lambda r, n, axis: r.sum(axis) / n.sum(axis), paired=True, vectorized=True,
        n_resamples=20_000, method="percentile", rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    assert group_interval(correct, groups) == pytest.approx((expected.low, expected.high), abs=0.004)
    wilson = proportion_confint(correct.sum(), 400, method="wilson")
    assert np.diff(group_interval(correct, groups)) > 1.3 * np.diff(wilson)  # people differ: images tell less
    alone = group_interval(correct, np.arange(400))
    assert alone == pytest.approx(wilson, abs=0.01)


@pytest.mark.parametrize("right", [True, False])
def test_without_a_difference_groups_count_once(right: bool) -> None:
    found = group_interval(np.full(60, right), np.repeat(np.arange(6), 10))
    assert found == pytest.approx(proportion_confint(6 * right, 6, method="wilson"))


# One fold, and going on


def test_a_fold_s_run_is_repeated_alone(done: sl.CrossValidationResult, tmp_path: Path) -> None:
    second = done.folder / done.folds[1].run
    alone = sl.train("synthetic", runs=tmp_path, **{**SMALL, "epochs": 2, "fold": (2, FOLDS)})
    again = sl.train(recipe=str(second / "settings.yaml"), runs=tmp_path, quiet=True)
    assert facts(second) == facts(alone.run) == facts(again.run)
    assert RunFolder.open(second).settings().data.fold == (2, FOLDS)
    assert alone.test_accuracy == done.folds[1].accuracy


def test_a_stop_in_the_second_fold_loses_nothing(
    done: sl.CrossValidationResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sightline.training import trainer

    real, calls = trainer.learning_rate, [0]

    def stopping(*args: Any, **options: Any) -> float:
        calls[0] += 1
        if calls[0] == 18:  # a fold has twelve steps
            raise KeyboardInterrupt
        return real(*args, **options)

    with monkeypatch.context() as patched, pytest.raises(sl.Interrupted, match="sightline train --resume") as caught:
        patched.setattr(trainer, "learning_rate", stopping)
        small(tmp_path)
    folder = Path(caught.value.subject)
    assert not (folder / "results.json").exists()
    first = folder / "runs" / "fold-1-001" / "weights" / "last.safetensors"
    written = first.stat().st_mtime_ns
    with pytest.raises(sl.FileError, match="has not ended"):
        sl.report(folder)
    found = sl.resume_cross_validation(folder, quiet=True)
    assert first.stat().st_mtime_ns == written and len(list((folder / "runs").glob("fold-*"))) == FOLDS
    whole, resumed = ((it / "test" / "predictions.npz").read_bytes() for it in (done.folder, folder))
    assert whole == resumed
    assert (found.accuracy, found.sd) == (done.accuracy, done.sd)


def test_a_kill_before_a_fold_s_first_checkpoint_is_no_obstacle(
    done: sl.CrossValidationResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched, pytest.raises(Stop):
        stop_at(patched, 0)
        small(tmp_path)
    assert sl.resume_cross_validation(tmp_path / "synthetic-cnn-001", quiet=True).mean == done.mean


def test_a_full_disk_at_the_end_costs_no_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = sl.ResourceError("results.json", "the disk is full, so it was not written")

    def refuse(*_: Any) -> None:
        raise full

    with monkeypatch.context() as patched, pytest.raises(sl.ResourceError, match="disk is full"):
        patched.setattr(FoldsFolder, "write_results", refuse)
        small(tmp_path)
    folder = tmp_path / "synthetic-cnn-001"
    monkeypatch.setattr("sightline.training.resume.train_settings", refuse)  # nothing is trained again
    assert sl.resume_cross_validation(folder, quiet=True).images == 150


def test_pictures_that_changed_are_refused(tmp_path: Path) -> None:
    folder = paint(tmp_path / "pictures")
    found = sl.cross_validate(folder, FOLDS, runs=tmp_path, **QUICK)
    shutil.rmtree(found.folder / "runs" / "fold-3-001")
    noise(77).save(folder / "dark" / "00.png")
    with pytest.raises(sl.DataError, match=r"fold 1: .* pixels or labels have changed"):
        sl.resume_cross_validation(found.folder, quiet=True)
    assert not list((found.folder / "runs").glob("fold-3*"))  # nothing was trained on them


def test_answers_of_other_pictures_are_refused(done: sl.CrossValidationResult, tmp_path: Path) -> None:
    folder = unlisted(shutil.copytree(done.folder, tmp_path / "copy"))
    path = folder / done.folds[0].run / "test" / "predictions.npz"
    stored = Predictions.load(path)
    replace(stored, ids=stored.ids[::-1]).save(path)
    with pytest.raises(sl.DataError, match="not for the pictures that the data have now"):
        sl.resume_cross_validation(folder, quiet=True)


def test_a_budget_is_shared_out(tmp_path: Path) -> None:
    found = small(tmp_path, time="30s")
    share = FoldsFolder.open(found.folder).plan().settings.training.time
    assert share is not None and 8 <= share <= 10


# Files and commands


def test_folds_are_kept_with_the_answers(tmp_path: Path, done: sl.CrossValidationResult) -> None:
    stored = arrays.load(
        done.folder / "test" / "predictions.npz", ("ids", "labels", "probabilities", "class_names"), ""
    )
    path = tmp_path / "predictions.npz"
    arrays.save(path, **stored)
    assert Predictions.load(path).folds is None
    arrays.save(path, **stored, folds=np.ones(3, np.int64))
    with pytest.raises(sl.FileError, match="its folds have"):
        Predictions.load(path)


def test_the_command_tells_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items() if isinstance(value, str | int)]
    flags = [flag for flag in flags if not flag.startswith("--quiet")]
    words = ["train", "synthetic", "--folds", "3", "--epochs", "1", "--conv-widths", "4,8", "--runs", str(tmp_path)]
    assert run([*words, *flags, "--quiet", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["images"] == 150 and len(told["folds"]) == 3 and told["data"] == "synthetic"
    assert run(["train", "--resume", told["cross_validation"], "--quiet"]) == 0
    text = capsys.readouterr().out
    assert f"{100 * told['mean']:.2f}% ± {100 * told['sd']:.2f}" in text
    assert "not the standard error of the mean" in " ".join(text.split())
    assert run(["runs", told["cross_validation"], "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["runs"]) == 3
    assert run(["train", "--resume", told["cross_validation"], "--epochs", "9"]) == 2
    assert "the settings of a cross-validation cannot change" in capsys.readouterr().err
    assert run(["train", "--resume", str(tmp_path / "synthetic-cnn-001/runs/fold-1-001"), "--folds", "3"]) == 2
    assert capsys.readouterr().err.startswith("error: --folds: it cannot be given with --resume")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"folds": 1}, "folds: 1 found"),
        ({"folds": -3}, "folds: -3 found"),
        ({"folds": 25}, "folds: 25 folds of 24 pictures"),
        ({"folds": 13}, "folds: 13 folds, and class dark has 12 pictures .* Ask for folds=12"),
        ({"fold": (1, 3)}, "fold: given together with folds"),
        ({"group": "parent"}, "folds: 3 folds of 2 groups"),
        ({"group": "parent", "folds": 2}, "without fold . of 2 no picture of class (dark|light) is left"),
        ({"validation": 0.99}, "fold 1: validation"),
        ({"patience": 1, "validation": 0}, "fold 1: patience"),
    ],
)
def test_what_cannot_be_parted_is_said_before_anything_is_trained(
    changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    folder = paint(tmp_path / "pictures")
    with pytest.raises(sl.UsageError, match=said) as caught:
        sl.cross_validate(folder, **{"folds": 3, "runs": tmp_path / "made", **QUICK, **changes})
    assert not (tmp_path / "made").exists() and "\n" not in str(caught.value)


def test_arrays_and_other_folders_are_refused(tmp_path: Path) -> None:
    images, labels = np.zeros((20, 8, 8), np.uint8), np.arange(20) % 2
    with pytest.raises(sl.UsageError, match="cross_val_score"):
        sl.cross_validate((images, labels), 2, quiet=True)  # pyright: ignore[reportArgumentType]
    with pytest.raises(sl.UsageError, match="model: Identity found"):
        sl.cross_validate("digits", 2, model=nn.Identity(), quiet=True)  # pyright: ignore[reportArgumentType]
    with pytest.raises(sl.UsageError, match="fold: arrays"):
        sl.train((images, labels), fold=(1, 2), quiet=True)
    with pytest.raises(sl.FileError, match=r"no folds\.yaml"):
        sl.resume_cross_validation(tmp_path, quiet=True)
    (tmp_path / "folds.yaml").write_text("schema: 1\nfolds: [")
    with pytest.raises(sl.FileError, match="damaged"):
        sl.resume_cross_validation(tmp_path, quiet=True)
    (tmp_path / "folds.yaml").write_text("schema: 9\n")
    with pytest.raises(sl.FileError, match="schema 9"):
        sl.resume_cross_validation(tmp_path, quiet=True)


@pytest.mark.parametrize("fold", ["0,3", "4,3", "1,1", "2", "1,2,3", "a,b"])
def test_a_fold_that_is_none_is_refused(fold: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "digits", "--fold", fold]) == 2
    assert "which fold of how many, as in 2,5" in capsys.readouterr().err
