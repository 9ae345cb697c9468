"""Comparisons: what sides mean, that they are fair, that the results are the runs', and that a stop changes nothing."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy.stats import ttest_rel
from sklearn.metrics import accuracy_score

import sightline as sl
from helpers.sums import unlisted
from sightline.cli.app import run
from sightline.comparison.compare import _name
from sightline.comparison.folder import ComparisonFolder
from sightline.comparison.running import ImagesOnce, Job, run_one
from sightline.comparison.sides import build_sides
from sightline.evaluation.predictions import Predictions
from sightline.runs.folder import RunFolder
from sightline.settings import SprintSettings
from sightline.training.reporter import Silence

FAST: dict[str, Any] = {"batch_size": 64, "threads": 1, "precision": "fp32"}


def settings_of(*sides: str, data: str | None = "digits", **flags: Any) -> list[Any]:
    return [side.settings for side in build_sides(sides, data, flags)[0]]


def compare(tmp_path: Path, *sides: str, **options: Any) -> sl.ComparisonResult:
    usual: dict[str, Any] = {"data": "digits", "seeds": 2, "comparisons": tmp_path, "quiet": True, "steps": 8, **FAST}
    return sl.compare(sides, **{**usual, **options})


def without_times(results: dict[str, Any]) -> dict[str, Any]:
    times = {"seconds_per_epoch", "train_seconds", "latency_ms", "looks"}
    kept = [{key: value for key, value in side.items() if key not in times} for side in results["sides"]]
    return {**{key: value for key, value in results.items() if key not in {*times, "comparison"}}, "sides": kept}


# What a side means


def test_a_change_is_made_to_its_side_only_and_comes_last() -> None:
    plain, changed = settings_of("mnist-cnn", "mnist-cnn:lr=0.5,batch-size=7,schedule=cosine", lr=0.25)
    assert (plain.optimizer.lr, changed.optimizer.lr) == (0.25, 0.5)
    assert (changed.training.batch_size, changed.schedule.schedule) == (7, "cosine")
    assert plain.training.batch_size != 7


def test_a_change_may_hold_a_list_with_commas() -> None:
    first, second = settings_of("sprint:stage_widths=8,16,lr=0.1", "sprint:stage_widths=8,16,24,lr=0.1")
    assert isinstance(first.model, SprintSettings) and isinstance(second.model, SprintSettings)
    assert first.model.stage_widths == (8, 16) and second.model.stage_widths == (8, 16, 24)
    assert first.optimizer.lr == 0.1


@pytest.mark.parametrize(
    ("sides", "name"),
    [
        (["digits", "digits:lr=0.2", "digits:shift=1"], "digits"),
        (["cnn", "cnn:lr=0.2", "resnet8"], "digits-cnn-resnet8"),
    ],
)
def test_a_folder_s_name_says_each_word_once(sides: list[str], name: str) -> None:
    assert _name(build_sides(sides, "digits", {"steps": 3})[0]) == name


def test_a_recipe_s_dataset_holds_where_none_is_named() -> None:
    assert {s.data.name for s in settings_of("mnist-cnn", "cnn:lr=0.3", data=None, steps=3)} == {"mnist"}
    assert {s.data.name for s in settings_of("cnn:lr=0.2", "cnn:lr=0.3", data=None)} == {"digits"}


@pytest.mark.parametrize(
    ("sides", "flags", "words"),
    [
        (["mnist-cnn"], {}, "1 found"),
        (["mnist-cnn", "mnist-cnm"], {}, "Did you mean mnist-cnn"),
        (["cnn", "cnn:lrr=0.1"], {}, "'lrr' is not a setting"),
        (["cnn", "cnn:lr=fast"], {}, "cnn:lr=fast: lr"),
        (["cnn", "cnn:seed=3"], {}, "it changes seed, which a comparison sets itself. Use seeds."),
        (["cnn", "cnn:split_seed=3"], {}, "Use split_seed"),
        (["cnn", "cnn:lr=0.2", "cnn:lr=0.20"], {}, "the same as cnn:lr=0.2"),
        (["cnn", "resnet20"], {"seed": 3}, "seed"),
        (["mnist-resnet-pad", "mnist-alexnet:batch_size=3", "mnist-resnet-pad-tuned"], {}, "epochs=N"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_told_in_one_line(sides: list[str], flags: dict[str, Any], words: str) -> None:
    with pytest.raises(sl.UsageError, match=re.escape(words)) as caught:
        build_sides(sides, "digits", flags)
    assert "\n" not in str(caught.value)


def test_recipes_for_different_datasets_need_one_named() -> None:
    with pytest.raises(sl.UsageError, match="data: mnist-cnn is for mnist, cifar10-alexnet is for cifar10"):
        build_sides(["mnist-cnn", "cifar10-alexnet"], None, {"steps": 3})


def test_a_side_s_own_length_is_kept_beside_the_common_one() -> None:
    lengths = [s.training.epochs for s in settings_of("cnn", "cnn:epochs=1", "cnn:epochs=6", epochs=3)]
    assert lengths == [3, 1, 6]


def test_all_sides_have_the_first_one_s_images_and_none_watches_the_test() -> None:
    sides, notes = build_sides(["mnist-resnet-pad", "fashion-mnist-resnet18"], "mnist", {"steps": 5})
    first, second = (side.settings for side in sides)
    assert first.data.validation == second.data.validation == 5000
    assert not second.training.watch_test
    assert len(notes) == 1 and "validation 0.1 -> 5000" in notes[0] and "watch_test off" in notes[0]
    assert second.data.image_size == 96  # how a side sees the images is its own


# What comes of it


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> sl.ComparisonResult:
    place = tmp_path_factory.mktemp("comparisons")
    return compare(place, "cnn:lr=0.05", "cnn:lr=0.2", seeds=3)


def test_every_figure_is_that_of_the_runs(done: sl.ComparisonResult) -> None:
    accuracies: list[list[float]] = []
    for side in done.sides:
        found: list[float] = []
        for seed in side.seeds:
            answers = Predictions.load(done.folder / side.runs[seed] / "test" / "predictions.npz")
            found.append(float(accuracy_score(answers.labels, answers.predicted())))
            metrics = json.loads((done.folder / side.runs[seed] / "test" / "metrics.json").read_text())
            assert metrics["accuracy"] == pytest.approx(found[-1])
        assert list(side.accuracies) == pytest.approx(found)
        assert side.mean == pytest.approx(np.mean(found)) and side.sd == pytest.approx(np.std(found, ddof=1))
        accuracies.append(found)
    (pair,) = done.pairs
    reference: Any = ttest_rel(accuracies[0], accuracies[1])
    assert pair.p_value == pytest.approx(reference.pvalue)
    assert pair.interval == pytest.approx(tuple(reference.confidence_interval(0.95)))
    assert pair.difference == pytest.approx(np.mean(accuracies[0]) - np.mean(accuracies[1]))
    assert [row.seed for row in pair.mcnemar] == [0, 1, 2]
    assert done.test_images == 359


def test_costs_are_those_of_the_network(done: sl.ComparisonResult, capsys: pytest.CaptureFixture[str]) -> None:
    for side in done.sides:
        assert run(["summary", str(done.folder / side.runs[0]), "--json"]) == 0
        summary = json.loads(capsys.readouterr().out)
        assert (side.parameters, side.macs) == (summary["parameters"], summary["macs"])
        assert side.latency_ms is not None and side.latency_ms > 0 and side.train_seconds > 0
        assert side.seconds_per_epoch is None  # 8 steps are less than an epoch of 21


def test_results_are_written_as_they_are_given(done: sl.ComparisonResult) -> None:
    written = json.loads((done.folder / "results.json").read_text())
    assert written.pop("schema") == 1
    assert {"comparison": str(done.folder), **written} == done.to_dict()
    assert (done.folder / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_s_json_has_the_promised_keys(
    done: sl.ComparisonResult, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compare", "--resume", str(done.folder), "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sides"][0].keys() >= {
        "name", "mean", "sd", "n", "interval", "seconds_per_epoch", "parameters", "macs"
    }  # fmt: skip
    assert found["pairs"][0].keys() >= {"a", "b", "difference", "interval", "p_value", "verdict"}
    assert found["comparison"] == str(done.folder) and without_times(found) == without_times(done.to_dict())


def test_the_command_prints_the_verdict(done: sl.ComparisonResult, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", "--resume", str(done.folder), "--quiet"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert done.pairs[0].verdict in text and "359 test images" in text and "McNemar" in text


# Going on


def test_more_seeds_leave_the_others_as_they_are_and_are_remembered_as_a_look(tmp_path: Path) -> None:
    first = compare(tmp_path, "cnn:lr=0.05", "cnn:lr=0.2")
    more = sl.resume_comparison(first.folder, seeds=3, quiet=True)
    for before, after in zip(first.sides, more.sides, strict=True):
        assert after.accuracies[:2] == before.accuracies and after.n == 3
    assert more.looks == (2, 3)
    with pytest.raises(sl.UsageError, match="seed 2 is missing"):
        sl.resume_comparison(first.folder, seeds=2, quiet=True)


def test_a_run_that_was_broken_off_anywhere_is_made_whole(tmp_path: Path, done: sl.ComparisonResult) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(done.folder, folder)
    runs = folder / "runs"
    lost, begun, untested, unbegun = sorted(path for path in runs.iterdir() if path.is_dir() and path.name[0] != ".")[
        :4
    ]
    shutil.rmtree(lost)
    shutil.rmtree(begun / "checkpoints")
    shutil.rmtree(begun / "weights")
    (begun / "test" / "metrics.json").unlink()
    shutil.rmtree(untested / "test")
    (unbegun / "settings.yaml").unlink()
    again = sl.resume_comparison(folder, quiet=True)
    assert without_times(again.to_dict()) == without_times(done.to_dict())


def test_runs_in_processes_of_their_own_give_the_same(tmp_path: Path, done: sl.ComparisonResult) -> None:
    apart = compare(tmp_path, "cnn:lr=0.05", "cnn:lr=0.2", seeds=1, jobs=2)
    for one, other in zip(apart.sides, done.sides, strict=True):
        assert one.accuracies == other.accuracies[:1]


def test_an_error_names_side_and_seed_also_from_another_process(tmp_path: Path) -> None:
    for jobs in (1, 2):
        with pytest.raises(sl.NumericError, match=r"cnn:lr=1e30, seed 0: .*finite"):
            compare(tmp_path, "cnn:lr=1e30", "cnn:lr=0.2", seeds=1, jobs=jobs)


@pytest.mark.skipif(sys.platform == "win32", reason="signals as on POSIX systems are needed")
@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_says_how_to_go_on_and_nothing_is_lost(tmp_path: Path, jobs: int) -> None:
    words = ["compare", "cnn:lr=0.05", "cnn:lr=0.2", "--data", "digits", "--epochs", "400", "--seeds", "1", "--threads",
             "1", "--jobs", str(jobs), "--comparisons", str(tmp_path)]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "sightline", *words], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    waited = time.monotonic() + 100
    while not list(tmp_path.glob("*/runs/*/results.csv")) and time.monotonic() < waited:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=100)
    assert process.returncode == 130, said
    (folder,) = tmp_path.iterdir()
    assert said.strip().splitlines()[-1].endswith(f"Continue with: sightline compare --resume {folder}")
    trained = [path.parent for path in folder.glob("runs/*/results.csv")]
    assert trained and all(RunFolder.open(path).checkpoints() for path in trained)


def test_a_run_that_another_process_works_on_is_refused(
    tmp_path: Path, done: sl.ComparisonResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    from filelock import FileLock

    folder = ComparisonFolder(tmp_path)
    plan = ComparisonFolder.open(done.folder).plan()
    job = Job(folder, 0, plan.sides[0].name, 0)
    path = folder.runs.lock_path(job.run_name)
    path.parent.mkdir(parents=True)
    monkeypatch.setattr("sightline.training.resume.LOCK_SECONDS", 0)
    with FileLock(path), pytest.raises(sl.ResourceError, match="another process"):
        run_one(job, plan, ImagesOnce(), Silence())


# Runs that were finished before


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("runs")
    made: dict[str, Path] = {}
    for name, changes in {"slow": {"lr": 0.05}, "quick": {"lr": 0.2}}.items():
        for seed in (0, 1):
            settings: dict[str, Any] = {**FAST, **changes, "steps": 8, "seed": seed, "threads": 1 + seed}
            made[f"{name}{seed}"] = sl.train("digits", model="cnn", runs=place, name=name, quiet=True, **settings).run
    made["elsewhere"] = sl.train("synthetic", model="cnn", runs=place, quiet=True, steps=8, **FAST).run
    return made


def test_finished_runs_are_sides_by_their_settings(runs: dict[str, Path], tmp_path: Path) -> None:
    given = [runs[name] for name in ("slow0", "quick0", "slow1", "quick1")]
    found = sl.compare(given, comparisons=tmp_path, quiet=True)
    assert [(side.name, side.seeds) for side in found.sides] == [("slow", (0, 1)), ("quick", (0, 1))]
    for side in found.sides:
        for run_path in side.runs.values():
            assert (found.folder / run_path / "settings.yaml").is_file()
    again = sl.resume_comparison(found.folder, quiet=True)
    assert without_times(again.to_dict()) == without_times(found.to_dict())
    with pytest.raises(sl.UsageError, match="finished before"):
        sl.resume_comparison(found.folder, seeds=4, quiet=True)


def copied(run: Path, to: Path, **changes: Any) -> Path:
    """A copy of a run that says it had other settings: changes by section."""
    unlisted(shutil.copytree(run, to))
    path = to / "settings.yaml"
    settings = yaml.safe_load(path.read_text())
    for section, change in changes.items():
        settings[section] = {**settings[section], **change} if isinstance(change, dict) else change
    path.write_text(f"# schema 1\n{yaml.safe_dump(settings)}")
    return to


def test_sides_from_folders_of_one_name_stay_apart(runs: dict[str, Path], tmp_path: Path) -> None:
    places = ["a/slow-001", "b/slow-001", "c/x/slow-001", "d/x/slow-001"]
    given = [
        copied(runs["slow0"], tmp_path / place, optimizer={"lr": 0.06 + number / 100})
        for number, place in enumerate(places)
    ]
    found = sl.compare(given, comparisons=tmp_path / "comparisons", quiet=True)
    assert [side.name for side in found.sides] == ["slow", "slow-001", "x/slow-001", "x/slow-001 (2)"]
    assert len(found.pairs) == 6


def test_a_run_that_repeats_another_by_its_settings_is_of_its_side(runs: dict[str, Path], tmp_path: Path) -> None:
    again = copied(runs["slow0"], tmp_path / "again-001", recipe="settings", training={"seed": 7})
    found = sl.compare([runs["slow0"], again, runs["quick0"]], comparisons=tmp_path / "comparisons", quiet=True)
    assert [(side.name, side.seeds) for side in found.sides] == [("slow", (0, 7)), ("quick", (0,))]


def test_runs_that_cannot_be_compared_are_refused_and_leave_nothing(runs: dict[str, Path], tmp_path: Path) -> None:
    place = tmp_path / "comparisons"
    with pytest.raises(sl.DataError, match=r"tested on .* other images"):
        sl.compare([runs["slow0"], runs["elsewhere"]], comparisons=place)
    with pytest.raises(sl.UsageError, match="all runs have the settings of slow"):
        sl.compare([runs["slow0"], runs["slow1"]], comparisons=place)
    with pytest.raises(sl.UsageError, match="the same settings and seed as"):
        sl.compare([runs["slow0"], runs["quick0"], runs["slow0"]], comparisons=place)
    with pytest.raises(sl.FileError, match=r"no settings\.yaml"):
        sl.compare([runs["slow0"], tmp_path], comparisons=place)
    assert not place.exists() or not list(place.iterdir())


def test_a_run_without_a_test_is_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(runs["quick0"], copy)
    shutil.rmtree(copy / "test")
    with pytest.raises(sl.FileError, match="it has no test results"):
        sl.compare([runs["slow0"], copy], comparisons=tmp_path / "comparisons")


def test_pixels_that_differ_under_the_same_names_are_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    unlisted(shutil.copytree(runs["quick0"], copy))
    splits = json.loads((copy / "splits.json").read_text())
    splits["parts"]["test"]["content_sha256"] = "0" * 64
    (copy / "splits.json").write_text(json.dumps(splits))
    with pytest.raises(sl.DataError, match="other images"):
        sl.compare([runs["slow0"], copy], comparisons=tmp_path / "comparisons")


# A budget in seconds


def test_seconds_become_steps_by_each_side_s_own_pace(tmp_path: Path) -> None:
    found = sl.compare(
        ["cnn", "cnn:batch_size=512"], data="digits", seeds=1, seconds=0.2, comparisons=tmp_path, quiet=True, threads=1
    )
    plan = ComparisonFolder.open(found.folder).plan()
    small, large = (side.settings.training.steps or 0 for side in plan.sides)
    assert small > large >= 1
    assert plan.seconds == found.seconds == 0.2
    assert found.pairs[0].outcome == "no verdict"


# Bad input


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["cnn"], 2, "expected two or more"),
        (["cnn", "nonsense"], 2, "'nonsense' is not known"),
        (["cnn", "cnn:lr=0.2", "--seeds", "none"], 2, "--seeds"),
        (["cnn", "cnn:lr=0.2", "--seeds", "1,1"], 2, "different whole numbers"),
        (["cnn", "cnn:lr=0.2", "--seeds", "0"], 2, "--seeds"),
        (["cnn", "cnn:lr=0.2", "--confidence", "95"], 2, "at least 0.5 and below 1"),
        (["cnn", "cnn:lr=0.2", "--seconds", "3", "--epochs", "2"], 2, "given together with --epochs"),
        (["cnn", "cnn:epochs=6", "--seconds", "3"], 2, "cnn:epochs=6 has its own length"),
        (["cnn", "cnn:lr=0.2", "--seconds", "3", "--own-lengths"], 2, "given together with --seconds"),
        (["cnn", "cnn:lr=0.2", "--epochs", "3", "--own-lengths"], 2, "given together with --epochs"),
        (["cnn", "cnn:lr=0.2", "--jobs", "0"], 2, "1 or more"),
        (["--resume", "nowhere"], 4, "no such comparison folder"),
        (["--resume", "nowhere", "--lr", "3"], 2, "Leave it out"),
        (["cnn", "cnn:lr=0.2", "--watch-test"], 2, "--watch-test"),
    ],
)  # fmt: skip
def test_bad_words_get_one_line_and_their_exit_code(
    words: list[str], code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run(["compare", *words]) == code
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and said in error
    assert not list(tmp_path.iterdir())
