"""Run folders: numbering, whole files, logs that can be cut back, and what a full disk leaves."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from sightline.errors import FileError, ResourceError
from sightline.files import atomic
from sightline.runs.folder import PROBABILITIES, RESULTS, RunFolder
from sightline.runs.records import Environment, Splits
from sightline.settings import build_settings


def test_names_count_up(tmp_path: Path) -> None:
    names = [RunFolder.create(tmp_path, "mnist/cnn").path.name for _ in range(3)]
    assert names == ["mnist-cnn-001", "mnist-cnn-002", "mnist-cnn-003"]


def test_settings_and_facts_come_back(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "x")
    settings = build_settings(None, {"model": "resnet20", "lr": 0.3})
    folder.write_settings(settings)
    folder.write(Environment(torch="2", gpu=None))
    assert RunFolder.open(folder.path).settings() == settings
    assert folder.read(Environment) == Environment(torch="2")


def test_a_folder_without_settings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="before it began"):
        RunFolder.open(tmp_path)
    with pytest.raises(FileError, match="no such"):
        RunFolder.open(tmp_path / "absent")


@pytest.mark.parametrize("text", ["# schema 99\nrecipe: null\n", "[", "# schema 1\nlr: 3\n"])
def test_damaged_settings_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "settings.yaml").write_text(text)
    with pytest.raises(FileError):
        RunFolder.open(tmp_path).settings()


def test_damaged_facts_are_refused(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "x")
    for text in ("", "[1]", '{"a":'):
        (folder.path / "splits.json").write_text(text)
        with pytest.raises(FileError, match="damaged"):
            folder.read(Splits)


def test_rows_are_cut_back_with_a_half_written_one(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.append_rows(RESULTS, [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": None}])
    folder.append_rows(RESULTS, [{"epoch": 3, "loss": 0.25}])
    with (tmp_path / RESULTS).open("a") as stream:
        stream.write("4,0.1")
    folder.cut_rows(RESULTS, 2)
    assert folder.rows(RESULTS) == [{"epoch": "1", "loss": "0.5"}, {"epoch": "2", "loss": ""}]
    folder.cut_rows(RESULTS, 0)
    assert not (tmp_path / RESULTS).exists()


@pytest.mark.parametrize("rest", ["", "4,0.1", '4,"a\n', "4"])
def test_a_half_written_row_is_no_row_however_many_there_should_be(tmp_path: Path, rest: str) -> None:
    folder = RunFolder(tmp_path)
    whole = [{"epoch": str(number), "loss": "0.5"} for number in range(4)]
    folder.append_rows(RESULTS, whole)
    with (tmp_path / RESULTS).open("a") as stream:
        stream.write(rest)
    assert folder.rows(RESULTS) == whole
    folder.cut_rows(RESULTS, 5)
    folder.append_rows(RESULTS, whole[:1])
    assert folder.rows(RESULTS) == [*whole, whole[0]]


def test_a_half_written_header_does_not_stay(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    (tmp_path / RESULTS).write_text("epoch,lo")
    assert folder.rows(RESULTS) == []
    folder.cut_rows(RESULTS, 0)
    folder.append_rows(RESULTS, [{"epoch": 1, "loss": 0.5}])
    assert folder.rows(RESULTS) == [{"epoch": "1", "loss": "0.5"}]


def test_rows_hold_any_file_name(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    names = [
        "a\u2028b.png",
        "a\x85b.png",
        "a\x0bb.png",
        'a\n"b",\n.png',
        "a\rb.png",
        "\u56fe.png",
        os.fsdecode(b"caf\xe9.png"),
    ]
    rows = [{"step": str(number), "id": name} for number, name in enumerate(names)]
    folder.append_rows(PROBABILITIES, rows)
    assert folder.rows(PROBABILITIES) == rows
    assert b"caf\xe9.png" in (tmp_path / PROBABILITIES).read_bytes()
    for count in (6, 4, 2):
        folder.cut_rows(PROBABILITIES, count)
        assert folder.rows(PROBABILITIES) == rows[:count]


def test_rows_that_are_no_csv_are_refused(tmp_path: Path) -> None:
    (tmp_path / RESULTS).write_bytes(b"epoch,loss\n1,a\rb\n")
    with pytest.raises(FileError, match="damaged"):
        RunFolder(tmp_path).rows(RESULTS)


def test_the_last_checkpoints_are_kept_and_leftovers_removed(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    for step in (5, 100, 20, 1_000_000):
        atomic.write_bytes(folder.checkpoint_path(step), b"x")
    (tmp_path / "checkpoints" / f"{atomic.TEMPORARY_PREFIX}abc").write_bytes(b"half")
    folder.prune_checkpoints(2)
    assert [path.name for path in folder.checkpoints()] == ["step-1000000.safetensors", "step-000100.safetensors"]
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2


def test_what_killed_writes_left_is_cleared_once_it_is_old(tmp_path: Path) -> None:
    left = {name: tmp_path / f"{atomic.TEMPORARY_PREFIX}{name}" for name in ("old", "new", "folder", "link")}
    left["old"].write_bytes(b"half")
    left["new"].write_bytes(b"half")
    left["folder"].mkdir()
    other = tmp_path / "other.json"
    other.write_text("{}")
    left["link"].symlink_to(other)
    long_ago = time.time() - atomic.STALE_SECONDS - 60
    for path in (left["old"], left["folder"], other):
        os.utime(path, (long_ago, long_ago))
    os.utime(left["link"], (long_ago, long_ago), follow_symlinks=False)
    atomic.write_text(tmp_path / "new.json", "{}")
    assert {path.name for path in tmp_path.iterdir()} == {
        "new.json", "other.json", *(left[name].name for name in ("new", "folder", "link"))
    }  # fmt: skip


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    atomic.write_text(path, "old")

    def fail(stream) -> None:
        stream.write(b"new")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        atomic.write_with(path, fail)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_is_one_line_and_keeps_the_old_file(tmp_path: Path) -> None:
    """A file-size limit fails a write in the same place as a full disk does."""
    script = textwrap.dedent(
        """
        import resource, signal, sys
        from pathlib import Path
        from sightline.files import atomic
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            atomic.write_bytes(Path(sys.argv[1]), bytes(5000))
        except atomic.ResourceError as error:
            print(error.exit_code, error)
        """
    )
    path = tmp_path / "file"
    path.write_text("old")
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert (
        done.stdout.startswith("6 ")
        and "the disk is full, so it was not written. Free some space and try again." in done.stdout
    )
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ResourceError, match="cannot be written"):
        RunFolder.create(tmp_path / "runs", "x")


def test_a_file_where_the_folder_should_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(ResourceError, match="a file is where a folder must be"):
        RunFolder.create(tmp_path / "runs", "x")
