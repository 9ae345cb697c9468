"""How pictures lie in a folder, as people have them: parts by many names, and folders inside folders."""

from __future__ import annotations

import pytest

import sightline as sl
from helpers.folders import load, make, paint, refused
from sightline import data
from sightline.checking.check import check
from sightline.data.layout import part_of
from sightline.settings.data import DataSettings


@pytest.mark.parametrize(
    ("name", "part"),
    [
        *(
            (name, "train")
            for name in ("train", "Training", "TRAIN", "train_set", "seg_train", "Train Set", "trainset")
        ),
        *((name, "train") for name in ("train_images", "training-data", "Train-Data-Set")),
        *((name, "val") for name in ("val", "valid", "Validation", "eval", "DEV", "valid_set", "validation_images")),
        *((name, "test") for name in ("test", "Testing", "seg_test", "test_set", "TestSet")),
        *((name, None) for name in ("seg_pred", "set", "data", "trains", "testament", "train_test", "device", "", "x")),
    ],
)
def test_names_of_parts(name, part):
    assert part_of(name) == part


@pytest.mark.parametrize(
    "names",
    [("Training", "Testing"), ("train_set", "test_set"), ("TRAIN", "eval", "TEST"), ("training", "dev", "testing")],
)
def test_parts_by_other_names(tmp_path, names):
    loaded = load(make(tmp_path / "pets", names))
    assert [len(part) for part in (loaded.train, loaded.test)] == [12, 12]
    assert (loaded.val is None) == (len(names) == 2)
    assert all(name.startswith(f"{names[0]}/") for name in loaded.train.ids)
    assert all(name.startswith(f"{names[-1]}/") for name in loaded.test.ids)
    assert loaded.notes == ()
    wanted = data.unit_preprocessing((8, 8, 3))
    assert len(data.load_test(DataSettings(name=str(tmp_path / "pets")), ("cat", "dog"), wanted)) == 12
    result = check(tmp_path / "pets", near=False, quiet=True)
    assert list(result.parts) == list(names)
    assert not {"no_train", "no_classes", "missing_class"} & {problem.kind for problem in result.problems}


def test_plain_names_go_before_others_and_two_of_a_kind_are_refused(tmp_path):
    root = make(tmp_path / "a", ("train", "val", "dev", "test"))
    assert {name.split("/")[0] for name in load(root).val.ids} == {"val"}
    refused(
        make(tmp_path / "b", ("train_set", "training", "test")), r"it has train_set/ and training/ .expected one of"
    )
    refused(make(tmp_path / "c", ("train", "eval", "dev")), "it has dev/ and eval/")
    refused(make(tmp_path / "d", ("Testing",)), "it has Testing/ but no train/")
    problems = check(make(tmp_path / "e", ("train", "Testing", "test_set")), near=False, quiet=True).problems
    assert [entry.files for problem in problems if problem.kind == "several_parts" for entry in problem.entries] == [
        ("Testing",),
        ("test_set",),
    ]


def test_parts_that_hide_in_folders_of_their_own_names(tmp_path):
    """As of a well-known set of landscapes: seg_train/seg_train/CLASS, and pictures to predict beside it."""
    root = tmp_path / "intel"
    make(root / "seg_train", ("seg_train",))
    make(root / "seg_test", ("seg_test",), count=3)
    paint(root / "seg_pred" / "seg_pred" / "1.png")
    loaded = load(root)
    assert (len(loaded.train), len(loaded.test)) == (12, 6)
    assert loaded.train.ids[0] == "seg_train/seg_train/cat/0.png"
    assert loaded.notes == (
        "seg_train/: its classes are taken from seg_train/seg_train/",
        "seg_test/: its classes are taken from seg_test/seg_test/",
        "beside the splits and not used: seg_pred/",
    )
    assert {name: part.pictures for name, part in check(root, quiet=True).parts.items()} == {
        "seg_train": 12,
        "seg_test": 6,
    }


@pytest.mark.parametrize("inner", ["a", "a/b"])
@pytest.mark.parametrize("parts", [("",), ("Training", "Test")])
def test_a_folder_inside_is_taken_and_told(tmp_path, inner, parts):
    make(tmp_path / "pets" / inner, parts, count=10)
    (tmp_path / "pets" / "README.md").write_text("about")
    loaded = load(tmp_path / "pets")
    assert loaded.name == "pets"
    assert loaded.class_names == ("cat", "dog")
    assert len(loaded.train) + len(loaded.test) == 20 * len(parts)
    assert loaded.notes == (f"{tmp_path}/pets: pictures are taken from {inner}/ in it",)
    assert check(tmp_path / "pets", near=False, quiet=True).notes == loaded.notes


def test_one_class_is_not_looked_into_for_classes_that_are_none(tmp_path):
    make(tmp_path / "pets", ("",), classes=("cat",))
    refused(tmp_path / "pets", "it has only one class, cat")
    make(tmp_path / "more", ("val",))
    refused(tmp_path / "more", "it has only one class, val")


def test_what_systems_leave_behind_is_ignored(tmp_path):
    root = make(tmp_path / "pets")
    for name in ("__MACOSX/x.png", ".DS_Store", "train/cat/Thumbs.db", "train/desktop.ini", "train/__MACOSX/y.png"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"x")
    assert load(root).ignored == 0
    assert not [problem for problem in check(root, near=False, quiet=True).problems if problem.kind == "ignored"]


def test_flat_parts_with_a_file_of_labels(tmp_path):
    """As a contest has them: train/ and test/ without classes, and a file that tells those of one."""
    rows = [f"{index},{'ab'[index % 2]}" for index in range(10)]
    for index in range(10):
        paint(tmp_path / "train" / f"{index}.jpg", index)
        paint(tmp_path / "test" / f"{index}.jpg", 100 + index)
    (tmp_path / "labels.csv").write_text("\n".join(["image,label", *(f"train/{row}" for row in rows)]))
    loaded = load(tmp_path)
    assert all(name.startswith("train/") for name in (*loaded.train.ids, *loaded.test.ids))


def test_real_fruits(real_data, tmp_path):
    """Its makers call the parts Training and Test, and have a folder for each variety in those of the classes."""
    root = real_data / "folders" / "fruits360-3body-sub"
    loaded = load(root, image_size=8, near_duplicates="anywhere")
    assert {name.split("/")[0] for name in loaded.train.ids} == {"Training"}
    assert {name.split("/")[0] for name in loaded.test.ids} == {"Test"}
    assert len(loaded.train) + len(loaded.test) == 2493
    assert len(loaded.class_names) == 3
    done = sl.train(root, recipe="none", model="cnn", steps=1, image_size=8, threads=1, quiet=True, runs=tmp_path)
    assert sl.test(done.run).accuracy == done.test_accuracy
