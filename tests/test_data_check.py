"""`sightline check` on folders with planted faults: everything planted is found, and hardly anything else."""

from __future__ import annotations

import contextlib
import io
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from helpers.checking import check, found, make, picture
from sightline import data
from sightline.checking import picture_facts
from sightline.errors import DataError, UsageError
from sightline.settings.data import DataSettings

pytestmark = pytest.mark.draws


@pytest.fixture
def rng():
    return np.random.default_rng(0)


# Files


def corrupt(rng, original, kind):
    match kind:
        case "truncated":
            return original[: int(rng.integers(1, len(original) - 1))]
        case "random":
            return rng.bytes(len(original))
        case "empty":
            return b""
        case "zeros":
            return bytes(len(original))
        case "magic":
            return b"\x89PNG" + original[4:]
        case _:
            return b"this is no picture\n" * 20


def test_fifty_of_fifty_corrupt_files(tmp_path, rng):
    make(tmp_path, rng, train=60, test=10)
    kinds = ["truncated"] * 20 + ["random"] * 8 + ["empty"] * 6 + ["zeros"] * 4 + ["magic"] * 6 + ["text"] * 6
    paths = sorted(tmp_path.glob("train/*/*.jpg"))
    chosen = [paths[index] for index in rng.choice(len(paths), 50, replace=False)]
    for path, kind in zip(chosen, kinds, strict=True):
        path.write_bytes(corrupt(rng, path.read_bytes(), kind))
    report = check(tmp_path)
    bad = {name for (name,) in found(report)["unreadable"] + found(report).get("cut_short", [])}
    assert bad == {path.relative_to(tmp_path).as_posix() for path in chosen}
    assert (report["files"], report["unreadable"]) == (140, 50)
    assert report["pictures"] == sum(part["pictures"] for part in report["parts"].values()) == 90
    (problem,) = [problem for problem in report["problems"] if problem["kind"] == "unreadable"]
    assert all(entry["say"] for entry in problem["found"])


@pytest.mark.parametrize("form", ["png", "gif", "webp", "jpeg"])
def test_a_file_without_its_last_bytes_is_told(tmp_path, rng, form):
    make(tmp_path, rng, train=2, test=2)
    stream = io.BytesIO()
    picture(rng).save(stream, form)
    path = tmp_path / f"train/cat/short.{form}"
    path.write_bytes(stream.getvalue()[:-1])
    kinds = found(check(tmp_path))
    name = "train/cat/short." + form
    assert (name,) in kinds.get("unreadable", []) + kinds.get("cut_short", [])


def test_what_is_odd_about_single_files(tmp_path, rng):
    cat = make(tmp_path, rng) / "train" / "cat"
    (cat / "lie.png").write_bytes((cat / "000.jpg").read_bytes())
    picture(rng).save(cat / "moving.gif", save_all=True, append_images=[picture(rng), picture(rng)])
    picture(rng).convert("L").save(cat / "gray.png")
    half = picture(rng).convert("RGBA")
    half.putalpha(100)
    half.save(cat / "alpha.png")
    Image.fromarray(rng.integers(0, 65535, (48, 48), dtype=np.uint16)).save(cat / "deep.png")
    picture(rng).convert("CMYK").save(cat / "print.jpg")
    picture(rng, 400, 400).save(cat / "big.jpg")
    picture(rng, 6, 6).save(cat / "tiny.png")
    picture(rng, 40, 160).save(cat / "long.jpg")
    Image.new("RGB", (48, 48), (9, 9, 200)).save(cat / "flat.png")
    (cat / "notes.txt").write_text("x")
    (tmp_path / "train" / "stray.jpg").write_bytes((cat / "001.jpg").read_bytes())
    kinds = found(check(tmp_path))

    def names(*files):
        return [(f"train/cat/{file}",) for file in files]

    assert kinds.pop("exact_inside") == [("train/cat/000.jpg", "train/cat/lie.png")]
    assert kinds == {
        "loose": [("train/stray.jpg",)],
        "suffix": names("lie.png"),
        "frames": names("moving.gif"),
        "ignored": names("notes.txt"),
        "flat": names("flat.png"),
        "size": names("big.jpg", "tiny.png"),
        "aspect": names("long.jpg"),
        "gray": names("deep.png", "gray.png"),
        "alpha": names("alpha.png"),
        "16-bit": names("deep.png"),
        "palette": names("moving.gif"),
        "CMYK": names("print.jpg"),
    }


def test_sixteen_bits_are_seen_where_pillow_hides_them(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    path = tmp_path / "deep.tif"
    tifffile.imwrite(path, np.full((9, 9), 700, np.uint16))
    assert "16-bit" in picture_facts.picture_facts(path).kinds


# Classes


def test_classes(tmp_path, rng):
    make(tmp_path, rng)
    for name, count in (("train/Cat ", 1), ("train/bird", 12), ("test/empty", 0)):
        (tmp_path / name).mkdir()
        for index in range(count):
            picture(rng).save(tmp_path / name / f"{index}.png")
    report = check(tmp_path)
    assert found(report) == {
        "untested_class": [("test/Cat ",), ("test/bird",), ("test/empty",)],
        "class_names": [("Cat ", "cat")],
        "few": [("train/Cat ",)],
        "imbalance": [("train",)],
    }
    assert report["parts"]["train"]["classes"] == {"Cat ": 1, "bird": 12, "cat": 20, "dog": 20}
    assert report["parts"]["train"]["imbalance"] == 20
    assert report["parts"]["test"]["imbalance"] is None
    assert [problem["wrong"] for problem in report["problems"]] == [True, False, False, False]


def test_one_folder_per_class_and_copies_that_a_split_would_part(tmp_path, rng):
    make(tmp_path, rng)
    whole = tmp_path / "train"
    shutil.copy(whole / "cat" / "003.jpg", whole / "cat" / "copy.jpg")
    report = check(whole)
    assert list(report["parts"]) == ["all"]
    assert found(report) == {"exact_inside": [("cat/003.jpg", "cat/copy.jpg")]}
    assert report["wrong"], "a split by chance may put one of them into train and the other into test"
    (tmp_path / "train" / "cat" / "copy.jpg").rename(tmp_path / "test" / "cat" / "009.jpg")
    shutil.rmtree(tmp_path / "train")
    assert found(check(tmp_path))["no_train"] == [("test",)]


PARTED = "train/a train/b"


@pytest.mark.parametrize(
    ("tree", "wrong"),
    [
        (PARTED, ""),
        (f"{PARTED} val/a val/b test/a test/b", ""),
        (f"{PARTED} valid/a valid/b", ""),
        ("a b", ""),
        ("car train", ""),
        ("train val", ""),
        ("test val/a val/b", ""),
        (f"{PARTED} val", "loose no_classes"),
        (f"{PARTED} val/ test/a test/b", "no_classes"),
        (f"{PARTED} test", "loose no_classes"),
        (f"{PARTED} test/", "no_classes"),
        (f"{PARTED} val/a val/b valid/a valid/b", "several_val"),
        (f"{PARTED} val/a val/b validation/", "no_classes several_val"),
        ("train test", "loose no_classes"),
        ("train/ test/", "no_classes"),
        ("train/ test/ a b", "no_classes"),
        ("test/a test/b", "no_train"),
        ("test/a test/b train", "loose no_classes"),
        ("val/a val/b", "one_class"),
        ("train/a a b", "one_class"),
        (f"{PARTED} test/a", ""),
        (f"{PARTED} test/a test/b test/c", "missing_class"),
        (f"{PARTED} train/c/", "empty_class"),
    ],
)
def test_what_it_finds_wrong_with_the_folders_is_what_training_refuses(tmp_path, rng, tree, wrong):
    """A folder of `tree` holds pictures, or nothing where a slash ends it."""
    for name in tree.split():
        folder = tmp_path / name
        folder.mkdir(parents=True)
        for index in range(0 if name.endswith("/") else 8):
            picture(rng, 12, 12).save(folder / f"{index}.png")
    problems = check(tmp_path, near=False)["problems"]
    assert sorted(problem["kind"] for problem in problems if problem["wrong"]) == wrong.split()
    loose = [files for problem in problems if problem["kind"] == "loose" for files in problem["found"]]
    assert len(loose) == 8 * ("loose" in wrong) * len({"train", "val", "test"} & set(tree.split()))
    with pytest.raises(DataError) if wrong else contextlib.nullcontext():
        data.load(DataSettings(name=str(tmp_path), image_size=8), quiet=True)


@pytest.mark.parametrize("place", ["train/a-loop", "test/z-loop.jpg", "train"])
def test_a_link_to_itself_is_told_and_stops_nothing(tmp_path, rng, place):
    make(tmp_path, rng, train=12, test=12)
    if place == "train":
        shutil.rmtree(tmp_path / "train")
    (tmp_path / place).symlink_to(tmp_path / place)
    report = check(tmp_path)
    expected = {"unlisted": [(place,)]} | ({"no_train": [("test",)]} if place == "train" else {})
    assert found(report) == expected
    assert report["problems"][0]["wrong"] and report["pictures"] == (24 if place == "train" else 48)


def test_a_class_whose_name_is_no_utf8_is_told(tmp_path, rng):
    make(tmp_path, rng, train=12, test=12)
    name = os.fsdecode(b"caf\xe9")
    for part in ("train", "test"):
        try:
            (tmp_path / part / "cat").rename(tmp_path / part / name)
        except OSError:
            pytest.skip("this file system takes UTF-8 names only")
    report = check(tmp_path, out=tmp_path / "out")
    assert found(report) == {"not_utf8": [(name,)]} and report["wrong"]


def test_only_what_is_no_dataset_stops_it(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        check(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no class folders"):
        check(tmp_path)
    with pytest.raises(UsageError, match=r"Did you mean digits"):
        check("digit")
    with pytest.raises(UsageError, match=r"alike: 0\.2 found"):
        check("digits", alike=0.2)
    (tmp_path / "cat").mkdir()
    assert set(found(check(tmp_path))) == {"one_class", "empty_class"}
