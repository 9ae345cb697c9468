"""In Python an error speaks of keywords, on the command line of flags."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import pytest

import sightline as sl
from helpers.keywords import keywords
from sightline.cli.app import run as command
from sightline.data.decoder import OutOfMemoryError
from sightline.errors import ImageSizeError, UsageError
from sightline.keywords import ARGUMENTS, OTHER_NAMES, SWITCHES, in_python
from sightline.sklearn import ArrayError


@pytest.mark.parametrize(
    ("flags", "python"),
    [
        ("--lr: -1 found", "lr: -1 found"),
        ("--batch-size: 0 found", "batch_size: 0 found"),
        ("--skip-bad: it is given twice", "skip_bad: it is given twice"),
        ("cnn:lr=0.1: --lr: 'x' found", "cnn:lr=0.1: lr: 'x' found"),
        ("--pretrained imagenet: no file", 'pretrained="imagenet": no file'),
        ("SIDE: 1 found", "sides: 1 found"),
        ("Pass --force to replace it, or --out FILE.", "Pass force=True to replace it, or out=FILE."),
        ("Add --no-near.", "Add near=False."),
        ("Use --form small or larger images.", 'Use form="small" or larger images.'),
        ("Lower --lr, set --clip-norm or --epochs 3.", "Lower lr, set clip_norm or epochs=3."),
        ("(use --lr 1e-3, --lr -0.5)", "(use lr=1e-3, lr=-0.5)"),
        ("Name it with --labels a/b.csv.", 'Name it with labels="a/b.csv".'),
        ("Pass --all or --allow-origin X.", "Pass everywhere=True or allow_origins=X."),
        ("given together with --folds", "given together with folds"),
        (
            "Run sightline train --resume runs/a.b-1, or set --lr.",
            "Run sightline train --resume runs/a.b-1, or set lr.",
        ),
        ("Run pip install -e '/x y[serve]' to install it.", "Run pip install -e '/x y[serve]' to install it."),
        ("my--file and a--b stay, as 3 -- 4 does", "my--file and a--b stay, as 3 -- 4 does"),
    ],
)
def test_flags_become_keywords(flags: str, python: str) -> None:
    assert in_python(flags) == python


def test_the_switches_are_all_keywords_that_are_true_or_false() -> None:
    assert {name for name, switch in keywords().items() if switch} == SWITCHES
    assert set(OTHER_NAMES.values()) | set(ARGUMENTS.values()) <= keywords().keys()
    assert not [name for name in keywords() if name.startswith("no_")]  # which --no-... would be taken for


def test_python_and_the_command_line_each_speak_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError) as caught:
        sl.train("digits", batch_size=0)
    error = caught.value
    assert str(error).startswith("batch_size: 0 found (expected a number greater than")
    assert error.line() == f"--batch-size{str(error).removeprefix('batch_size')}"
    assert error.subject == "--batch-size"
    assert command(["train", "digits", "--batch-size", "0"]) == 2
    assert capsys.readouterr().err.startswith("error: --batch-size: '0' found (expected a number greater than")


def test_a_keyword_that_is_none_is_told_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"^bach_size: 'bach_size' is not known\. Did you mean batch_size"):
        sl.train("digits", bach_size=3)
    with pytest.raises(UsageError) as caught:
        sl.train("digits", qqqqqq=3)
    told = "qqqqqq: 'qqqqqq' is not known. See sightline train --help-all for all names."
    assert str(caught.value) == told


def test_a_traceback_has_the_keyword() -> None:
    program = "import sightline as sl; sl.train('digits', batch_size=0)"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False).stderr
    assert told.splitlines()[-1].startswith("sightline.errors.UsageError: batch_size: 0 found")


@pytest.mark.parametrize("kind", [UsageError, ImageSizeError, OutOfMemoryError, ArrayError])
def test_an_error_is_copied_and_pickled_whole(kind: type[sl.SightlineError]) -> None:
    error = kind("--lr", "-1 found", "a number", advice="Use --lr 0.1.")
    assert repr(error) == f"{kind.__name__}('lr: -1 found (expected a number). Use lr=0.1.')"
    for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(other) is kind and other.line() == error.line() and str(other) == str(error)
