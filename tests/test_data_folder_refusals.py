"""What is no dataset: each fault of a folder is one line that names it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from helpers.folders import load, make, paint, refused
from sightline import data
from sightline.checking.check import check
from sightline.errors import DataError, ImageError
from sightline.settings.data import DataSettings


def test_what_is_no_dataset_is_refused(tmp_path):
    refused(tmp_path / "missing", "no such folder")
    refused(paint(tmp_path / "file.png"), "it is a file")
    (tmp_path / "nothing").mkdir()
    refused(tmp_path / "nothing", "no class folders")
    refused(make(tmp_path / "one", classes=("cat",)), "only one class, cat")
    refused(make(tmp_path / "untrained", ("test",)), "test/ but no train/")
    both = tmp_path / "both"
    (both / "train").mkdir(parents=True)
    (both / "test").mkdir()
    refused(both, "no class folders")
    refused(make(tmp_path / "two", ("train", "val", "valid", "test")), "val/ and valid/")


def test_a_class_whose_name_is_no_utf8_is_refused_and_named(tmp_path):
    root = make(tmp_path / "pets")
    for part in ("train", "test"):
        try:
            paint(root / part / os.fsdecode(b"caf\xe9") / "0.png")
        except OSError:
            pytest.skip("this file system takes UTF-8 names only")
    refused(root, r"train: the name of the class folder 'caf\\udce9' is not UTF-8")
    with pytest.raises(DataError, match="is not UTF-8"):
        data.load_test(DataSettings(name=str(root)), ("cat", "dog"), data.unit_preprocessing((8, 8, 3)))


def test_a_path_that_is_no_utf8_is_refused(tmp_path):
    root = tmp_path / os.fsdecode(b"pets\xe9")
    try:
        root.mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    refused(make(root), r"pets\\udce9: its path is not UTF-8")


@pytest.mark.parametrize("place", ["train/loop", "test/ant", "train"])
def test_a_link_to_itself_is_one_line(tmp_path, place):
    root = make(tmp_path / "pets", ("test",) if place == "train" else ("train", "test"))
    (root / place).symlink_to(root / place, target_is_directory=True)
    if place == "train":
        refused(root, "test/ but no train/")
    else:
        refused(root, f"{place}: it cannot be opened")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look anywhere")
@pytest.mark.parametrize("place", ["train/link", "val", "."])
def test_a_link_into_a_closed_folder_is_one_line(tmp_path, place):
    root = make(tmp_path / "pets")
    (tmp_path / "closed" / "inside").mkdir(parents=True)
    target = root / place if place != "." else tmp_path / "link"
    target.symlink_to(tmp_path / "closed" / "inside", target_is_directory=True)
    (tmp_path / "closed").chmod(0)
    try:
        refused(target if place == "." else root, "cannot be opened")
    finally:
        (tmp_path / "closed").chmod(0o700)


def test_what_the_system_does_not_tell_is_one_line(tmp_path, monkeypatch):
    root = make(tmp_path / "pets")

    def closed(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "is_dir", closed)
    refused(root, r"pets: it cannot be opened \(Permission denied\)")


def test_empty_classes_are_named(tmp_path):
    root = make(tmp_path / "pets")
    (root / "train" / "ant").mkdir()
    (root / "train" / "bee").mkdir()
    (root / "train" / "bee" / "readme.txt").write_text("none yet")
    refused(root, "no pictures in class ant, bee")


@pytest.mark.parametrize("part", ["val", "test"])
def test_other_classes_in_a_part_are_named(tmp_path, part):
    root = make(tmp_path / "pets", ("train", "val", "test"), classes=("cat", "dog", "eel"))
    (root / part / "dog").rename(root / part / "hound")
    refused(
        root,
        rf"{part}: class hound is extra: its classes are cat, eel, hound \(expected the .* train/: cat, dog, eel\)",
    )


def test_unreadable_pictures_are_all_listed_or_left_out(tmp_path):
    root = make(tmp_path / "pets", count=40)
    bad = sorted(f"train/cat/{index}.png" for index in range(25))
    for name in bad:
        path = root / name
        path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError) as caught:
        load(root)
    message = str(caught.value)
    assert "25 unreadable pictures" in message
    assert sum(name in message for name in bad) == 20
    assert "and 5 more (5 .png)" in message
    assert "skip_bad=True" in message
    for _ in range(2):  # the second from the cache
        loaded = load(root, skip_bad=True)
        assert sorted(loaded.skipped) == bad
        with pytest.raises(ImageError) as caught:
            data.decode_raw(root / bad[0])
        assert set(loaded.skipped.values()) == {caught.value.found}
        assert len(loaded.train) == 55
        assert set(loaded.train.ids).isdisjoint(bad)
        assert loaded.train.class_counts().tolist() == [15, 40]
        assert (loaded.train.images()[..., 2] > 0).all()  # no row of a skipped picture
    with pytest.raises(DataError, match="25 unreadable"):
        load(root)


def test_links_that_lead_nowhere_are_unreadable_pictures(tmp_path):
    root = make(tmp_path / "pets")
    links = ["test/dog/gone.png", "train/cat/deep/gone.jpg"]
    for name in links:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).symlink_to(tmp_path / "elsewhere.png")
    refused(
        root, r"2 unreadable pictures: train/cat/deep/gone\.jpg \(no such file\), test/dog/gone\.png \(no such file\)"
    )
    loaded = load(root, skip_bad=True)
    assert (len(loaded.train), len(loaded.test)) == (12, 12)
    assert loaded.skipped == dict.fromkeys(links, "no such file")
    problem = check(str(root), near=False, quiet=True).problems[0]
    assert problem.kind == "unreadable"
    assert sorted((*entry.files, entry.note) for entry in problem.entries) == sorted(loaded.skipped.items())
    paint(tmp_path / "elsewhere.png")
    assert (len(load(root).train), len(load(root).test)) == (13, 13)


def test_a_class_without_a_readable_picture_is_refused(tmp_path):
    root = make(tmp_path / "pets", count=2)
    for index in range(2):
        (root / "test" / "dog" / f"{index}.png").write_bytes(b"no picture")
    refused(root, "no readable picture in class dog", skip_bad=True)
