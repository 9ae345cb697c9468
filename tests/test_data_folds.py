"""Folds of images: each image in one, strata and groups kept, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedKFold

from sightline.data.folds import fold_numbers, fold_of
from sightline.data.image_set import ImageData, ImageSet
from sightline.errors import UsageError


def images(labels: np.ndarray, groups: np.ndarray | None = None) -> ImageSet:
    count, classes = len(labels), int(labels.max()) + 1
    pixels = np.zeros((count, 2, 2, 1), np.uint8)
    names = tuple(f"class {number}" for number in range(classes))
    ids = [f"image {row}" for row in range(count)]
    return ImageSet(pixels, np.arange(count), labels.astype(np.int64), ids, names, groups)


@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(2, 5), st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_each_class_is_spread_evenly(seed: int, folds: int, classes: int, more: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.repeat(np.arange(classes), folds), rng.integers(0, classes, more)])
    rng.shuffle(labels)
    numbers = fold_numbers(images(labels), folds, seed)
    assert set(numbers) == set(range(1, folds + 1)) and np.array_equal(
        numbers, fold_numbers(images(labels), folds, seed)
    )
    table = np.array([np.bincount(labels[numbers == fold], minlength=classes) for fold in range(1, folds + 1)])
    assert (np.ptp(table, axis=0) <= 1).all()


def test_they_are_scikit_learn_s() -> None:
    labels = np.random.default_rng(3).integers(0, 4, 200)
    generator = np.random.RandomState(np.random.MT19937(np.random.SeedSequence(7)))
    numbers = fold_numbers(images(labels), 5, 7)
    for number, (_, inside) in enumerate(
        StratifiedKFold(5, shuffle=True, random_state=generator).split(labels, labels)
    ):
        assert np.array_equal(np.flatnonzero(numbers == number + 1), inside)
    assert not np.array_equal(numbers, fold_numbers(images(labels), 5, 8))


@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(2, 4), st.integers(0, 40))
@settings(max_examples=60, deadline=None)
def test_no_group_is_divided_and_every_class_stays_to_train_on(seed: int, folds: int, classes: int, more: int) -> None:
    rng = np.random.default_rng(seed)
    count = 2 * folds * classes + more
    of_group = np.arange(count) % classes
    groups = np.concatenate([np.arange(count), rng.integers(0, count, 3 * count)])
    labels = of_group[groups]
    numbers = fold_numbers(images(labels, groups), folds, seed)
    assert len({(group, fold) for group, fold in zip(groups, numbers, strict=True)}) == count
    largest = np.bincount(groups).max()
    table = np.array([np.bincount(labels[numbers == fold], minlength=classes) for fold in range(1, folds + 1)])
    assert (table.sum(axis=0) > table.max(axis=0)).all()
    assert (np.ptp(table, axis=0) <= 2 * largest).all()


def test_many_groups_of_one_are_parted_as_evenly_as_images() -> None:
    """As where a few near duplicates make groups of a folder's pictures: the strata must hold."""
    rng = np.random.default_rng(0)
    labels = np.sort(rng.choice(5, 1000, p=[0.05, 0.1, 0.15, 0.3, 0.4]))
    groups = np.arange(1000)
    groups[1::50] = groups[::50]
    numbers = fold_numbers(images(labels, groups), 5, 0)
    table = np.array([np.bincount(labels[numbers == fold], minlength=5) for fold in range(1, 6)])
    assert (np.abs(table - np.bincount(labels) / 5) <= 2).all()
    other = fold_numbers(images(labels, groups), 5, 1)
    assert (numbers == other).mean() < 0.5  # by the seed, not by the order


def test_a_fold_tests_and_the_others_train() -> None:
    labels = np.arange(12) % 2
    data = ImageData("own", images(labels), None, None, {}, {})
    numbers = fold_numbers(data.train, 3, 0)
    parts = [fold_of(data, numbers, fold) for fold in (1, 2, 3)]
    tested = [name for part in parts if part.test is not None for name in part.test.ids]
    assert sorted(tested) == sorted(data.train.ids)
    assert all(part.test is not None and not set(part.test.ids) & set(part.train.ids) for part in parts)


@pytest.mark.parametrize(
    ("labels", "groups", "folds", "said"),
    [
        ([0, 0, 0, 1, 1, 1], None, 1, "1 found .expected 2 or more"),
        ([0, 0, 0, 1, 1, 1], None, 7, "7 folds of 6 pictures"),
        ([0, 0, 0, 0, 0, 1], None, 3, "class class 1 has 1 picture .expected 3 pictures"),
        ([0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1], 3, "3 folds of 2 groups"),
        ([0, 0, 0, 1, 1, 1], [0, 1, 2, 3, 3, 3], 3, "no picture of class class 1 is left to train on"),
    ],
)
def test_what_cannot_be_parted_is_refused(labels: list[int], groups: list[int] | None, folds: int, said: str) -> None:
    given_groups = None if groups is None else np.array(groups)
    with pytest.raises(UsageError, match=said):
        fold_numbers(images(np.array(labels), given_groups), folds, 0)
