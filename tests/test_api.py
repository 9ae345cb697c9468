"""The public names: all of them there, none of them loaded before it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import sightline as sl


def test_importing_sightline_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'numpy', 'PIL', 'pydantic', 'scipy', 'sklearn', 'matplotlib', 'rich'}"
    script = f"import sys, sightline; found = {heavy} & set(sys.modules); assert not found, found"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_every_public_name_is_there_and_documented() -> None:
    assert set(sl.__all__) <= set(dir(sl))
    for name in sl.__all__:
        assert getattr(sl, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'tran'"):
        _ = sl.tran


def test_without_data_it_is_the_recipe_s(monkeypatch: pytest.MonkeyPatch) -> None:
    from sightline.training import train

    monkeypatch.setattr(train, "train_settings", lambda settings, **_: settings.data.name)
    assert sl.train(recipe="mnist-cnn") == "mnist"
    assert sl.train("digits", recipe="mnist-cnn") == "digits"
    assert sl.train() == "digits"


def test_waiting_threads_give_way_unless_the_user_chose_otherwise() -> None:
    script = "import os, sightline; print(os.environ.get('GOMP_SPINCOUNT'))"
    found = [
        subprocess.run(
            [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True
        ).stdout.strip()
        for env in ({}, {"OMP_WAIT_POLICY": "active"}, {"GOMP_SPINCOUNT": "7"})
    ]
    assert found == ["2000", "None", "7"]
