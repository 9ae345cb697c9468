"""Readers of named datasets against scikit-learn, Pillow, files made here and, where they are, the real ones."""

from __future__ import annotations

import gzip
import io
import os
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits as sklearn_digits
from sklearn.linear_model import LogisticRegression

from sightline import data
from sightline.data import readers
from sightline.data.catalog import CIFAR100, DATASETS
from sightline.data.readers import read_archive, read_cifar_records, read_idx
from sightline.errors import DataError, UsageError
from sightline.settings.data import DataSettings

REAL = os.environ.get("SIGHTLINE_DATA")
needs_real = pytest.mark.skipif(not REAL, reason="SIGHTLINE_DATA names no folder with the official files")


def settings(**values):
    return DataSettings.model_validate(values)


# digits


def test_digits_are_scikit_learns():
    loaded = data.load(settings(name="digits"))
    theirs = sklearn_digits()
    assert len(loaded.train) + len(loaded.test) == 1797
    for part in (loaded.train, loaded.test):
        numbers = [int(name.split("/")[1]) for name in part.ids]
        assert np.array_equal(part.labels, theirs.target[numbers])
        assert np.abs(part.images()[..., 0] / 255 * 16 - theirs.images[numbers]).max() <= 16 / 255 / 2 + 1e-9
    assert set(loaded.train.ids).isdisjoint(loaded.test.ids)
    assert loaded.train.size == (8, 8, 1)


def test_digits_are_the_same_where_scikit_learn_keeps_them_elsewhere(monkeypatch):
    read = data.load(settings(name="digits"))
    monkeypatch.setattr(readers, "find_spec", lambda _: None)
    asked = []
    monkeypatch.setattr("sklearn.datasets.load_digits", lambda **k: asked.append(k) or sklearn_digits(**k))
    assert data.load(settings(name="digits")).files == read.files and asked


def test_digits_test_part_is_a_fixed_stratified_fifth():
    first, second = data.load(settings(name="digits")), data.load(settings(name="digits", split_seed=5))
    assert first.test.ids == second.test.ids
    assert len(first.test) == 359
    everything = np.bincount(sklearn_digits().target)
    assert np.abs(first.test.class_counts() - everything * 359 / 1797).max() < 1
    catalogued = DATASETS["digits"]
    assert (catalogued.train, catalogued.test, catalogued.size) == (len(first.train), 359, first.train.size)


# IDX


def idx(values, magic=None):
    magic = magic if magic is not None else 0x0800 | values.ndim
    return struct.pack(f">{1 + values.ndim}I", magic, *values.shape) + values.tobytes()


def write_gz(path, content):
    path.write_bytes(gzip.compress(content))
    return path


@pytest.fixture
def pair(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (7, 4, 5), dtype=np.uint8)
    labels = rng.integers(0, 10, 7, dtype=np.uint8)
    return (
        write_gz(tmp_path / "images.gz", idx(pixels)),
        write_gz(tmp_path / "labels.gz", idx(labels)),
        pixels,
        labels,
    )


def test_idx_pair(pair):
    images, labels, pixels, numbers = pair
    read, read_labels = read_idx(images, labels, 10)
    assert np.array_equal(read[..., 0], pixels)
    assert read_labels.dtype == np.int64
    assert np.array_equal(read_labels, numbers)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda pixels: idx(pixels, magic=0x0802), "magic number is 0x00000802"),
        (lambda pixels: idx(pixels)[:10], "it ends inside its header"),
        (lambda pixels: idx(pixels)[:-1], r"139 bytes of data \(expected 140"),
        (lambda pixels: idx(pixels) + b"\0", "more than 140 bytes of data"),
        (lambda pixels: idx(pixels[:0]), "sizes are 0 x 4 x 5"),
        (lambda pixels: idx(pixels[:6]), r"7 labels \(expected 6, one for each image"),
    ],
)
def test_damaged_idx_is_named(pair, damage, said):
    images, labels, pixels, _ = pair
    write_gz(images, damage(pixels))
    with pytest.raises(DataError, match=said) as caught:
        read_idx(images, labels, 10)
    assert str(images.parent) in str(caught.value)


def test_damaged_gzip_is_named(pair):
    images, labels, *_ = pair
    whole = images.read_bytes()
    for content in (whole[:-12], whole[: len(whole) // 2], b"not gzip", whole[:20] + b"\xff" * 8 + whole[28:]):
        images.write_bytes(content)
        with pytest.raises(DataError, match=r"images\.gz"):
            read_idx(images, labels, 10)


def test_a_label_beyond_the_classes_is_refused(pair):
    images, labels, _, numbers = pair
    with pytest.raises(
        DataError, match=rf"the label {numbers.max()} \(expected labels from 0 to {numbers.max() - 1}\)"
    ):
        read_idx(images, labels, int(numbers.max()))


# CIFAR


def test_cifar_records_are_planes_of_red_green_blue():
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    for labels in ([[3], [0], [9], [1]], [[1, 99], [0, 0], [19, 50], [4, 7]]):
        content = b"".join(
            bytes(label) + image[..., 0].tobytes() + image[..., 1].tobytes() + image[..., 2].tobytes()
            for label, image in zip(labels, pixels, strict=True)
        )
        read, numbers = read_cifar_records(content, len(labels[0]), 100, "file")
        assert np.array_equal(read, pixels)
        assert numbers.tolist() == [label[-1] for label in labels]
        with pytest.raises(DataError, match="multiple"):
            read_cifar_records(content[:-1], len(labels[0]), 100, "file")
    with pytest.raises(DataError, match="label 99"):
        read_cifar_records(content, 2, 99, "file")


def make_tar(path, members):
    with tarfile.open(path, "w:gz") as tar:
        for name, content, change in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for key, value in change.items():
                setattr(member, key, value)
            tar.addfile(member, io.BytesIO(content))
    return path


FOLDER = ("batch", b"", {"type": tarfile.DIRTYPE})


def test_archive_is_read_without_unpacking(tmp_path):
    path = make_tar(tmp_path / "a.tar.gz", [FOLDER, ("batch/one.bin", b"1", {}), ("batch/readme.html", b"-", {})])
    assert read_archive(path, {"one.bin"}) == {"one.bin": b"1"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.tar.gz"]
    with pytest.raises(DataError, match=r"it lacks two\.bin"):
        read_archive(path, {"one.bin", "two.bin"})


@pytest.mark.parametrize(
    "member",
    [
        ("../one.bin", b"1", {}),
        ("batch/../../one.bin", b"1", {}),
        ("/one.bin", b"1", {}),
        ("one.bin", b"", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}),
        ("one.bin", b"", {"type": tarfile.LNKTYPE, "linkname": "batch/one.bin"}),
        ("one.bin", b"", {"type": tarfile.FIFOTYPE}),
        ("one.bin", b"", {"type": tarfile.CHRTYPE}),
        ("elsewhere/one.bin", b"2", {}),
    ],
)
def test_archive_with_links_or_paths_that_lead_out_is_refused(tmp_path, member):
    path = make_tar(tmp_path / "a.tar.gz", [FOLDER, ("batch/one.bin", b"1", {}), member])
    with pytest.raises(DataError, match=r"it holds '.*\(expected the official archive\)"):
        read_archive(path, {"one.bin"})


def test_damaged_archive_is_named(tmp_path):
    noise = np.random.default_rng(0).bytes(100_000)
    path = make_tar(tmp_path / "a.tar.gz", [("one.bin", noise, {}), ("two.bin", noise, {})])
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:-30_000], b"no archive", b""):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.tar\.gz"):
            read_archive(path, {"one.bin", "two.bin"})


@pytest.mark.parametrize(("name", "label_bytes"), [("cifar10", 1), ("cifar100", 2)])
def test_cifar_dataset_end_to_end(tmp_path, monkeypatch, name, label_bytes):
    """An archive in the official layout, made here, through `load`."""
    rng = np.random.default_rng(2)
    classes = len(DATASETS[name].class_names)
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    names = names if name == "cifar10" else ["train.bin", "test.bin"]
    records = {n: rng.integers(0, min(classes, 10), (3, label_bytes + 3072), dtype=np.uint8) for n in names}
    file_name = next(iter(DATASETS[name].source.files))
    path = make_tar(tmp_path / file_name, [(f"folder/{n}", r.tobytes(), {}) for n, r in records.items()])
    use_hash_of(monkeypatch, name, path)
    loaded = data.load(settings(name=name, data_dir=str(tmp_path)))
    assert len(loaded.test) == 3
    assert len(loaded.train) == 3 * (len(names) - 1)
    expected = np.concatenate([records[n][:, label_bytes - 1] for n in names])
    assert np.array_equal(np.concatenate([loaded.train.labels, loaded.test.labels]), expected)
    first = records[names[0]][0, label_bytes:].reshape(3, 32, 32)
    assert np.array_equal(loaded.train.images(0, 1)[0], first.transpose(1, 2, 0))


def use_hash_of(monkeypatch, name, path):
    import dataclasses
    import hashlib

    from sightline.data import catalog, lookup, readers

    dataset = DATASETS[name]
    files = {path.name: f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"}
    changed = {**DATASETS, name: dataclasses.replace(dataset, source=dataclasses.replace(dataset.source, files=files))}
    for module in (catalog, lookup, readers):
        monkeypatch.setattr(module, "DATASETS", changed)


def test_cifar100_classes():
    assert len(set(CIFAR100)) == 100
    assert list(CIFAR100) == sorted(CIFAR100)
    assert (CIFAR100[0], CIFAR100[49], CIFAR100[99]) == ("apple", "mountain", "worm")


# synthetic


def test_synthetic_is_as_asked_always_the_same_and_can_be_learned():
    asked = {"name": "synthetic", "image_size": 12, "channels": 1, "synthetic_classes": 4, "synthetic_count": 200}
    loaded, again = data.load(settings(**asked)), data.load(settings(**asked))
    assert loaded.train.size == (12, 12, 1)
    assert (len(loaded.train), len(loaded.test), len(loaded.class_names)) == (200, 40, 4)
    assert np.array_equal(loaded.test.images(), again.test.images())
    assert not np.array_equal(loaded.train.images(0, 1), loaded.train.images(4, 5))  # the same class, other noise
    flat = lambda part: part.images().reshape(len(part), -1) / 255  # noqa: E731
    learner = LogisticRegression().fit(flat(loaded.train), loaded.train.labels)
    assert learner.score(flat(loaded.test), loaded.test.labels) > 0.95


def test_synthetic_default_and_extremes():
    assert data.load(settings(name="synthetic")).train.size == (32, 32, 3)
    tiny = data.load(settings(name="synthetic", image_size=1, synthetic_classes=2, synthetic_count=10))
    assert tiny.train.size == (1, 1, 3)


# Sizes, channels, names


def test_image_size_and_channels_of_array_datasets():
    own = data.load(settings(name="digits"))
    grown = data.load(settings(name="digits", image_size=20, channels=3))
    assert grown.train.size == (20, 20, 3)
    from PIL import Image

    for part, wanted in ((own.train, grown.train), (own.test, grown.test)):
        image = Image.fromarray(part.images(5, 6)[0, ..., 0]).resize((20, 20), Image.Resampling.BILINEAR)
        assert np.array_equal(wanted.images(5, 6)[0], np.repeat(np.asarray(image)[..., None], 3, axis=2))
        assert wanted.ids == part.ids


def test_unknown_name_gives_the_nearest_and_the_folder():
    with pytest.raises(UsageError) as caught:
        data.load(settings(name="mnits"))
    assert caught.value.exit_code == 2
    assert "Did you mean mnist" in str(caught.value)
    assert "folder" in str(caught.value)
    with pytest.raises(UsageError, match="folder"):
        data.load(settings(name="qqqqqqqqqqqq"))
    with pytest.raises(DataError, match="no such folder") as caught:
        data.load(settings(name="./mnits"))
    assert caught.value.exit_code == 3


def test_a_name_means_the_dataset_even_where_a_folder_is_called_so(tmp_path, monkeypatch):
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)
    assert data.load(settings(name="digits")).name == "digits"
    with pytest.raises(DataError, match="class folders"):
        data.load(settings(name="./digits"))


def test_test_part_for_a_model():
    from sightline.data import unit_preprocessing

    digits = data.load(settings(name="digits"))
    wanted = unit_preprocessing((16, 16, 1))
    test = data.load_test(settings(name="digits"), digits.class_names, wanted)
    assert test.size == (16, 16, 1)
    assert np.array_equal(test.labels, digits.test.labels)
    backwards = digits.class_names[::-1]
    turned = data.load_test(settings(name="digits"), backwards, wanted)
    assert np.array_equal(turned.labels, 9 - digits.test.labels)
    assert len(data.load_test(settings(name="digits"), (*digits.class_names, "ten"), wanted)) == len(test)
    with pytest.raises(DataError, match="class 9 is extra"):
        data.load_test(settings(name="digits"), digits.class_names[:9], wanted)


# The real files


@needs_real
@pytest.mark.parametrize(("name", "mean"), [("mnist", 0.1307), ("fashion-mnist", 0.2860)])
def test_real_files_have_the_published_figures(name, mean):
    loaded = data.load(settings(name=name))
    assert (len(loaded.train), len(loaded.test)) == (60_000, 10_000)
    assert loaded.train.images().mean() / 255 == pytest.approx(mean, abs=5e-5)
    if name == "mnist":
        assert loaded.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
        assert loaded.test.class_counts().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    else:
        assert loaded.train.class_counts().tolist() == [6000] * 10
        assert loaded.class_names[loaded.train.labels[0]] == "Ankle boot"
    assert len(loaded.files) == 4
    assert (Path(REAL) / name).is_dir()
