"""The public names: all of them there, none of them loaded before it is used."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

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


def test_type_checkers_are_told_of_the_names_that_are_there() -> None:
    tree = ast.parse(Path(sl.__file__).read_text("utf-8"))
    (told,) = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    imported = {
        (node.module, alias.name, alias.asname)
        for node in told.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == {(f"sightline.{room}", name, name) for name, room in sl._ROOM_OF.items()}


def test_datasets_and_recipes_are_listed_and_found(tmp_path: Path) -> None:
    (digits,) = [dataset for dataset in sl.list_datasets(tmp_path) if dataset.name == "digits"]
    assert (digits.found, digits.size, digits.classes) == ("embedded", (8, 8, 1), 10)
    assert sl.get_dataset("digits") == {}
    with pytest.raises(sl.UsageError, match="Did you mean mnist"):
        sl.get_dataset("mnsit")
    recipes = {recipe.name: recipe for recipe in sl.list_recipes()}
    assert recipes["mnist-resnet32"] == sl.load_recipe("mnist-resnet32")
    assert recipes["mnist-resnet32"].model == "resnet32v2"
    assert recipes["mnist-resnet32"].to_dict()["settings"]["data"]["name"] == "mnist"
    with pytest.raises(sl.UsageError, match="Did you mean mnist-cnn"):
        sl.load_recipe("mnist-cn")


def test_pictures_are_found_in_folders_and_others_are_left_to_be_read(tmp_path: Path) -> None:
    for name in ("b.PNG", "a/c.jpg", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert sl.find_pictures(tmp_path) == [tmp_path / "a/c.jpg", tmp_path / "b.PNG"]
    assert sl.find_pictures(tmp_path / "notes.txt") == [tmp_path / "notes.txt"]
    assert sl.find_pictures("no-such.png") == [Path("no-such.png")]
    (tmp_path / "empty").mkdir()
    with pytest.raises(sl.DataError, match=r"no picture.*\.png"):
        sl.find_pictures(tmp_path / "empty")


def test_what_cannot_be_served_is_refused_before_a_model_is_read() -> None:
    for wrong, told in (
        ({"max_image": 3}, "max_image: 'max_image' is not known.*max_images"),
        ({"max_images": 0}, "max_images: 0 found"),
        ({"port": -1}, "port: -1 found"),
        ({"threads": 0}, "threads: 0 found"),
        ({"allow_origins": ["a.example"]}, "allow_origins: a.example found"),
        ({"host": "0.0.0.0"}, "host: 0.0.0.0 can be reached"),
    ):
        with pytest.raises(sl.UsageError, match=told):
            sl.serve("no-such-model", **wrong)


SERVED = """
import json, os, signal, sys
import sightline as sl, sightline.classifier
from helpers.serving import Rule, classifier
sightline.classifier.load = lambda path, **_: classifier(Rule())
def started(server):
    print(json.dumps(vars(server)))
    os.kill(os.getpid(), signal.SIGTERM)
sl.serve("model", port=0, max_batch=4, started=started)
print("ended")
"""


def test_serve_tells_its_address_and_ends_with_a_signal() -> None:
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", SERVED],
        env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    told, end = done.stdout.splitlines()
    server = json.loads(told)
    assert server == {"url": f"http://127.0.0.1:{server['port']}", "port": server["port"], "max_batch": 4}
    assert server["port"] > 0 and end == "ended"


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
