"""What a training that was refused, that diverged, or a second test leave in a run's folder."""

from __future__ import annotations

import pytest

import sightline as sl
from sightline.cli.app import run as command
from sightline.errors import NumericError, UsageError
from sightline.runs.folder import EXPLANATIONS, EXPLANATIONS_PICTURE, SETTINGS, RunFolder
from sightline.runs.records import Failure
from sightline.training import train as train_module

SMALL = {"model": "cnn", "recipe": "none", "threads": 1, "quiet": True, "augment": "none"}


def state_of(runs):
    (found,) = sl.list_runs(runs).runs
    return found.state


def test_a_refused_training_leaves_no_folder(tmp_path):
    with pytest.raises(UsageError, match="batch norm"):
        sl.train("digits", runs=tmp_path / "runs", batch_size=1, epochs=1, **(SMALL | {"model": "resnet20"}))
    assert list((tmp_path / "runs").iterdir()) == []


def test_one_stopped_while_it_prepares_leaves_no_folder(tmp_path, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(train_module, "_record", stopped)
    with pytest.raises(KeyboardInterrupt):
        sl.train("digits", runs=tmp_path / "runs", steps=1, **SMALL)
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_run_that_diverged_says_so_until_it_goes_on(tmp_path, capsys):
    with pytest.raises(NumericError):
        sl.train("digits", runs=tmp_path, steps=30, lr=1e30, **SMALL)
    (run,) = (found.run for found in sl.list_runs(tmp_path).runs)
    assert state_of(tmp_path) == "diverged"
    failure = RunFolder(run).read(Failure)
    assert "finite" in failure.reason and failure.step <= 30
    assert command(["runs", str(tmp_path)]) == 0
    assert "diverged" in capsys.readouterr().out
    assert not sl.verify(run).damaged
    # What diverges once more says so again; what is resumed forgets it.
    with pytest.raises(NumericError):
        sl.resume(run, quiet=True)
    assert state_of(tmp_path) == "diverged"
    settings = RunFolder(run).settings()
    with RunFolder(run).rewriting(SETTINGS):
        RunFolder(run).write_settings(settings.replace(lr=0.01))
    sl.resume(run, quiet=True)
    assert state_of(tmp_path) == "done" and not RunFolder(run).has(Failure)


def test_explanations_stay_as_long_as_the_predictions(tmp_path):
    pytest.importorskip("captum")
    done = sl.train("digits", runs=tmp_path, steps=3, **SMALL)
    sl.test(done.run, explain=2)
    maps = done.run / "test" / EXPLANATIONS
    before = maps.read_bytes()
    assert sl.test(done.run).notes == ()
    assert maps.read_bytes() == before
    assert not sl.verify(done.run).damaged
    other = sl.train("digits", runs=tmp_path, steps=6, seed=1, **SMALL)
    out = tmp_path / "out"
    sl.test(done.run, explain=2, out=out)
    assert sl.test(done.run, out=out).notes == ()
    assert (out / EXPLANATIONS).is_file()
    said = "the explanations were removed, because they belong to other predictions"
    assert sl.test(other.run, out=out).notes == (said,)
    assert not (out / EXPLANATIONS).exists() and not (out / EXPLANATIONS_PICTURE).exists()
