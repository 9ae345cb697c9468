"""Model cards: what the Hub reads, every number from a file, and nobody's own words overwritten."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

import sightline as sl
from helpers.reports import says, value_at
from helpers.sums import unlisted
from sightline.cli.app import run as command
from sightline.data.catalog import DATASETS
from sightline.reporting import card as card_room
from sightline.reporting.blocks import Figures, Table
from sightline.reporting.card import CARD, card
from sightline.reporting.facts import Run
from sightline.reporting.origins import ORIGINS
from sightline.reporting.sections.model_card import card_of, origin_of
from sightline.reporting.subjects import read
from sightline.reporting.words import words
from sightline.runs.folder import RunFolder
from sightline.runs.records import Pretrained

FAST: dict[str, Any] = {"threads": 1, "precision": "fp32", "batch_size": 64, "quiet": True}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("made") / "runs"
    return sl.train("digits", model="cnn", epochs=2, runs=place, **FAST).run


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    return unlisted(shutil.copytree(trained, tmp_path / "digits-001", ignore=shutil.ignore_patterns(CARD)))


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("made")
    sides = ["cnn:hidden=16", "cnn:hidden=64"]
    return sl.compare(sides, data="digits", epochs=1, seeds=2, comparisons=place, **FAST).folder


def taken_apart(path: Path) -> tuple[dict[str, Any], str]:
    """Front matter and text, by YAML's own reader."""
    _, head, text = path.read_text("utf-8").split("---\n", 2)
    return yaml.safe_load(head), text


def metrics_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "test/metrics.json").read_text())


# What the Hub reads


def test_the_front_matter_has_the_documented_keys(copy: Path) -> None:
    head, _ = taken_apart(card(copy).path)
    assert head["license"] == "other" and head["library_name"] == "sightline"
    assert head["pipeline_tag"] == "image-classification" and head["metrics"] == ["accuracy", "f1"]
    assert set(head) <= {"license", "library_name", "pipeline_tag", "tags", "datasets", "metrics", "model-index"}
    (model,) = head["model-index"]
    (result,) = model["results"]
    assert set(result) == {"task", "dataset", "metrics"} and result["dataset"]["type"] == "digits"
    told = {metric["type"]: metric["value"] for metric in result["metrics"]}
    truth = metrics_of(copy)
    assert [told["accuracy_95_low"], told["accuracy_95_high"]] == truth["interval"]
    assert (told["accuracy"], told["f1"], told["loss"]) == (truth["accuracy"], truth["macro_f1"], truth["loss"])


def test_huggingface_hub_reads_the_card(copy: Path) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    loaded = hub.ModelCard.load(card(copy, license="apache-2.0").path)
    assert loaded.data.license == "apache-2.0" and loaded.data.model_name == "cnn on digits"
    assert loaded.text.lstrip().startswith("# cnn on digits")
    found = {result.metric_type: result for result in loaded.data.eval_results}
    assert found["accuracy"].metric_value == metrics_of(copy)["accuracy"]
    assert found["accuracy"].task_type == "image-classification" and found["accuracy"].dataset_split == "test"
    assert len(found) == 5


def test_a_dataset_of_the_hub_is_named_as_it_is_there(copy: Path) -> None:
    splits = json.loads((copy / "splits.json").read_text())
    splits["parts"]["train"]["images"], splits["parts"]["validation"]["images"] = 54_000, 6_000
    (copy / "splits.json").write_text(json.dumps(splits))
    settings = copy / "settings.yaml"
    settings.write_text(settings.read_text().replace("name: digits", "name: mnist"))
    head, text = taken_apart(card(copy).path)
    assert head["datasets"] == ["ylecun/mnist"]
    assert head["model-index"][0]["results"][0]["dataset"]["type"] == "ylecun/mnist"
    assert "BY-SA 3.0" in text and "dataset's own test split" in text


def test_every_known_dataset_has_its_origin() -> None:
    assert ORIGINS.keys() == DATASETS.keys()


def test_data_of_ones_own_come_from_nowhere_known_even_under_a_known_name(copy: Path) -> None:
    settings, usual = copy / "settings.yaml", (copy / "settings.yaml").read_text()
    for name in ("pictures", "cifar10"):
        settings.write_text(usual.replace("name: digits", f"name: {name}"))
        run = read(copy)
        assert isinstance(run, Run) and origin_of(run) is None
        head, text = taken_apart(card(copy).path)
        assert "datasets" not in head and head["model-index"][0]["results"][0]["dataset"]["type"] == "imagefolder"
        assert "Source: not known." in text and "License: not known." in text


# Every number


def check_numbers(folder: Path) -> int:
    run = read(folder)
    assert isinstance(run, Run)
    report = card_of(run, card_room._comparison_of(run), words("en"), in_folder=True)
    _, text = taken_apart(card(folder).path)
    count = 0
    for section in report.sections:
        for block in section.blocks:
            if isinstance(block, Table):
                cells = [cell for row in block.rows for cell in row]
            else:
                cells = [cell for _, cell in block.items] if isinstance(block, Figures) else []
            for cell in cells:
                if re.search(r"\d", cell.text) and cell.file and ", " not in cell.key:
                    assert says(cell.text, value_at(folder, cell.file, cell.key)), cell
                    assert cell.text.replace("_", "\\_") in text
                    count += 1
    return count


def test_every_number_is_in_the_file_that_it_names(copy: Path) -> None:
    assert check_numbers(copy) > 80


def test_a_wrong_number_would_be_seen(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = value_at
    monkeypatch.setitem(globals(), "value_at", lambda *where: -1 if where[2] == "macro_f1" else truth(*where))
    with pytest.raises(AssertionError):
        check_numbers(copy)


def test_a_run_of_a_comparison_tells_what_the_other_seeds_came_to(compared: Path) -> None:
    results = json.loads((compared / "results.json").read_text())
    side = results["sides"][1]
    run = compared / side["runs"]["0"]
    before = check_numbers(run)
    _, text = taken_apart(card(run).path)
    row = next(line for line in text.splitlines() if line.startswith("|") and f"{100 * side['mean']:.2f}%" in line)
    assert f"{100 * side['sd']:.2f}%" in row and row.rstrip(" |").endswith("| 2")
    assert f"{100 * results['sides'][0]['mean']:.2f}%" not in row and before > 80
    assert "../../results.json" in text


def test_the_classes_the_images_and_the_way_to_load_it_are_told(copy: Path) -> None:
    _, text = taken_apart(card(copy).path)
    assert "The classes: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9." in text
    assert "UCI" in text and "BSD" in text and "sightline train --recipe" in text
    assert "sightline predict weights/best.safetensors picture.png" in text and "onnx" not in text.lower()
    (copy / "model.onnx").write_bytes(b"")
    _, text = taken_apart(card(copy).path)
    assert "sightline predict model.onnx picture.png" in text
    for picture in re.findall(r"!\[.*\]\((.*)\)", text):
        assert (copy / picture).is_file()


def test_the_python_that_a_card_shows_runs(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    _, text = taken_apart(card(copy).path)
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    Image.new("L", (8, 8), 200).save(copy / "picture.png")
    monkeypatch.chdir(copy)
    exec(compile(code, "card", "exec"), {})
    label, probability = capsys.readouterr().out.split()
    assert label in set("0123456789") and 0 < float(probability) <= 1


# Whose words


def test_a_card_replaces_its_own_and_nobody_elses(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = card(copy).path
    assert path == copy / "README.md"
    first = path.read_bytes()
    assert card(copy).path.read_bytes() == first
    changed = path.read_text().replace("license: other", "license: mit")
    for content, said in [
        (changed, "was changed since"),
        (path.read_text() + "\nMine.\n", "was changed since"),
        ("# My notes\n", "was not written by"),
    ]:
        path.write_text(content)
        assert command(["card", str(copy)]) == 2
        assert said in capsys.readouterr().err and path.read_text() == content
    path.write_bytes(b"\xff\xfe\x00")
    assert command(["card", str(copy)]) == 2
    assert command(["card", str(copy), "--force"]) == 0
    assert path.read_bytes() == first


def test_a_card_elsewhere_shows_no_pictures_and_says_so_in_json(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["card", str(copy), "--out", str(tmp_path / "x/card.md"), "--license", "mit", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    head, text = taken_apart(tmp_path / "x/card.md")
    assert said == {"path": str(tmp_path / "x/card.md"), "front_matter": head} and head["license"] == "mit"
    assert "![" not in text and not (copy / "README.md").exists()


# Made of what is there


def test_a_run_without_a_test_has_no_results(copy: Path) -> None:
    shutil.rmtree(copy / "test")
    head, text = taken_apart(card(copy).path)
    assert "model-index" not in head and "metrics" not in head and "has not been tested" in text
    shutil.rmtree(copy / "weights")
    assert "It has no weights yet." in taken_apart(card(copy).path)[1]


def test_weights_that_it_began_with_are_named(copy: Path) -> None:
    source = Pretrained("imagenet", "resnet18.pth", "ab12", "torchvision", (), (), (), (1000, 10), (3, 1), "imagenet")
    RunFolder(copy).write(source)
    assert "Training started from the weights of resnet18.pth (SHA-256 ab12)." in taken_apart(card(copy).path)[1]


def test_what_is_no_run_is_refused_in_one_line(
    copy: Path, compared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, said in ((compared, "a comparison"), (tmp_path / "none", "no such folder")):
        assert command(["card", str(folder)]) == 4
        assert said in capsys.readouterr().err
    (copy / "test/metrics.json").write_text("{}")
    assert command(["card", str(copy)]) == 4
    assert not (copy / CARD).exists() and len(capsys.readouterr().err.splitlines()) == 1
