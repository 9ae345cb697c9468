"""The run, comparison, cross-validation and study that the tests of reports share: made once, and not to be changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import sightline as sl
from helpers.reports import FAST
from helpers.sums import unlisted


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("made") / "runs"
    return sl.train("digits", model="cnn", epochs=2, runs=place, **FAST).run


@pytest.fixture(scope="session")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("made")
    sides = ["cnn:hidden=16", "cnn:hidden=64", "resnet8:epochs=1"]
    return sl.compare(sides, data="digits", epochs=1, seeds=2, comparisons=place, **FAST).folder


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("optuna", reason="Optuna is not installed")
    place = tmp_path_factory.mktemp("made")
    space = {"lr": {"low": 1e-6, "high": 0.3, "log": True}, "hidden": {"choices": [16, 128]}}
    # It begins where next to nothing is learned, so that the search finds something.
    return sl.tune("digits", epochs=1, lr=1e-6, space=space, trials=4, seeds=2, studies=place, **FAST).folder


@pytest.fixture(scope="session")
def folded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("made")
    return sl.cross_validate("digits", 3, model="cnn", epochs=1, runs=place, **FAST).folder


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    kept = shutil.ignore_patterns("report*", "slides*")
    return unlisted(shutil.copytree(trained, tmp_path / "digits-001", ignore=kept))


@pytest.fixture(params=["trained", "compared", "folded", "searched"])
def subject(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


# The words
