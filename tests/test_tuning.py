"""Tuning: spaces, a search that never sees the test images, going on, and the comparison at its end."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import sightline as sl
from sightline.cli.app import run
from sightline.comparison import compare as comparing
from sightline.recipes import resolve
from sightline.runs.folder import RunFolder
from sightline.settings import build_settings

pytest.importorskip("optuna", reason="Optuna is not installed")

from optuna.trial import TrialState

from sightline.tuning import trials as trial_room
from sightline.tuning.folder import StudyFolder, StudyPlan
from sightline.tuning.space import Choices, Range, default_space, space_of
from sightline.tuning.trials import open_study, settings_of

FAST: dict[str, Any] = {"epochs": 2, "batch_size": 64, "threads": 1, "precision": "fp32"}
SPACE = {"lr": {"low": 0.005, "high": 0.3, "log": True}, "hidden": {"choices": [32, 128]}}


def tune(tmp_path: Path, **options: Any) -> sl.TuneResult:
    usual: dict[str, Any] = {"space": SPACE, "trials": 4, "seeds": 0, "studies": tmp_path, "quiet": True, **FAST}
    return sl.tune("digits", **{**usual, **options})


def trials_of(result: sl.TuneResult) -> list[Any]:
    folder = StudyFolder(result.folder)
    return open_study(folder, folder.plan(), seed=0).get_trials(deepcopy=False)


# Spaces


def test_a_space_says_what_kind_of_numbers_a_setting_has() -> None:
    found = space_of(
        {
            "shift": {"low": 0, "high": 3},
            "erase": {"low": 0, "high": 1},
            "label-smoothing": {"low": 0, "high": 0.2, "step": 0.05},
            "stage_widths": {"choices": [[8, 16], [16, 32]]},
            "optimizer": {"choices": ["sgd", "adamw"]},
        },
        "space.yaml",
    )
    assert found["shift"] == Range(0, 3, whole=True) and found["erase"] == Range(0, 1)
    assert found["label_smoothing"] == Range(0, 0.2, step=0.05)
    assert found["stage_widths"] == Choices(((8, 16), (16, 32)))
    assert found["stage_widths"].stored([16, 32]) == "16,32" and found["stage_widths"].value("16,32") == (16, 32)
    assert found["shift"].stored(4) is None and found["label_smoothing"].stored(0.07) is None


@pytest.mark.parametrize(("low", "high", "step"), [(0, 0.2, 0.05), (0.1, 0.5, 0.1), (1, 9, 2)])
def test_a_range_with_steps_holds_each_of_them(low: float, high: float, step: float) -> None:
    found = Range(low, high, step=step)
    for count in range(round((high - low) / step) + 1):
        assert found.stored(round(low + count * step, 6)) is not None
        assert found.stored(low + (count + 0.4) * step) is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "no search space"),
        ([1], "no search space"),
        ({"lrr": {"low": 0, "high": 1}}, "'lrr' is not known"),
        ({"lr": {"low": 1, "high": 0.1}}, "low below high"),
        ({"lr": {"low": 0, "high": 0.1, "log": True}}, "above 0 with log"),
        ({"lr": {"low": 0.1, "high": 1, "log": True, "step": 0.1}}, "no step with log"),
        ({"lr": {"low": 0.1}}, "low and high"),
        ({"lr": {"low": 0.1, "high": 1, "sort": "even"}}, "low and high"),
        ({"flip": {"choices": ["none"]}}, "two choices or more"),
        ({"seed": {"low": 0, "high": 9}}, "it cannot be searched"),
        ({"validation": {"low": 0.1, "high": 0.5}}, "it cannot be searched"),
        ({"threads": {"low": 1, "high": 2}}, "it cannot be searched"),
    ],
)
def test_a_wrong_space_is_told_in_one_line(content: Any, words: str) -> None:
    with pytest.raises(sl.SightlineError, match=re.escape(words)) as caught:
        space_of(content, "space.yaml")
    assert "\n" not in str(caught.value) and "space.yaml" in str(caught.value)


def test_a_value_that_a_setting_refuses_is_found_before_the_search(tmp_path: Path) -> None:
    with pytest.raises(sl.UsageError, match=r"search space, dropout: dropout"):
        tune(tmp_path, space={"dropout": {"low": 0.1, "high": 1.5}})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("model", ["cnn", "resnet20", "resnet-pad", "sprint", "alexnet-small", "googlenet"])
def test_the_default_space_fits_every_kind_of_network(model: str) -> None:
    settings = build_settings({}, {"model": model, "data": "digits"})
    space = default_space(settings, "none")
    assert {"lr", "batch_size", "shift", "erase"} <= space.keys() and "flip" not in space
    plan = StudyPlan("s", "digits", "none", {"model": model}, space, None, prunes=True)
    trial_room.check_space(plan)
    for name, dimension in space.items():
        known = trial_room.value_of(settings, name)
        assert dimension.stored(known) is not None, f"{name}: where the search begins is in the space"


def test_a_network_with_weights_is_searched_as_it_is() -> None:
    settings = resolve("digits", "photos", {})
    space = default_space(settings, "alternate")
    assert space.keys() == {"lr", "batch_size", "label_smoothing", "trained_parts", "flip"}
    assert all(dimension.stored(trial_room.value_of(settings, name)) is not None for name, dimension in space.items())
    whole = default_space(resolve("digits", "photos", {"freeze": "none"}), "none")
    assert whole.keys() == {"lr", "batch_size", "label_smoothing", "shift", "erase"}


def test_a_mirror_is_searched_only_where_it_keeps_the_class() -> None:
    settings = build_settings({}, {"model": "cnn"})
    assert default_space(settings, "alternate")["flip"] == Choices(("none", "alternate"))


# The search


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> sl.TuneResult:
    return tune(tmp_path_factory.mktemp("studies"), lr=0.01, seeds=2, trials=6)


def test_it_begins_where_it_was_told_to_and_keeps_the_best(done: sl.TuneResult) -> None:
    first, *others = trials_of(done)
    assert first.params["lr"] == 0.01 and done.validation_before == first.value
    values = [trial.value for trial in (first, *others) if trial.state == TrialState.COMPLETE]
    assert done.validation == max(values)
    assert done.complete + done.pruned + done.failed == 6


def test_a_trial_is_a_run_with_its_settings_that_has_no_test_images(done: sl.TuneResult) -> None:
    runs = sorted((done.folder / "trials").iterdir())
    assert len(runs) == 6
    for path, trial in zip(runs, trials_of(done), strict=True):
        assert RunFolder(path).settings().optimizer.lr == trial.params["lr"]
        assert "test" not in json.loads((path / "splits.json").read_text())["parts"]
        assert not (path / "test").exists()


def test_the_end_is_a_comparison_of_the_start_with_the_winner(done: sl.TuneResult) -> None:
    assert done.comparison is not None
    names = [side.name for side in done.comparison.sides]
    assert names == ["digits", "digits, tuned"] and [side.n for side in done.comparison.sides] == [2, 2]
    plan = StudyFolder(done.folder).plan()
    best = trials_of(done)[done.best_trial]
    rates = {run.optimizer.lr for run in _settings_of_runs(done.comparison, 1)}
    assert rates == {best.params["lr"]} == {settings_of(plan, done.changes).optimizer.lr}
    assert done.final is not None and done.folder / done.final == done.comparison.folder


def _settings_of_runs(comparison: sl.ComparisonResult, side: int) -> list[sl.Settings]:
    return [RunFolder(comparison.folder / run).settings() for run in comparison.sides[side].runs.values()]


def written_comparison(result: sl.TuneResult) -> dict[str, Any]:
    assert result.comparison is not None
    written = json.loads((result.comparison.folder / "results.json").read_text())
    del written["schema"]
    return {"comparison": str(result.comparison.folder), **written}


def test_results_and_pictures_are_written(done: sl.TuneResult) -> None:
    written = json.loads((done.folder / "results.json").read_text())
    assert written.pop("schema") == 1
    assert {"folder": str(done.folder), **written, "comparison": written_comparison(done)} == done.to_dict()
    names = ["history", "slices", *(["importance"] if done.importance else [])]
    for name in names:
        assert (done.folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    if done.importance:
        assert sum(done.importance.values()) == pytest.approx(1)


def test_going_on_adds_trials_and_leaves_the_others(tmp_path: Path) -> None:
    first = tune(tmp_path, trials=2)
    before = [(trial.params, trial.value) for trial in trials_of(first)]
    more = sl.resume_study(first.folder, trials=3, seeds=0, quiet=True)
    after = [(trial.params, trial.value) for trial in trials_of(more)]
    assert after[:2] == before and len(after) == 3
    assert more.trials == 3


def test_a_trial_that_was_broken_off_is_done_again_with_its_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trial_room.train_settings
    runs = 0

    def breaks(*words: Any, **options: Any) -> Any:
        nonlocal runs
        runs += 1
        if runs == 2:
            raise KeyboardInterrupt
        return whole(*words, **options)

    monkeypatch.setattr(trial_room, "train_settings", breaks)
    with pytest.raises(sl.Interrupted, match=r"Continue with: sightline tune --resume"):
        tune(tmp_path, trials=3)
    (path,) = tmp_path.iterdir()
    again = sl.resume_study(path, quiet=True)
    trials = trials_of(again)
    assert [trial.state.name for trial in trials] == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert trials[2].params == trials[1].params
    assert (again.trials, again.failed) == (3, 0)
    assert [trial.number for trial in again.all_trials] == [0, 2, 3]


def test_what_was_asked_for_holds_after_a_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stops(*_words: Any, **_options: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(comparing, "compare_settings", stops)
        with pytest.raises(sl.Interrupted):
            tune(tmp_path, trials=2, seeds=[3, 4], lr=0.001)
    (path,) = tmp_path.iterdir()
    with pytest.raises(sl.FileError, match=r"this search has not ended.*tune --resume"):
        sl.report(path)
    found = sl.resume_study(path, quiet=True)
    assert found.trials == 2
    assert found.comparison is not None and found.comparison.sides[0].seeds == (3, 4)
    more = sl.resume_study(path, trials=3, quiet=True)
    assert more.trials == 3 and StudyFolder(path).plan().trials == 3


def test_what_is_given_anew_lifts_an_end_that_is_reached(tmp_path: Path) -> None:
    first = tune(tmp_path, trials=1000, seconds=0.001)
    assert first.trials == 1
    assert sl.resume_study(first.folder, trials=3, quiet=True).trials == 3
    more = sl.resume_study(first.folder, seconds=0.001, quiet=True)
    assert more.trials == 4 and more.budget is not None and more.budget.trials is None


def test_a_search_that_goes_on_is_not_reported_as_ended(tmp_path: Path) -> None:
    folder = StudyFolder(tune(tmp_path, trials=2).folder)
    assert sl.report(folder.path).files
    folder.write_plan(replace(folder.plan(), trials=5))
    with pytest.raises(sl.FileError, match="this search has not ended"):
        sl.report(folder.path)


def test_fewer_seeds_leave_what_was_compared(tmp_path: Path) -> None:
    first = tune(tmp_path, trials=2, seeds=2, lr=0.001)
    again = sl.resume_study(first.folder, seeds=1, quiet=True)
    assert again.comparison is not None and again.comparison.sides[0].seeds == (0, 1)
    assert sl.report(first.folder).files


def test_seconds_are_those_of_all_trials_and_of_every_sitting(tmp_path: Path) -> None:
    first = tune(tmp_path, space={"lr": {"choices": [0.1, 1e30]}}, trials=3, lr=1e30, seconds=600)
    assert first.failed >= 1
    assert first.seconds == sum(trial.user_attrs[trial_room.SECONDS] for trial in trials_of(first))
    folder = StudyFolder(first.folder)
    folder.write_plan(replace(folder.plan(), trials=1000, seconds=first.seconds))
    assert sl.resume_study(first.folder, quiet=True).trials == 3
    assert sl.resume_study(first.folder, seconds=0.001, quiet=True).trials == 4


def test_what_a_killed_process_was_trying_is_done_again(tmp_path: Path) -> None:
    first = tune(tmp_path, trials=1)
    folder = StudyFolder(first.folder)
    study = open_study(folder, folder.plan(), seed=0)
    trial = study.ask()
    for name, dimension in folder.plan().space.items():
        dimension.suggest(name, trial)
    trial.set_user_attr(trial_room.FOLDER, trial_room.place_of(folder))
    again = sl.resume_study(first.folder, trials=2, seeds=0, quiet=True)
    found = trials_of(again)
    assert [one.state.name for one in found] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert found[2].params == found[1].params


def test_a_trial_that_does_not_learn_is_a_failed_one_and_the_search_goes_on(tmp_path: Path) -> None:
    found = tune(tmp_path, space={"lr": {"choices": [0.1, 1e30]}}, lr=1e30, trials=3)
    assert found.failed >= 1 and found.complete >= 1
    assert found.changes == {"lr": 0.1}


def test_the_pruner_gives_up_what_is_below_the_median(tmp_path: Path) -> None:
    first = tune(tmp_path, space={"lr": {"choices": [0.1, 0.2, 1e-9]}}, lr=0.1, trials=1)
    folder = StudyFolder(first.folder)
    study = open_study(folder, folder.plan(), seed=0)
    for rate in ("0.1", "0.2", "0.1", "0.2", "0.1", "1e-09"):
        study.enqueue_trial({"lr": rate})
    found = trials_of(sl.resume_study(first.folder, trials=7, seeds=0, quiet=True))
    assert [trial.state.name for trial in found] == ["COMPLETE"] * 6 + ["PRUNED"]
    assert len(found[-1].intermediate_values) == 1  # after the first of two epochs


def test_a_search_over_lengths_gives_nothing_up(tmp_path: Path) -> None:
    found = tune(tmp_path, space={"epochs": {"low": 1, "high": 2}}, trials=2)
    assert not StudyFolder(found.folder).plan().prunes


def test_seconds_end_the_search(tmp_path: Path) -> None:
    assert tune(tmp_path, trials=1000, seconds=0.001).trials == 1


def test_two_folders_share_a_study_through_its_storage(tmp_path: Path) -> None:
    shared = {"storage": f"sqlite:///{tmp_path / 'shared.db'}", "study": "together"}
    tune(tmp_path / "one", trials=2, **shared)
    found = tune(tmp_path / "two", trials=4, **shared)
    assert found.trials == 4
    assert len(list((tmp_path / "one").glob("*/trials/*"))) == len(list((tmp_path / "two").glob("*/trials/*"))) == 2


@pytest.mark.parametrize(
    ("url", "recorded"),
    [
        ("postgresql://me:s3cret@host/db", "postgresql://me:***@host/db"),
        ("mysql+pymysql://me:s3/c:ret@host:3306/db?charset=utf8", "mysql+pymysql://me:***@host:3306/db?charset=utf8"),
        ("postgresql://host/db?user=me&password=s3cret&x=1", "postgresql://host/db?user=me&password=***&x=1"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("sqlite:////home/a@b/c:d.db", "sqlite:////home/a@b/c:d.db"),
    ],
)
def test_the_password_of_a_storage_is_not_recorded(url: str, recorded: str) -> None:
    from sightline.tuning.folder import has_password_left_out, without_password

    assert without_password(url) == recorded
    assert has_password_left_out(recorded) is (url != recorded)


def test_a_password_is_in_no_file_and_asked_for_again(tmp_path: Path) -> None:
    secret = "postgresql://me:s3cret@host/db"
    tune(tmp_path, trials=1)
    (folder,) = (StudyFolder(path) for path in tmp_path.iterdir())
    folder.write_plan(replace(folder.plan(), storage=secret))
    assert "s3cret" not in folder.plan_path.read_text()
    with pytest.raises(sl.UsageError, match=r"the password of postgresql://me:\*\*\*@host/db is not recorded"):
        sl.resume_study(folder.path, trials=2, quiet=True)
    with pytest.raises(sl.UsageError, match=r"storage: postgresql://me:\*\*\*@other/db found \(expected postgresql:"):
        sl.resume_study(folder.path, trials=2, storage="postgresql://me:s3cret@other/db", quiet=True)
    with pytest.raises(sl.ResourceError, match=r"^nonsense://me:\*\*\*@host: it cannot be used as storage") as error:
        open_study(folder, replace(folder.plan(), storage="nonsense://me:s3cret@host"), seed=0)
    assert "s3cret" not in str(error.value)


# The command


def test_the_command_prints_what_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("space.yaml").write_text("lr: {low: 0.05, high: 0.3, log: true}\n")
    words = [
        "tune",
        "digits",
        "--space",
        "space.yaml",
        "--trials",
        "3",
        "--seeds",
        "0",
        "--epochs",
        "1",
        "--threads",
        "1",
    ]
    assert run([*words, "--quiet", "--lr", "0.001"]) == 0
    text = capsys.readouterr().out
    assert "3 complete" in text and re.search(r"^lr +0\.001 ", text, re.MULTILINE) and "too optimistic" in text
    (folder,) = Path("studies").iterdir()
    assert run(["tune", "--resume", str(folder), "--trials", "3", "--seeds", "1", "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["trials"] == 3 and found["comparison"]["sides"][1]["n"] == 1


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "DATA: none given"),
        (["digits", "--trials", "0"], 2, "--trials"),
        (["digits", "--seconds", "0"], 2, "--seconds"),
        (["digits", "--validation", "0"], 2, "validation images"),
        (["digits", "--space", "nowhere.yaml"], 4, "no such file"),
        (["digits", "--storage", "sqlite:///a.db"], 2, "--study"),
        (["digits", "--storage", "nonsense://a", "--study", "s"], 6, "cannot be used as storage"),
        (["--resume", "nowhere"], 4, "no such study folder"),
        (["--resume", "nowhere", "--lr", "1"], 2, "Leave it out"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_bad_words_get_one_line_and_their_exit_code(
    words: list[str], code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run(["tune", *words, "--quiet"]) == code
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and said in error
