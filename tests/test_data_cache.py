"""Pictures are decoded once: what the cache keeps, rebuilds and leaves to others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

from helpers.folders import load, make, paint, refused
from helpers.sums import random_bits
from sightline.cli.app import run
from sightline.data import cache, decoder, parallel
from sightline.errors import ResourceError


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path / "cache"))


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


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("bytes_", [1, 2000])
def test_changed_pixels_are_decoded_anew(tmp_path, decodes, monkeypatch, capsys, bytes_, mapped):
    if mapped:
        monkeypatch.setattr(cache, "available_memory", lambda: 0)
    monkeypatch.setattr(cache, "CHUNK_BYTES", 1000)
    root = make(tmp_path / "pets")
    right = load(root).train.images()
    assert capsys.readouterr().err == ""
    (path,) = [path for path in files_of(tmp_path) if path.suffix == ".npy"]
    whole = np.load(path)
    changed = whole.copy().reshape(-1)
    changed[np.random.default_rng(bytes_).choice(changed.size, bytes_, replace=False)] ^= 8
    np.save(path, changed.reshape(whole.shape))
    decodes[0] = 0
    assert np.array_equal(load(root).train.images(), right)
    line = capsys.readouterr().err
    assert decodes[0] == 24 and line == f"{path}: the decoded pictures are damaged, so they are decoded anew\n"
    assert np.array_equal(load(root).train.images(), right)
    assert decodes[0] == 24 and capsys.readouterr().err == ""


def test_no_bit_of_the_cache_changes_a_picture(tmp_path):
    root = make(tmp_path / "pets")
    (root / "train" / "cat" / "2.png").write_bytes(b"no picture")
    right = load(root, skip_bad=True)
    count = int(os.environ.get("SIGHTLINE_FLIPS", "60"))
    for path, place, bit in random_bits(files_of(tmp_path), count, seed=2):
        content = bytearray(path.read_bytes())
        content[place % len(content)] ^= 1 << bit
        path.write_bytes(content)
        found = load(root, skip_bad=True)
        assert np.array_equal(found.train.images(), right.train.images())
        assert (found.train.ids, found.skipped) == (right.train.ids, right.skipped)


def test_a_cache_of_an_older_version_has_no_sums_and_is_used(tmp_path, decodes):
    root = make(tmp_path / "pets")
    load(root)
    (path,) = [path for path in files_of(tmp_path) if path.suffix == ".json"]
    facts = json.loads(path.read_text())
    assert len(facts.pop("sha256")) == 1
    path.write_text(json.dumps(facts))
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
    refused(root, r"1 unreadable picture: test/dog/3\.png")
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
