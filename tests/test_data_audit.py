"""The audit on images with planted faults."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from sightline import data
from sightline.checking.audit import audit as audit_images
from sightline.checking.audit import audit_lines
from sightline.data.folder import FolderData
from sightline.data.image_set import ImageData, ImageSet
from sightline.data.split import Splits
from sightline.files.json_records import from_json, to_json
from sightline.runs.records import Audit, AuditPart, CopiesAcross, CopiesInside, Duplicates, EqualPair
from sightline.settings.data import DataSettings


def images(part, labels, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (len(labels), 5, 4, 3), dtype=np.uint8)
    ids = [f"{part}/{i}" for i in range(len(labels))]
    return ImageSet.from_arrays(pixels, np.array(labels, np.int64), ids, ("cat", "dog"))


@pytest.fixture
def clean():
    return Splits(images("train", [0, 1] * 20, 1), images("val", [0, 1] * 5, 2), images("test", [0, 1] * 6, 3))


def audit(splits, **facts):
    found = audit_images(splits, FolderData("made", splits.train, None, splits.test, {}, **{"skipped": {}, **facts}))
    return from_json(Audit, json.loads(json.dumps(to_json(found), allow_nan=False)), Path("audit.json"))


def test_clean_images(clean):
    found = audit(clean)
    assert found.parts["train"] == AuditPart(40, {"cat": 20, "dog": 20})
    assert found.imbalance == 1
    assert found.duplicates.across == CopiesAcross(pairs=0, other_label=0, with_test=0, named=[])
    assert set(found.duplicates.inside.values()) == {CopiesInside(0, 0)}
    assert audit_lines(found) == [
        "train: 40 images in 2 classes, 20 per class",
        "validation: 10 images in 2 classes, 5 per class",
        "test: 12 images in 2 classes, 6 per class",
    ]


def test_planted_duplicates(clean):
    train, validation, test = clean.train.pixels, clean.validation.pixels, clean.test.pixels
    train[7] = train[3] = train[1]  # two copies of a dog's picture, both dogs
    train[8] = train[1]  # and one under cat
    validation[4] = train[10]  # the same label
    test[0] = train[1]  # another label; several copies in train are one pair
    test[5] = validation[9]
    test[6] = test[2]
    found = audit(clean).duplicates
    assert found.inside == {
        "train": CopiesInside(3, other_label=1),
        "validation": CopiesInside(0, other_label=0),
        "test": CopiesInside(1, other_label=0),
    }
    across = found.across
    assert (across.pairs, across.other_label, across.with_test) == (3, 1, 2)
    assert across.named == [
        EqualPair(("train", "validation"), ("train/10", "val/4"), same_label=True),
        EqualPair(("train", "test"), ("train/1", "test/0"), same_label=False),
        EqualPair(("validation", "test"), ("val/9", "test/5"), same_label=True),
    ]
    lines = audit_lines(audit(clean))
    assert "3 exact duplicates inside train, 1 with another label" in lines
    assert any(
        line.startswith("3 exact duplicates across splits, 1 with another label: train/10 = val/4") for line in lines
    )


def test_a_pixel_apart_is_no_duplicate(clean):
    clean.test.pixels[0] = clean.train.pixels[0]
    clean.test.pixels[0, 4, 3, 2] ^= 1
    assert audit(clean).duplicates.across.pairs == 0


def test_no_more_than_twenty_pairs_are_named(clean):
    clean.train.pixels[:] = clean.train.pixels[0]
    clean.validation.pixels[:] = clean.train.pixels[0]
    clean.test.pixels[:] = clean.train.pixels[0]
    across = audit(clean).duplicates.across
    assert across.pairs == 10 + 12 + 12
    assert len(across.named) == 20
    assert across.with_test == 12 + 12


def test_imbalance_skipped_and_ignored(clean):
    splits = Splits(clean.train.select(np.array([0, 2, 4, 6, 8, 10, 1, 3])), None, None)
    found = audit(splits, skipped={"train/cat/x.jpg": "cut short"}, ignored=4)
    assert found.imbalance == 3
    assert found.skipped == {"train/cat/x.jpg": "cut short"}
    lines = audit_lines(found)
    assert any(
        line.startswith("the largest class has 3.0 times as many images as the smallest: accuracy") for line in lines
    )
    assert "1 unreadable picture skipped: train/cat/x.jpg" in lines
    assert "4 files without a picture's suffix ignored" in lines
    alone = audit(Splits(clean.train.select(np.array([0, 2])), None, None))
    assert alone.imbalance is None
    assert "train has no image of dog" in audit_lines(alone)


def test_names_that_look_the_same_are_told_apart():
    names = ("caf\u00e9", "cafe\u0301", "cafe")
    part = AuditPart(30, dict.fromkeys(names, 10))
    copies = Duplicates({}, CopiesAcross(pairs=0, other_label=0, with_test=0, named=[]))
    told = [line for line in audit_lines(Audit({"train": part}, None, {}, 0, copies)) if "look the same" in line]
    assert told == [r"'cafe\u0301' and 'caf\xe9' are different classes, though their names look the same"]


def test_seventy_thousand_images_take_about_a_second():
    rng = np.random.default_rng(0)
    train = ImageSet.from_arrays(
        rng.integers(0, 256, (60_000, 28, 28, 1), dtype=np.uint8),
        np.arange(60_000) % 10,
        range(60_000),
        tuple("0123456789"),
    )
    test = ImageSet.from_arrays(train.pixels[:10_000], train.labels[:10_000], train.ids[:10_000], train.class_names)
    everything = ImageData("made", train, None, test, {}, {})
    start = time.process_time()
    found = audit_images(Splits(train, None, test), everything)
    assert time.process_time() - start < 4  # with room for a busy machine
    assert found.duplicates.across.pairs == 10_000


@pytest.mark.skipif(
    not os.environ.get("SIGHTLINE_DATA"), reason="SIGHTLINE_DATA names no folder with the official files"
)
def test_mnist_has_no_exact_duplicates_across_parts():
    settings = DataSettings(name="mnist")
    loaded = data.load(settings)
    found = audit_images(data.split(loaded, settings, watch_test=False), loaded)
    assert found.duplicates.across.pairs == 0
    assert 1.2 < found.imbalance < 1.3
