"""TensorBoard's event files, read back by TensorBoard's own reader: they say what the CSV files say, always."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sightline as sl
from helpers.training import SMALL, Stop, small, stop_at
from sightline.errors import UsageError
from sightline.installation import install_command
from sightline.runs.folder import RESULTS, STEPS, RunFolder

accumulators = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator", reason="the extra `tracking` is not installed"
)
TRACKED: dict[str, Any] = {"track": "tensorboard", "log_steps": 3}


def read(run: Path) -> Any:
    found = accumulators.EventAccumulator(str(run / "tensorboard"), {accumulators.SCALARS: 0, accumulators.TENSORS: 0})
    found.Reload()
    return found


def events(run: Path) -> dict[str, list[tuple[int, float]]]:
    found = read(run)
    return {tag: [(it.step, it.value) for it in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def in_the_csv_files(run: Path) -> dict[str, list[tuple[int, float]]]:
    expected: dict[str, list[tuple[int, float]]] = {}
    for file, group in ((RESULTS, "results"), (STEPS, "steps")):
        for row in RunFolder(run).rows(file):
            for name, value in row.items():
                if name != "step" and value:
                    point = (int(row["step"]), float(np.float32(value)))
                    expected.setdefault(f"{group}/{name}", []).append(point)
    return expected


def assert_agreement(run: Path, *, tested: bool = True) -> None:
    found = events(run)
    test = {tag: points for tag, points in found.items() if tag.startswith("test/")}
    assert {tag: points for tag, points in found.items() if tag not in test} == in_the_csv_files(run)
    if tested:
        report = json.loads((run / "test" / "metrics.json").read_text())
        figures = {f"test/{name}": value for name, value in report.items() if isinstance(value, float)}
        assert {"test/accuracy", "test/loss", "test/macro_f1", "test/ece"} <= set(figures)
        assert test == {tag: [(report["step"], float(np.float32(value)))] for tag, value in figures.items()}


def test_events_say_what_the_files_say(tmp_path: Path) -> None:
    run = small(tmp_path, **TRACKED, validate_epochs=2).run
    assert_agreement(run)
    found = events(run)
    assert [step for step, _ in found["results/val_accuracy"]] == [18, 27], "validated every other epoch, and last"
    assert [step for step, _ in found["steps/loss"]] == list(range(3, 28, 3))
    (text,) = read(run).Tensors("settings/text_summary")
    assert "batch_size: 16" in text.tensor_proto.string_val[0].decode()


def test_tracking_changes_no_bit_and_asks_the_device_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sightline.training.tracking import Tracker

    seen: list[Any] = []
    real = Tracker.add

    def looking(self: Tracker, file: str, rows: Any) -> None:
        seen.extend(value for row in rows for value in row.values())
        real(self, file, rows)

    monkeypatch.setattr(Tracker, "add", looking)
    options = {"dropout": 0.3, "shift": 1, "ema_decay": 0.9, "log_steps": 3}
    plain = RunFolder(small(tmp_path / "plain", **options).run)
    assert not seen and not plain.events_folder.exists()
    tracked = RunFolder(small(tmp_path / "tracked", **options, track="tensorboard").run)
    assert tracked.best_weights.read_bytes() == plain.best_weights.read_bytes()
    assert tracked.last_weights.read_bytes() == plain.last_weights.read_bytes()
    assert seen and {type(value) for value in seen} <= {int, float, type(None)}


@pytest.mark.parametrize("step", [1, 14, 20])
def test_events_of_a_stopped_run_are_cut_back_with_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, step)
        with pytest.raises(Stop):
            small(tmp_path, **TRACKED, log_probabilities_steps=4)
    run = next(tmp_path.iterdir())
    if step > 1:
        before = {(tag, it.step): it.wall_time for tag in ("results/val_loss",) for it in read(run).Scalars(tag)}
        (file,) = (run / "tensorboard").iterdir()
        file.write_bytes(file.read_bytes()[:-7])  # as a kill in the middle of a write leaves it
        time.sleep(0.01)
    sl.resume(run, quiet=True)
    assert_agreement(run)
    assert len(events(run)["steps/loss"]) == 9
    if step > 1:
        after = {it.step: it.wall_time for it in read(run).Scalars("results/val_loss")}
        assert all(after[step] == wall_time for (_, step), wall_time in before.items())


@pytest.mark.parametrize(("unit", "short", "long"), [("epochs", 2, 3), ("steps", 13, 25)])
def test_events_of_a_run_made_longer_have_nothing_twice(tmp_path: Path, unit: str, short: int, long: int) -> None:
    run = small(tmp_path, **{**TRACKED, "epochs": None, unit: short}).run
    assert_agreement(run)
    sl.resume(run, quiet=True, **{unit: long})
    assert_agreement(run)
    sl.resume(run, quiet=True)
    assert_agreement(run)


def test_events_of_a_process_that_was_killed_agree_after_it_went_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**SMALL, **TRACKED, "epochs": 400, "checkpoint_epochs": 3}
    code = "import json, sys, sightline as sl; sl.train('synthetic', runs=sys.argv[1], **json.loads(sys.argv[2]))"
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), json.dumps(options)])
    try:
        while True:
            found = [len(RunFolder(run).rows(RESULTS)) for run in tmp_path.iterdir()]
            if found and found[0] > 6:
                break
            assert process.poll() is None
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    run = next(tmp_path.iterdir())
    rows = len(RunFolder(run).rows(RESULTS))
    assert 6 < rows < 400
    stop_at(monkeypatch, 9 * rows + 20)
    with pytest.raises(Stop):
        sl.resume(run, quiet=True)
    assert len(RunFolder(run).rows(RESULTS)) == rows + 2
    assert_agreement(run, tested=False)


def test_without_tensorboard_nothing_is_begun(tmp_path: Path) -> None:
    code = "import sys; sys.modules['tensorboard'] = None\n"
    code += "from sightline.cli.app import run; sys.exit(run(sys.argv[1:]))"
    words = ["train", "digits", "--track", "tensorboard", "--runs", str(tmp_path / "runs")]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    advice = f"Run {install_command('tracking')} to install it."
    assert done.stderr == f"error: --track: tensorboard is not installed. {advice}\n"
    assert not list(tmp_path.iterdir())


def test_a_search_or_comparison_without_tensorboard_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    options = {**{name: value for name, value in SMALL.items() if name not in ("recipe", "model")}, **TRACKED}
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="not installed"):
        sl.compare(["cnn", "cnn:lr=0.1"], data="synthetic", epochs=1, seeds=2, **options)
    pytest.importorskip("optuna")
    with warnings.catch_warnings(), pytest.raises(UsageError, match="not installed"):
        warnings.simplefilter("ignore")
        sl.tune("synthetic", trials=1, seeds=0, epochs=1, **options)
    assert not list(tmp_path.iterdir())


def test_a_search_that_lost_tensorboard_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna")
    options = {**{name: value for name, value in SMALL.items() if name not in ("recipe", "model")}, **TRACKED}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = sl.tune("synthetic", trials=1, seeds=0, epochs=1, studies=tmp_path, **options).folder
    kept = {path for path in study.rglob("*") if path.is_file()}
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(UsageError, match="not installed"):
        sl.resume_study(study, trials=2, seeds=0, quiet=True)
    assert {path for path in study.rglob("*") if path.is_file()} == kept


def test_runs_that_differ_in_tracking_alone_are_one_side(tmp_path: Path) -> None:
    changes = ((0, 0.05, "tensorboard"), (1, 0.05, "none"), (0, 0.1, "none"), (1, 0.1, "none"))
    runs = [
        small(tmp_path / "runs", seed=seed, epochs=1, log_steps=3, lr=lr, track=track).run
        for seed, lr, track in changes
    ]
    found = sl.compare(runs, comparisons=tmp_path / "comparisons", quiet=True)
    assert [side.n for side in found.sides] == [2, 2]
