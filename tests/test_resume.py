"""Going on as if never stopped: killed runs, interrupted runs, longer runs, and what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import sightline as sl
from helpers.sums import unlisted
from helpers.training import SMALL, Stop, facts, small, stop_at
from sightline.classifier import model_file
from sightline.runs.folder import CHECKPOINT_HEADER, RESULTS, STEPS, RunFolder
from sightline.runs.records import Calibration, CalibrationSummary, EffectSize

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


MODELS = [
    {"model": "cnn", "dropout": 0.4, "optimizer": "adamw", "lr": 0.002},
    {"model": "resnet8", "nesterov": True},
    {"model": "cnn", "optimizer": "adadelta", "lr": 1.0, "dropout": 0.2},
    {"model": "cnn", "optimizer": "rmsprop", "lr": 0.001, "centered": True, "momentum": 0.5},
    {"model": "resnet8", "optimizer": "muon", "norm_bias_lr_factor": 4.0},
]


@pytest.mark.parametrize("changes", MODELS, ids=[f"{m['model']}-{m.get('optimizer', 'sgd')}" for m in MODELS])
@pytest.mark.parametrize("last_batch", ["keep", "wrap"])
def test_a_stopped_run_goes_on_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], last_batch: str
) -> None:
    options = {
        "last_batch": last_batch, "ema_decay": 0.9, "precision": "bf16", "shift": 1, "flip": "alternate",
        "schedule": "one_cycle", "checkpoint_steps": 4, "log_steps": 3, **changes,
    }  # fmt: skip
    expected = facts(small(tmp_path / "whole", **options).run)
    for step in (1, 11, 20):
        with monkeypatch.context() as patch:
            stop_at(patch, step)
            with pytest.raises(Stop):
                if step == 1:
                    small(tmp_path / "broken", **options)
                else:
                    sl.resume(next((tmp_path / "broken").iterdir()), quiet=True)
    result = sl.resume(next((tmp_path / "broken").iterdir()), quiet=True)
    assert facts(result.run) == expected


AUGMENTED: list[dict[str, Any]] = [
    {"random_crop": True, "rotate": 10},
    {"randaugment": 2},
    {"saturation": 0.5, "hue": 0.2, "flip_vertical": True},
    {"mixup": 0.2},
    {"cutmix": 1.0},
    {"augment": "strong", "class_weights": "balanced", "label_smoothing": 0.1, "last_batch": "wrap"},
]


@pytest.mark.parametrize("changes", AUGMENTED, ids="+".join)
def test_augmented_runs_go_on_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    options = {"channels": 3, "checkpoint_steps": 4, "log_steps": 3, **changes}
    expected = facts(small(tmp_path / "whole", **options).run)
    with monkeypatch.context() as patch:
        stop_at(patch, 11)
        with pytest.raises(Stop):
            small(tmp_path / "broken", **options)
    result = sl.resume(next((tmp_path / "broken").iterdir()), quiet=True)
    assert facts(result.run) == expected
    assert facts(small(tmp_path / "other", **options, seed=1).run)[1] != expected[1]


def test_a_run_killed_with_sigkill_goes_on_to_the_same_bits() -> None:
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "kill_resume.py"), "--kills", "2", "--seed", "1", "--threads", "1"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "inside a checkpoint write: True" in done.stdout


@pytest.mark.parametrize("unit", [("epochs", 2, 4), ("steps", 13, 25)])
def test_a_longer_constant_run_is_the_run_it_would_have_been(tmp_path: Path, unit: tuple[str, int, int]) -> None:
    name, short, long = unit
    options = {"schedule": "constant", "ema_decay": 0.9, "dropout": 0.3, "epochs": None, "log_steps": 4}
    expected = facts(small(tmp_path, **{**options, name: long}).run)
    run = small(tmp_path, **{**options, name: short}).run
    result = sl.resume(run, quiet=True, **{name: long})
    assert facts(result.run) == expected
    training = RunFolder.open(run).settings().training
    assert getattr(training, name) == long


def test_a_longer_cosine_run_records_where_it_began_again(tmp_path: Path) -> None:
    run = small(tmp_path, schedule="cosine", epochs=2).run
    sl.resume(run, epochs=4, quiet=True)
    folder = RunFolder.open(run)
    assert folder.settings().extended_from_step == 18
    rates = [float(row["lr"]) for row in folder.rows(RESULTS)]
    assert rates[2] == rates[0] and rates[3] == rates[1]


def test_a_longer_run_that_was_interrupted_began_again_where_it_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = small(tmp_path, schedule="cosine", epochs=2).run
    with monkeypatch.context() as patch:
        stop_at(patch, 30)
        with pytest.raises(Stop):
            sl.resume(run, epochs=4, quiet=True)
    sl.resume(run, epochs=5, quiet=True)
    folder = RunFolder.open(run)
    assert folder.settings().extended_from_step == 18
    sl.resume(run, epochs=6, quiet=True)
    assert folder.settings().extended_from_step == 45


@pytest.mark.parametrize(
    ("changes", "longer"),
    [({"steps": 13, "epochs": None}, {"add_steps": 9}), ({"validate_epochs": 2}, {"add_epochs": 1})],
    ids=["within an epoch", "not validated"],
)
@pytest.mark.parametrize("older", [False, True])
def test_the_row_of_a_finished_run_resumed_is_the_same(
    tmp_path: Path, changes: dict[str, Any], longer: dict[str, int], older: bool
) -> None:
    """It is written behind the last checkpoint, so that resuming writes it anew, without a step."""
    run = small(tmp_path, schedule="cosine", log_steps=1, **changes).run
    folder = RunFolder(run)
    before = folder.rows(RESULTS)
    path = folder.checkpoints()[0]
    tensors, metadata = model_file.unpack(path)
    header = json.loads(metadata[CHECKPOINT_HEADER])
    assert header["rows"][RESULTS] == len(before) - 1
    rate = header.pop("rate")
    assert rate == pytest.approx(float(before[-1]["lr"]))
    if older:
        path.write_bytes(model_file.pack(tensors, {CHECKPOINT_HEADER: json.dumps(header)}))
    sl.resume(run, quiet=True)
    after = folder.rows(RESULTS)
    assert [row["lr"] for row in after] == [row["lr"] for row in before]
    assert float(after[-1]["lr"]) == pytest.approx(float(folder.rows(STEPS)[-1]["lr"]))
    assert float(after[-1]["images_per_second"]) > 0.2 * float(before[-1]["images_per_second"])
    sl.resume(run, quiet=True, **longer)
    rates = [float(row["lr"]) for row in folder.rows(RESULTS)]
    assert all(0 < rate <= SMALL["lr"] for rate in rates)


def calibrated(run: Path, temperature: float) -> RunFolder:
    """Put a temperature where sightline calibrate puts it, and maps where sightline test --explain does."""
    folder = RunFolder(run)
    tensors, header = model_file.load(folder.best_weights)
    summary = CalibrationSummary(0.9, 0.3, 0.1, 0.1, 0.2, 0.2)
    effect = EffectSize(150, summary, summary)
    with folder.rewriting("weights/best.safetensors", "calibration.json"):
        model_file.save(folder.best_weights, tensors, header.model_copy(update={"temperature": temperature}))
        folder.write(Calibration(temperature, (temperature, temperature), effect, effect, "weights/best.safetensors"))
    for name in ("explanations.npz", "explanations.png"):
        (folder.test_folder.path / name).write_bytes(b"of these weights")
    return folder


@pytest.mark.parametrize("changes", [{}, {"epochs": 4, "validate_epochs": 3, "select": "last"}])
def test_the_same_weights_keep_their_temperature_and_their_maps(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Also where the last epoch's row, and with it the selection, comes behind the last checkpoint."""
    folder = calibrated(small(tmp_path, **changes).run, 2.0)
    kept = {path: path.read_bytes() for path in (folder.best_weights, folder.last_weights,
            folder.path / "calibration.json", folder.test_folder.path / "explanations.npz")}  # fmt: skip
    tested = sl.test(folder.path)
    sl.resume(folder.path, quiet=True)
    for name in ("explanations.npz", "explanations.png"):  # which the test took away
        assert not (folder.test_folder.path / name).exists()
    report = json.loads(folder.test_folder.metrics_path.read_text())
    assert tested.notes == ("the explanations were removed, because they belong to other predictions",)
    assert {**report, "notes": list(tested.notes)} == tested.to_dict() and report["temperature"] == 2
    calibrated(folder.path, 2.0)
    sl.resume(folder.path, quiet=True)
    assert {path: path.read_bytes() for path in kept} == kept


def test_other_weights_lose_the_temperature_and_the_maps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As soon as they are written: a run that is stopped behind that goes on knowing nothing of the former ones."""
    folder = calibrated(small(tmp_path, select="last", checkpoint_epochs=9).run, 2.0)
    with monkeypatch.context() as patch:
        stop_at(patch, 40)
        with pytest.raises(Stop):
            sl.resume(folder.path, epochs=6)
    assert "calibrate again" in capsys.readouterr().err
    for _ in range(2):
        assert not (folder.path / "calibration.json").exists()
        assert not list(folder.test_folder.path.glob("explanations.*"))
        assert sl.load(folder.path).temperature == 1
        sl.resume(folder.path, quiet=True)
        assert "temperature" not in json.loads(folder.test_folder.metrics_path.read_text())


def test_a_finished_run_resumed_is_left_as_it_is(tmp_path: Path) -> None:
    result = small(tmp_path)
    before = facts(result.run)
    again = sl.resume(result.run, quiet=True)
    assert facts(result.run) == before
    assert (again.test_accuracy, again.val_accuracy, again.steps) == (
        result.test_accuracy,
        result.val_accuracy,
        result.steps,
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [({"epochs": 2}, "3 or more"), ({"steps": 100}, "counts in epochs")],
)
def test_shorter_runs_and_other_units_are_refused(tmp_path: Path, options: dict[str, int], message: str) -> None:
    with pytest.raises(sl.UsageError, match=message):
        sl.resume(small(tmp_path).run, quiet=True, **options)


def test_changed_images_are_refused(tmp_path: Path) -> None:
    result = small(tmp_path)
    settings = unlisted(result.run) / "settings.yaml"
    settings.write_text(settings.read_text().replace("synthetic_count: 150", "synthetic_count: 160"))
    with pytest.raises(sl.DataError):
        sl.resume(result.run, quiet=True)


def test_a_damaged_checkpoint_is_one_line(tmp_path: Path) -> None:
    result = small(tmp_path)
    path = RunFolder(result.run).checkpoints()[0]
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(sl.FileError, match="truncated"):
        sl.resume(result.run, epochs=5, quiet=True)


def test_ctrl_c_keeps_a_checkpoint_and_the_run_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    expected = facts(small(tmp_path / "whole", epochs=40).run)

    def interrupt() -> None:
        while not list((tmp_path / "broken").glob("*/results.csv")):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(sl.Interrupted, match="--resume") as error:
        small(tmp_path / "broken", epochs=40)
    thread.join()
    assert error.value.exit_code == 130
    run = next((tmp_path / "broken").iterdir())
    step = int(RunFolder(run).checkpoints()[0].stem.removeprefix("step-"))
    assert f"step {step} of" in str(error.value)
    assert facts(sl.resume(run, quiet=True).run) == expected


def test_an_own_module_is_needed_again(tmp_path: Path) -> None:
    from torch import nn

    options = {k: v for k, v in SMALL.items() if k not in ("model", "conv_widths", "kernel", "hidden")}
    run = sl.train(
        "synthetic", model=nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), runs=tmp_path, epochs=1, **options
    ).run
    with pytest.raises(sl.UsageError, match="module"):
        sl.resume(run, epochs=2, quiet=True)
    assert sl.resume(run, epochs=2, quiet=True, module=nn.Sequential(nn.Flatten(), nn.Linear(64, 3))).epochs == 2
