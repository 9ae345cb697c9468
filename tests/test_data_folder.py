"""Folders of pictures: layouts, sizes, and testing a model on a folder."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from helpers.folders import load, make, paint
from sightline import data
from sightline.data.layout import list_part
from sightline.errors import DataError, UsageError
from sightline.settings.data import DataSettings, Resizing


def test_train_val_test(tmp_path):
    loaded = load(make(tmp_path / "pets", ("train", "val", "test")), image_size=8)
    assert loaded.class_names == ("cat", "dog")
    assert loaded.name == "pets"
    assert [len(part) for part in (loaded.train, loaded.val, loaded.test)] == [12, 12, 12]
    assert loaded.train.size == (8, 8, 3)
    for p, part in enumerate((loaded.train, loaded.val, loaded.test)):
        for index, name in enumerate(part.ids):
            folder, label, file = Path(name).parts
            assert folder == ("train", "val", "test")[p]
            assert part.class_names[part.labels[index]] == label
            red = 40 * p + 10 * part.labels[index] + int(file[0])
            assert (part.images(index, index + 1) == [red, 0, 255 - red]).all()


def test_one_folder_per_class_is_split_by_stratum(tmp_path):
    root = make(tmp_path / "pets", ("",), count=20)
    loaded = load(root, test_fraction=0.25)
    assert loaded.val is None
    assert loaded.train.class_counts().tolist() == [15, 15]
    assert loaded.test.class_counts().tolist() == [5, 5]
    assert set(loaded.train.ids).isdisjoint(loaded.test.ids)
    assert load(root, test_fraction=0.25).test.ids == loaded.test.ids
    assert load(root, test_fraction=0.25, split_seed=1).test.ids != loaded.test.ids
    with pytest.raises(UsageError, match=r"^test_fraction: "):
        load(root, test_fraction=0.99)


def test_train_without_test_is_split_too(tmp_path):
    loaded = load(make(tmp_path / "pets", ("train",), count=10), test_fraction=0.2)
    assert (len(loaded.train), len(loaded.test)) == (16, 4)


def test_a_class_may_be_called_train(tmp_path):
    loaded = load(make(tmp_path / "vehicles", ("",), classes=("car", "train", "tram")))
    assert loaded.class_names == ("car", "train", "tram")


def test_subfolders_suffixes_hidden_and_other_files(tmp_path):
    root = make(tmp_path / "pets")
    paint(root / "train" / "cat" / "more" / "a.JPG")
    paint(root / "train" / "cat" / ".hidden.png")
    paint(root / ".thumbs" / "x.png")
    (root / "train" / "__MACOSX").mkdir()
    (root / "train" / "cat" / "notes.txt").write_text("hello")
    (root / "train" / "labels.csv").write_text("hello")
    (root / "train" / "dog" / "loop").symlink_to(root / "train", target_is_directory=True)
    loaded = load(root)
    assert len(loaded.train) == 13
    assert "train/cat/more/a.JPG" in loaded.train.ids
    assert loaded.ignored == 3


def test_size_is_the_median_of_the_shorter_sides(tmp_path):
    root = tmp_path / "pets"
    for index, size in enumerate([(30, 90), (90, 40), (50, 50), (60, 300), (70, 70)]):
        paint(root / "train" / "cat" / f"{index}.png", size=size)
    paint(root / "train" / "dog" / "x.png", size=(50, 80))
    paint(root / "test" / "cat" / "x.png", size=(9, 9))
    paint(root / "test" / "dog" / "x.png", size=(9, 9))
    assert load(root).train.size == (50, 50, 3)
    assert load(root, image_size=11).train.size == (11, 11, 3)
    assert load(root, channels=1).train.size == (50, 50, 1)


@pytest.mark.parametrize(("side", "chosen"), [(3, 8), (400, 224)])
def test_size_has_bounds(tmp_path, side, chosen):
    assert load(make(tmp_path / "pets", count=2, size=(side, side))).train.size[:2] == (chosen, chosen)


def test_gray_where_all_are_gray(tmp_path):
    root = make(tmp_path / "pets", count=2, mode="L")
    assert load(root).train.size == (10, 10, 1)
    paint(root / "train" / "cat" / "colour.png")
    assert load(root).train.size == (10, 10, 3)


def test_load_test_of_a_folder(tmp_path, decodes):
    root = make(tmp_path / "pets", ("train", "test"))
    wanted = data.unit_preprocessing((7, 9, 1), Resizing("crop"))
    settings = DataSettings(name=str(root))
    test = data.load_test(settings, ("cat", "dog"), wanted)
    assert test.size == (7, 9, 1)
    assert all(name.startswith("test/") for name in test.ids)
    assert decodes[0] == 12
    assert np.array_equal(test.images(0, 1)[0], data.decode(root / test.ids[0], wanted))
    data.load_test(settings, ("cat", "dog"), wanted)
    assert decodes[0] == 12
    load(root)
    data.load_test(settings, ("cat", "dog"), wanted)
    assert decodes[0] == 12 + 24  # neither drops the other's cache
    turned = data.load_test(settings, ("dog", "cat"), wanted)
    assert turned.class_names == ("dog", "cat")
    assert np.array_equal(turned.labels, 1 - test.labels)


def test_load_test_uses_all_of_a_folder_of_classes(tmp_path):
    root = make(tmp_path / "pets", ("",))
    test = data.load_test(DataSettings(name=str(root)), ("cat", "dog"), data.unit_preprocessing((8, 8, 3)))
    assert len(test) == 12


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (("cat",), r"class dog is extra: its classes are cat, dog \(expected the classes of the model: cat\)"),
        (("cat", "hound"), r"class dog is extra: .*\(expected the classes of the model: cat, hound\)"),
    ],
)
def test_load_test_names_classes_that_are_not_the_models(tmp_path, classes, said):
    root = make(tmp_path / "pets")
    with pytest.raises(DataError, match=said):
        data.load_test(DataSettings(name=str(root)), classes, data.unit_preprocessing((8, 8, 3)))


def test_load_test_of_train_without_test(tmp_path):
    root = make(tmp_path / "pets", ("train",))
    with pytest.raises(DataError, match="train/ but no test/"):
        data.load_test(DataSettings(name=str(root)), ("cat", "dog"), data.unit_preprocessing((8, 8, 3)))


def test_listing_many_files_is_quick(tmp_path):
    """60,000 in about a second or two, so 5,000 in far less, with room for a busy machine."""
    for name in ("cat", "dog"):
        (tmp_path / "many" / name).mkdir(parents=True)
        for index in range(2_500):
            (tmp_path / "many" / name / f"{index}.jpg").touch()
    start = time.process_time()
    part = list_part(tmp_path / "many", tmp_path / "many")
    assert len(part.pictures) == 5_000
    assert time.process_time() - start < 0.5
