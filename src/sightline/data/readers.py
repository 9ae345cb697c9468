"""Readers of the datasets that have a name, each giving the images in their own size."""

from __future__ import annotations

import gzip
import hashlib
import struct
import tarfile
import zlib
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from sightline.data.catalog import DATASETS
from sightline.data.image_set import ImageData, ImageSet
from sightline.data.lookup import find_files
from sightline.data.split import stratified
from sightline.errors import DataError
from sightline.files.atomic import sha256_of
from sightline.settings.data import DataSettings, Resizing

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]

DIGITS_TEST_IMAGES = 359  # a fifth
IDX_IMAGES, IDX_LABELS = 0x0803, 0x0801
DEFLATE_RATIO = 1032  # no byte of deflate stands for more
CIFAR_SIDE = 32


def load_digits(settings: DataSettings, *, quiet: bool = False) -> ImageData:  # noqa: ARG001
    """Read scikit-learn's 1,797 embedded digits, 8x8, their levels 0 to 16 scaled to 0 to 255.

    The source has no test part. Sightline's is a stratified fifth (359 images) that is always the same, whatever
    `split_seed` says, so that results on it can be compared.
    """
    levels, labels = _sklearn_digits()
    pixels = np.rint(levels * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
    test = stratified(labels, DIGITS_TEST_IMAGES, 10, seed=0)
    train = np.setdiff1d(np.arange(len(labels)), test)
    ids = [f"digits/{index:04d}" for index in range(len(labels))]
    names = DATASETS["digits"].class_names
    assert names is not None
    everything = ImageSet.from_arrays(pixels, labels, ids, names)
    files = {"digits": hashlib.sha256(pixels.tobytes() + labels.tobytes()).hexdigest()}
    return ImageData("digits", everything.select(train), None, everything.select(test), files, {})


def _sklearn_digits() -> tuple[NDArray[np.float64], Labels]:
    """Give the levels (N, 64) and labels (N,), from scikit-learn's own file.

    To import scikit-learn for it takes seconds, more than the training; that is done where the file is elsewhere.
    """
    package = find_spec("sklearn")
    for folder in (package and package.submodule_search_locations) or ():
        file = Path(folder, "datasets", "data", "digits.csv.gz")
        if file.is_file():
            rows = np.loadtxt(file, delimiter=",")
            return rows[:, :-1], rows[:, -1].astype(np.int64)
    from sklearn.datasets import load_digits as load

    levels, targets = load(return_X_y=True)
    return np.asarray(levels), np.asarray(targets, np.int64)


def load_idx_dataset(settings: DataSettings, *, quiet: bool = False) -> ImageData:
    """Read MNIST or Fashion-MNIST from their four IDX files."""
    dataset = DATASETS[settings.name]
    assert dataset.source is not None and dataset.class_names is not None
    paths = find_files(dataset.source, settings.data_dir, quiet=quiet)
    parts: dict[str, ImageSet] = {}
    for part, prefix in (("train", "train"), ("test", "t10k")):
        images, labels = paths[f"{prefix}-images-idx3-ubyte.gz"], paths[f"{prefix}-labels-idx1-ubyte.gz"]
        parts[part] = _part(part, *read_idx(images, labels, len(dataset.class_names)), dataset.class_names)
    return ImageData(dataset.name, parts["train"], None, parts["test"], _hashes(paths), {})


def read_idx(images: Path, labels: Path, classes: int) -> tuple[Pixels, Labels]:
    """Read a pair of gzipped IDX files: uint8 (N, H, W, 1) and int64 (N,).

    Raises DataError, naming the file, for another magic number or count, a file cut short or with something behind its
    end, and labels beyond `classes`.
    """
    dimensions, pixel_bytes = _read_idx(images, IDX_IMAGES, 3)
    (count,), label_bytes = _read_idx(labels, IDX_LABELS, 1)
    if count != dimensions[0]:
        raise DataError(str(labels), f"it has {count} labels", f"{dimensions[0]}, one for each image of {images.name}")
    pixels = np.frombuffer(pixel_bytes, np.uint8).reshape(*dimensions, 1)
    return pixels, _labels(np.frombuffer(label_bytes, np.uint8), classes, str(labels))


def _read_idx(path: Path, magic: int, dimensions: int) -> tuple[tuple[int, ...], bytes]:
    try:
        with gzip.open(path, "rb") as stream:
            header = stream.read(4 + 4 * dimensions)
            if len(header) < 4 + 4 * dimensions:
                raise DataError(str(path), "it ends inside its header", "a complete IDX file")
            found, *sizes = struct.unpack(f">{1 + dimensions}I", header)
            if found != magic:
                raise DataError(str(path), f"its IDX magic number is 0x{found:08X}", f"0x{magic:08X}")
            expected = int(np.prod(sizes, dtype=object))
            if not 0 < expected <= DEFLATE_RATIO * path.stat().st_size:
                found = f"its sizes are {' x '.join(map(str, sizes))}"
                raise DataError(str(path), found, "sizes of 1 or more that the file can hold")
            # One byte more than there should be: enough to see a tail, whatever the file expands to.
            content = stream.read(expected + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            str(path), f"it cannot be read: {error or type(error).__name__}", "a complete .gz file"
        ) from None
    if len(content) != expected:
        count = f"more than {expected}" if len(content) > expected else f"{len(content)}"
        raise DataError(str(path), f"it has {count} bytes of data", f"{expected}, by its header")
    return tuple(sizes), content


def load_cifar(settings: DataSettings, *, quiet: bool = False) -> ImageData:
    """Read CIFAR-10 or CIFAR-100 (fine labels) from its binary archive, without unpacking it to disk."""
    dataset = DATASETS[settings.name]
    assert dataset.source is not None and dataset.class_names is not None
    paths = find_files(dataset.source, settings.data_dir, quiet=quiet)
    (archive,) = paths.values()
    ten = dataset.name == "cifar10"
    train = [f"data_batch_{batch}.bin" for batch in range(1, 6)] if ten else ["train.bin"]
    test = ["test_batch.bin"] if ten else ["test.bin"]
    contents = read_archive(archive, {*train, *test})
    parts: dict[str, ImageSet] = {}
    for part, names in (("train", train), ("test", test)):
        records = b"".join(contents[name] for name in names)
        pixels, labels = read_cifar_records(records, 1 if ten else 2, len(dataset.class_names), str(archive))
        parts[part] = _part(part, pixels, labels, dataset.class_names)
    return ImageData(dataset.name, parts["train"], None, parts["test"], _hashes(paths), {})


def read_archive(archive: Path, wanted: set[str]) -> dict[str, bytes]:
    """Read files out of a .tar.gz by their last name, without writing any.

    Raises DataError for a damaged archive, one that lacks a file, and one with a link, a device, or a path that is
    absolute or leads up: an official archive has none.
    """
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                path = PurePosixPath(member.name)
                if path.is_absolute() or ".." in path.parts or not (member.isreg() or member.isdir()):
                    found = f"it holds '{member.name}', which is a link, a device or a path that leads out of it"
                    raise DataError(str(archive), found, "the official archive")
                stream = tar.extractfile(member) if path.name in wanted and member.isreg() else None
                if stream is not None:
                    if path.name in contents:
                        raise DataError(str(archive), f"it holds '{path.name}' twice", "the official archive")
                    contents[path.name] = stream.read()
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        reason = error or type(error).__name__
        raise DataError(str(archive), f"it cannot be read: {reason}", "a complete .tar.gz file") from None
    if missing := sorted(wanted - set(contents)):
        raise DataError(str(archive), f"it lacks {', '.join(missing)}", "the official archive")
    return contents


def read_cifar_records(records: bytes, label_bytes: int, classes: int, subject: str) -> tuple[Pixels, Labels]:
    """Read CIFAR's binary records: labels (the last of them counts), then 32x32 bytes of red, of green and of blue.

    Gives uint8 (N, 32, 32, 3) and int64 (N,). Raises DataError, naming `subject`, for a part of a record and for
    labels beyond `classes`.
    """
    length = label_bytes + 3 * CIFAR_SIDE**2
    if not records or len(records) % length:
        raise DataError(subject, f"it has {len(records)} bytes of records", f"a multiple of {length}")
    rows = np.frombuffer(records, np.uint8).reshape(-1, length)
    planes = rows[:, label_bytes:].reshape(-1, 3, CIFAR_SIDE, CIFAR_SIDE)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), _labels(rows[:, label_bytes - 1], classes, subject)


def _labels(values: Pixels, classes: int, subject: str) -> Labels:
    if values.max() >= classes:
        raise DataError(subject, f"it has the label {values.max()}", f"labels from 0 to {classes - 1}")
    return values.astype(np.int64)


def _part(part: str, pixels: Pixels, labels: Labels, class_names: tuple[str, ...]) -> ImageSet:
    return ImageSet.from_arrays(pixels, labels, [f"{part}/{index:05d}" for index in range(len(labels))], class_names)


def _hashes(paths: Mapping[str, Path]) -> dict[str, str]:
    return {name: sha256_of(path) for name, path in paths.items()}


def load_synthetic(settings: DataSettings, *, quiet: bool = False) -> ImageData:  # noqa: ARG001
    """Make images of any size to measure with: a smooth pattern a class, in noise; always the same.

    32x32 in colour unless `image_size` and `channels` say otherwise. Classes take turns; a fifth as many test images as
    training images come with them. A network learns them to near 100%.
    """
    side, channels = settings.image_size or 32, settings.channels or 3
    classes = settings.synthetic_classes
    generator = np.random.RandomState(0)
    patterns = _patterns(generator, classes, side, channels)
    names = tuple(f"class{index:0{len(str(classes - 1))}d}" for index in range(classes))
    parts: dict[str, ImageSet] = {}
    for part, count in (("train", settings.synthetic_count), ("test", max(1, settings.synthetic_count // 5))):
        labels = np.arange(count) % classes
        pixels = np.empty((count, side, side, channels), np.uint8)
        for index in range(count):
            noise = np.frombuffer(generator.bytes(pixels[index].size), np.uint8).reshape(side, side, channels)
            pixels[index] = patterns[labels[index]] + (noise >> 1)
        parts[part] = _part(part, pixels, labels.astype(np.int64), names)
    facts = f"synthetic {side} {channels} {classes} {settings.synthetic_count}"
    files = {"synthetic": hashlib.sha256(facts.encode()).hexdigest()}
    return ImageData("synthetic", parts["train"], None, parts["test"], files, {})


def _patterns(generator: np.random.RandomState, classes: int, side: int, channels: int) -> Pixels:
    """Draw a smooth pattern of levels 0 to 127 for each class, uint8 (K, side, side, C)."""
    from sightline.data.decoder import fit_images

    coarse = generator.randint(0, 128, (classes, 4, 4, 3)).astype(np.uint8)
    return fit_images(coarse[..., :channels], (side, side, channels), Resizing())


READERS: Mapping[str, Callable[..., ImageData]] = {
    "digits": load_digits,
    "mnist": load_idx_dataset,
    "fashion-mnist": load_idx_dataset,
    "cifar10": load_cifar,
    "cifar100": load_cifar,
    "synthetic": load_synthetic,
}
