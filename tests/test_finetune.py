"""Fine-tuning: a frozen backbone never changes, kept features give what computing them again gives, and it thaws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import sightline as sl
from sightline.errors import UsageError
from sightline.models import build_model
from sightline.settings import build_settings
from sightline.training.frozen import Cut
from sightline.training.optimizers import build_optimizer

SMALL: dict[str, Any] = {
    "model": "resnet8", "epochs": 2, "batch_size": 64, "lr": 0.05, "precision": "fp32", "threads": 1, "quiet": True,
    "recipe": "none", "flip": "none",
}  # fmt: skip


def run(path: Path, **changes: Any) -> sl.TrainResult:
    return sl.train("digits", runs=path, **{**SMALL, **changes})


def weights(result: sl.TrainResult) -> dict[str, torch.Tensor]:
    return load_file(result.run / "weights" / "last.safetensors")


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """The weights that seed 0 begins with."""
    settings = build_settings({}, {"model": "resnet8"})
    assert settings.model is not None
    network = build_model(settings.model, channels=1, image_size=(8, 8), num_classes=10, seed=0)
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("shift", [0, 1])
def test_a_frozen_backbone_stays_as_it_was_to_the_bit(
    begun: dict[str, torch.Tensor], shift: int, tmp_path: Path
) -> None:
    after = weights(run(tmp_path, freeze="backbone", shift=shift))
    assert set(after) == set(begun)
    for name, tensor in after.items():
        assert torch.equal(tensor, begun[name]) != name.startswith("head."), name


def test_without_freezing_everything_moves(begun: dict[str, torch.Tensor], tmp_path: Path) -> None:
    after = weights(run(tmp_path))
    assert not any(torch.equal(tensor, begun[name]) for name, tensor in after.items())


def test_kept_features_give_what_computing_them_again_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = run(tmp_path, freeze="backbone")
    monkeypatch.setattr("sightline.training.backbone.fits", lambda *_: False)
    computed = run(tmp_path, freeze="backbone")
    for name, tensor in weights(kept).items():
        assert torch.allclose(tensor, weights(computed)[name], atol=1e-5), name
    assert kept.val_accuracy == pytest.approx(computed.val_accuracy, abs=0.01)
    assert kept.test_accuracy is not None and kept.test_accuracy > 0.2


def test_the_backbone_thaws_at_its_epoch_and_resumes_there(begun: dict[str, torch.Tensor], tmp_path: Path) -> None:
    frozen = weights(run(tmp_path, freeze="backbone", unfreeze_epoch=3, epochs=2))
    assert all(torch.equal(frozen[name], begun[name]) for name in frozen if name.startswith("body."))
    whole = run(tmp_path, freeze="backbone", unfreeze_epoch=3, epochs=4)
    assert not any(torch.equal(tensor, begun[name]) for name, tensor in weights(whole).items())
    longer = sl.resume(run(tmp_path, freeze="backbone", unfreeze_epoch=3, epochs=2).run, epochs=4, quiet=True)
    assert all(torch.equal(tensor, weights(longer)[name]) for name, tensor in weights(whole).items())


@pytest.mark.parametrize("steps", [10, 30])
def test_a_frozen_run_resumes_bit_identically_from_any_step(steps: int, tmp_path: Path) -> None:
    changes = {"freeze": "backbone", "unfreeze_epoch": 2, "ema_decay": 0.9, "backbone_lr_factor": 0.1}
    whole = run(tmp_path, epochs=None, steps=60, **changes)
    part = run(tmp_path, epochs=None, steps=steps, **changes)
    again = sl.resume(part.run, steps=60, quiet=True)
    assert all(torch.equal(tensor, weights(again)[name]) for name, tensor in weights(whole).items())


def test_an_ensemble_is_between_the_first_weights_and_the_trained_ones(tmp_path: Path) -> None:
    before = run(tmp_path, epochs=1, lr=0.1)
    options = {"pretrained": str(before.run / "weights" / "last.safetensors"), "epochs": 2, "select": "last"}
    first, trained = weights(before), weights(run(tmp_path, **options))
    mixed = weights(run(tmp_path, **options, weight_ensemble=0.25))
    for name, tensor in mixed.items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, 0.75 * first[name] + 0.25 * trained[name], atol=1e-6, rtol=1e-6)
    assert not any(torch.equal(mixed[name], trained[name]) for name in mixed if name.endswith("conv.weight"))


@pytest.mark.parametrize("steps", [10, 30])
def test_an_ensemble_resumes_bit_identically_from_any_step(steps: int, tmp_path: Path) -> None:
    before = run(tmp_path, epochs=1, lr=0.1)
    options = {"pretrained": str(before.run / "weights" / "last.safetensors"), "epochs": None, "weight_ensemble": 0.5}
    whole = run(tmp_path, steps=60, **options)
    again = sl.resume(run(tmp_path, steps=steps, **options).run, steps=60, quiet=True)
    assert all(torch.equal(tensor, weights(again)[name]) for name, tensor in weights(whole).items())


def test_an_ensemble_needs_weights_to_begin_with(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="weight_ensemble needs initial weights"):
        run(tmp_path, weight_ensemble=0.5)


def test_the_backbone_learns_at_its_own_rate() -> None:
    settings = build_settings(
        {}, {"model": "resnet8", "optimizer": "sgd", "lr": 1.0, "weight_decay": 0.1, "backbone_lr_factor": 0.25}
    )
    assert settings.model is not None
    network = build_model(settings.model, channels=1, image_size=(8, 8), num_classes=10, seed=0)
    optimizer = build_optimizer(settings.optimizer, network, fused=False, finetune=settings.finetune)
    factors = {id(p): g["lr_factor"] for g in optimizer.param_groups for p in g["params"]}
    decays = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    for name, parameter in network.named_parameters():
        assert factors[id(parameter)] == (1.0 if name.startswith("head.") else 0.25)
        assert decays[id(parameter)] == (0.1 if parameter.ndim > 1 else 0)


def test_features_are_taken_behind_the_pooling() -> None:
    settings = build_settings({}, {"model": "resnet8"})
    assert settings.model is not None
    network = build_model(settings.model, channels=1, image_size=(8, 8), num_classes=10, seed=0).eval()
    fixed, rest = Cut("backbone").parts(network)
    images = torch.randn(2, 1, 8, 8)
    assert fixed(images).shape == (2, 64)
    assert torch.equal(rest(fixed(images)), network(images))
    assert [type(layer) for layer in rest] == [nn.Linear]


def test_what_cannot_be_frozen_is_told(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with pytest.raises(UsageError, match="freeze: Sequential has no backbone"):
        sl.train("digits", model=module, freeze="backbone", runs=tmp_path, quiet=True)
    with pytest.raises(UsageError, match="unfreeze_epoch needs a frozen backbone"):
        run(tmp_path, unfreeze_epoch=2)


def test_validation_every_other_epoch(tmp_path: Path) -> None:
    whole = run(tmp_path, epochs=5, validate_epochs=2)
    lines = (whole.run / "results.csv").read_text().splitlines()
    column = lines[0].split(",").index("val_accuracy")
    assert [bool(line.split(",")[column]) for line in lines[1:]] == [False, True, False, True, True]
    longer = sl.resume(run(tmp_path, epochs=3, validate_epochs=2).run, epochs=5, quiet=True)

    def untimed(result: sl.TrainResult) -> list[str]:
        return [line.rsplit(",", 2)[0] for line in (result.run / "results.csv").read_text().splitlines()]

    assert untimed(longer) == untimed(whole)
    assert all(torch.equal(tensor, weights(longer)[name]) for name, tensor in weights(whole).items())
