"""A head that is fitted to kept features: scikit-learn's regression, chosen by validation, where training begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

import sightline as sl
from helpers.layouts import preset
from sightline.classifier.input_step import InputStep
from sightline.data import load, split
from sightline.data.preprocessing import fit_preprocessing
from sightline.device import Compute
from sightline.errors import UsageError
from sightline.evaluation.predictions import evaluate
from sightline.models import build_model
from sightline.models.efficientnet import InvertedResidual
from sightline.runs.folder import RESULTS, RunFolder
from sightline.settings import build_settings
from sightline.training.frozen import Cut, features_of, quick
from sightline.training.head import PENALTIES, Regression, choose

CPU = Compute(torch.device("cpu"), "fp32")
QUICK: dict[str, Any] = {"threads": 1, "precision": "fp32", "quiet": True, "recipe": "none", "batch_size": 50}
SMALL: dict[str, Any] = {"model": "resnet8", "stage_widths": (8, 16, 24)}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network that knows three of the digits' classes well enough to have features."""
    runs = tmp_path_factory.mktemp("weights")
    return sl.train("digits", epochs=4, lr=0.1, runs=runs, **QUICK, **SMALL).run


def blobs(classes: int, seed: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    labels = np.arange(60 * classes) % classes
    centres = np.random.default_rng(7).normal(size=(classes, 12)) * 1.5
    return (centres[labels] + rng.normal(size=(len(labels), 12))).astype(np.float32), labels


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("penalty", [1.0, 0.03])
def test_the_layer_is_scikit_learns_regression_on_standardized_features(classes: int, penalty: float) -> None:
    values, labels = blobs(classes, 0)
    values *= np.geomspace(0.1, 10, 12).astype(np.float32)
    weight, bias = Regression(values, labels, classes, balanced=False).fit(penalty)
    deviation = values.std(axis=0)
    standard = (values - values.mean(axis=0)) / (deviation + 0.1 * np.median(deviation))
    theirs = LogisticRegression(C=1 / (penalty * len(labels)), tol=1e-6, max_iter=5000).fit(standard, labels)
    scores = values @ weight.T + bias
    ours = np.exp(scores - scores.max(1, keepdims=True))
    np.testing.assert_allclose(ours / ours.sum(1, keepdims=True), theirs.predict_proba(standard), atol=5e-3)


def test_a_class_without_images_is_never_the_answer() -> None:
    values, labels = blobs(3, 0)
    labels = np.where(labels == 1, 3, labels)  # of four classes the second has none
    weight, bias = Regression(values, labels, 4, balanced=False).fit(0.1)
    assert weight.shape == (4, 12) and not weight[1].any()
    assert set((values @ weight.T + bias).argmax(1)) == {0, 2, 3}


def test_noise_wants_a_stronger_penalty_than_what_can_be_told_apart() -> None:
    values, labels = blobs(4, 0)
    judged, answers = blobs(4, 1)
    clear = choose(Regression(values, labels, 4, balanced=False), judged, answers)
    noise = np.random.default_rng(2).normal(size=(40, 12)).astype(np.float32)
    lost = choose(Regression(noise, labels[:40], 4, balanced=False), judged, answers)
    assert clear[0] < lost[0] <= PENALTIES[0] and clear[1] > 0.8


def test_a_quick_copy_computes_the_same() -> None:
    network = build_model(preset("efficientnet-lite0"), channels=3, image_size=(64, 64), num_classes=4, seed=2)
    images = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        network.train()(images)  # so that batch norm's figures are some
        frozen = Cut("backbone").parts(network.eval())[0]
        before = frozen(images)
        copied = quick(frozen)
        torch.testing.assert_close(copied(images), before, atol=1e-4, rtol=1e-4)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in copied.modules())
    torch.testing.assert_close(frozen(images), before)  # and the network itself is as it was


def test_a_fitted_head_alone_is_a_run_of_no_epochs(weights: Path, tmp_path: Path) -> None:
    result = sl.train("digits", pretrained=str(weights), head="fitted", epochs=0, runs=tmp_path, **QUICK, **SMALL)
    assert (result.epochs, result.steps) == (0, 0)
    assert result.test_accuracy is not None and result.test_accuracy > 0.9
    (row,) = RunFolder.open(result.run).rows(RESULTS)
    assert (row["epoch"], row["step"], row["train_loss"]) == ("0", "0", "")
    assert result.val_accuracy == float(row["val_accuracy"])
    again = sl.test(result.run)
    assert again.accuracy == result.test_accuracy
    fresh = sl.resume(result.run, quiet=True)
    assert (fresh.test_accuracy, fresh.val_accuracy) == (result.test_accuracy, result.val_accuracy)
    longer = sl.resume(result.run, add_epochs=1, quiet=True)
    assert [row["epoch"] for row in RunFolder.open(longer.run).rows(RESULTS)] == ["0", "1"]


@pytest.mark.parametrize("freeze", ["none", "front", "backbone"])
def test_training_goes_on_from_the_fitted_head_and_keeps_the_better(freeze: str, weights: Path, tmp_path: Path) -> None:
    flags = {**QUICK, **SMALL, "pretrained": str(weights), "head": "fitted", "freeze": freeze, "trained_parts": 1}
    result = sl.train("digits", epochs=2, lr=1e-3, runs=tmp_path, **flags)
    rows = RunFolder.open(result.run).rows(RESULTS)
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert result.val_accuracy == max(float(row["val_accuracy"]) for row in rows)
    ruined = sl.train("digits", epochs=1, lr=3.0, clip_norm=1.0, optimizer="sgd", runs=tmp_path, **flags)
    assert ruined.val_accuracy == float(rows[0]["val_accuracy"])  # the fitted head is better than what came of that


def test_the_front_keeps_its_weights_and_figures(weights: Path, tmp_path: Path) -> None:
    flags = {**QUICK, **SMALL, "pretrained": str(weights), "head": "fitted", "freeze": "front", "flip": "random"}
    result = sl.train("digits", epochs=1, lr=0.01, trained_parts=2, select="last", runs=tmp_path, **flags)
    before, after = (sl.load(run).backend.module for run in (weights, result.run))  # pyright: ignore
    for name, tensor in before.body.named_parameters():
        same = torch.equal(tensor, after.body.get_parameter(name))
        assert same == name.startswith(("stem", "stage1")), name
    for name, tensor in before.body.named_buffers():
        assert torch.equal(tensor, after.body.get_buffer(name)), name


def test_kept_features_train_as_images_do(weights: Path, tmp_path: Path) -> None:
    """What is kept of the front is what the front would compute: a shift of 0 pixels makes it compute each time."""
    flags = {**QUICK, **SMALL, "pretrained": str(weights), "freeze": "front", "trained_parts": 1, "flip": "random"}
    kept = sl.train("digits", epochs=1, lr=0.01, runs=tmp_path, **flags)
    computed = sl.train("digits", epochs=1, lr=0.01, brightness=1e-9, runs=tmp_path, **flags)
    rows = [RunFolder.open(result.run).rows(RESULTS)[0] for result in (kept, computed)]
    assert float(rows[0]["train_loss"]) == pytest.approx(float(rows[1]["train_loss"]), rel=2e-2)


def test_validation_features_give_the_classifiers_own_answers(weights: Path) -> None:
    settings = build_settings(None, {"data": "digits"})
    splits = split(load(settings.data), settings.data, False)
    classifier = sl.load(weights)
    module = classifier.backend.module  # pyright: ignore
    frozen, rest = Cut("front", 1).parts(module)
    assert splits.validation is not None
    step = InputStep(fit_preprocessing(splits.train, settings.data))
    values = features_of(splits.validation, frozen, step, CPU)
    with torch.no_grad():
        found = torch.softmax(rest(values.permute(0, 3, 1, 2)), 1).numpy()
    np.testing.assert_allclose(found, evaluate(classifier, splits.validation).probabilities, atol=1e-6)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"head": "fitted"}, "pretrained is not given"),
        ({"epochs": 0}, "epochs is 0"),
        ({"pretrained": "WEIGHTS", "freeze": "front", "trained_parts": 9, **SMALL}, "trained_parts"),
    ],
)
def test_what_cannot_be_is_refused(flags: dict[str, Any], said: str, weights: Path, tmp_path: Path) -> None:
    known = {**QUICK, **flags}
    if known.get("pretrained") == "WEIGHTS":
        known["pretrained"] = str(weights)
    with pytest.raises(UsageError, match=said):
        sl.train("digits", runs=tmp_path, **{"epochs": 1, **known})
    assert not list(tmp_path.iterdir())


def test_mirror_images_are_the_mirrored_ones() -> None:
    block = InvertedResidual(3, 3, 1, 3, 1, preset("efficientnet-lite0"))
    data = load(build_settings(None, {"data": "digits", "channels": 3}).data).train.select(np.arange(4))
    step = InputStep(fit_preprocessing(data, build_settings(None, {"normalize": "unit"}).data))
    frozen = torch.nn.Sequential(block).eval()
    plain, mirrored = (features_of(data, frozen, step, CPU, mirror=mirror) for mirror in (False, True))
    own = frozen(torch.flip(step(torch.from_numpy(data.images())), [3])).permute(0, 2, 3, 1)
    torch.testing.assert_close(mirrored, own)
    assert not torch.equal(plain, mirrored)
