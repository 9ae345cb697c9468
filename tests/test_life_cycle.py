"""Training, testing and predicting as separate steps over one run folder, and training on in it (R2)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import sightline as sl
from helpers.training import Stop, facts, stop_at
from sightline.classifier.model_file import pack, unpack
from sightline.cli.app import run
from sightline.errors import UsageError
from sightline.runs.folder import RESULTS, RunFolder
from sightline.training.checkpoints import read_state
from sightline.training.reporter import Lines, Live, Silence, epoch_line

# Digits: 1797 images, of which the recipe keeps 20 % for the test and 10 % of the rest for validation.
FEW: dict[str, Any] = {"schedule": "constant", "threads": 1, "log_steps": 5, "device": "cpu"}
WORDS = ["train", "digits", "--schedule", "constant", "--threads", "1", "--log-steps", "5", "--device", "cpu"]
QUIET = ["--quiet", "--json"]


def few(runs: Path, **changes: Any) -> Path:
    return sl.train("digits", runs=runs, quiet=True, **{**FEW, **changes}).run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 30 steps, which is more than one epoch; not to be changed."""
    return few(tmp_path_factory.mktemp("whole"), steps=30)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.draws
def test_train_test_predict_and_train_on_over_one_folder(
    tmp_path: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole life cycle, typed; a run made longer by 10 steps is the longer run to the bit."""
    assert run([*WORDS, *QUIET, "--steps", "20", "--runs", str(tmp_path)]) == 0
    first = json.loads(capsys.readouterr().out)
    folder = Path(first["run"])
    assert first["steps"] == 20

    assert run(["test", str(folder), "--json"]) == 0
    tested = json.loads(capsys.readouterr().out)
    assert tested["accuracy"] == first["test_accuracy"]
    assert tested["step"] == 20

    pictures = tmp_path / "picture.png"
    Image.fromarray(np.full((8, 8), 90, np.uint8)).save(pictures)
    assert run(["predict", str(folder), str(pictures), "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert len(answer["probabilities"]) == 10
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-6)

    assert run(["train", "--resume", str(folder), "--add-steps", "10", "--quiet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 30
    assert RunFolder(folder).settings().training.steps == 30
    assert facts(folder) == facts(trained)
    assert run(["test", str(folder)]) == 0
    shown = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()[:7])
    assert shown["step"] == "30"
    assert {"accuracy", "loss", "images"} <= set(shown)


def test_an_interrupted_run_gets_its_steps_on_top_of_what_was_planned(
    tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, 13)
        with pytest.raises(Stop):
            few(tmp_path, steps=20, checkpoint_steps=4)
    folder = next(tmp_path.iterdir())
    assert not RunFolder(folder).last_weights.exists()
    result = sl.resume(folder, add_steps=10, quiet=True)
    assert result.steps == 30
    assert facts(folder) == facts(trained)


def test_epochs_are_added_to_a_run_that_counts_epochs(tmp_path: Path) -> None:
    expected = facts(few(tmp_path, epochs=3, batch_size=400))
    folder = few(tmp_path, epochs=1, batch_size=400)
    assert sl.resume(folder, add_epochs=2, quiet=True).epochs == 3
    assert facts(folder) == expected


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--add-epochs", "2"], ["--add-epochs", "counts in steps", "Use --add-steps"]),
        (["--add-steps", "0"], ["--add-steps", "0 found", "1 or more"]),
        (["--add-steps", "5", "--steps", "50"], ["--add-steps", "together with --steps"]),
        (["--add-steps", "5", "--add-epochs", "1"], ["--add-steps", "together with --add-epochs"]),
        (["--add-steps", "some"], ["--add-steps", "a whole number"]),
    ],
)
def test_what_cannot_be_added_is_told_in_one_line(
    trained: Path, words: list[str], parts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(trained)
    assert run(["train", "--resume", str(trained), *words]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and all(part in error for part in parts), error
    assert tree(trained) == before


def test_adding_needs_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "digits", "--add-steps", "5"]) == 2
    assert "error: --add-steps: it is given without --resume" in capsys.readouterr().err


def test_a_test_of_some_batches_looks_at_the_first_images_and_leaves_the_run_alone(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = sl.test(trained, device="cpu")
    before = tree(trained)
    assert run(["test", str(trained), "--steps", "2", "--device", "cpu", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    batch = RunFolder(trained).settings().training.batch_size
    assert report["n"] == 2 * batch < len(whole.predictions)
    right = whole.predictions.predicted() == whole.predictions.labels
    assert report["accuracy"] == right[: 2 * batch].mean()
    assert report["step"] == 30
    assert tree(trained) == before

    assert run(["test", str(trained), "--steps", "2", "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    assert f"the first of {len(whole.predictions)}" in shown and "Written" not in shown
    part = sl.test(trained, steps=2, out=tmp_path / "part", device="cpu")
    assert part.folder == tmp_path / "part"
    assert part.to_dict() == report
    assert [part.accuracy, [*part.interval], part.n, part.loss] == [
        report[name] for name in ("accuracy", "interval", "n", "loss")
    ]
    assert [scores.support for scores in part.per_class] == [sum(row) for row in part.confusion_matrix]
    assert part.tta is None and whole.files == RunFolder(trained).test_folder.files()
    assert [path.name for path in part.files[:2]] == ["metrics.json", "predictions.npz"]
    assert json.loads((tmp_path / "part" / "metrics.json").read_text())["n"] == 2 * batch
    assert tree(trained) == before
    assert sl.test(trained, steps=10_000, device="cpu").report == whole.report


def test_a_test_of_some_batches_needs_a_run_and_a_batch(trained: Path) -> None:
    with pytest.raises(sl.UsageError, match="steps: 0 found"):
        sl.test(trained, steps=0)
    with pytest.raises(sl.UsageError, match=r"steps.*model file"):
        sl.test(RunFolder(trained).best_weights, "digits", steps=1)


@pytest.mark.parametrize("select", ["accuracy", "macro_f1", "last"])
def test_the_step_is_that_of_the_weights_that_are_tested(tmp_path: Path, select: str) -> None:
    """A rate that jumps after two epochs spoils the network, so that the best epoch is not the last one."""
    jump = {"schedule": "step", "step_epochs": [2.0], "step_factors": [50.0]}
    folder = few(tmp_path, epochs=4, batch_size=300, select=select, ema_decay=0, **jump)
    checkpoint = RunFolder(folder).checkpoints()[0]
    best = read_state(checkpoint, unpack(checkpoint)[1]).best_epoch
    (row,) = [row for row in RunFolder(folder).rows(RESULTS) if row["epoch"] == str(best)]
    assert (best == 4) == (select == "last")
    tested = sl.test(folder, out=tmp_path / "out", device="cpu")
    assert tested.report.step == int(row["step"])


def test_tests_on_folders_of_one_name_do_not_replace_each_other(tmp_path: Path) -> None:
    run_folder = few(tmp_path, steps=3)
    accuracies: list[float] = []
    for place in ("2024", "2025", "2024"):
        for name in "0123456789":
            picture = tmp_path / place / "photos" / name / "1.png"
            picture.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 8), 10 * int(name) + int(place) % 10).save(picture)
        found = sl.test(run_folder, tmp_path / place / "photos", device="cpu")
        accuracies.append(found.accuracy)
        assert found.folder is not None and found.report.data == str(tmp_path / place / "photos")
        assert json.loads((found.folder / "metrics.json").read_text())["data"] == found.report.data
    assert sorted(path.name for path in run_folder.glob("test-*")) == ["test-photos", "test-photos-002"]
    assert accuracies[0] == accuracies[2]


def test_without_validation_the_last_weights_and_their_step_are_tested(tmp_path: Path) -> None:
    folder = few(tmp_path, steps=7, watch_test=True)
    assert not RunFolder(folder).best_weights.exists()
    assert sl.test(folder, out=tmp_path / "out", device="cpu").report.step == 7
    model = RunFolder(folder).last_weights
    assert "step" not in sl.test(model, "digits", out=tmp_path / "out", device="cpu").to_dict()


def log_row(step: int) -> Mapping[str, Any]:
    return {"step": step, "epoch": 1, "lr": 0.1, "loss": 2.24161, "images_per_second": 724.9}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("kind", [Lines, Live])
def test_runs_counted_in_steps_print_their_logs_and_others_do_not(kind: type[Lines] | type[Live]) -> None:
    for counts_steps in (True, False):
        stream = Terminal()
        reporter = kind(stream)
        reporter.begin(step=0, total_steps=20_000, steps_per_epoch=550, counts_steps=counts_steps)
        reporter.log(log_row(300))
        reporter.end()
        assert ("step   300/20000  loss 2.2416  725 images/s" in stream.getvalue()) == counts_steps


def test_silence_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Silence()
    reporter.begin(step=0, total_steps=1, steps_per_epoch=1, counts_steps=True)
    reporter.log(log_row(1))
    assert capsys.readouterr() == ("", "")


def test_the_logs_printed_are_those_of_steps_csv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*WORDS, "--steps", "12", "--runs", str(tmp_path)]) == 0
    printed = [line for line in capsys.readouterr().err.splitlines() if line.startswith("step ")]
    with (next(tmp_path.iterdir()) / "steps.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    expected = [f"step {row['step']:>2}/12  loss {float(row['loss']):.4f}" for row in rows]
    assert [line.rsplit("  ", 1)[0] for line in printed] == expected
    assert len(printed) == 2


EPOCH = {"epoch": 2, "train_loss": 0.52304, "train_accuracy": 0.81234, "images_per_second": 1234.5, "seconds": 12.34}


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (
            {"test_accuracy": 0.84013},
            "epoch  2/10  loss 0.5230  train 0.8123  test 0.8401  1,234 images/s  12.3 s",
        ),
        ({"val_accuracy": None}, "epoch  2/10  loss 0.5230  train 0.8123  1,234 images/s  12.3 s"),
        ({"val_accuracy": ""}, "epoch  2/10  loss 0.5230  train 0.8123  1,234 images/s  12.3 s"),
        ({"val_accuracy": 0.0}, "epoch  2/10  loss 0.5230  train 0.8123  val 0.0000  1,234 images/s  12.3 s"),
    ],
)
def test_an_epochs_line_has_what_was_taken(more: dict[str, Any], line: str) -> None:
    assert epoch_line(EPOCH | more, 10) == line


@pytest.mark.parametrize("start", [b"\x80", b"PK"])
def test_a_header_as_long_as_a_pickle_begins_is_read(tmp_path: Path, start: bytes) -> None:
    """The first bytes of a file are its header's length: 1 in 32 begins as a pickle does."""
    tensors = {"one": torch.ones(1)}
    path = tmp_path / "step-000001.safetensors"
    found = (pack(tensors, {"padding": "x" * length}) for length in range(0, 20_000, 8))
    path.write_bytes(next(content for content in found if content.startswith(start)))
    read, _ = unpack(path)
    assert torch.equal(read["one"], tensors["one"])


def test_augmentation_at_test_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small: dict[str, Any] = {"model": "resnet8", "epochs": 2, "quiet": True, "recipe": "none", "flip": "none"}
    plain = sl.train("digits", runs=tmp_path, **small, shift=0)
    with pytest.raises(UsageError, match="neither shifted nor mirrored"):
        sl.test(plain.run, tta=True)
    with pytest.raises(UsageError, match="model file"):
        sl.test(RunFolder(plain.run).best_weights, "digits", tta=True)
    moved = sl.train("digits", runs=tmp_path, **small, shift=1)
    report = sl.test(moved.run, tta=True).to_dict()
    assert report["tta"]["views"] == 3
    assert report["accuracy"] == moved.test_accuracy != report["tta"]["accuracy"]
    assert json.loads((moved.run / "test" / "metrics.json").read_text())["tta"] == report["tta"]
    capsys.readouterr()
    assert run(["test", str(moved.run), "--tta"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if "3 variants" in line)
    assert f"{100 * report['tta']['accuracy']:.2f}" in line
