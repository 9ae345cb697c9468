"""Recipes: every one is valid and trains, and the reference programs' numbers are those of their pages."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import sightline as sl
from sightline.cli.app import run
from sightline.errors import FileError, UsageError
from sightline.installation import install_command
from sightline.recipes import default_recipe, load_recipe, recipe_names, resolve, why_folder_recipe
from sightline.settings import (
    MODEL_PRESETS,
    AlexNetSettings,
    GoogLeNetSettings,
    ResNetSettings,
    Settings,
    build_settings,
    flat_fields,
    model_name,
)

DATA = "synthetic"
RUN_AS_PUBLISHED = ("fashion-mnist-resnet18", "fashion-mnist-finetune", "cifar10-resnet18", "cifar10-resnet")


def resnet(settings: Settings) -> ResNetSettings:
    assert isinstance(settings.model, ResNetSettings)
    return settings.model


def some(settings: Settings, **wanted: Any) -> dict[str, Any]:
    """The settings called as in `wanted`, from whichever section has them."""
    fields = flat_fields()
    return {name: getattr(getattr(settings, fields[name].section), name) for name in wanted}


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_trains_a_few_steps(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All as in the recipe but for sizes, of images and of wide networks, and for weights that would be downloaded."""
    settings = resolve(None, name, {})
    small: dict[str, Any] = {"image_size": 28 if "mnist" in name else 16, "batch_size": 8}
    if "mnist" in name and settings.data.channels is None:
        small["channels"] = 1
    if getattr(settings.model, "stem", "") == "imagenet":
        small |= {"image_size": 32, "batch_size": 4}
    if isinstance(settings.model, ResNetSettings) and settings.model.stage_widths[0] == 64:
        small["stage_widths"] = (8, 16, 32, 64)
    if isinstance(settings.model, AlexNetSettings):
        small |= {"hidden": 64} if settings.model.form == "small" else {"hidden": 64, "image_size": 64}
    result = sl.train(
        DATA, recipe=name, runs=tmp_path, quiet=True, steps=2, validation=0.1, pretrained="none", head="fresh",
        synthetic_count=40, synthetic_classes=4, threads=1, weight_ensemble=1, **small,
    )  # fmt: skip
    assert result.steps == 2
    assert result.test_accuracy is not None


@pytest.mark.parametrize("name", recipe_names())
def test_every_header_says_what_to_type_and_what_to_expect(name: str) -> None:
    about = load_recipe(name).about
    assert set(about) <= {
        "title", "command", "accuracy", "time", "hardware", "date", "default_for", "better"
    }  # fmt: skip
    assert about["title"]
    default = about.get("default_for", [None])[0]
    said = {
        None: f"sightline train --recipe {name}",
        "photos": "sightline train FOLDER",
        "folder": "sightline train FOLDER --recipe folder",
        "probe": "sightline train FOLDER --recipe probe",
    }.get(name if name in ("folder", "photos", "probe") else default, f"sightline train {default}")  # fmt: skip
    precision = load_recipe(name).settings.get("device", {}).get("precision", "auto")
    measured = re.search(r"fp32|bf16", about.get("hardware", ""))
    if measured and precision not in ("auto", measured[0]):
        said += f" --precision {measured[0]}"
    assert about["command"] == said
    if about["accuracy"] != "not measured here":
        assert re.fullmatch(r"\d+\.\d\d( ± \d+\.\d\d)? % \(n=\d+\)", about["accuracy"])
        assert all(about[key] for key in ("time", "hardware", "date"))
    if "better" in about:
        data = load_recipe(name).settings["data"]["name"]
        assert load_recipe(about["better"]).settings["data"]["name"] == data
        assert "as published" not in load_recipe(about["better"]).about["title"]


# The table of docs/reference-programs.md.
PUBLISHED = {
    "mnist-resnet-pad",
    "mnist-resnet-pad-bn",
    "mnist-resnet-pad-tuned",
    "mnist-resnet-pad-bn-tuned",
    "mnist-cnn",
    "fashion-mnist-resnet18",
    "fashion-mnist-finetune",
    "cifar10-resnet18",
    "mnist-alexnet",
    "mnist-alexnet-full",
    "cifar10-alexnet",
    "cifar10-alexnet-full",
    "mnist-resnet32",
    "cifar10-resnet",
    "synthetic-resnet50",
}


def test_no_row_of_the_reference_programs_is_missing() -> None:
    titles = {name: load_recipe(name).about["title"] for name in recipe_names()}
    published = {name for name, title in titles.items() if "as published" in title} | {"synthetic-resnet50"}
    assert published == PUBLISHED
    for name in published:
        assert resolve(None, name, {}).device.precision == "fp32"
        assert "better" in load_recipe(name).about or name == "synthetic-resnet50"
    assert {"mnist-googlenet", "cifar10-googlenet", "synthetic-resnet50", "mnist-resnet32"} <= set(titles)


def test_each_dataset_has_one_default_and_folders_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = [data for name in recipe_names() for data in load_recipe(name).about.get("default_for", ())]
    assert sorted(defaults) == sorted(set(defaults))
    assert {"digits", "mnist", "fashion-mnist", "cifar10", "cifar100", "synthetic"} == set(defaults)
    monkeypatch.setattr(sys.modules["sightline.recipes.resolve"], "is_installed", lambda _: True)
    assert default_recipe(str(tmp_path)) == "photos"
    assert default_recipe(str(tmp_path), "efficientnet-lite0") == "photos"
    assert default_recipe(str(tmp_path), "resnet18") == "folder"
    assert resolve(str(tmp_path), None, {"model": "resnet18"}).finetune.pretrained is None
    monkeypatch.setattr(sys.modules["sightline.recipes.resolve"], "is_installed", lambda _: False)
    assert default_recipe(str(tmp_path)) == "folder"
    assert install_command("photos") in str(why_folder_recipe(str(tmp_path), None, None))
    assert why_folder_recipe("mnist", None, None) is why_folder_recipe(str(tmp_path), "photos", None) is None
    assert default_recipe("nothing") is None
    assert resolve(str(tmp_path), None, {}).augment.flip == "auto"


def test_r1_and_r2_have_their_published_numbers() -> None:
    cnn = resolve(None, "mnist-cnn", {})
    assert (cnn.training.steps, cnn.training.batch_size, cnn.optimizer.lr) == (20_000, 100, 0.001)
    assert (cnn.checkpoints.keep_checkpoints, cnn.training.log_steps, cnn.data.normalize) == (5, 100, "unit")
    pad = resolve(None, "mnist-resnet-pad", {})
    assert (pad.training.epochs, pad.training.batch_size, pad.optimizer.lr) == (10, 128, 0.01)
    assert pad.data.validation == 5000
    tuned = resolve(None, "mnist-resnet-pad-tuned", {})
    assert (tuned.training.epochs, tuned.training.batch_size, tuned.optimizer.lr) == (20, 256, 0.05)
    for name in ("mnist-resnet-pad", "mnist-resnet-pad-tuned", "mnist-resnet-pad-bn", "mnist-resnet-pad-bn-tuned"):
        assert getattr(resolve(None, name, {}).model, "norm", "") == ("batch" if "-bn" in name else "untrained")


@pytest.mark.parametrize("name", recipe_names())
def test_only_programs_run_as_published_watch_the_test_images(name: str) -> None:
    training = resolve(None, name, {}).training
    assert training.watch_test == (name in (*RUN_AS_PUBLISHED, "synthetic-resnet50"))
    if training.watch_test:
        assert training.select == "last"


def test_r3_has_its_published_numbers() -> None:
    settings = resolve(None, "fashion-mnist-resnet18", {})
    wanted = {
        "image_size": 96, "channels": None, "normalize": "unit", "optimizer": "adam", "lr": 0.001, "beta1": 0.9,
        "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0, "batch_size": 64, "epochs": 5, "last_batch": "keep",
        "schedule": "constant", "conv_bias": True, "projection_norm": False, "project": "shape_change",
        "stem": "imagenet", "block": "basic", "bn_decay": 0.9, "bn_eps": 1e-5, "init": "torch",
        "flip": "none", "shift": 0,
    }  # fmt: skip
    assert some(settings, **wanted) == wanted
    assert model_name(resnet(settings)) == "resnet18"


def test_r3b_has_its_published_numbers() -> None:
    settings = resolve(None, "fashion-mnist-finetune", {})
    wanted = {
        "image_size": 28, "channels": 3, "normalize": "unit", "shear": 0.2, "zoom": 0.2, "flip": "random",
        "fill": "nearest", "rotate": 0.0, "shift": 0, "pretrained": "imagenet", "freeze": "backbone",
        "unfreeze_epoch": None, "optimizer": "sgd", "lr": 0.001, "momentum": 0.0, "batch_size": 32, "epochs": 10,
    }  # fmt: skip
    assert some(settings, **wanted) == wanted
    assert model_name(resnet(settings)) == "resnet50"


def test_r4_has_its_published_numbers() -> None:
    settings = resolve(None, "cifar10-resnet18", {})
    wanted = {
        "image_size": None, "normalize": "unit", "stem": "small", "conv_bias": False, "projection_norm": True,
        "head_l2": 0.01, "conv_padding": "same", "bn_decay": 0.99, "bn_eps": 1e-3, "optimizer": "adam",
        "lr": 0.001, "eps": 1e-7, "init": "glorot", "batch_size": 32, "epochs": 5, "stage_depths": (2, 2, 2, 2),
        "last_batch": "keep", "stage_widths": (64, 128, 256, 512), "resnet_version": 1, "flip": "none", "shift": 0,
    }  # fmt: skip
    assert some(settings, **wanted) == wanted


@pytest.mark.parametrize("data", ["mnist", "cifar10"])
def test_r5_has_its_published_numbers(data: str) -> None:
    wanted = {
        "optimizer": "adadelta", "lr": 0.02, "rho": 0.95, "eps": 1e-8, "batch_size": 100, "epochs": 10,
        "init": "normal", "validation": 5000, "normalize": "unit", "weight_decay": 0.0, "select": "last",
    }  # fmt: skip
    small, full = (resolve(None, name, {}) for name in (f"{data}-alexnet", f"{data}-alexnet-full"))
    for settings in (small, full):
        assert some(settings, **wanted) == wanted
        assert settings.data.name == data
    assert small.model == AlexNetSettings(form="small", norm="lrn", hidden=1024, dropout=0.2, init="normal")
    assert full.model == AlexNetSettings(form="full", norm="none", hidden=4096, dropout=0.5, init="normal")
    assert (small.data.image_size, full.data.image_size) == (None, 224)
    googlenet = resolve(None, f"{data}-googlenet", {}).model
    assert isinstance(googlenet, GoogLeNetSettings) and googlenet.stem == "small"


def test_both_networks_of_r5_are_compared_on_the_same_images_for_as_long() -> None:
    alexnet, residual = resolve(None, "mnist-alexnet", {}), resolve(None, "mnist-resnet32", {})
    assert residual.training.epochs == alexnet.training.epochs
    for name in ("name", "validation", "split_seed", "image_size"):
        assert getattr(residual.data, name) == getattr(alexnet.data, name)
    assert residual.model == resolve(None, "cifar10-resnet", {}).model
    assert residual.augment.flip == "none"


R6_MANNER = {
    "project": "every_stage", "projection_norm": True, "shortcut": "projection", "conv_bias": False,
    "init": "variance_scaling", "bn_decay": 0.997, "bn_eps": 1e-5, "zero_residual": False,
}  # fmt: skip
R6_NUMBERS = {
    "normalize": "image", "image_size": None, "shift": 4, "fill": "zero", "flip": "random", "optimizer": "sgd",
    "lr": 0.1, "momentum": 0.9, "nesterov": False, "weight_decay": 2e-4, "decay": "all", "batch_size": 128,
    "epochs": 250, "schedule": "step", "step_epochs": (100.0, 150.0, 200.0), "step_factors": (0.1, 0.01, 0.001),
    "warmup_epochs": 0.0, "label_smoothing": 0.0,
}  # fmt: skip


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("depth", [20, 32, 44, 56, 110])
def test_r6_has_its_published_numbers_at_every_depth(depth: int, version: int) -> None:
    chosen = f"resnet{depth}" + ("v2" if version == 2 else "")
    settings = resolve(None, "cifar10-resnet", {"model": chosen})
    assert some(settings, **R6_NUMBERS) == R6_NUMBERS
    assert some(settings, **R6_MANNER) == R6_MANNER
    model = resnet(settings)
    assert (model.resnet_version, model.stem, model.stage_widths) == (version, "small", (16, 32, 64))
    assert 6 * model.stage_depths[0] + 2 == depth and len(set(model.stage_depths)) == 1
    assert model_name(model) == chosen
    assert (settings == resolve(None, "cifar10-resnet", {})) == (chosen == "resnet32v2")


@pytest.mark.parametrize("chosen", [f"resnet{depth}{v}" for depth in (18, 34, 50, 101, 152, 200) for v in ("", "v2")])
def test_r6s_224_form_keeps_its_manner_at_every_depth(chosen: str) -> None:
    settings = resolve(None, "synthetic-resnet50", {"model": chosen})
    model = resnet(settings)
    assert some(settings, **R6_MANNER) == R6_MANNER
    assert model.stage_widths == (64, 128, 256, 512) and model.stem == "imagenet"
    assert model.block == ("basic" if chosen.removesuffix("v2") in ("resnet18", "resnet34") else "bottleneck")
    assert model_name(model) == chosen
    assert settings.optimizer.decay == "weights" and settings.data.image_size == 224
    assert (settings == resolve(None, "synthetic-resnet50", {})) == (chosen == "resnet50v2")


def test_choosing_a_preset_keeps_the_manner_and_changes_the_layout() -> None:
    recipe = {"model": {"family": "resnet", "stem": "small", "stage_depths": [1], "stage_widths": [8], "bn_eps": 0.01}}
    model = resnet(build_settings(recipe, {"model": "resnet50"}))
    plain = ResNetSettings.model_validate(dict(MODEL_PRESETS["resnet50"]))
    assert model == plain.model_copy(update={"bn_eps": 0.01})
    other_family = build_settings({"model": {"family": "cnn", "bn_eps": 0.01}}, {"model": "resnet20"})
    assert resnet(other_family).bn_eps == 1e-5
    assert resnet(build_settings(recipe, {"model": "resnet20", "bn_eps": 0.02})).bn_eps == 0.02
    kept = build_settings({"model": {"family": "cnn", "conv_widths": [4], "kernel": 3}}, {"model": "cnn"}).model
    assert kept is not None and kept.model_dump()["conv_widths"] == (4,)
    alexnet = build_settings(resolve_sections("mnist-alexnet"), {"model": "alexnet"}).model
    assert alexnet == AlexNetSettings(hidden=1024, init="normal")


def resolve_sections(name: str) -> dict[str, Any]:
    return dict(load_recipe(name).settings)


def test_another_network_takes_the_recipes_name_away() -> None:
    settings = resolve("fashion-mnist", "mnist-cnn", {"lr": 0.5})
    assert (settings.data.name, settings.optimizer.lr, settings.training.steps) == ("fashion-mnist", 0.5, 20_000)
    assert settings.recipe == "mnist-cnn"
    assert resolve("mnist", None, {"model": "resnet20"}).recipe is None
    assert resolve("mnist", "none", {}).training.batch_size == 128
    assert resolve(None, "cifar10-resnet", {"model": "resnet56v2"}).recipe is None
    assert resolve(None, "cifar10-resnet", {"model": "resnet32v2"}).recipe == "cifar10-resnet"


def test_own_recipes_are_read_and_bad_ones_refused(tmp_path: Path) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text("data: {name: digits}\ntraining: {epochs: 2}\n")
    assert resolve(None, str(own), {}).training.epochs == 2
    own.write_text("training: {epochs: -1}\n")
    with pytest.raises(UsageError, match=r"^epochs: "):
        resolve(None, str(own), {})
    for text in ("[", "- 1", "training: 3"):
        own.write_text(text)
        with pytest.raises(FileError, match=r"mine\.yaml"):
            load_recipe(str(own))
    with pytest.raises(UsageError, match="Did you mean mnist-cnn"):
        load_recipe("mnist-cn")
    with pytest.raises(FileError, match="no such file"):
        load_recipe(str(tmp_path / "absent.yaml"))


def test_the_list_fits_eighty_columns_and_has_the_figures(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if len(line) > 80] == []
    (digits,) = [line for line in lines if line.startswith("digits ")]
    about = load_recipe("digits").about
    assert str(about["accuracy"]) in digits and digits.endswith(str(about["time"]))


def test_a_recipe_shown_is_the_start_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recipes", "cifar10-resnet"]) == 0
    shown = capsys.readouterr().out
    assert yaml.safe_load(shown)["about"]["command"] == "sightline train --recipe cifar10-resnet"
    own = tmp_path / "mine.yaml"
    own.write_text(shown.replace("lr: 0.1,", "lr: 0.3,"))
    settings = resolve(None, str(own), {})
    assert settings.optimizer.lr == 0.3 and settings.recipe == "mine"
    assert settings.model == resolve(None, "cifar10-resnet", {}).model
    assert run(["recipes", "cifar10-resnet21"]) == 2
    assert "Did you mean cifar10-resnet" in capsys.readouterr().err


def test_the_settings_of_a_run_are_a_recipe_that_repeats_it_bit_for_bit(tmp_path: Path) -> None:
    words = ["train", "digits", "--model", "cnn", "--lr", "0.07", "--steps", "5", "--threads", "1", "--quiet", "--runs"]
    assert run([*words, str(tmp_path / "first")]) == 0
    (first,) = (tmp_path / "first").iterdir()
    again = ["train", "--recipe", str(first / "settings.yaml"), "--quiet", "--runs", str(tmp_path / "again")]
    assert run(again) == 0
    (second,) = (tmp_path / "again").iterdir()
    weights = [path / "weights" / "last.safetensors" for path in (first, second)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert (first / "settings.yaml").read_text() == (second / "settings.yaml").read_text()


def test_the_settings_of_a_longer_run_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("recipe: null\nextended_from_step: 7\ndata: {name: digits}\n")
    assert run(["train", "--recipe", str(path)]) == 4
    assert "extended later" in capsys.readouterr().err
