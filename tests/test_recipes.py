"""Recipes: every one is valid and trains, and the reference programs' numbers are those of their pages."""

from __future__ import annotations

from pathlib import Path

import pytest

import sightline as sl
from sightline.errors import FileError, UsageError
from sightline.recipes import default_recipe, load_recipe, recipe_names, resolve

DATA = "synthetic"


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_trains_a_few_steps(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    assert recipe.about["title"]
    assert recipe.about["command"].startswith("sightline train ")
    size = 28 if "mnist" in name else 16
    result = sl.train(
        DATA, recipe=name, runs=tmp_path, quiet=True, steps=2, batch_size=8, image_size=size, channels=1,
        validation=0.1, synthetic_count=100, synthetic_classes=4, threads=1,
    )  # fmt: skip
    assert result.steps == 2
    assert result.test_accuracy is not None


def test_each_dataset_has_one_default_and_folders_theirs(tmp_path: Path) -> None:
    defaults = [data for name in recipe_names() for data in load_recipe(name).about.get("default_for", ())]
    assert sorted(defaults) == sorted(set(defaults))
    assert {"digits", "mnist", "fashion-mnist", "cifar10", "cifar100", "synthetic"} == set(defaults)
    assert default_recipe(str(tmp_path)) == "folder"
    assert default_recipe("nothing") is None


def test_the_reference_programs_have_their_published_numbers() -> None:
    cnn = resolve(None, "mnist-cnn", {})
    assert (cnn.training.steps, cnn.training.batch_size, cnn.optimizer.lr) == (20_000, 100, 0.001)
    assert (cnn.checkpoints.keep_checkpoints, cnn.training.log_steps, cnn.data.normalize) == (5, 100, "unit")
    pad = resolve(None, "mnist-resnet-pad", {})
    assert (pad.training.epochs, pad.training.batch_size, pad.optimizer.lr) == (10, 128, 0.01)
    assert pad.data.validation == 5000
    tuned = resolve(None, "mnist-resnet-pad-tuned", {})
    assert (tuned.training.epochs, tuned.training.batch_size, tuned.optimizer.lr) == (20, 256, 0.05)
    for name in recipe_names():
        if "pad" in name or name == "mnist-cnn":
            settings = resolve(None, name, {})
            assert settings.device.precision == "fp32"
            assert settings.model is not None
            assert getattr(settings.model, "norm", "untrained") == ("batch" if "-bn" in name else "untrained")


def test_data_flags_and_recipe_are_merged_in_order() -> None:
    settings = resolve("fashion-mnist", "mnist-cnn", {"lr": 0.5})
    assert (settings.data.name, settings.optimizer.lr, settings.training.steps) == ("fashion-mnist", 0.5, 20_000)
    assert settings.recipe == "mnist-cnn"
    assert resolve("mnist", None, {"model": "resnet20"}).recipe is None
    assert resolve("mnist", "none", {}).training.batch_size == 128


def test_own_recipes_are_read_and_bad_ones_refused(tmp_path: Path) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text("data: {name: digits}\ntraining: {epochs: 2}\n")
    assert resolve(None, str(own), {}).training.epochs == 2
    own.write_text("training: {epochs: 0}\n")
    with pytest.raises(UsageError, match="--epochs"):
        resolve(None, str(own), {})
    for text in ("[", "- 1", "training: 3"):
        own.write_text(text)
        with pytest.raises(FileError, match=r"mine\.yaml"):
            load_recipe(str(own))
    with pytest.raises(UsageError, match="did you mean mnist-cnn"):
        load_recipe("mnist-cn")
    with pytest.raises(FileError, match="cannot be read"):
        load_recipe(str(tmp_path / "absent.yaml"))
