"""Flags come from the settings models: all of them, each once, and their text becomes the right value."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

import sightline
from sightline.cli.app import run
from sightline.cli.flags import SECTIONS, given, setting_flags
from sightline.recipes import resolve
from sightline.settings import Settings, build_settings, flat_fields
from sightline.settings.merge import DISCRIMINATORS, flag_of, section_kinds
from sightline.training import train

RESULT = SimpleNamespace(to_dict=lambda: {"run": "runs/x-001"})
CASES = [
    (field.name, kind)
    for field in flat_fields().values()
    for kind, info in field.kinds.items()
    if field.name not in ("data", "model", "optimizer", "schedule")
    and info.default is not None
    and not info.is_required()
]


@pytest.fixture
def trained(monkeypatch):
    """The settings that `sightline train` would train with; nothing is trained."""
    calls = []
    # First what imports `train_settings` for itself, or it would keep the false one.
    monkeypatch.setattr(sightline, "resume", lambda path, **more: calls.append((path, more)) or RESULT)
    monkeypatch.setattr(train, "train_settings", lambda settings, **more: calls.append((settings, more)) or RESULT)
    return calls


def test_every_setting_is_one_flag(capsys):
    run(["train", "--help-all"])
    shown = capsys.readouterr().out
    names = [line.split()[0].replace("[no-]", "") for line in shown.splitlines() if line.startswith("  --")]
    settings = [flag_of(name) for name in flat_fields() if name != "data"]
    assert len(settings) > 60
    assert [names.count(flag) for flag in settings] == [1] * len(settings)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_default_typed_as_text_is_the_default(name, kind):
    field = flat_fields()[name]
    chosen = {} if kind == "" else {"model" if field.section == "model" else DISCRIMINATORS[field.section]: kind}
    if kind == "timm":  # which has no network of that name
        chosen = {"model": "timm/resnet18"}
    default = field.kinds[kind].get_default(call_default_factory=True)
    text = ",".join(map(str, default)) if isinstance(default, tuple) else default
    typed = setting_flags(sections=SECTIONS)(**{name: text if isinstance(text, bool) else str(text)})
    assert build_settings({}, {**chosen, **given(typed)}) == build_settings({}, chosen)


def test_text_becomes_numbers_lists_choices_and_switches(trained, tmp_path):
    words = "train synthetic --recipe none --model resnet --stage-depths 1,1 --stage-widths=8,16 --channels 3"
    words += " --no-fused --nesterov"
    words += (
        " --lr 5e-2 --shortcut pool-pad --validation 0.25 --stop-at-accuracy 1 --schedule one-cycle --resnet-version 2"
    )
    assert run([*words.split(), "--json", "--runs", str(tmp_path), "--name", "n"]) == 0
    settings, more = trained[0]
    assert settings.data.name == "synthetic"
    assert (settings.model.stage_depths, settings.model.stage_widths) == ((1, 1), (8, 16))
    assert (settings.model.shortcut, settings.model.resnet_version, settings.data.channels) == ("pool_pad", 2, 3)
    assert (settings.optimizer.lr, settings.optimizer.nesterov, settings.device.fused) == (0.05, True, False)
    assert (settings.data.validation, settings.training.stop_at_accuracy) == (0.25, 1.0)
    assert settings.schedule.schedule == "one_cycle"
    assert (more["runs"], more["name"]) == (tmp_path, "n")


def test_the_dataset_brings_its_recipe_and_flags_win(trained):
    from sightline.recipes import load_recipe

    recipe = load_recipe("mnist-cnn").settings
    assert run(["train", "--recipe", "mnist-cnn", "--batch-size", "7", "--json"]) == 0
    settings = trained[0][0]
    assert (settings.recipe, settings.data.name) == ("mnist-cnn", "mnist")
    assert settings.optimizer.lr == recipe["optimizer"]["lr"]
    assert settings.training.batch_size == 7 != recipe["training"]["batch_size"]
    assert run(["train", "synthetic", "--recipe", "mnist-cnn", "--json"]) == 0
    assert trained[1][0].data.name == "synthetic"
    assert run(["train", "mnist", "--json"]) == 0
    assert trained[2][0].recipe == "mnist"


def test_nothing_typed_is_nothing_merged(trained):
    assert run(["train", "synthetic", "--recipe", "none", "--json"]) == 0
    assert trained[0][0] == resolve("synthetic", "none", {})
    assert isinstance(trained[0][0], Settings)


def test_resume_passes_a_longer_run_on(trained):
    assert run(["train", "--resume", "runs/a-001", "--epochs", "9", "--quiet", "--json"]) == 0
    path, more = trained[0]
    assert path == Path("runs/a-001")
    assert (more["epochs"], more["steps"]) == (9, None)


@pytest.mark.parametrize(
    ("word", "named"),
    [
        ("mnist", "DATA"),
        ("--lr=1", "--lr"),
        ("--recipe=mnist", "--recipe"),
        ("--no-fused", "--fused"),
        ("--runs=x", "--runs"),
    ],
)
def test_resume_changes_nothing_else(trained, capsys, word, named):
    assert run(["train", "--resume", "runs/a-001", "--epochs", "9", word]) == 2
    assert capsys.readouterr().err.startswith(f"error: {named}: it cannot be given with --resume")
    assert trained == []


def test_choices_are_shown_as_they_are_typed(capsys):
    run(["train", "--help-all"])
    shown = " ".join(capsys.readouterr().out.split())
    for section in DISCRIMINATORS:
        for kind in section_kinds(section):
            assert kind.replace("_", "-") in shown
    assert "[sgd: 0.1; adam, adamw: 0.001; adadelta: 1; rmsprop: 0.01; muon: 0.24]" in shown
