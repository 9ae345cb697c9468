"""Splits: their properties for any class sizes, against scikit-learn's, and the record that guards them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from sightline.data.image_set import ImageData, ImageSet
from sightline.data.split import split, stratified
from sightline.errors import DataError, FileError, UsageError
from sightline.files.json_records import from_json, to_json
from sightline.runs.images import record, verify
from sightline.runs.records import Splits as Recorded
from sightline.settings.data import DataSettings


def image_set(labels, part="train", classes=None, seed=0):
    labels = np.asarray(labels, np.int64)
    pixels = np.random.default_rng(seed).integers(0, 256, (len(labels), 3, 2, 1), dtype=np.uint8)
    names = tuple(f"c{k}" for k in range(classes or labels.max() + 1))
    return ImageSet.from_arrays(pixels, labels, [f"{part}/{i:05d}" for i in range(len(labels))], names)


def image_data(labels=tuple(range(4)) * 25, val=None, test=(0, 1, 2, 3)):
    train = image_set(labels)
    own = {
        name: image_set(values, name, 4, seed=len(name)) if values else None
        for name, values in (("val", val), ("test", test))
    }
    return ImageData("made", train, own["val"], own["test"], {}, {})


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=8), st.integers(0, 2**64), st.data())
def test_stratified_is_exact_and_leaves_an_image_a_class(sizes, seed, draw):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    most = len(labels) - np.count_nonzero(sizes)
    count = draw.draw(st.integers(0, most))
    chosen = stratified(labels, count, len(sizes), seed)
    assert len(chosen) == len(set(chosen.tolist())) == count
    assert np.array_equal(chosen, np.sort(chosen))
    taken = np.bincount(labels[chosen], minlength=len(sizes))
    left = np.array(sizes) - taken
    assert all(left[np.array(sizes) > 0] >= 1)
    share = count * np.array(sizes) / max(1, len(labels))
    # Within one image of the share, unless a class had to keep its last.
    if (np.array(sizes) - 1 >= np.ceil(share))[np.array(sizes) > 0].all():
        assert np.abs(taken - share).max(initial=0) < 1
    assert np.array_equal(chosen, stratified(labels, count, len(sizes), seed))


def test_stratified_gives_classes_what_scikit_learn_gives_them():
    labels = np.random.default_rng(3).choice(5, 2000, p=[0.5, 0.2, 0.15, 0.1, 0.05])
    _, theirs = train_test_split(np.arange(2000), test_size=300, stratify=labels, random_state=0)
    ours = stratified(labels, 300, 5, seed=0)
    assert np.abs(np.bincount(labels[ours]) - np.bincount(labels[theirs])).max() <= 1


def test_the_choice_never_changes():
    """Runs made with an earlier version must split alike, so the choice itself is pinned."""
    labels = np.arange(1000) % 10
    chosen = stratified(labels, 100, 10, seed=0)
    assert hashlib.sha256(chosen.astype("<i8").tobytes()).hexdigest() == (
        "d52b0386a13681d74ea96cddafb4d65353b6479f08fb12336f1d4c3ea8f2231d"
    )
    assert not np.array_equal(chosen, stratified(labels, 100, 10, seed=1))


def test_fraction_and_count():
    data = image_data()
    for validation in (0.2, 20):
        parts = split(data, DataSettings(validation=validation), watch_test=False)
        assert (len(parts.train), len(parts.validation), len(parts.test)) == (80, 20, 4)
        assert parts.validation.class_counts().tolist() == [5] * 4
        assert sorted([*parts.train.ids, *parts.validation.ids]) == list(data.train.ids)
        for part in (parts.train, parts.validation):
            numbers = [int(name.split("/")[1]) for name in part.ids]
            assert np.array_equal(part.images(), data.train.pixels[numbers])
            assert np.array_equal(part.labels, data.train.labels[numbers])


def test_split_seed_decides():
    ids = [split(image_data(), DataSettings(split_seed=seed), False).validation.ids for seed in (0, 0, 1)]
    assert ids[0] == ids[1] != ids[2]


def test_none_when_watched_or_zero_and_the_folders_own_otherwise():
    data = image_data(val=(0, 1, 2, 3))
    own = split(data, DataSettings(), False)
    assert own.validation is data.val
    assert len(own.train) == 100
    for parts in (split(data, DataSettings(), True), split(image_data(), DataSettings(validation=0), False)):
        assert parts.validation is None
        assert len(parts.train) == 100
        assert len(parts.test) == 4


@pytest.mark.parametrize("validation", [97, 100, 5000, 0.99, 0.001, 2.5])
def test_impossible_requests(validation):
    with pytest.raises(UsageError, match=r"^validation: ") as caught:
        split(image_data(), DataSettings(validation=validation), False)
    assert "\n" not in str(caught.value)
    assert len(split(image_data(), DataSettings(validation=96), False).train) == 4


def test_one_image_a_class_cannot_be_split():
    with pytest.raises(UsageError, match="classes of two images or more"):
        split(image_data(labels=(0, 1, 2, 3)), DataSettings(validation=0.5), False)


# The record


def test_record_is_json_and_holds_what_it_says():
    parts = split(image_data(), DataSettings(split_seed=7), False)
    recorded = json.loads(json.dumps(to_json(record(parts)), allow_nan=False))
    assert recorded["split_seed"] == 7
    assert recorded["classes"] == ["c0", "c1", "c2", "c3"]
    assert {name: part["images"] for name, part in recorded["parts"].items()} == {
        "train": 90,
        "validation": 10,
        "test": 4,
    }
    assert recorded["validation_ids"] == list(parts.validation.ids)
    assert sum(recorded["parts"]["train"]["class_counts"]) == 90
    ids = hashlib.sha256("\n".join(parts.test.ids).encode()).hexdigest()
    assert recorded["parts"]["test"]["ids_sha256"] == ids
    verify(from_json(Recorded, recorded, Path("splits.json")), parts)


@pytest.mark.parametrize("chunk", [1, 7, 1 << 26])
def test_content_hash_does_not_depend_on_chunks(monkeypatch, chunk):
    parts = split(image_data(), DataSettings(), False)
    before = record(parts)
    monkeypatch.setattr(import_module("sightline.runs.images"), "CHUNK_BYTES", chunk)
    assert record(parts) == before


def changed_pixel(part):
    pixels = part.pixels.copy()
    pixels[part.rows[-1], 0, 0, 0] ^= 1
    return dataclasses.replace(part, pixels=pixels)


def changed_label(part):
    labels = part.labels.copy()
    labels[[0, 1]] = labels[[1, 0]]
    return dataclasses.replace(part, labels=labels)


@pytest.mark.parametrize("name", ["train", "validation", "test"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed_pixel, "pixels or labels"),
        (changed_label, "pixels or labels"),
        (lambda part: part.select(np.arange(len(part) - 1)), "as in the run"),
        (lambda part: dataclasses.replace(part, ids=[*part.ids[:-1], "other"]), "not those"),
        (lambda part: part.select(np.arange(len(part))[::-1]), "not those"),
    ],
)
def test_a_change_of_any_part_is_found_and_named(name, change, said):
    parts = split(image_data(), DataSettings(), False)
    recorded = record(parts)
    with pytest.raises(DataError, match=said) as caught:
        verify(recorded, dataclasses.replace(parts, **{name: change(getattr(parts, name))}))
    assert str(caught.value).startswith(f"{name} images")


def test_other_classes_and_other_parts_are_found():
    parts = split(image_data(), DataSettings(), False)
    recorded = record(parts)
    renamed = dataclasses.replace(parts.train, class_names=("c0", "c1", "c2", "zebra"))
    with pytest.raises(DataError, match="zebra"):
        verify(recorded, dataclasses.replace(parts, train=renamed))
    with pytest.raises(
        DataError, match=r"it has train, validation \(expected train, validation, test, as in the run\)"
    ):
        verify(recorded, dataclasses.replace(parts, test=None))


@pytest.mark.parametrize("change", [{"classes": None}, {"parts": [1]}, {"parts": {"train": 3}}])
def test_what_is_no_record_is_refused(change):
    recorded = to_json(record(split(image_data(), DataSettings(), False)))
    with pytest.raises(FileError, match=rf"splits\.json: damaged at {next(iter(change))}"):
        from_json(Recorded, {**recorded, **change}, Path("splits.json"))


# Fewer training images


@pytest.mark.parametrize("validation", [0.2, 0])
def test_fewer_images_train_and_the_others_stay_who_they_are(validation):
    data = image_data()
    whole = split(data, DataSettings(validation=validation), False)
    before: set[str] = set()
    for amount, count in ((4, 4), (0.1, round(0.1 * len(whole.train))), (41, 41), (len(whole.train), len(whole.train))):
        parts = split(data, DataSettings(validation=validation, train_images=amount), False)
        assert len(parts.train) == count
        assert before <= set(parts.train.ids) <= set(whole.train.ids), "a larger part has all of a smaller one"
        before = set(parts.train.ids)
        counts = parts.train.class_counts()
        assert counts.min() >= 1 and counts.max() - counts.min() <= 1
        assert parts.test is data.test
        assert (parts.validation is None) == (validation == 0)
        if parts.validation is not None:
            assert list(parts.validation.ids) == list(whole.validation.ids)
    other = split(data, DataSettings(validation=validation, train_images=20, split_seed=1), False)
    assert set(other.train.ids) != set(split(data, DataSettings(train_images=20), False).train.ids)


def test_every_class_keeps_an_image_however_rare():
    labels = [0] * 95 + [1] * 4 + [2]
    parts = split(image_data(labels=labels), DataSettings(validation=0, train_images=10), False)
    assert parts.train.class_counts().tolist()[:3] == [8, 1, 1]


@pytest.mark.parametrize(
    ("amount", "said"), [(3, "3 of 80 images"), (81, "81 of 80"), (0.01, "0.01 of 80 images is 1"), (4.5, "4.5 found")]
)
def test_impossible_numbers_of_training_images(amount, said):
    with pytest.raises(UsageError, match=f"train_images: {said}"):
        split(image_data(), DataSettings(validation=0.2, train_images=amount), False)
