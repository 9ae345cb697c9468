"""Every figure against scikit-learn's, on data with absent classes and ties."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from sklearn import metrics as reference

from sightline.errors import DataError, NumericError
from sightline.evaluation import metrics
from sightline.files.json_records import to_json


def random_case(seed: int, n: int = 200, classes: int = 7, *, ties: bool = False, absent: tuple[int, ...] = ()):
    """Labels without the `absent` classes, and probabilities; `ties` makes many of a row's entries exactly equal."""
    rng = np.random.default_rng(seed)
    labels = rng.choice([c for c in range(classes) if c not in absent], n).astype(np.int64)
    if ties:
        # Multiples of a power of two: equal entries are equal in every bit, and rows add up to 1 exactly.
        probabilities = rng.multinomial(8, np.full(classes, 1 / classes), n) / 8
    else:
        logits = rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[labels]
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return labels, probabilities


CASES = [
    {"seed": 0},
    {"seed": 1, "ties": True},
    {"seed": 2, "absent": (0, 3)},
    {"seed": 3, "absent": (6,), "ties": True},
    {"seed": 4, "n": 3},
    {"seed": 5, "n": 1, "classes": 3},
    {"seed": 6, "classes": 2},
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_figures_are_scikit_learns(case):
    labels, probabilities = random_case(**case)
    classes = list(range(probabilities.shape[1]))
    predicted = np.argmax(probabilities, axis=1)
    found = metrics.compute(labels, probabilities, [f"c{c}" for c in classes])

    assert found.n == len(labels)
    assert found.accuracy == reference.accuracy_score(labels, predicted)
    assert found.macro_f1 == pytest.approx(reference.f1_score(labels, predicted, average="macro", zero_division=0))
    precision, recall, f1, support = reference.precision_recall_fscore_support(
        labels, predicted, labels=classes, zero_division=0
    )
    np.testing.assert_array_equal(found.confusion_matrix, reference.confusion_matrix(labels, predicted, labels=classes))
    np.testing.assert_allclose([c.precision for c in found.per_class], precision)
    np.testing.assert_allclose([c.recall for c in found.per_class], recall)
    np.testing.assert_allclose([c.f1 for c in found.per_class], f1)
    assert [c.support for c in found.per_class] == list(support)
    present = np.unique(labels)
    mean_recall = reference.recall_score(labels, predicted, labels=present, average="macro", zero_division=0)
    assert found.balanced_accuracy == pytest.approx(mean_recall)
    if set(predicted) <= set(labels) and len(present) > 1:
        assert found.balanced_accuracy == pytest.approx(reference.balanced_accuracy_score(labels, predicted))


def test_loss_is_scikit_learns():
    labels, probabilities = random_case(10)
    expected = reference.log_loss(labels, probabilities, labels=range(7))
    assert metrics.negative_log_likelihood(labels, probabilities) == pytest.approx(expected, rel=1e-12)


def test_loss_of_an_impossible_label_is_finite():
    probabilities = np.array([[1.0, 0.0], [1.0, 0.0]], np.float32)
    found = metrics.negative_log_likelihood(np.array([0, 1]), probabilities)
    assert found == pytest.approx(126 * math.log(2) / 2)  # the smallest normal float32 is 2**-126


@pytest.mark.parametrize("k", [1, 2, 3, 6])
@pytest.mark.parametrize("ties", [False, True])
def test_top_k_is_scikit_learns(k, ties):
    labels, probabilities = random_case(20 + k, ties=ties)
    # scikit-learn takes the last of equals first; with the classes in reverse order that is our rule.
    expected = reference.top_k_accuracy_score(6 - labels, probabilities[:, ::-1], k=k, labels=range(7))
    assert metrics.top_k_accuracy(labels, probabilities, k) == pytest.approx(expected)
    assert metrics.top_k_accuracy(labels, probabilities, 7) == 1


def test_ties_go_to_the_first_class_everywhere():
    equal = np.full((3, 3), 1 / 3, np.float32)
    labels = np.array([0, 1, 2])
    assert metrics.accuracy(labels, equal) == pytest.approx(1 / 3)
    assert [metrics.top_k_accuracy(labels, equal, k) for k in (1, 2, 3)] == pytest.approx([1 / 3, 2 / 3, 1])
    assert metrics.confusion_matrix(labels, equal)[:, 0].tolist() == [1, 1, 1]


def test_confusion_rows_are_true_classes():
    probabilities = np.array([[0.1, 0.9], [0.2, 0.8], [0.7, 0.3]])
    assert metrics.confusion_matrix(np.array([0, 0, 0]), probabilities).tolist() == [[1, 2], [0, 0]]


@pytest.mark.parametrize(("classes", "k"), [(1, 1), (2, 1), (3, 2), (5, 4), (6, 5), (100, 5)])
def test_top_k_leaves_a_class_out(classes, k):
    labels, probabilities = random_case(30, classes=classes)
    found = metrics.compute(labels, probabilities, [str(c) for c in range(classes)])
    assert found.top_k == k
    assert found.top_k_accuracy == metrics.top_k_accuracy(labels, probabilities, k)


def test_dictionary_goes_through_json():
    labels, probabilities = random_case(40, classes=3)
    found = metrics.compute(labels, probabilities.astype(np.float32), ("a", "b", "c"))
    back = json.loads(json.dumps(to_json(found), allow_nan=False))
    assert back == to_json(found)
    assert back["confusion_matrix"] == found.confusion_matrix
    assert back["per_class"][1] == {
        "name": "b",
        "precision": found.per_class[1].precision,
        "recall": found.per_class[1].recall,
        "f1": found.per_class[1].f1,
        "support": int((labels == 1).sum()),
    }


def test_no_image_is_an_error():
    with pytest.raises(DataError, match="no image"):
        metrics.compute(np.empty(0, np.int64), np.empty((0, 2)), ("a", "b"))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_probability_that_is_no_number_never_counts_as_correct(bad):
    probabilities = np.array([[0.5, 0.5], [bad, 0.5]])
    for figure in (metrics.accuracy, metrics.negative_log_likelihood, metrics.confusion_matrix):
        with pytest.raises(NumericError, match="NaN or infinite"):
            figure(np.array([0, 0]), probabilities)
    with pytest.raises(NumericError):
        metrics.top_k_accuracy(np.array([0, 0]), probabilities, 1)
