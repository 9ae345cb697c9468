"""Listing runs: every state, damaged and foreign folders, comparisons and studies, and what the command prints."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import pty
import shutil
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest

import sightline as sl
from helpers.training import Stop, small, stop_at
from sightline.cli.app import run as command
from sightline.errors import FileError, ResourceError, UsageError
from sightline.runs.folder import RESULTS, RunFolder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> sl.TrainResult:
    return small(tmp_path_factory.mktemp("trained"), epochs=2)


@pytest.fixture
def runs(trained: sl.TrainResult, tmp_path: Path) -> Path:
    shutil.copytree(trained.run, tmp_path / "runs" / "first-001")
    return tmp_path / "runs"


def state_of(path: Path) -> str:
    (found,) = sl.list_runs(path).runs
    return found.state


def test_figures_are_those_that_training_returned(trained: sl.TrainResult) -> None:
    (found,) = sl.list_runs(trained.run.parent).runs
    assert (found.run, found.state) == (trained.run, "done")
    for name in ("model", "data", "epochs", "steps", "val_accuracy", "test_accuracy", "test_interval", "seed"):
        assert getattr(found, name) == pytest.approx(getattr(trained, name)), name
    with (trained.run / RESULTS).open(newline="") as stream:
        seconds = sum(float(row["seconds"]) for row in csv.DictReader(stream))
    assert found.train_seconds == pytest.approx(seconds) and seconds > 0
    assert (found.planned_epochs, found.planned_steps) == (2, None)
    assert abs(found.date.timestamp() - (trained.run / RESULTS).stat().st_mtime) < 1


def test_a_stopped_run_is_interrupted_until_it_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, 14)
        with pytest.raises(Stop):
            small(tmp_path, epochs=4)
    (found,) = sl.list_runs(tmp_path).runs
    assert (found.state, found.epochs, found.planned_epochs) == ("interrupted", 1, 4)
    assert found.val_accuracy is not None and found.test_accuracy is None
    sl.resume(found.run, quiet=True)
    assert state_of(tmp_path) == "done"


def test_a_run_is_running_while_it_is_trained_and_no_other_process_can_train_it(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sightline.runs.folder.LOCK_SECONDS", 0)
    with RunFolder(runs / "first-001").in_work():
        assert state_of(runs) == "running"
        assert state_of(runs) == "running", "looking must not free the run"
        with pytest.raises(ResourceError, match="another process is training this run"):
            sl.resume(runs / "first-001", epochs=3, quiet=True)
    assert state_of(runs) == "done"


def test_a_killed_process_holds_its_run_no_longer(runs: Path) -> None:
    hold = "import sys, time; from pathlib import Path; from sightline.runs.folder import RunFolder\n"
    hold += "with RunFolder(Path(sys.argv[1])).in_work(): print('held', flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", hold, str(runs / "first-001")], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"held\n"
    assert state_of(runs) == "running"
    process.kill()
    process.wait()
    process.stdout.close()
    assert state_of(runs) == "done"


def test_training_holds_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sightline.training import trainer

    seen: list[str] = []
    real = trainer.learning_rate

    def looking(settings: Any, base: float, step: int, **options: Any) -> float:
        if step in (0, 13):
            seen.append(state_of(tmp_path))
        return real(settings, base, step, **options)

    monkeypatch.setattr(trainer, "learning_rate", looking)
    run = small(tmp_path, epochs=1).run
    sl.resume(run, epochs=2, quiet=True)
    assert seen == ["running", "running"]


def test_a_finished_run_that_is_being_made_longer_is_not_done(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_at(monkeypatch, 30)
    with pytest.raises(Stop):
        sl.resume(runs / "first-001", epochs=5, quiet=True)
    (found,) = sl.list_runs(runs).runs
    assert (found.state, found.epochs, found.planned_epochs, found.test_accuracy) == ("interrupted", 3, 5, None)
    assert not RunFolder(found.run).is_finished()


def test_a_run_that_a_rule_stopped_is_done(tmp_path: Path) -> None:
    small(tmp_path, epochs=9, stop_at_accuracy=0.05)
    (found,) = sl.list_runs(tmp_path).runs
    assert (found.state, found.epochs) == ("done", 1)


def test_a_run_without_its_test_is_interrupted(runs: Path) -> None:
    (runs / "first-001" / "test" / "metrics.json").unlink()
    assert state_of(runs) == "interrupted"
    assert RunFolder(runs / "first-001").is_finished(), "trained, though not tested"


def test_a_run_of_data_without_test_images_is_done_without_a_test(runs: Path) -> None:
    (runs / "first-001" / "test" / "metrics.json").unlink()
    splits = json.loads((runs / "first-001" / "splits.json").read_text())
    del splits["parts"]["test"]
    (runs / "first-001" / "splits.json").write_text(json.dumps(splits))
    assert state_of(runs) == "done"


def test_steps_are_counted_where_a_run_counts_in_steps(tmp_path: Path) -> None:
    small(tmp_path, epochs=None, steps=13)
    (found,) = sl.list_runs(tmp_path).runs
    assert (found.state, found.steps, found.planned_steps, found.planned_epochs) == ("done", 13, 13, None)


def test_a_row_that_is_being_written_is_not_counted(runs: Path) -> None:
    with (runs / "first-001" / RESULTS).open("a") as stream:
        stream.write("3,2")
    (found,) = sl.list_runs(runs).runs
    assert found.epochs == 2


DAMAGE = {
    "settings.yaml": b"\xff\xfe\x00",
    RESULTS: b"what,is\n1,2\n3,4\n",
    "test/metrics.json": b'{"accuracy": "high"}',
    "splits.json": b"[",
}


@pytest.mark.parametrize("file", DAMAGE)
def test_damaged_and_foreign_folders_are_left_out_and_named_in_one_line(
    runs: Path, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = runs / "second-001"
    shutil.copytree(runs / "first-001", damaged)
    (damaged / file).write_bytes(DAMAGE[file])
    if file == "splits.json":
        (damaged / "test" / "metrics.json").unlink()
    (runs / "notes").mkdir()
    (runs / ".hidden").mkdir()
    (runs / "readme.txt").write_text("mine")
    assert command(["runs", str(runs)]) == 0
    out, err = capsys.readouterr()
    assert "first-001" in out and "second-001" not in out
    (line,) = err.splitlines()
    assert line.startswith("warning: left out 2 folders: ")
    assert f"{runs / 'notes'} (no settings.yaml" in line and f"{damaged} (damaged, {Path(file).name}: " in line


def test_comparisons_and_studies_are_looked_into(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    top = runs.parent
    for place in ("comparisons/a-001/runs/1-x-s0-001", "studies/b-001/trials/trial-0000-001",
                  "studies/b-001/final/c-001/runs/2-y-s1-001"):  # fmt: skip
        shutil.copytree(runs / "first-001", top / place)
    (top / "comparisons" / "a-001" / "locks").mkdir()
    monkeypatch.chdir(top)
    assert [str(run.run) for run in sl.list_runs(sort="name").runs] == ["runs/first-001"]
    everything = sl.list_runs(everywhere=True, sort="name")
    names = ["1-x-s0-001", "2-y-s1-001", "first-001", "trial-0000-001"]
    assert ([run.name for run in everything.runs], everything.left_out) == (names, {})
    for folder, found in (("comparisons", names[:1]), ("comparisons/a-001", names[:1]),
                          ("studies", [names[1], names[3]]), ("studies/b-001", [names[1], names[3]]),
                          ("runs/first-001", names[2:3])):  # fmt: skip
        assert [run.name for run in sl.list_runs(folder, sort="name").runs] == found, folder
    with pytest.raises(UsageError, match="everywhere: "):
        sl.list_runs("runs", everywhere=True)
    assert command(["runs", "--all", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["runs"]) == 4


def test_runs_are_sorted_and_chosen(runs: Path) -> None:
    for number, (name, accuracy) in enumerate({"c-001": 0.5, "a-001": 0.9, "b-001": 0.7}.items()):
        shutil.copytree(runs / "first-001", runs / name)
        path = runs / name / RESULTS
        with path.open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        with path.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(row | {"val_accuracy": accuracy} for row in rows)
        os.utime(path, (1000 * number, 1000 * number))
    shutil.rmtree(runs / "first-001")
    orders = {order: [run.name[0] for run in sl.list_runs(runs, sort=order).runs] for order in ("date", "name")}
    assert orders == {"date": ["c", "a", "b"], "name": ["a", "b", "c"]}
    assert [run.val_accuracy for run in sl.list_runs(runs, sort="accuracy").runs] == [0.5, 0.7, 0.9]
    assert len(sl.list_runs(runs, data="synthetic", model="cnn").runs) == 3
    assert not sl.list_runs(runs, data="mnist").runs and not sl.list_runs(runs, model="resnet8").runs
    with pytest.raises(UsageError, match="accuracy, date, name"):
        sl.list_runs(runs, sort="size")


def test_no_runs_is_said_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in ([], [str(tmp_path)], ["--all"]):
        assert command(["runs", *words]) == 0
        out, err = capsys.readouterr()
        assert out.startswith("No runs in ") and "sightline train digits" in out and not err
    assert command(["runs", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"runs": [], "left_out": {}}
    assert command(["runs", "absent"]) == 4
    assert command(["runs", "--sort", "size"]) == 2
    with pytest.raises(FileError, match="no such folder"):
        sl.list_runs("absent")


def test_json_holds_every_figure(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["runs", str(runs), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["runs"]
    assert set(found) == {
        "run", "name", "data", "model", "recipe", "seed", "state", "epochs", "steps", "planned_epochs",
        "planned_steps", "val_accuracy", "test_accuracy", "test_interval", "train_seconds", "date",
    }  # fmt: skip
    assert found["run"] == str(runs / "first-001") and found["state"] == "done"


@pytest.mark.parametrize("name", ["a-001", "a-run-with-a-name-that-leaves-no-room-for-figures-001"])
def test_the_list_fits_a_terminal_of_eighty_columns(runs: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (runs / "first-001").rename(runs / name)
    monkeypatch.delenv("COLUMNS", raising=False)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    words = [sys.executable, "-m", "sightline", "runs"]
    subprocess.run(words, cwd=runs.parent, stdout=theirs, stdin=theirs, check=True, env={**os.environ, "TERM": "dumb"})
    os.close(theirs)
    text = ""
    while True:
        try:
            text += os.read(ours, 4096).decode()
        except OSError:
            break
    os.close(ours)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80 and name in text
    assert (len(lines) == 3) == (name == "a-001")


def test_listing_needs_no_torch(runs: Path) -> None:
    code = "import sys; from sightline.cli.app import run; code = run(sys.argv[1:])\n"
    code += "assert code == 0 and 'torch' not in sys.modules and 'matplotlib' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code, "runs", str(runs)], capture_output=True, text=True, check=True)
    assert "first-001" in done.stdout
