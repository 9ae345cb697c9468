"""What commands print: JSON that is nothing but JSON, tables that lose nothing in a pipe."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import sightline
from sightline.cli.app import run
from sightline.cli.output import finite
from sightline.errors import ImageError

TRAIN_KEYS = {"run", "model", "data", "epochs", "steps", "train_seconds", "seed"} | {
    "val_accuracy",
    "test_accuracy",
    "test_interval",
}


class Answer:
    def __init__(self, source):
        self.source, self.label, self.probability = str(source), "a, b", 0.75
        self.probabilities = {"a, b": 0.75, "c": 0.25}

    def top(self, count):
        return list(self.probabilities.items())[:count]

    def to_dict(self):
        return {"path": self.source} | {k: getattr(self, k) for k in ("label", "probability", "probabilities")}


@pytest.fixture
def asked(monkeypatch):
    """The pictures that `predict` asks a classifier about; it answers for all that are not called bad."""
    calls = []

    def predict(pictures, *, batch_size, skip_bad, on_bad):
        print("a library that talks")
        calls.append([str(p) for p in pictures])
        for picture in pictures:
            if skip_bad and "bad" in str(picture):
                on_bad(ImageError(str(picture), "it is empty"))
        return [Answer(p) for p in pictures if not (skip_bad and "bad" in str(p))]

    classifier = SimpleNamespace(predict=predict, class_names=("a, b", "c"))
    monkeypatch.setitem(sys.modules, "sightline.classifier", SimpleNamespace(load=lambda *_, **__: classifier))
    return calls


@pytest.fixture
def pictures(tmp_path):
    for name in ("b.PNG", "a.jpg", "deep/er/c.webp", "deep/bad.gif", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_json_has_null_where_a_number_is_not_finite():
    value = {"a": [math.nan, 1.5, (math.inf, -math.inf)], "b": {"c": np.float64("nan")}, 3: "nan", "t": True}
    assert finite(value) == {"a": [None, 1.5, [None, None]], "b": {"c": None}, "3": "nan", "t": True}


def test_train_json_is_one_object_and_nothing_else(capsys, monkeypatch):
    result = dict.fromkeys(TRAIN_KEYS, 1.0) | {"val_accuracy": math.nan, "run": "runs/x-001"}

    def train(*_args, **_more):
        print("a library that talks")
        return SimpleNamespace(to_dict=lambda: result)

    monkeypatch.setattr(sightline, "train", train)
    assert run(["train", "digits", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out, parse_constant=pytest.fail) == result | {"val_accuracy": None}
    assert "a library that talks" in err


def test_predict_takes_files_folders_and_stdin_in_order(asked, pictures, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{pictures}/x y.png\n\n{pictures}/bad.png\n"))
    assert run(["predict", "m", f"{pictures}/notes.txt", str(pictures), "-", "--json"]) == 0
    expected = ["notes.txt", "a.jpg", "b.PNG", "deep/bad.gif", "deep/er/c.webp", "x y.png", "bad.png"]
    assert asked == [[f"{pictures}/{name}" for name in expected]]
    answers = json.loads(capsys.readouterr().out)
    assert [Path(a["path"]).name for a in answers] == [Path(name).name for name in expected]
    assert all(set(a) == {"path", "label", "probability", "probabilities"} for a in answers)


def test_predict_csv_is_read_back_by_another_reader(asked, pictures, capsys):
    assert run(["predict", "m", str(pictures), "--format", "csv"]) == 0
    text = capsys.readouterr().out
    rows = list(csv.DictReader(io.StringIO(text[text.index("path,") :])))
    assert len(rows) == 4
    assert rows[0] == {
        "path": f"{pictures}/a.jpg", "label": "a, b", "probability": "0.75", "probability_a, b": "0.75",
        "probability_c": "0.25",
    }  # fmt: skip


def test_predict_table_keeps_long_paths_whole_in_a_pipe(asked, pictures, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    assert run(["predict", "m", str(pictures), "--top-k", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if f"{pictures}/deep/er/c.webp" in line]
    assert "a, b" in line and "75.00%" in line and "c 25.00%" in line


def test_predict_names_what_it_skipped(asked, pictures, capsys):
    assert run(["predict", "m", str(pictures), "--skip-bad", "--json"]) == 0
    out, err = capsys.readouterr()
    assert len(json.loads(out)) == 3
    assert f"skipped 1 unreadable: {pictures}/deep/bad.gif (it is empty)" in err


def test_predict_refuses_a_folder_without_pictures(asked, tmp_path, capsys):
    assert run(["predict", "m", str(tmp_path)]) == 3
    assert f"{tmp_path}: it has no pictures" in capsys.readouterr().err
    assert asked == []


def test_predict_takes_from_a_folder_what_training_takes(asked, pictures, capsys):
    for name in (".thumbs/x.png", "deep/.x.png", "__MACOSX/a.jpg"):
        (pictures / name).parent.mkdir(exist_ok=True)
        (pictures / name).touch()
    (pictures / "deep" / "gone.png").symlink_to(pictures / "nowhere.png")
    (pictures / "deep" / "loop").symlink_to(pictures, target_is_directory=True)
    assert run(["predict", "m", str(pictures), "--json"]) == 0
    assert asked == [[f"{pictures}/{n}" for n in ("a.jpg", "b.PNG", "deep/bad.gif", "deep/er/c.webp", "deep/gone.png")]]


def test_predict_names_a_folder_that_may_not_be_listed(asked, pictures, capsys, monkeypatch):
    real = os.scandir

    def closed(folder):
        if Path(folder).name == "er":
            raise PermissionError(13, "Permission denied", str(folder))
        return real(folder)

    monkeypatch.setattr(os, "scandir", closed)
    assert run(["predict", "m", str(pictures)]) == 3
    assert f"{pictures}/deep/er: it cannot be listed (Permission denied)" in capsys.readouterr().err
    assert asked == []


def test_summary_counts_what_the_paper_counts(capsys):
    # He et al., arXiv 1512.03385, and torchvision's published figure.
    assert run(["summary", "resnet18", "--classes", "1000", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"] == 11_689_512
    assert run(["summary", "resnet18", "--classes", "1000"]) == 0
    text = capsys.readouterr().out
    assert "11,689,512" in text and "1x3x224x224" in text


def test_summary_of_a_known_name_is_not_that_of_a_folder(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("mnist", "resnet-pad"):
        (tmp_path / name).mkdir()
        assert run(["summary", name]) == 0
        assert run(["summary", f"./{name}"]) == 4
    assert "no settings.yaml" in capsys.readouterr().err


def test_names_that_are_not_utf8_come_out_as_they_are(tmp_path):
    script = (
        "import sys; from sightline.cli import output, streams; streams.prepare_streams();"
        "name = sys.stdin.read(); output.print_exactly(name); output.print_json({'file': name})"
    )
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(
        [sys.executable, "-c", script], input=b"caf\xe9.png", capture_output=True, check=True, env=strict
    )
    plain, as_json = done.stdout.splitlines()
    assert plain == b"caf\xe9.png"
    assert os.fsencode(json.loads(as_json.decode("utf-8"))["file"]) == b"caf\xe9.png"


def test_recipes_and_datasets_are_all_listed(capsys):
    from sightline.data.catalog import dataset_names
    from sightline.recipes import recipe_names

    assert run(["recipes", "--json"]) == 0
    assert [r["name"] for r in json.loads(capsys.readouterr().out)["recipes"]] == list(recipe_names())
    assert run(["data", "list", "--json"]) == 0
    assert [d["name"] for d in json.loads(capsys.readouterr().out)["datasets"]] == list(dataset_names())
    for words, names in ((["recipes"], recipe_names()), (["data", "list"], dataset_names())):
        assert run(words) == 0
        first = [line.split(" ")[0] for line in capsys.readouterr().out.splitlines()]
        assert [name for name in names if name not in first] == []


def test_a_run_from_training_to_prediction(tmp_path, capsys):
    words = "train synthetic --synthetic-count 60 --synthetic-classes 3 --image-size 8 --channels 1 --device cpu"
    words += " --model cnn --kernel 3 --conv-widths 4,8 --hidden 8 --steps 4 --batch-size 16 --json"
    assert run([*words.split(), "--runs", str(tmp_path)]) == 0
    trained = json.loads(capsys.readouterr().out)
    assert set(trained) == TRAIN_KEYS
    assert (trained["data"], trained["steps"], trained["seed"]) == ("synthetic", 4, 0)

    assert run(["test", trained["run"], "--device", "cpu", "--json"]) == 0
    tested = json.loads(capsys.readouterr().out)
    assert tested["accuracy"] == trained["test_accuracy"] and tested["n"] == 12
    assert tested["interval"] == trained["test_interval"]
    assert run(["test", trained["run"], "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    assert f"{100 * tested['accuracy']:.2f}%  (95% interval" in shown and "confusion_matrix.png" in shown

    assert run(["summary", trained["run"], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["input"] == [1, 1, 8, 8]

    picture = tmp_path / "picture.png"
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(picture)
    assert run(["predict", trained["run"], str(picture), "--device", "cpu", "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer["path"] == str(picture)
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-6)
    assert answer["probability"] == max(answer["probabilities"].values())

    assert run(["predict", trained["run"], str(picture), str(tmp_path / "none.png"), "--device", "cpu"]) == 3
    assert capsys.readouterr().err.count("\n") == 1
