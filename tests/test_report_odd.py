"""Reports of what is unfinished, older, hostile or odd."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

import sightline as sl
from helpers.reports import changed_json, overflows, page_of, with_hostile_names
from helpers.sums import unlisted
from sightline.cli.app import run as command
from sightline.comparison.folder import ComparisonFolder
from sightline.reporting.make import report
from sightline.tuning.folder import StudyFolder


def test_a_comparison_that_has_not_ended_says_how_to_go_on(
    compared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = unlisted(shutil.copytree(compared, tmp_path / "half"))
    (folder / "results.json").unlink()
    assert command(["report", str(folder)]) == 4
    assert f"sightline compare --resume {folder}" in capsys.readouterr().err


def test_a_study_of_an_older_version_says_how_it_is_written_anew(
    searched: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = unlisted(shutil.copytree(searched, tmp_path / "old"))
    results = json.loads((folder / "results.json").read_text())
    del results["all_trials"]
    (folder / "results.json").write_text(json.dumps(results))
    assert command(["report", str(folder)]) == 4
    assert f"sightline tune --resume {folder} --trials 4" in capsys.readouterr().err


def test_a_search_without_a_comparison_shows_its_best_trial(searched: Path, tmp_path: Path) -> None:
    pptx = pytest.importorskip("pptx", reason="python-pptx is not installed")
    folder = unlisted(shutil.copytree(searched, tmp_path / "alone"))
    results = json.loads((folder / "results.json").read_text())
    (folder / "results.json").write_text(
        json.dumps({**results, "final": None, "budget": {**results["budget"], "seeds": []}})
    )
    study = StudyFolder(folder)
    study.write_plan(replace(study.plan(), seeds=()))
    page, text = page_of(folder, slides=True)
    assert "not compared" in text and {"data", "network", "training"} <= {
        element.get("id") for element in page.elements
    }
    assert 8 <= len(pptx.Presentation(folder / "slides.pptx").slides) <= 12
    # Another machine may have made that trial.
    shutil.rmtree(folder / "trials")
    page, _ = page_of(folder, slides=True)
    assert "data" not in {element.get("id") for element in page.elements}
    assert 8 <= len(pptx.Presentation(folder / "slides.pptx").slides) <= 12


# Names that were not meant well


@pytest.mark.draws
def test_hostile_names_are_text_and_nothing_else(copy: Path) -> None:
    pptx = pytest.importorskip("pptx", reason="python-pptx is not installed")
    with_hostile_names(copy)
    page, text = page_of(copy, slides=True, markdown=True)
    assert not page.wrong
    assert not [e for e in page.elements if e["tag"] == "script" or any(name.startswith("on") for name in e)]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    names = {element["text"] for element in page.elements if element["tag"] == "td" and not element["place"]}
    assert {"<script>alert(1)</script>", "a|b `c` [d](e) *f*", "{accuracy}", "&amp;"} <= names
    written = (copy / "report.md").read_text("utf-8")
    assert "<script>" not in written.replace("\\<script\\>", "") and "\\[d\\](e)" in written
    rows = [line for line in written.splitlines() if line.startswith("| ") and "script" in line]
    assert len(re.findall(r"(?<!\\)\|", rows[0])) == 6
    overflows(pptx.Presentation(copy / "slides.pptx"))


# Slides


def test_json_tells_what_was_written(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / "report.html").write_text("the old one")
    assert command(["report", str(copy), "--markdown", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["files"] == [str(copy / name) for name in ("report.html", "report.md", "report_pictures")]
    assert (copy / "report.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.write_text("a file")])
def test_what_is_no_run_is_refused(
    make: Callable[[Path], Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "thing")
    assert command(["report", str(tmp_path / "thing")]) == 4
    assert capsys.readouterr().err.count("\n") == 1 and not (tmp_path / "thing/report.html").exists()


def test_the_same_run_gives_the_same_page(copy: Path) -> None:
    assert page_of(copy)[1] == page_of(copy)[1]


def test_no_torch_is_needed(copy: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; import sightline as sl;"
        "from PIL import Image; from sightline.drawing import canvas;"
        "canvas.write = lambda path, draw, trim=False: Image.new('L', (1, 1)).save(path);"
        "print(*sl.report(sys.argv[1]).files)"
    )
    found = subprocess.run([sys.executable, "-c", code, str(copy)], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == str(copy / "report.html")


# Repeating


def test_more_seeds_that_are_not_trained_yet_make_no_report(compared: Path, tmp_path: Path) -> None:
    folder = ComparisonFolder(unlisted(shutil.copytree(compared, tmp_path / "copy")))
    folder.write_plan(replace(folder.plan(), seeds=(0, 1, 2)))
    with pytest.raises(sl.FileError, match=r"this comparison has not ended.*--resume"):
        report(folder.path)


def test_a_longer_run_that_was_stopped_is_not_told_by_its_former_test(copy: Path) -> None:
    accuracy = f"{100 * json.loads((copy / 'test' / 'metrics.json').read_text())['accuracy']:.2f}%"
    assert accuracy in page_of(copy)[1]
    path = copy / "settings.yaml"
    settings = yaml.safe_load(path.read_text())
    longer = {**settings["training"], "epochs": settings["training"]["epochs"] + 5}
    path.write_text(f"# schema 1\n{yaml.safe_dump({**settings, 'training': longer})}")
    text = page_of(copy)[1]
    assert "The training has not ended" in text and accuracy not in text


def test_a_test_of_other_weights_does_not_count(copy: Path) -> None:
    changed_json(copy / "test" / "metrics.json", step=1)
    assert "It has not been tested" in page_of(copy)[1]


# Several runs, many sides


def test_a_title_of_many_long_names_is_no_obstacle(compared: Path, tmp_path: Path) -> None:
    pptx = pytest.importorskip("pptx", reason="python-pptx is not installed")
    folder = unlisted(shutil.copytree(compared, tmp_path / "copy"))
    sides = json.loads((folder / "results.json").read_text())["sides"]
    named = [{**side, "name": f"{side['name']}:{'label_smoothing=0.1,' * 6}"} for side in sides]
    changed_json(folder / "results.json", sides=named)
    deck = pptx.Presentation(report(folder, slides=True).files[1])
    assert 200 < len(deck.core_properties.title) <= 255


def test_test_images_among_the_others_are_told_however_many_there_are(copy: Path) -> None:
    audit = json.loads((copy / "audit.json").read_text())
    named = [{"parts": ["train", "validation"], "images": ["a", "b"], "same_label": True}] * 20
    across = {"pairs": 150, "other_label": 0, "with_test": 50, "named": named}
    changed_json(copy / "audit.json", duplicates={**audit["duplicates"], "across": across})
    assert "The accuracy without the test images that were also used" in page_of(copy)[1]
    changed_json(copy / "audit.json", duplicates={**audit["duplicates"], "across": {**across, "with_test": 0}})
    assert "The accuracy without the test images that were also used" not in page_of(copy)[1]


def test_what_runs_of_a_comparison_differ_in_is_told(compared: Path, tmp_path: Path) -> None:
    folder = unlisted(shutil.copytree(compared, tmp_path / "copy"))
    path = sorted((folder / "runs").iterdir())[-1] / "environment.json"
    found = json.loads(path.read_text())
    path.write_text(json.dumps({**found, "threads": found["threads"] + 1}))
    text = page_of(folder)[1]
    assert f"threads: {found['threads']}, {found['threads'] + 1}," in text
    assert re.search(r"\b1 epoch\b", text)
    assert "1 epochs" not in text
