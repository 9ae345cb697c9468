"""Sightline's side: what the machine can do, and what reading and augmentation cost."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import ours
import side
import torch
from PIL import Image

from sightline.augment import build_augmentation
from sightline.data import ImageSet, load, unit_preprocessing
from sightline.data.decoder import decode
from sightline.data.parallel import map_in_order
from sightline.recipes import resolve
from sightline.settings import AugmentSettings, build_settings
from sightline.training.batches import BatchOrder, ResidentImages

LONGEST_PRODUCT = 10.0
MOVES = AugmentSettings(shift=4, fill="reflect", flip="alternate")
WARP = AugmentSettings(shift=2, rotate=10, shear=5, zoom=0.1, fill="reflect")


def main() -> None:
    """Answer."""
    side.answer({"peak": peak, "loader": loader}, ours.PACKAGES)


def peak(sizes: list[int], repeats: int, threads: int) -> side.Answer:
    """The fastest matrix product of two square matrices that torch does here, in each precision."""
    torch.set_num_threads(threads)
    values: side.Answer = {}
    details: side.Answer = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        for size in sorted(sizes):
            a, b = (torch.randn(size, size).to(dtype) for _ in range(2))
            product = torch.empty(size, size, dtype=dtype)
            first = _multiply(a, b, product)
            # A processor without bf16 products may take minutes for the largest.
            slow = 8 * first > LONGEST_PRODUCT
            more = [_multiply(a, b, product) for _ in range(0 if slow else repeats)]
            details[f"{name}_{size}"] = 2 * size**3 / min([first, *more]) / 1e9
            if slow:
                break
        values[f"{name}_gflops"] = max(v for key, v in details.items() if key.startswith(name))
    return {"values": values, "details": details}


def _multiply(a: torch.Tensor, b: torch.Tensor, product: torch.Tensor) -> float:
    """Seconds of one product."""
    return _seconds(lambda: torch.matmul(a, b, out=product))


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def loader(pictures: int, images: int, count: int, repeats: int, threads: int) -> side.Answer:
    """Decoding a folder of JPEGs; gathering and augmenting a batch, as part of the step of the recipe cifar10.

    Where the benchmark was given no folder, JPEGs of 32x32 are made of the synthetic dataset. `images` lie in memory to
    gather from.
    """
    folder = os.environ.get(side.CIFAR10_FOLDER)
    with tempfile.TemporaryDirectory() as made:
        root = Path(folder) if folder else _write_pictures(Path(made), pictures)
        values = _decoding(root, pictures, threads)
    settings = resolve("cifar10", "cifar10", {"epochs": 1, "threads": threads, "device": "cpu"})
    batch, warmup = settings.training.batch_size, 2
    pixels, labels = side.synthetic("ResNet-18", batch * (warmup + count) + 2 * ours.HELD_OUT)
    ends, precision = ours.step_ends(settings, pixels, labels)
    step = (ends[-1] - ends[warmup - 1]) / (len(ends) - warmup)

    names = tuple(str(label) for label in range(side.CLASSES))
    pixels, labels = side.synthetic("ResNet-18", images)
    resident = ResidentImages(ImageSet.from_arrays(pixels, labels, range(images), names), torch.device("cpu"))
    order = BatchOrder(images, batch, seed=0, last_batch="wrap")
    moves, warp = (
        build_augmentation(augment, count=images, seed=0, device=torch.device("cpu")) for augment in (MOVES, WARP)
    )
    times: dict[str, list[float]] = {"gather": [], "moves": [], "warp": []}
    order.indices(0)  # the epoch's order is drawn once and kept
    for repeat in range(repeats):
        indices = order.indices(repeat % order.steps_per_epoch)
        at = torch.from_numpy(indices)
        start = time.perf_counter()
        batch_pixels = resident.gather(indices, at)[0]
        times["gather"].append(time.perf_counter() - start)
        times["moves"].append(_seconds(lambda pixels=batch_pixels, at=at: moves(pixels, at, 0)))
        times["warp"].append(_seconds(lambda pixels=batch_pixels, at=at: warp(pixels, at, 0)))
    shares = {f"{name}_share": 100 * statistics.median(each) / step for name, each in times.items()}
    details = {
        "batch_size": batch, "precision": precision, "own_folder": folder is not None,
        "milliseconds": {name: [round(1000 * value, 4) for value in each] for name, each in times.items()},
    }  # fmt: skip
    return {"values": {**values, "step_milliseconds": 1000 * step, **shares}, "details": details}


def _write_pictures(root: Path, count: int) -> Path:
    """A folder of JPEGs, quality 75, as CIFAR-10's JPEG copies have it."""
    images = load(build_settings({}, {"data": "synthetic", "synthetic_count": max(10, count)}).data).train
    for index, pixels in enumerate(images.images(0, count)):
        Image.fromarray(pixels).save(root / f"{index:05d}.jpg", quality=75)
    return root


def _decoding(root: Path, pictures: int, threads: int) -> dict[str, float]:
    """Pictures a second on one core, and on as many as there are threads."""
    paths = sorted(root.rglob("*.jpg"))
    paths = paths[:: max(1, len(paths) // pictures)][:pictures]
    for path in paths:
        path.read_bytes()  # so that neither reads from the disk
    ids = [path.relative_to(root).as_posix() for path in paths]
    wanted = unit_preprocessing((32, 32, 3))
    if not hasattr(os, "sched_setaffinity"):
        return {}
    everything = sorted(os.sched_getaffinity(0))
    found: dict[str, float] = {}
    for name, cores in (("decoded_one_core", 1), ("decoded_all_cores", threads)):
        os.sched_setaffinity(0, everything[:cores])
        start = time.perf_counter()
        decoded = sum(1 for _ in map_in_order(lambda name: decode(root / name, wanted), ids))
        found[name] = decoded / (time.perf_counter() - start)
    os.sched_setaffinity(0, everything)
    assert decoded == len(ids)
    return found


if __name__ == "__main__":
    main()
