"""Whatever goes wrong is one line on stderr with the right exit code, and never a panel or a traceback."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import sightline
from sightline.cli.app import COMMANDS, run
from sightline.errors import (
    DataError,
    FileError,
    Interrupted,
    NumericError,
    ResourceError,
    SightlineError,
    UsageError,
    needs,
)
from sightline.installation import install_command

USAGE = [
    ("trian", ["'trian' is not known", "Did you mean train?"]),
    ("--json train", ["--json", "before the command"]),
    ("data gte", ["'gte' is not known", "Did you mean get?"]),
    ("data get mnsit", ["'mnsit' is not known", "mnist"]),
    ("data get", ["NAME: its value is missing"]),
    ("data list --data-dir /no/such/folder", ["--data-dir", "/no/such/folder"]),
    ("train --epoch 3", ["--epoch:", "Did you mean --epochs"]),
    ("train --batch_sizes 3", ["Did you mean --batch-size"]),
    ("train --xyzzy", ["--xyzzy", "Run sightline train --help"]),
    ("train -lr 3", ["-lr", "--lr"]),
    ("train --lr", ["--lr: its value is missing"]),
    ("train --lr --epochs 3", ["--lr: its value is missing"]),
    ("train --lr 1 --lr 2", ["--lr: it is given twice"]),
    ("train digits mnist", ["mnist: it is more than sightline train takes"]),
    ("train digits --lr nan", ["--lr: 'nan' found", "finite"]),
    ("train digits --lr -inf", ["--lr: '-inf' found"]),
    ("train digits --lr -1", ["--lr: '-1' found", "greater than 0"]),
    ("train digits --lr fast", ["--lr: 'fast' found", "number"]),
    ("train digits --epochs 0", ["epochs is 0"]),
    ("train digits --epochs -1", ["--epochs: '-1' found", "0"]),
    ("train digits --epochs 1.5", ["--epochs: '1.5' found"]),
    ("train digits --batch-size -3", ["--batch-size: '-3' found"]),
    ("train digits --fit stretch", ["--fit: 'stretch' found", "squash", "crop", "pad"]),
    ("train digits --channels 2", ["--channels: '2' found", "1 or 3"]),
    ("train digits --model resnet --stage-depths 1,x", ["--stage-depths", "'x' found"]),
    ("train digits --nesterov=maybe", ["--nesterov: 'maybe' found"]),
    ("train digits --model resnet19", ["--model: 'resnet19' is not known", "resnet18"]),
    ("train digits --optimizer adm", ["--optimizer: 'adm' is not known", "adam"]),
    ("train digits --optimizer adam --nesterov", ["--nesterov", "adam"]),
    ("train digits --recipe mnist-cn", ["--recipe: 'mnist-cn' is not known", "mnist-cnn"]),
    ("train digits --device gpu", ["--device: 'gpu' found"]),
    ("test", ["MODEL: its value is missing"]),
    ("predict", ["MODEL: its value is missing"]),
    ("predict runs/x", ["PICTURE: none given"]),
    ("predict runs/x a.png --top-k many", ["--top-k: 'many' found", "a whole number"]),
    ("predict runs/x a.png --top-k 0", ["--top-k: 0 found"]),
    ("predict runs/x a.png --format xml", ["--format: 'xml' found", "csv"]),
    ("predict runs/x a.png --format csv --json", ["--format", "--json"]),
    ("predict runs/x a.png --top-kk 3", ["--top-kk: sightline predict has no such flag", "Did you mean --top-k"]),
    ("summary", ["MODEL: its value is missing"]),
    ("summary resnet19", ["MODEL: 'resnet19' is not known", "resnet18"]),
    ("summary resnet20 --input 3x32", ["--input: '3x32' found", "1x224x224"]),
    ("summary resnet20 --classes 1", ["--classes: 1 found"]),
    ("summary resnet20 --hidden 3", ["--hidden", "resnet"]),
    ("recipes digits all", ["all: it is more than sightline recipes takes"]),
    ("recipes mnist-cn", ["NAME: 'mnist-cn' is not known", "Did you mean mnist-cnn"]),
]  # fmt: skip


def one_line(capsys) -> str:
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ") and err.endswith("\n") and err.count("\n") == 1, err
    return err


@pytest.mark.parametrize(("words", "parts"), USAGE, ids=lambda value: str(value)[:40])
def test_wrong_words_are_one_line_and_exit_code_2(words, parts, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")  # so that anything that wraps would
    assert run(words.split()) == 2
    line = one_line(capsys)
    assert [part for part in parts if part not in line] == []
    assert "pydantic" not in line and "http" not in line and "╭" not in line


@pytest.fixture
def failing(monkeypatch):
    """Let `sightline train` fail with an error."""

    def fail_with(error: BaseException) -> None:
        def train(*_args, **_more):
            raise error

        monkeypatch.setattr(sightline, "train", train)

    return fail_with


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (SightlineError, 1), (UsageError, 2), (DataError, 3), (FileError, 4), (NumericError, 5), (ResourceError, 6),
        (Interrupted, 130),
    ],
)  # fmt: skip
def test_each_kind_of_error_has_its_exit_code(kind, code, failing, capsys):
    failing(kind("x.png", "what was\nfound", "a long expectation " * 20, "advice"))
    assert run(["train", "digits"]) == code
    assert one_line(capsys).startswith("error: x.png: what was found (expected a long expectation a long")


@pytest.mark.parametrize(
    ("error", "code", "part"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 6, "this command: memory ran out. Use smaller batches"),
        (ZeroDivisionError("division\nby zero"), 1, "internal error: ZeroDivisionError: division by zero"),
    ],
)
def test_other_errors_are_one_line_too(error, code, part, failing, capsys):
    failing(error)
    assert run(["train", "digits", "--json"]) == code
    assert part in one_line(capsys)


def test_debug_shows_where_an_error_comes_from(failing, capsys):
    failing(ZeroDivisionError("division by zero"))
    assert run(["train", "digits", "--debug"]) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err and "ZeroDivisionError" in err
    assert err.splitlines()[-1].startswith("error: internal error: ")


def test_a_reader_that_leaves_early_is_no_error():
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        words = [sys.executable, "-m", "sightline", "recipes"]
        done = subprocess.run(words, check=False, stdout=closed, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")


def test_both_ways_to_start_give_the_exit_code_and_the_line():
    program = Path(sys.executable).parent / "sightline"
    for start in ([sys.executable, "-m", "sightline"], [program]):
        done = subprocess.run([*start, "trian"], check=False, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("error: command: 'trian'") and done.stderr.count("\n") == 1


def test_every_command_takes_json_and_debug(capsys):
    for command in COMMANDS:
        run([*command.name.split(), "--help"])
        shown = capsys.readouterr().out
        assert "\n  --json " in shown and "\n  --debug " in shown, command.name


def test_only_a_module_of_the_extra_is_told_to_be_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "wave", None)
    told = rf"^sound: Wave, which plays, is not installed. Run {re.escape(install_command('sound'))} to install it.$"
    with pytest.raises(UsageError, match=told), needs("--sound", "sound", "wave", package="Wave", why="plays"):
        import_module("wave")
    with pytest.raises(ModuleNotFoundError), needs("--sound", "sound", "other"):
        import_module("wave")
