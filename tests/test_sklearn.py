"""The estimator against scikit-learn itself: its own checks, pipelines and searches; and what it makes of arrays."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import sightline as sl
from sightline.errors import SightlineError
from sightline.runs.folder import RunFolder
from sightline.settings import flat_fields
from sightline.sklearn import PARAMETERS, SightlineClassifier

SMALL: dict[str, Any] = {
    "threads": 1, "epochs": 4, "batch_size": 16, "optimizer": "adam", "lr": 0.01, "conv_widths": (8, 8), "hidden": 16,
}  # fmt: skip
# Checks of scikit-learn that are expected to fail, each with its reason: none is.
EXPECTED_TO_FAIL: dict[str, str] = {}


def classifier(**changes: Any) -> SightlineClassifier:
    return SightlineClassifier(**{**SMALL, **changes})


@pytest.fixture(scope="module")
def digits() -> tuple[Any, Any]:
    X, y = load_digits(return_X_y=True)
    return X[:400], y[:400]


@pytest.fixture(scope="module")
def fitted(digits: tuple[Any, Any]) -> SightlineClassifier:
    return classifier().fit(*digits)


def test_scikit_learns_own_checks() -> None:
    estimator = classifier(image_size="pad", epochs=8, batch_size=32, lr=0.02)
    done = check_estimator(estimator, expected_failed_checks=EXPECTED_TO_FAIL, on_skip=None)
    passed = [check["check_name"] for check in done if check["status"] == "passed"]
    others = {check["check_name"]: check["status"] for check in done if check["status"] != "passed"}
    assert others.pop("check_array_api_input", "skipped") == "skipped", "it is switched on by an environment variable"
    assert (others, EXPECTED_TO_FAIL) == ({}, {})
    assert len(passed) >= 40 and {"check_classifiers_train", "check_estimators_pickle"} <= set(passed)


def test_every_setting_that_says_nothing_of_reading_pictures_is_a_parameter() -> None:
    known = set(classifier().get_params())
    assert {"lr", "epochs", "model", "recipe", "validation", "normalize", "random_state", "image_size"} <= known
    missing = set(flat_fields()) - known
    reading = {name for name, field in flat_fields().items() if field.section == "data"}
    assert missing - reading == {"seed", "watch_test"}
    methods = {name for name in dir(SightlineClassifier) if not name.startswith("_")}
    assert not methods & set(PARAMETERS), "a parameter would hide a method"


def test_it_learns_in_cross_validation(digits: tuple[Any, Any]) -> None:
    scores = cross_val_score(classifier(epochs=8), *digits, cv=3)
    assert scores.min() > 0.7 and scores.mean() > 0.8


def test_it_works_in_a_pipeline_and_a_search(digits: tuple[Any, Any]) -> None:
    X, y = digits[0][:200], digits[1][:200]
    pipeline = make_pipeline(StandardScaler(), classifier())
    space = {"sightlineclassifier__lr": [1e-6, 0.02], "sightlineclassifier__activation": [None]}
    with pytest.raises(ValueError, match="Invalid parameter 'nonsense'"):
        pipeline.set_params(sightlineclassifier__nonsense=1)
    with pytest.raises(ValueError, match="activation"):
        classifier(activation="gelu").fit(X, y)
    search = GridSearchCV(pipeline, space | {"sightlineclassifier__epochs": [12]}, cv=2, error_score="raise").fit(X, y)
    assert search.best_params_["sightlineclassifier__lr"] == 0.02
    assert search.predict_proba(X).shape == (200, 10) and search.score(X, y) > 0.5


def test_images_rows_and_scales_of_the_same_pixels_are_the_same(
    digits: tuple[Any, Any], fitted: SightlineClassifier
) -> None:
    X, y = digits
    expected = fitted.predict_proba(X)
    scaled = MinMaxScaler((0, 1)).fit(np.array([[0.0], [16.0]])).transform(X.reshape(-1, 1)).reshape(X.shape)
    for same in (X.reshape(-1, 8, 8), X.reshape(-1, 8, 8, 1), scaled, np.rint(X * 255 / 16).astype(np.uint8)):
        np.testing.assert_array_equal(classifier().fit(same, y).predict_proba(same), expected)
    np.testing.assert_array_equal(fitted.predict_proba(X.reshape(-1, 8, 8)), expected)
    assert (fitted.n_features_in_, fitted.image_shape_, fitted.pixel_range_) == (64, (8, 8, 1), (0, 16))
    assert list(fitted.classes_) == list(range(10)) and fitted.score(X, y) == np.mean(fitted.predict(X) == y)


def test_answers_are_those_of_the_model_file(
    digits: tuple[Any, Any], fitted: SightlineClassifier, tmp_path: Path
) -> None:
    (tmp_path / "model.safetensors").write_bytes(fitted.model_)
    loaded = sl.load(tmp_path / "model.safetensors")
    pixels = np.rint(digits[0] * 255 / 16).astype(np.uint8).reshape(-1, 8, 8, 1)
    assert loaded.class_names == tuple("0123456789")
    np.testing.assert_array_equal(loaded.probabilities(pixels), fitted.predict_proba(digits[0]).astype(np.float32))


def test_of_a_recipe_neither_the_size_nor_the_test_images_hold(digits: tuple[Any, Any], tmp_path: Path) -> None:
    recipe = tmp_path / "own.yaml"
    recipe.write_text("data: {name: mnist, image_size: 12}\nmodel: {family: cnn}\ntraining: {watch_test: true}\n")
    made = SightlineClassifier(recipe=str(recipe), steps=2, validation=0.2, threads=1, runs=str(tmp_path))
    made.fit(*digits)
    assert made.val_accuracy_ is not None
    settings = RunFolder(made.run_).settings()
    assert settings.data.image_size is None and not settings.training.watch_test
    assert sl.load(made.run_).preprocessing.height == 8


def test_what_fit_learned_of_the_values_holds_for_prediction(fitted: SightlineClassifier) -> None:
    bright, brighter = np.full((1, 64), 16.0), np.full((1, 64), 99.0)
    np.testing.assert_array_equal(fitted.predict_proba(bright), fitted.predict_proba(brighter))
    dark = np.full((1, 64), 1.0)  # all of one value: no range is learned from it
    assert not np.array_equal(fitted.predict_proba(dark), fitted.predict_proba(bright))


@pytest.mark.parametrize(
    ("values", "learned"),
    [([0, 1], (0, 1)), ([0, 0.2], (0, 1)), ([0, 2], (0, 16)), ([3, 17], (0, 255)), ([0, 300], (0, 300)),
     ([-1, 1], (-1, 1)), (np.array([0, 1], np.uint8), (0, 255)), ([-2, -2], (-2, -1))],
)  # fmt: skip
def test_the_range_of_pixels_is_learned(values: Any, learned: tuple[float, float]) -> None:
    from sightline.sklearn import _range_of

    assert _range_of(np.asarray(values), None) == learned
    assert _range_of(np.asarray(values), (-5, 5)) == (-5, 5)


@pytest.mark.parametrize("labels", [["zero", "é", "two words"], [-7, 0, 10**12], [True, False], [0.0, 1.0, 2.0]])
def test_labels_of_any_type_come_back(digits: tuple[Any, Any], labels: list[Any]) -> None:
    X = digits[0][:60]
    y = np.array(labels)[np.arange(60) % len(labels)]
    found = classifier(epochs=1).fit(X, y)
    assert found.predict(X).dtype == y.dtype and set(found.predict(X)) <= set(labels)
    np.testing.assert_array_equal(found.classes_, np.unique(y))
    np.testing.assert_allclose(found.predict_proba(X).sum(axis=1), 1, atol=1e-6)


def test_colour_images_and_rows_of_them(digits: tuple[Any, Any]) -> None:
    colour = np.repeat(digits[0][:60].reshape(-1, 8, 8, 1), 3, axis=3)
    colour[..., 1] = 0
    y = digits[1][:60] % 2
    images = classifier(epochs=1).fit(colour, y)
    rows = classifier(epochs=1, image_size=(8, 8, 3)).fit(colour.reshape(60, -1), y)
    assert images.image_shape_ == rows.image_shape_ == (8, 8, 3)
    np.testing.assert_array_equal(images.predict_proba(colour), rows.predict_proba(colour.reshape(60, -1)))


def _through_joblib(estimator: Any) -> Any:
    stream = io.BytesIO()
    joblib.dump(estimator, stream)
    stream.seek(0)
    return joblib.load(stream)


@pytest.mark.parametrize("copy", [lambda it: pickle.loads(pickle.dumps(it)), _through_joblib])
def test_a_pickle_holds_the_model_file_and_no_network(
    copy: Any, digits: tuple[Any, Any], fitted: SightlineClassifier
) -> None:
    again = copy(fitted)
    np.testing.assert_array_equal(again.predict_proba(digits[0]), fitted.predict_proba(digits[0]))
    text = pickle.dumps(fitted)
    assert fitted.model_ in text and b"torch" not in text.replace(fitted.model_, b"")
    assert again.get_params() == fitted.get_params()
    unfitted = copy(classifier())
    with pytest.raises(NotFittedError):
        unfitted.predict(digits[0])


def test_the_seed_is_scikit_learns_random_state(digits: tuple[Any, Any]) -> None:
    X, y = digits[0][:60], digits[1][:60] % 2
    weights = {
        name: [classifier(epochs=1, random_state=make()).fit(X, y).model_ for _ in range(2)]
        for name, make in {"7": lambda: 7, "numpy": lambda: np.int64(7), "state": lambda: np.random.RandomState(3),
                           "none": lambda: None}.items()
    }  # fmt: skip
    assert weights["7"][0] == weights["7"][1] == weights["numpy"][0] == weights["numpy"][1]
    assert weights["state"][0] == weights["state"][1] != weights["7"][0]
    assert weights["none"][0] != weights["none"][1]


def test_nothing_is_left_of_a_run_unless_it_is_to_be_kept(digits: tuple[Any, Any], tmp_path: Path) -> None:
    X, y = digits[0][:60], digits[1][:60] % 2
    kept = classifier(epochs=2, runs=tmp_path / "runs").fit(X, y)
    (run,) = sl.list_runs(tmp_path / "runs").runs
    assert (run.run, run.state, run.epochs, run.model) == (kept.run_, "done", 2, "cnn")
    assert run.val_accuracy == pytest.approx(kept.val_accuracy_)
    assert RunFolder(run.run).curves_path.is_file() and RunFolder(run.run).model_file().read_bytes() == kept.model_
    temporary = classifier(epochs=2).fit(X, y)
    assert temporary.run_ is None and temporary.model_ == kept.model_


def test_too_few_images_for_validation_all_train(digits: tuple[Any, Any]) -> None:
    X, y = digits[0][:4], [0, 1, 0, 1]
    assert classifier(epochs=1).fit(X, y).val_accuracy_ is None
    with pytest.raises(ValueError, match="validation"):
        classifier(epochs=1, validation=0.1).fit(X, y)


REFUSED = [
    ({"image_size": (3, 3)}, (8, 64), "image_size: .*64 features"),
    ({"image_size": "big"}, (8, 64), "image_size: 'big' found"),
    ({}, (8, 63), r"image_size: 63 features make no square\. Pass image_size=\(H, W\)"),
    ({}, (8, 8, 8, 2), "C 1 or 3"),
    ({"pixel_range": (1, 1)}, (8, 64), "pixel_range"),
    ({"model": "resnet9"}, (8, 64), "model: 'resnet9' is not known"),
    ({"epochs": -1}, (8, 64), "epochs: -1 found"),
    ({"recipe": "absent"}, (8, 64), "recipe: 'absent' is not known"),
]


@pytest.mark.parametrize(("changes", "shape", "message"), REFUSED)
def test_what_cannot_be_used_is_a_value_error_in_one_line(
    changes: dict[str, Any], shape: tuple[int, ...], message: str
) -> None:
    X = np.arange(np.prod(shape)).reshape(shape) % 17
    estimator = SightlineClassifier(**{"epochs": 1, "threads": 1, **changes})
    with pytest.raises(ValueError, match=message) as caught:
        estimator.fit(X, np.arange(8) % 2)
    assert isinstance(caught.value, SightlineError) and "\n" not in str(caught.value)


def test_other_shapes_than_in_fit_are_refused(fitted: SightlineClassifier) -> None:
    with pytest.raises(ValueError, match=r"its shape is \(1, 9, 9\) \(expected \(N, 8, 8, 1\)"):
        fitted.predict(np.zeros((1, 9, 9)))
    with pytest.raises(ValueError, match="expecting 64 features"):
        fitted.predict(np.zeros((1, 81)))
    with pytest.raises(TypeError, match="learning_rate"):
        SightlineClassifier(learning_rate=1)
    assert clone(fitted).get_params() == fitted.get_params()


def test_augmentation_for_photographs_is_a_parameter_and_gives_the_same_twice(digits: tuple[Any, Any]) -> None:
    options = {"augment": "strong", "flip": "none", "epochs": 1, "randaugment": 1}
    first, second = (classifier(**options).fit(*digits) for _ in range(2))
    assert first.model_ == second.model_ != classifier(epochs=1).fit(*digits).model_
    assert clone(first).get_params()["augment"] == "strong"
