"""What is no class, no picture that is read, or beside the splits: nothing is left out in silence."""

from __future__ import annotations

import json
import zipfile

import pytest

import sightline as sl
from helpers.folders import load, make, paint, refused
from sightline import data
from sightline.checking.check import check
from sightline.data.decoder import SUFFIXES
from sightline.data.formats import UNREAD
from sightline.data.layout import part_of
from sightline.errors import DataError
from sightline.runs.folder import RunFolder
from sightline.runs.records import Audit
from sightline.settings.data import DataSettings

LEFT_BY_SYSTEMS = (
    "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found", "__MACOSX", ".ipynb_checkpoints",
)  # fmt: skip


def kinds(root):
    """The problems that check finds, by their kind, each with its files."""
    return {
        problem.kind: [name for entry in problem.entries for name in entry.files]
        for problem in check(root, near=False, quiet=True).problems
    }


def load_test(root, names=("cat", "dog")):
    told = []
    found = data.load_test(DataSettings(name=str(root)), names, data.unit_preprocessing((8, 8, 3)), tell=told.append)
    return found, told


@pytest.mark.parametrize(
    ("name", "part"),
    [
        *((name, "train") for name in ("TrainData", "训练集", "train_imgs")),
        *((name, "test") for name in ("testimages", "Test-Imgs", "测试", "holdout")),
        *((name, "val") for name in ("Validate", "valDataset", "验证集")),
    ],
)
def test_more_names_of_parts(name, part):
    assert part_of(name) == part


@pytest.mark.parametrize("name", ["contest", "testudo", "trainers", "latest", "sets", "devices", "evaluator"])
def test_names_of_classes_are_no_parts(name):
    assert part_of(name) is None


def test_check_names_parts_that_it_guesses(tmp_path):
    assert kinds(make(tmp_path / "a", ("Training", "test")))["other_names"] == ["Training"]
    assert "other_names" not in kinds(make(tmp_path / "b", ("train", "valid", "test")))


def test_what_is_beside_the_splits_is_named(tmp_path):
    root = make(tmp_path / "pets", ("train", "val", "test", "dev", "extra"))
    paint(root / "stray.png")
    (root / "notes").mkdir()
    (root / "notes" / "a.txt").write_text("no picture")
    said = "beside the splits and not used: dev/, extra/, stray.png"
    assert said in load(root).notes
    assert said in check(root, near=False, quiet=True).notes


@pytest.mark.parametrize("parts", [("2019", "2020", "2021"), ("", "inside")])
def test_the_same_subfolders_in_every_class_are_no_classes(tmp_path, parts):
    root = make(tmp_path / "pets", parts)
    if "" in parts:  # the subfolders are not the same: cat and dog have pictures, and `inside` has folders
        assert load(root).class_names == ("cat", "dog", "inside")
        return
    refused(root, r"its 3 folders, 2019, 2020, 2021, all have the same subfolders, cat, dog")
    assert kinds(root)["same_subfolders"] == ["all"]
    assert load(root, group="parent").class_names == parts


def test_splits_inside_of_classes_are_told(tmp_path):
    refused(make(tmp_path / "pets", ("cat", "dog"), ("train", "test")), "2 folders, cat, dog, all have the same")


@pytest.mark.parametrize("parts", [("train", "test"), ("",)])
def test_what_systems_leave_is_neither_class_nor_picture(tmp_path, parts):
    root = make(tmp_path / "pets", parts)
    count = 12 * len(parts)
    for name in LEFT_BY_SYSTEMS:
        for place in (root, root / parts[0], root / parts[0] / "cat", root / parts[0] / "cat" / "deep"):
            paint(place / name / "SYNOPHOTO_THUMB_M.jpg")
    for name in ("Thumbs.db", ".DS_Store", "ehthumbs.db", "._0.png", "desktop.ini"):
        for place in (root, root / parts[0], root / parts[0] / "cat"):
            (place / name).write_bytes(b"x")
    loaded = load(root, test_fraction=0.2)
    assert loaded.class_names == ("cat", "dog")
    assert (len(loaded.train) + len(loaded.test), loaded.ignored, loaded.notes) == (count, 0, ())
    assert len(load_test(root)[0]) == 12
    assert len(sl.find_pictures(root)) == count
    assert not {"ignored", "loose", "missing_class"} & kinds(root).keys()
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for path in sorted(root.rglob("*")):
            archive.write(path, path.relative_to(root))
    assert len(sl.find_pictures(tmp_path / "pets.zip")) == count
    assert load(tmp_path / "pets.zip", test_fraction=0.2).class_names == ("cat", "dog")


def test_a_label_file_does_not_find_thumbnails(tmp_path):
    rows = ["image,label"]
    for index in range(8):
        paint(tmp_path / "photos" / f"p{index}.png", 20 * index)
        paint(tmp_path / "photos" / "@eaDir" / f"p{index}.png", 255)
        rows.append(f"p{index},{'ab'[index % 2]}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    loaded = load(tmp_path)
    assert all(name.startswith("photos/p") for name in (*loaded.train.ids, *loaded.test.ids))


def test_no_format_is_both_read_and_not_read():
    assert not UNREAD.keys() & SUFFIXES


def test_formats_that_are_not_read_are_counted_and_named(tmp_path, capsys):
    root = make(tmp_path / "pets", count=8)
    for index in range(6):
        (root / "train" / "dog" / f"{index}.png").rename(root / "train" / "dog" / f"{index}.JXL")
    (root / "test" / "cat" / "0.png").rename(root / "test" / "cat" / "0.nef")
    loaded = load(root)
    assert loaded.notes[:2] == (
        "7 pictures are left out, because their formats are not read: 6 JPEG XL (.jxl), 1 RAW (.nef)",
        "train/dog: 6 of its 8 pictures are left out",
    )
    assert loaded.ignored == 0
    assert kinds(root)["unread"] == sorted(
        ["test/cat/0.nef", *(f"train/dog/{index}.JXL" for index in range(6))],
        key=lambda name: ("train" not in name, name),
    )
    assert load_test(root)[1][0] == "1 picture is left out, because its format is not read: 1 RAW (.nef)"
    told = []
    assert len(sl.find_pictures(root / "train", tell=told.append)) == 10
    assert told == ["6 pictures are left out, because their formats are not read: 6 JPEG XL (.jxl)"]
    done = sl.train(root, recipe="none", model="cnn", steps=1, image_size=8, threads=1, runs=tmp_path / "runs")
    assert "6 JPEG XL (.jxl)" in capsys.readouterr().err
    left_out = RunFolder(done.run).read(Audit).left_out
    assert left_out is not None and left_out.unread == {"JPEG XL (.jxl)": 6, "RAW (.nef)": 1}
    assert left_out.classes == {"train/dog": 6, "test/cat": 1}
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "a.svg").write_text("<svg/>")
    with pytest.raises(DataError, match=r"no pictures but those of formats that are not read: 1 SVG \(.svg\)"):
        sl.find_pictures(tmp_path / "only")
    for path in (root / "train" / "dog").glob("*.png"):
        path.rename(path.with_suffix(".psd"))
    refused(root, r"no pictures in class dog but those of formats that are not read: 6 JPEG XL .*, 2 Photoshop")


def test_pictures_that_skip_bad_skips_count_for_their_class(tmp_path):
    root = make(tmp_path / "pets", ("",), count=10)
    for index in range(4):
        (root / "dog" / f"{index}.png").write_bytes(b"")
    assert "dog: 4 of its 10 pictures are left out" in load(root, skip_bad=True).notes


def test_loose_pictures_are_no_files_without_a_suffix(tmp_path):
    root = make(tmp_path / "pets", ("",), count=10)
    paint(root / "1.png")
    loaded = load(root)
    assert (loaded.ignored, loaded.notes) == (0, ("1 picture is left out, because it is in no class folder",))


def test_classes_that_differ_by_format_are_told(tmp_path):
    root = make(tmp_path / "pets", ("train", "test"), count=10)
    for path in (root / "train" / "dog").iterdir():
        path.rename(path.with_suffix(".HEIC"))
    (said,) = load(root).notes
    assert said.startswith("most pictures of cat are .png files, and none of dog is")


def test_a_test_set_may_lack_classes_but_not_bring_others(tmp_path):
    root = make(tmp_path / "pets", ("train", "test"), ("ant", "bee", "cat"))
    for path in (root / "test" / "bee").iterdir():
        path.unlink()
    result = sl.train(root, recipe="none", model="cnn", steps=2, image_size=8, threads=1, quiet=True, runs=tmp_path)
    report = result.test_report
    assert report is not None and report.missing_classes == ("bee",)
    make(tmp_path / "new", ("",), ("ant",))
    tested = sl.test(result.run, tmp_path / "new")
    assert tested.report.missing_classes == ("bee", "cat")
    assert tested.report.balanced_accuracy == tested.accuracy
    assert tested.notes[-1] == "no test image is of class bee, cat: the metrics are over the other classes"
    stored = json.loads((tested.folder / "metrics.json").read_text())
    assert stored["missing_classes"] == ["bee", "cat"]
    page = sl.report(result.run).files[0].read_text()
    assert "Classes without a test image: bee" in page
    make(tmp_path / "new", ("",), ("eel",))
    said = r"class eel is extra: its classes are ant, eel \(expected the classes of the model: ant, bee, cat\)"
    with pytest.raises(DataError, match=said):
        sl.test(result.run, tmp_path / "new")
    (tmp_path / "none" / "ant").mkdir(parents=True)
    with pytest.raises(DataError, match="no pictures in class ant"):
        sl.test(result.run, tmp_path / "none")
    assert kinds(root)["untested_class"] == ["test/bee"]
