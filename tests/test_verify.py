"""A run whose files changed: what the commands say, what they leave alone, and how one goes on."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

import sightline as sl
from helpers.sums import flipped, random_bits, told, unlisted
from helpers.training import Stop, facts, small, stop_at
from sightline.cli.app import run as command
from sightline.files import sums
from sightline.runs.folder import RESULTS, RunFolder

OPTIONS: dict[str, Any] = {"log_steps": 2, "epochs": 3}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small(tmp_path_factory.mktemp("runs"), **OPTIONS).run


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "small-001")


def change(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert command(words) == 4
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and line.startswith("error: ")
    return line


# All files


def test_every_file_of_a_run_is_listed(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sl.card(copy)
    sl.report(copy, markdown=True)
    assert command(["verify", str(copy)]) == 0
    out, err = capsys.readouterr()
    assert "not listed" not in out and err == ""
    names = {path.relative_to(copy).as_posix() for path in copy.rglob("*") if path.is_file() and path.name[0] != "."}
    (found,) = sl.verify(copy).folders
    assert set(found.files) == names - {"sums.json"} and len(names) > 20
    assert set(found.files.values()) == {"ok"}


def test_a_changed_bit_of_any_file_is_found_and_nothing_wrong_is_told(copy: Path) -> None:
    sl.report(copy)
    files = sorted(path for path in copy.rglob("*") if path.is_file() and path.name[0] != "." and path.stat().st_size)
    wanted, noticed = told(copy), 0
    bits = random_bits(files, int(os.environ.get("SIGHTLINE_FLIPS", "60")), seed=1)
    for path, place, bit in bits:
        with flipped(path, place, bit):
            found = sl.verify(copy).damaged
            assert found == [path] or (found == [] and path.name == "sums.json")  # a space of JSON, say
            try:
                assert told(copy) == wanted
            except sl.FileError:
                noticed += 1
    assert len({path for path, *_ in bits}) == len(files) and noticed > len(bits) / 4
    assert sl.verify(copy).damaged == []


@pytest.mark.parametrize("fixture", ["compared", "folded", "searched"])
def test_folders_of_several_runs_are_verified_with_their_runs(
    fixture: str, request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(request.getfixturevalue(fixture), tmp_path / fixture)
    first, *runs = sl.verify(folder).folders
    assert first.folder == folder and len(runs) >= 3
    assert {state for each in (first, *runs) for state in each.files.values()} == {"ok"}
    settings = next(path for each in runs if (path := each.folder / "settings.yaml").is_file())
    change(folder / "results.json")
    change(settings)
    assert sl.verify(folder).damaged == [folder / "results.json", settings]
    assert "results.json: it has changed" in refused(["report", str(folder)], capsys)
    line = refused(["verify", str(folder), "--json"], capsys)
    assert line == (
        f"error: {folder / 'results.json'}: it has changed or gone missing since Sightline wrote it, as 1 more. "
        "Restore a copy, or write it anew with the command that wrote it.\n"
    )


# What the command says


def test_the_command_lists_each_file(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / "notes.txt").write_text("mine")
    assert command(["verify", str(copy), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
    change(copy / "weights" / "best.safetensors")
    (copy / "samples.npz").unlink()
    assert command(["verify", str(copy)]) == 4
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == str(copy)
    assert "  changed     weights/best.safetensors" in lines and "  missing     samples.npz" in lines
    assert "  not listed  notes.txt" in lines and "  ok          settings.yaml" in lines
    assert lines[-2].endswith("ok, 1 changed, 1 missing, 1 not listed")
    assert err.count("\n") == 1 and "samples.npz: it has changed or gone missing" in err and "as 1 more" in err


def test_what_people_edit_does_no_harm(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = sl.card(copy).path
    card.write_text(card.read_text() + "\nMine.\n")
    assert command(["verify", str(copy)]) == 0
    assert "changed     README.md" in capsys.readouterr().out
    assert command(["test", str(copy)]) == 0


def test_runs_without_sums_are_noted_by_verify_alone(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unlisted(copy)
    for words in (["test", str(copy)], ["runs", str(copy)], ["card", str(copy)]):
        assert command(words) == 0
        assert capsys.readouterr().err == ""
    assert not (copy / "sums.json").exists()
    assert command(["verify", str(copy)]) == 0
    out, err = capsys.readouterr()
    assert err.count("\n") == 1 and err.startswith(f"note: {copy}: ") and "not listed" in out


def test_what_is_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no such folder (expected a run" in refused(["verify", str(tmp_path / "none")], capsys)
    assert "it has no run (expected a run" in refused(["verify", str(tmp_path)], capsys)


# The commands


@pytest.mark.parametrize("name", ["settings.yaml", "environment.json", "splits.json", "results.csv", "network.json"])
def test_commands_refuse_a_run_whose_records_changed(copy: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    change(copy / name)
    for words in (["test"], ["predict"], ["report"], ["card"], ["export"], ["calibrate"], ["train", "--resume"]):
        line = refused([*words, str(copy), *(["x.png"] if words == ["predict"] else [])], capsys)
        assert f"{copy / name}: it has changed" in line and "Restore a copy of it" in line


def test_changed_weights_leave_the_old_test_and_are_written_anew(
    made: Path, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in (copy / "test").iterdir()}
    change(copy / "weights" / "best.safetensors")
    for words in (["test"], ["export"], ["card"], ["report"]):
        line = refused([*words, str(copy)], capsys)
        assert "weights/best.safetensors: it has changed" in line and f"--resume {copy}" in line
    with pytest.raises(sl.FileError, match="SHA-256 in its header"):
        sl.load(copy / "weights" / "best.safetensors")
    assert {path: path.read_bytes() for path in (copy / "test").iterdir()} == before
    sl.resume(copy, quiet=True)
    assert facts(copy)[0] == facts(made)[0]
    assert sl.verify(copy).damaged == []


def test_missing_best_weights_are_not_replaced_by_the_last(copy: Path) -> None:
    (copy / "weights" / "best.safetensors").unlink()
    with pytest.raises(sl.FileError, match=r"best.safetensors: it is missing\. Run sightline train --resume"):
        sl.test(copy)


@pytest.mark.parametrize("name", ["metrics.json", "predictions.npz", "mistakes.npz"])
def test_a_damaged_test_is_made_anew(copy: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (copy / "test" / name).read_bytes()
    change(copy / "test" / name)
    assert f"{name}: it has changed" in (line := refused(["report", str(copy)], capsys))
    assert f"sightline test {copy}" in line
    assert command(["test", str(copy)]) == 0
    assert (copy / "test" / name).read_bytes() == whole
    assert sl.verify(copy).damaged == []


def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was killed at step 20, with checkpoints at steps 18 and 9."""
    list_again = sums._list_again
    with monkeypatch.context() as patch:
        stop_at(patch, 20)
        # As a kill leaves it.
        patch.setattr(sums, "_list_again", lambda *given: None if sys.exc_info()[0] is Stop else list_again(*given))
        with pytest.raises(Stop):
            small(tmp_path / "broken", **OPTIONS)
    return next((tmp_path / "broken").iterdir())


def test_a_killed_run_is_whole_and_goes_on_from_the_checkpoint_before_a_damaged_one(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = broken(tmp_path, monkeypatch)
    (found,) = sl.verify(run).folders
    assert found.damaged == [] and found.files["weights/best.safetensors"] == "not listed"
    latest, before = RunFolder(run).checkpoints()
    change(latest)
    with pytest.raises(sl.FileError, match=f"{latest.name}: it has changed.* Delete it to resume from {before.name}"):
        sl.resume(run, quiet=True)
    latest.unlink()
    assert facts(sl.resume(run, quiet=True).run) == facts(made)
    assert set(sl.verify(run).folders[0].files.values()) == {"ok"}


@pytest.mark.parametrize("file", [RESULTS, "steps.csv"])
def test_rows_that_changed_after_a_kill_are_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    path = broken(tmp_path, monkeypatch) / file
    content = path.read_text()
    path.write_text(content.replace("0.", "1.", 1))
    with pytest.raises(sl.FileError, match=f"{file}: its rows have changed since the checkpoint"):
        sl.resume(path.parent, quiet=True)
    assert path.read_text() == content.replace("0.", "1.", 1)
    path.write_text(content + "half a ro")
    assert sl.resume(path.parent, quiet=True).epochs == 3
