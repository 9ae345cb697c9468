"""The commands that a report names repeat what it reports."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers.reports import changed_json, page_of
from helpers.sums import unlisted
from sightline.cli.app import run as command
from sightline.cli.seeds import seeds_of
from sightline.tuning.folder import StudyFolder


def commands(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(folder.parent.parent)
    page, _ = page_of(folder)
    return [element["text"] for element in page.elements if element["tag"] == "pre"]


def test_the_commands_of_a_run_repeat_it_to_the_bit(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test = commands(trained, monkeypatch)[0].splitlines()
    assert train == f"sightline train --recipe runs/{trained.name}/settings.yaml"
    assert command([*shlex.split(train)[1:], "--runs", str(tmp_path / "again"), "--quiet"]) == 0
    (again,) = (tmp_path / "again").iterdir()
    page, _ = page_of(again)
    digest = next(e["text"] for e in page.elements if e.get("data-key") == "sha256()")
    first, _ = page_of(trained)
    assert digest == next(e["text"] for e in first.elements if e.get("data-key") == "sha256()")
    assert command(shlex.split(test)[1:]) == 0


def test_the_commands_of_a_comparison_repeat_it(
    compared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (line,) = commands(compared, monkeypatch)
    assert command([*shlex.split(line)[1:], "--comparisons", str(tmp_path / "again"), "--quiet"]) == 0
    (again,) = (tmp_path / "again").iterdir()
    means = [
        [side["accuracies"] for side in json.loads((f / "results.json").read_text())["sides"]]
        for f in (compared, again)
    ]
    assert means[0] == means[1]


def test_the_command_of_a_cross_validation_repeats_it_to_the_bit(
    folded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (line,) = commands(folded, monkeypatch)
    assert command([*shlex.split(line)[1:], "--runs", str(tmp_path / "again"), "--quiet"]) == 0
    (again,) = (tmp_path / "again").iterdir()
    first, second = ((folder / "test/predictions.npz").read_bytes() for folder in (folded, again))
    assert first == second


def test_the_commands_of_a_study_repeat_it(searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search, space, _ = commands(searched, monkeypatch)
    Path("space.yaml").write_text(space)
    words = shlex.split(search)[1:]
    words[words.index("--seeds") + 1] = "0"
    assert command([*words, "--studies", str(tmp_path / "again"), "--quiet"]) == 0
    (again,) = (tmp_path / "again").iterdir()
    found = [json.loads((folder / "results.json").read_text())["all_trials"] for folder in (searched, again)]
    assert found[0] == found[1]


def test_a_search_that_found_nothing_keeps_the_seeds_that_it_was_given(searched: Path, tmp_path: Path) -> None:
    folder = unlisted(shutil.copytree(searched, tmp_path / "nothing"))
    changed_json(folder / "results.json", final=None, changes={}, before={}, importance={})
    given, kept = (re.findall(r"sightline tune [^<]*--seeds (\S+)", page_of(place)[1]) for place in (searched, folder))
    assert given == kept != []


def test_calibration_is_suggested_only_where_it_can_help(copy: Path) -> None:
    changed_json(copy / "test/metrics.json", ece=0.001)
    assert "can fit a temperature" not in page_of(copy)[1]


@pytest.mark.parametrize(
    ("change", "said"), [({"extended_from_step": 20}, "no single command"), ({"model": None}, "a module of its own")]
)
def test_what_no_command_repeats_is_said(copy: Path, change: dict[str, Any], said: str) -> None:
    path = copy / "settings.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **change}))
    assert said in page_of(copy)[1]


def test_a_comparison_of_runs_made_longer_says_why_no_command_repeats_it(compared: Path, tmp_path: Path) -> None:
    folder = unlisted(shutil.copytree(compared, tmp_path / "copy"))
    path = next((folder / "runs").iterdir()) / "settings.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "extended_from_step": 20}))
    text = page_of(folder)[1]
    assert "made longer after their end" in text
    assert "a module of its own" not in text
    assert "<pre" not in text


def command_of(folder: Path) -> str:
    """The command in the last section of a comparison's page, empty where none is there."""
    found = re.search(r"<pre[^>]*>(?:<code>)?(sightline compare[^<]*)", page_of(folder)[1])
    return found[1] if found else ""


def test_a_comparison_s_command_has_its_seeds_and_its_confidence(compared: Path, tmp_path: Path) -> None:
    folder = unlisted(shutil.copytree(compared, tmp_path / "copy"))
    assert command_of(folder).endswith("--own-lengths --seeds 0,1")
    results = json.loads((folder / "results.json").read_text())
    alone = [{**side, "seeds": [0], "n": 1, "runs": {"0": side["runs"]["0"]}} for side in results["sides"]]
    changed_json(folder / "results.json", confidence=0.99, sides=alone)
    assert command_of(folder).endswith("--seeds 0, --confidence 0.99")
    assert seeds_of("0,") == [0]


@pytest.mark.parametrize(
    ("section", "change"), [("training", {"watch_test": True}), ("data", {"validation": 0.2, "split_seed": 3})]
)
def test_a_comparison_that_no_command_can_make_has_none(
    compared: Path, section: str, change: dict[str, Any], tmp_path: Path
) -> None:
    folder = unlisted(shutil.copytree(compared, tmp_path / "copy"))
    path = next((folder / "runs").iterdir()) / "settings.yaml"
    settings = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**settings, section: {**settings[section], **change}}))
    assert command_of(folder) == ""
    assert "no single command repeats it" in page_of(folder)[1]


def test_a_comparison_of_other_seeds_on_each_side_has_no_command(compared: Path, tmp_path: Path) -> None:
    folder = unlisted(shutil.copytree(compared, tmp_path / "copy"))
    first, *others = json.loads((folder / "results.json").read_text())["sides"]
    changed_json(folder / "results.json", sides=[{**first, "seeds": [5, 6]}, *others])
    assert command_of(folder) == ""


def test_a_study_s_command_has_words_as_they_were_given(searched: Path, tmp_path: Path) -> None:
    folder = unlisted(shutil.copytree(searched, tmp_path / "copy"))
    plan = StudyFolder(folder).plan()
    StudyFolder(folder).write_plan(replace(plan, flags={**plan.flags, "data_dir": "/Data/MNIST"}))
    assert "--data-dir /Data/MNIST" in page_of(folder)[1]


# What has not ended
