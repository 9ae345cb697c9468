"""Folders of pictures: layouts, what is refused, and a cache that knows when the folder has changed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sightline import data
from sightline.checking.check import check
from sightline.cli.app import run
from sightline.data import cache, decoder, parallel
from sightline.data import folder as folder_module
from sightline.errors import DataError, ImageError, ResourceError, UsageError
from sightline.settings.data import DataSettings


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def decodes(monkeypatch):
    """Counts the pictures that are decoded in this process."""
    count = [0]
    real = cache.decode

    def counting(*args, **kwargs):
        count[0] += 1
        return real(*args, **kwargs)

    monkeypatch.setattr(cache, "decode", counting)
    return count


def paint(path, value=100, size=(12, 10), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value, 0, 255 - value)).save(path)
    return path


def make(root, parts=("train", "test"), classes=("cat", "dog"), count=6, **options):
    for p, part in enumerate(parts):
        for k, name in enumerate(classes):
            for index in range(count):
                paint(root / part / name / f"{index}.png", 40 * p + 10 * k + index, **options)
    return root


def load(root, **values):
    return data.load(DataSettings(name=str(root), **values))


# Layouts


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
    with pytest.raises(UsageError, match="--test-fraction"):
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


# Refusals


def refused(root, said, **values):
    with pytest.raises(DataError, match=said) as caught:
        load(root, **values)
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)


def test_what_is_no_dataset_is_refused(tmp_path):
    refused(tmp_path / "missing", "no such folder")
    refused(paint(tmp_path / "file.png"), "it is a file")
    (tmp_path / "nothing").mkdir()
    refused(tmp_path / "nothing", "no class folders")
    refused(make(tmp_path / "one", classes=("cat",)), "one class only, cat")
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
    refused(root, f"{part}: class dog is missing and class hound is extra")


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
    assert "and 5 more" in message
    assert "--skip-bad" in message
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
    problem = check(str(root), near=False, quiet=True).report["problems"][0]
    assert problem["kind"] == "unreadable"
    assert sorted((*entry["files"], entry["say"]) for entry in problem["found"]) == sorted(loaded.skipped.items())
    paint(tmp_path / "elsewhere.png")
    assert (len(load(root).train), len(load(root).test)) == (13, 13)


def test_a_class_without_a_readable_picture_is_refused(tmp_path):
    root = make(tmp_path / "pets", count=2)
    for index in range(2):
        (root / "test" / "dog" / f"{index}.png").write_bytes(b"no picture")
    refused(root, "no readable picture in class dog", skip_bad=True)


# The cache


def files_of(tmp_path):
    return sorted(path for path in (tmp_path / "cache").rglob("*") if path.is_file())


def test_the_second_load_decodes_nothing(tmp_path, decodes):
    root = make(tmp_path / "pets")
    first = load(root)
    assert decodes[0] == 24
    second = load(root)
    assert decodes[0] == 24
    assert np.array_equal(first.train.images(), second.train.images())
    assert first.train.ids == second.train.ids
    assert first.files == second.files


def test_a_changed_folder_is_decoded_anew_and_the_old_cache_goes(tmp_path, decodes):
    root = make(tmp_path / "pets")
    load(root)
    picture = root / "train" / "cat" / "0.png"
    changes = [
        lambda: paint(picture, 250),
        lambda: os.utime(picture, ns=(1, 1)),
        lambda: paint(root / "train" / "dog" / "new.png"),
        (root / "test" / "cat" / "3.png").unlink,
        lambda: (root / "train" / "dog" / "1.png").rename(root / "train" / "dog" / "renamed.png"),
    ]
    for change in changes:
        change()
        decodes[0] = 0
        loaded = load(root)
        assert decodes[0] == len(loaded.train) + len(loaded.test)
        assert len(files_of(tmp_path)) == 2
    assert loaded.train.images(0, 1)[0, 0, 0].tolist() == [250, 0, 5]


def test_another_size_or_fit_is_another_cache_and_both_stay(tmp_path, decodes):
    root = make(tmp_path / "pets")
    for values in (
        {"image_size": 8},
        {"image_size": 9},
        {"image_size": 9, "fit": "pad"},
        {"image_size": 9, "channels": 1},
    ):
        decodes[0] = 0
        load(root, **values)
        assert decodes[0] == 24
        load(root, **values)
        assert decodes[0] == 24
    load(root, image_size=8)
    assert decodes[0] == 24


def test_another_decoder_is_another_cache(tmp_path, decodes, monkeypatch):
    root = make(tmp_path / "pets")
    load(root)
    monkeypatch.setattr(cache, "DECODER_VERSION", "next")
    load(root)
    assert decodes[0] == 48


@pytest.mark.parametrize("which", [".npy", ".json"])
@pytest.mark.parametrize("damage", ["cut", "empty", "noise", "gone", "longer", "other"])
def test_a_damaged_cache_is_rebuilt(tmp_path, decodes, which, damage):
    root = make(tmp_path / "pets")
    right = load(root).train.images()
    (path,) = [path for path in files_of(tmp_path) if path.suffix == which]
    whole = path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage == "other" and which == ".npy":
        np.save(path, np.zeros((24, 9, 10, 3), np.uint8))
    elif damage == "other":
        path.write_text(json.dumps({"shape": [24, 10, 10, 1], "bad": {}}))
    else:
        changed = {"cut": whole[:-7], "empty": b"", "noise": b"\x80\x04." * 50, "longer": whole + b"0"}
        path.write_bytes(changed[damage])
    decodes[0] = 0
    loaded = load(root)
    assert np.array_equal(loaded.train.images(), right)
    assert decodes[0] == 24
    load(root)
    assert decodes[0] == 24


def test_skipped_pictures_are_tried_again(tmp_path, decodes):
    root = make(tmp_path / "pets")
    again, never = root / "train" / "cat" / "2.png", root / "test" / "dog" / "3.png"
    whole, facts = again.read_bytes(), again.stat()
    for path in (again, never):
        path.write_bytes(bytes(facts.st_size))
        os.utime(path, ns=(facts.st_mtime_ns, facts.st_mtime_ns))
    assert len(load(root, skip_bad=True).skipped) == 2
    decodes[0] = 0
    assert len(load(root, skip_bad=True).skipped) == 2
    assert decodes[0] == 2, "only those that could not be read"
    # As after a chmod: neither the size nor the time is another.
    again.write_bytes(whole)
    os.utime(again, ns=(facts.st_mtime_ns, facts.st_mtime_ns))
    loaded = load(root, skip_bad=True)
    assert list(loaded.skipped) == ["test/dog/3.png"]
    row = loaded.train.ids.index("train/cat/2.png")
    assert (loaded.train.images(row, row + 1) == [2, 0, 253]).all()
    decodes[0] = 0
    refused(root, r"1 unreadable pictures: test/dog/3\.png")
    assert decodes[0] == 1


def test_want_of_memory_removes_no_picture(tmp_path, monkeypatch, capsys):
    root = make(tmp_path / "pets")
    real = decoder._to_bytes

    def want(image, subject):
        if subject.endswith("dog/4.png"):
            raise MemoryError
        return real(image, subject)

    with monkeypatch.context() as patched:
        patched.setattr(decoder, "_to_bytes", want)
        with pytest.raises(ResourceError, match=r"train/dog/4\.png: there is not enough memory to decode it"):
            load(root, skip_bad=True)
        assert files_of(tmp_path) == []
        assert run(["check", str(root)]) == 6
        assert capsys.readouterr().err.count("\n") == 1
    assert len(load(root, skip_bad=True).train) == 12


def test_memory_mapped_where_it_does_not_fit(tmp_path, monkeypatch):
    root = make(tmp_path / "pets")
    in_memory = load(root)
    assert not isinstance(in_memory.train.pixels, np.memmap)
    needed = in_memory.train.pixels.nbytes
    monkeypatch.setattr(cache, "available_memory", lambda: 4 * needed)
    mapped = load(root)
    assert isinstance(mapped.train.pixels, np.memmap)
    assert not mapped.train.pixels.flags.writeable
    assert np.array_equal(mapped.test.images(), in_memory.test.images())
    monkeypatch.setattr(cache, "available_memory", lambda: 4 * needed + 4)
    assert not isinstance(load(root).train.pixels, np.memmap)


def test_without_disk_it_decodes_to_memory_or_says_so(tmp_path, monkeypatch, decodes):
    root = make(tmp_path / "pets")
    right = load(root).train.images()
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path / "other"))
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: usage)
    assert np.array_equal(load(root).train.images(), right)
    assert decodes[0] == 48
    monkeypatch.setattr(cache, "available_memory", lambda: 1000)
    with pytest.raises(ResourceError, match="SIGHTLINE_CACHE") as caught:
        load(root)
    assert caught.value.exit_code == 6


def test_a_disk_that_fills_up_meanwhile(tmp_path, monkeypatch):
    root = make(tmp_path / "pets")

    def full(path, write):
        raise ResourceError(str(path), "the disk is full")

    monkeypatch.setattr(cache, "write_with", full)
    assert len(load(root).train) == 12
    monkeypatch.setattr(cache, "available_memory", lambda: 1000)
    with pytest.raises(ResourceError, match="disk is full"):
        load(root)


def test_a_cache_folder_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path / "file"))
    assert len(load(make(tmp_path / "pets")).train) == 12


def test_abandoned_temporary_files_go(tmp_path):
    root = make(tmp_path / "pets")
    load(root)
    folder = files_of(tmp_path)[0].parent
    old, young = folder / ".writing-old", folder / ".writing-young"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    paint(root / "train" / "cat" / "new.png")
    load(root)
    assert not old.exists()
    assert young.exists()


def test_two_at_once_do_not_disturb_each_other(tmp_path):
    root = make(tmp_path / "pets", count=30)
    results = []
    threads = [threading.Thread(target=lambda: results.append(load(root).train.images())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(np.array_equal(result, results[0]) for result in results)
    assert np.array_equal(load(root).train.images(), results[0])
    assert len(files_of(tmp_path)) == 2


PROGRAM = """
import sys
print("started")
from sightline import data
from sightline.settings.data import DataSettings
loaded = data.load(DataSettings(name=sys.argv[1], skip_bad=True))
print(len(loaded.train), sorted(loaded.skipped), sorted(set(loaded.train.images()[:, 0, 0, 0].tolist())))
print("torch" in sys.modules)
"""


def test_threads_give_the_same_and_say_nothing(tmp_path):
    root = tmp_path / "pets"
    for name, value in (("cat", 10), ("dog", 20)):
        first = paint(root / "train" / name / "000.png", value)
        for index in range(1, 300):
            os.link(first, first.with_name(f"{index:03d}.png"))
    make(root, ("test",), count=1)
    (root / "train" / "dog" / "150.png").unlink()
    (root / "train" / "dog" / "150.png").write_bytes(b"broken")
    script = tmp_path / "script.py"
    script.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script), str(root)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["started", "599 ['train/dog/150.png'] [10, 20]", "False"]
    assert done.stderr == ""


def many(root, count=600):
    """Hard links to a picture that takes some milliseconds to decode."""
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        first = root / name / "000.jpg"
        Image.fromarray(noise).save(first, quality=95)
        for index in range(1, count):
            os.link(first, first.with_name(f"{index:03d}.jpg"))
    return root


def test_decoding_without_memory_is_told_in_one_line(tmp_path, monkeypatch, capfd):
    root = many(tmp_path / "pets")

    def no_room(*_):
        raise decoder.OutOfMemoryError("decoding", "memory has run out")

    monkeypatch.setattr(cache, "decode", no_room)
    monkeypatch.setattr(parallel, "usable_cores", lambda: 2)
    with pytest.raises(ResourceError, match="memory has run out"):
        load(root, image_size=8, skip_bad=True)
    assert files_of(tmp_path) == []
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_decoding_ends_at_once(tmp_path, sent):
    root = many(tmp_path / "pets", 2000)
    command = [sys.executable, "-c", PROGRAM, str(root)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size for path in files_of(tmp_path)):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, sent)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == -sent
    if sent == signal.SIGINT:
        assert errors.rstrip().endswith("KeyboardInterrupt")
        assert files_of(tmp_path) == []


# Testing a model on a folder


def test_load_test_of_a_folder(tmp_path, decodes):
    root = make(tmp_path / "pets", ("train", "test"))
    wanted = data.unit_preprocessing((7, 9, 1), "crop")
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
        (("cat", "dog", "eel"), r"class eel is missing \(expected the classes of the model\)"),
        (("cat",), "class dog is extra"),
        (("cat", "hound"), "class hound is missing and class dog is extra"),
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
    part = folder_module._list_part(tmp_path / "many", tmp_path / "many")
    assert len(part.pictures) == 5_000
    assert time.process_time() - start < 0.5
