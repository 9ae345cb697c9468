"""Settings: merging, messages, and the way to YAML and back."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from sightline.errors import FileError, UsageError
from sightline.settings import (
    MODEL_PRESETS,
    AugmentSettings,
    build_settings,
    flat_fields,
    model_name,
    settings_from_yaml,
    settings_to_yaml,
)
from sightline.settings.augment import LEVELS
from sightline.settings.merge import section_kinds


def test_flags_win_over_recipe_and_recipe_over_defaults() -> None:
    recipe = {"optimizer": {"optimizer": "adam", "lr": 0.01}, "training": {"epochs": 3}}
    settings = build_settings(recipe, {"lr": 0.02})
    assert settings.optimizer.optimizer == "adam"
    assert settings.optimizer.lr == 0.02
    assert settings.training.epochs == 3
    assert settings.training.batch_size == 128


def test_another_optimizer_drops_the_recipes_numbers() -> None:
    recipe = {"optimizer": {"optimizer": "sgd", "lr": 0.5, "nesterov": True}}
    assert build_settings(recipe, {"optimizer": "adam"}).optimizer.lr == 0.001
    assert build_settings(recipe, {"optimizer": "sgd"}).optimizer.lr == 0.5


def test_a_preset_replaces_the_recipes_model() -> None:
    recipe = {"model": {"family": "resnet", "stage_depths": [1], "stage_widths": [8]}}
    settings = build_settings(recipe, {"model": "resnet50", "bn_eps": 1e-3})
    assert settings.model is not None and settings.model.family == "resnet"
    assert settings.model.stage_depths == (3, 4, 6, 3)
    assert settings.model.bn_eps == 1e-3


def test_a_level_sets_augmentation_together_and_what_is_given_beside_it_wins() -> None:
    recipe = {"augment": {"shift": 4, "fill": "nearest", "flip": "random"}}
    strong = build_settings(recipe, {"augment": "strong", "mixup": 0, "rotate": 10, "crop_area": ["0.3", "1"]}).augment
    assert (strong.level, strong.shift, strong.fill, strong.flip) == ("strong", 0, "reflect", "auto")
    assert (strong.mixup, strong.cutmix, strong.randaugment, strong.rotate) == (0, 1, 2, 10)
    assert strong.random_crop and strong.crop_area == (0.3, 1)
    assert build_settings(recipe, {"augment": "none"}).augment == AugmentSettings()
    assert build_settings(recipe, {"augment": "none", "shift": 2}).augment == AugmentSettings(shift=2)
    # In a recipe and in Python alike; and flags without a level keep the recipe's.
    beside = {"augment": {"level": "medium", "randaugment": 3}}
    assert build_settings(beside, {"hue": 0.1}).augment == AugmentSettings(level="medium", randaugment=3, hue=0.1)
    assert (
        AugmentSettings(level="medium", randaugment=3).randaugment_magnitude
        == LEVELS["medium"]["randaugment_magnitude"]
    )


@pytest.mark.parametrize("level", LEVELS)
def test_levels_stand_resolved_in_yaml(level: str) -> None:
    settings = build_settings(None, {"augment": level, "flip": "random"})
    text = settings_to_yaml(settings)
    assert settings_from_yaml(text, "settings.yaml") == settings
    assert f"level: {level}" in text and "flip: random" in text
    assert settings.augment.only_mirrors == (level == "none")
    # What a run did stays what it did, whatever a level of that name sets later.
    kept = settings_from_yaml(text.replace("level: strong", "level: light"), "settings.yaml").augment
    assert kept.mixup == settings.augment.mixup


def test_what_only_says_how_changes_no_image() -> None:
    how = AugmentSettings(fill="reflect", crop_area=(0.2, 1), crop_aspect=(1, 1), randaugment_magnitude=3)
    assert not how.changes_images and how.only_mirrors
    for changes in ({"mixup": 0.2}, {"flip_vertical": True}, {"hue": 0.1}, {"randaugment": 1}, {"random_crop": True}):
        settings = AugmentSettings.model_validate(changes)
        assert settings.changes_images and not settings.only_mirrors


@pytest.mark.parametrize("name", ["steps", "epochs"])
def test_a_duration_replaces_the_other_unit(name: str) -> None:
    recipe = {"training": {"steps": 9} if name == "epochs" else {"epochs": 9}}
    training = build_settings(recipe, {name: 4}).training
    assert (training.steps, training.epochs) == ((4, None) if name == "steps" else (None, 4))


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        ({"lr": float("nan")}, ["lr", "nan", "finite"]),
        ({"lr": -1}, ["lr", "-1", "greater than 0"]),
        ({"lr": "fast"}, ["lr", "'fast'", "number"]),
        ({"epochs": 0}, ["epochs is 0"]),
        ({"epochs": -1}, ["epochs", "-1"]),
        ({"batch_size": -3}, ["batch_size", "-3"]),
        ({"model": "resnet19"}, ["model", "resnet19", "resnet18"]),
        ({"optimizer": "adm"}, ["optimizer", "adm", "Did you mean adam"]),
        ({"augment": "huge"}, ["augment", "'huge'", "'light', 'medium' or 'strong'"]),
        ({"crop_area": ("0.5", "0.2")}, ["crop_area", "two numbers, the smaller one first"]),
        ({"crop_area": ("0", "0.2")}, ["crop_area", "greater than 0"]),
        ({"crop_aspect": ("1",)}, ["crop_aspect", "at least 2 items"]),
        ({"randaugment_magnitude": 30}, ["randaugment_magnitude", "30", "10"]),
        ({"hue": 0.6}, ["hue", "0.6", "0.5"]),
        ({"bach_size": 3}, ["bach_size", "batch_size"]),
        ({"model": "cnn", "shortcut": "projection"}, ["shortcut", "cnn", "conv_widths"]),
        ({"epochs": 1, "steps": 2}, ["epochs is 1 and steps is 2"]),
        ({"model": "resnet-pad", "block_widths": (16, 48)}, ["from 16 to 48", "16 or 32"]),
        ({"device": "gpu"}, ["device", "'gpu' found (expected auto, cpu, mps, cuda"]),
        ({"model": "cnn", "conv_widths": (3, -1)}, ["conv_widths", "-1"]),
        ({"fit": "x"}, ["fit", "squash"]),
        ({"momentum": 1.0}, ["momentum", "less than 1"]),
        ({"nesterov": True, "momentum": 0}, ["nesterov needs a momentum"]),
    ],
)
def test_messages_name_flag_value_and_what_is_allowed(flags: dict, parts: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        build_settings(None, flags)
    text = str(error.value)
    assert "\n" not in text and "pydantic" not in text and "http" not in text
    for part in parts:
        assert part in text


def test_yaml_brings_every_setting_back() -> None:
    settings = build_settings(None, {"model": "resnet50v2", "optimizer": "adamw", "schedule": "cosine", "steps": 7})
    assert settings_from_yaml(settings_to_yaml(settings), "x") == settings


@pytest.mark.parametrize("text", ["{", "[1]", "lr: 3", "training: {epochs: 0}"])
def test_damaged_yaml_is_one_line(text: str) -> None:
    with pytest.raises(FileError, match=r"settings\.yaml"):
        settings_from_yaml(text, "settings.yaml")


def test_every_setting_has_one_flat_name_and_a_description() -> None:
    fields = flat_fields()
    total = sum(len(kind.model_fields) for section in ("data", "training") for kind in section_kinds(section).values())
    assert sum(field.section in ("data", "training") for field in fields.values()) == total
    discriminators = {"optimizer", "schedule", "model"}
    assert [name for name, field in fields.items() if not field.info.description and name not in discriminators] == []


def test_every_preset_is_valid_and_knows_its_name() -> None:
    for name in MODEL_PRESETS:
        model = build_settings(None, {"model": name}).model
        assert model is not None and model_name(model) == name


def test_replace_takes_flat_names_and_checks_them() -> None:
    settings = build_settings({}, {"model": "resnet20", "optimizer": "adam"})
    changed = settings.replace(epochs=3, lr=0.5, seed=7, model=None, recipe="mine")
    assert (changed.training.epochs, changed.optimizer.lr, changed.training.seed) == (3, 0.5, 7)
    assert (changed.model, changed.recipe, changed.data) == (None, "mine", settings.data)
    assert settings == build_settings({}, {"model": "resnet20", "optimizer": "adam"})
    with pytest.raises(ValidationError):
        settings.replace(epochs=-1)
    with pytest.raises(KeyError, match="momentum"):
        settings.replace(momentum=0.9)  # Adam has none
