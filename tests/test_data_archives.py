"""Archives: unpacked once and whole; refused in one line where they are damaged, lead out, or fill the disk."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sightline as sl
from helpers.folders import load, make, paint, refused
from sightline.data import archives
from sightline.errors import ResourceError

COMPRESSED = {".tar": "w", ".tar.gz": "w:gz", ".tgz": "w:gz", ".tar.bz2": "w:bz2", ".tar.xz": "w:xz", ".TAR.GZ": "w:gz"}


def packed(folder: Path, archive: Path, prefix: str = "") -> Path:
    """Pack a folder's files, as `prefix` before their paths."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if archive.suffix.lower() == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as content:
            for path in files:
                content.write(path, f"{prefix}{path.relative_to(folder)}")
    else:
        mode = next(mode for suffix, mode in COMPRESSED.items() if archive.name.endswith(suffix))
        with tarfile.open(archive, mode) as content:
            for path in files:
                content.add(path, f"{prefix}{path.relative_to(folder)}")
    return archive


def tar_of(path: Path, *members: tuple[str, bytes, bytes]) -> Path:
    with tarfile.open(path, "w") as content:
        for name, kind, data in members:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(data), "/etc/hostname"
            content.addfile(info, io.BytesIO(data))
    return path


def left_behind() -> list[str]:
    place = Path(os.environ["SIGHTLINE_CACHE"]) / "archives"
    return sorted(path.name for path in place.iterdir()) if place.is_dir() else []


@pytest.mark.parametrize("suffix", [".zip", *COMPRESSED])
def test_an_archive_is_what_its_folder_is(tmp_path, suffix, decodes):
    root = make(tmp_path / "pets")
    by_folder = load(root)
    archive = packed(root, tmp_path / f"pets{suffix}", "./" if suffix == ".tar" else "")
    shutil.rmtree(root)
    decodes[0] = 0
    loaded = load(archive)
    assert loaded.name == "pets"
    assert decodes[0] == 24
    for one, other in ((by_folder.train, loaded.train), (by_folder.test, loaded.test)):
        assert list(one.ids) == list(other.ids)
        assert np.array_equal(one.images(), other.images()) and np.array_equal(one.labels, other.labels)
    assert len(left_behind()) == 1
    load(archive)
    load(archive.rename(tmp_path / f"moved{suffix}"))  # the same content
    assert decodes[0] == 24 and len(left_behind()) == 1


@pytest.mark.parametrize("prefix", ["dataset/", "a/b/"])
def test_the_folder_inside_is_found_and_told(tmp_path, prefix):
    root = make(tmp_path / "pets", ("Training", "Testing"))
    for name in ("__MACOSX/Training/cat/._0.png", ".DS_Store", "Training/Thumbs.db", "Training/cat/.hidden.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"junk")
    loaded = load(packed(root, tmp_path / "pets.zip", prefix))
    assert (len(loaded.train), len(loaded.test), loaded.ignored) == (12, 12, 0)
    assert loaded.notes == (f"{tmp_path}/pets.zip: pictures are taken from {prefix} in it",)


def test_a_file_of_labels_in_an_archive(tmp_path):
    root = tmp_path / "all"
    for index in range(8):
        paint(root / "images" / f"p{index}.png", 20 * index)
    rows = "".join(f"p{index},{'ab'[index % 2]}\n" for index in range(8))
    (root / "labels.csv").write_text("id,label\n" + rows)
    archive = packed(root, tmp_path / "all.tgz", "data/")
    assert load(archive, test_fraction=0.3).class_names == ("a", "b")
    (tmp_path / "other.csv").write_text("id,label\n" + rows.replace("a", "x"))
    assert load(archive, labels=str(tmp_path / "other.csv"), test_fraction=0.3).class_names == ("b", "x")
    assert load(archive, labels="data/labels.csv", test_fraction=0.3).class_names == ("a", "b")


@pytest.mark.parametrize("way", ["../../../out.png", "images/../../out.png", "{out}"])
def test_labels_from_an_archive_may_not_lead_out_of_it(tmp_path, way, monkeypatch):
    root = tmp_path / "all"
    out = paint(tmp_path / "out.png")
    for place in (tmp_path / "cache" / "archives", tmp_path / "cache"):
        paint(place / "out.png")
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path / "cache"))
    paint(root / "p0.png")
    (root / "labels.csv").write_text(f"image,label\np0.png,a\n{way.format(out=out)},b\n")
    refused(packed(root, tmp_path / "all.zip"), r"all\.zip/labels\.csv, line 3: '.*out\.png' leads out of the archive")
    if way == "{out}":
        assert len(sl.find_pictures(root / "labels.csv")) == 2


@pytest.mark.parametrize("name", ["../x.png", "cat/../../x.png", "/x.png", "C:\\x.png", "..\\x.png"])
def test_paths_that_lead_out_are_refused(tmp_path, name):
    picture = paint(tmp_path / "x.png").read_bytes()
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as content:
        content.writestr("cat/1.png", picture)
        content.writestr(name, picture)
    refused(tmp_path / "x.zip", "which is a path that leads out of it")
    tar = tar_of(tmp_path / "x.tar", ("cat/1.png", tarfile.REGTYPE, picture), (name, tarfile.REGTYPE, picture))
    refused(tar, "which is a path that leads out of it")
    assert left_behind() == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.png", "x.tar", "x.zip"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path, kind):
    refused(tar_of(tmp_path / "x.tar", ("cat/1.png", kind, b"")), "'cat/1.png', which is a link or a device")
    info = zipfile.ZipInfo("cat/1.png")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as content:
        content.writestr(info, "/etc/hostname")
    refused(tmp_path / "x.zip", "'cat/1.png', which is a link or a device")
    assert left_behind() == []


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz", ".tar.bz2", ".tar.xz"])
def test_bombs_are_refused_with_the_limits(tmp_path, suffix):
    root = tmp_path / "all"
    paint(root / "cat" / "1.png")
    with (root / "cat" / "2.png").open("wb") as stream:
        stream.truncate(400_000_000)
    archive = packed(root, tmp_path / f"x{suffix}")
    refused(archive, r"unpacks to more than 0\.3 GB \(expected 500 GB and 100 times its own size at most\)")
    assert left_behind() == []


def test_a_bomb_in_what_is_left_alone_is_refused_too(tmp_path):
    (tmp_path / "all").mkdir()
    with (tmp_path / "all" / ".hidden").open("wb") as stream:
        stream.truncate(400_000_000)
    refused(packed(tmp_path / "all", tmp_path / "x.tgz"), "unpacks to more than")


def test_too_many_entries_and_bytes(tmp_path, monkeypatch):
    archive = packed(make(tmp_path / "pets"), tmp_path / "pets.zip")
    monkeypatch.setattr(archives, "MOST_ENTRIES", 23)
    refused(archive, r"it has more than 23 entries \(expected 23 at most\)")
    monkeypatch.setattr(archives, "MOST_ENTRIES", 24)
    monkeypatch.setattr(archives, "MOST_BYTES", 100)
    refused(archive, "unpacks to more than")
    assert left_behind() == []


@pytest.mark.parametrize("suffix", [".zip", *COMPRESSED])
@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_an_archive_that_is_cut_short_leaves_nothing(tmp_path, suffix, part):
    random = np.random.default_rng(0)
    for index in range(6):
        place = tmp_path / "pets" / ("cat", "dog")[index % 2] / f"{index}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(place)
    archive = packed(tmp_path / "pets", tmp_path / f"pets{suffix}")
    content = archive.read_bytes()
    if suffix == ".tar":  # of its end only zeros would be lost
        content = content[: content.rindex(b"IEND")]
    archive.write_bytes(content[: int(part * len(content))])
    refused(archive, "it is cut short, damaged or of an unknown kind|it cannot be read")
    assert left_behind() == []


def test_a_tar_that_ends_between_two_files_is_cut_short(tmp_path):
    archive = packed(make(tmp_path / "pets"), tmp_path / "pets.tar")
    with tarfile.open(archive) as content:
        offset = content.getmembers()[15].offset
    whole = archive.read_bytes()
    archive.write_bytes(whole[:offset])
    refused(archive, "its end is missing")
    damaged = bytearray(whole)
    damaged[offset + 3] ^= 0xFF
    archive.write_bytes(damaged)
    refused(archive, "its end is missing")
    for pack, suffix in ((gzip.compress, "gz"), (bz2.compress, "bz2"), (lzma.compress, "xz")):
        (tmp_path / f"x.tar.{suffix}").write_bytes(pack(whole[:offset]))
        refused(tmp_path / f"x.tar.{suffix}", "its end is missing")
    assert left_behind() == []


def test_flipped_bytes_are_found_by_the_checksum(tmp_path):
    root = make(tmp_path / "pets", size=(60, 60))
    for suffix in (".zip", ".tar.gz", ".tar.xz"):
        archive = packed(root, tmp_path / f"pets{suffix}")
        content = bytearray(archive.read_bytes())
        content[len(content) // 3] ^= 0x55
        archive.write_bytes(content)
        refused(archive, "damaged|cannot be read|holds|end is missing")
    assert left_behind() == []


def test_a_file_that_is_there_twice(tmp_path):
    picture = paint(tmp_path / "x.png").read_bytes()
    twice = ("cat/1.png", tarfile.REGTYPE, picture)
    refused(tar_of(tmp_path / "x.tar", twice, twice), "it holds 'cat/1.png' twice")
    below = ("cat/1.png/2.png", tarfile.REGTYPE, picture)
    refused(tar_of(tmp_path / "y.tar", twice, below), "it holds 'cat/1.png/2.png' twice")
    assert left_behind() == []


def test_a_full_disk_is_told_before_and_while_it_is_unpacked(tmp_path, monkeypatch):
    root = make(tmp_path / "pets", count=40, size=(200, 200))
    archive = packed(root, tmp_path / "pets.zip")
    real = shutil.disk_usage
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: real(path)._replace(free=1000))
        with pytest.raises(ResourceError, match=r"pets\.zip: 0\.0 GB are free on the disk of the cache"):
            load(archive)
    code = (
        "import resource, signal, sys\n"
        "from sightline.__main__ import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))\n"
        "sys.exit(main())"
    )
    command = [sys.executable, "-c", code, "check", str(archive)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 6, done.stderr
    assert "the disk is full, so it was not written. Free some space" in done.stderr
    assert done.stderr.count("\n") == 1
    assert left_behind() == []


def test_encrypted_and_foreign_archives(tmp_path):
    archive = packed(make(tmp_path / "pets"), tmp_path / "pets.zip")
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)
    refused(archive, "it is encrypted")
    for name in ("x.zip", "x.tar", "x.tgz"):
        (tmp_path / name).write_text("no archive")
        refused(tmp_path / name, "of an unknown kind")


def test_names_from_a_chinese_windows(tmp_path):
    picture = paint(tmp_path / "x.png").read_bytes()
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as content:
        for name in ("A/1.png", "A/2.png", "B/1.png", "B/2.png"):
            content.writestr(name, picture)
    raw = (tmp_path / "x.zip").read_bytes()  # the names have one byte for each of "A" and "B", these have two
    for old, new in ((b"A/", "猫".encode("gbk")), (b"B/", "狗".encode("gbk"))):
        raw = raw.replace(old + b"1.png", new + b"/.png").replace(old + b"2.png", new + b"/2png")
    (tmp_path / "x.zip").write_bytes(raw)
    with zipfile.ZipFile(tmp_path / "x.zip") as content:
        names = archives._zip_names(content.infolist())
    assert names == ["猫/.png", "猫/2png", "狗/.png", "狗/2png"]


def test_all_commands_take_an_archive(tmp_path):
    archive = packed(make(tmp_path / "pets", count=10), tmp_path / "pets.tar.gz")
    done = sl.train(archive, recipe="none", model="cnn", epochs=1, threads=1, quiet=True, runs=tmp_path)
    assert done.run.name == "pets-cnn-001"
    assert sl.test(done.run).accuracy == done.test_accuracy
    assert sl.test(done.run, archive).accuracy == done.test_accuracy
    assert sl.resume(done.run, add_epochs=1, quiet=True).epochs == 2
    assert len(sl.find_pictures(archive)) == 40
    assert sl.check(archive, near=False, quiet=True).pictures == 40
    (tmp_path / "pets" / "train" / "cat" / "0.png").unlink()
    packed(tmp_path / "pets", archive)
    with pytest.raises(sl.DataError, match=r"train images: .* found \(expected .*, as in the run\)"):
        sl.resume(done.run, add_epochs=1, quiet=True)
