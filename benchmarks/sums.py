"""What sums cost: of a model file of 100 MB, and of a folder's decoded pictures.

    python benchmarks/sums.py [FOLDER]

Packs, saves and loads 25 million float32 parameters with and without their SHA-256, by turns, ten times each. With a
FOLDER of pictures, does the same with the start of a training on it at 224 pixels: reading the pictures that the cache
has, and hashing them for splits.json. Prints milliseconds, mean and standard deviation.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from unittest import mock

import torch

from sightline.classifier import model_file
from sightline.data import cache
from sightline.files import atomic
from sightline.recipes import resolve
from sightline.runs.images import record
from sightline.training.prepare import RunData

TIMES = 10
WITH, WITHOUT = "with sums", "without"


def milliseconds(work: Callable[[], object]) -> float:
    """How long something takes."""
    began = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - began)


def show(title: str, rows: Mapping[str, list[list[float]]]) -> None:
    """Print a line for each way, with a figure for each part."""
    for way, values in rows.items():
        told = [f"{statistics.mean(part):.0f} ± {statistics.stdev(part):.0f}" for part in zip(*values, strict=True)]
        print(f"{title}, {way}: {', '.join(told)} ms (n={TIMES})")


def of_a_model_file(path: Path) -> list[float]:
    """Pack, save and load 100 MB."""
    tensors = {f"layer{number}.weight": torch.randn(1000, 1000) for number in range(25)}
    content = b""

    def pack() -> None:
        nonlocal content
        content = model_file.pack(tensors, {"a": "b"})

    return [
        milliseconds(pack),
        milliseconds(lambda: atomic.write_bytes(path, content)),
        milliseconds(lambda: model_file.unpack(path)),
    ]


def of_pictures(folder: str) -> list[float]:
    """Read what the cache has of a folder's pictures, and hash it for splits.json."""
    settings = resolve(folder, "none", {"image_size": 224, "model": "cnn"})
    found: list[RunData] = []
    return [
        milliseconds(lambda: found.append(RunData.from_settings(settings, None))),
        milliseconds(lambda: record(found[0].splits)),
    ]


def main() -> None:
    """Measure by turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", help="pictures")
    folder = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "a.safetensors"
        rows: dict[str, list[list[float]]] = {WITH: [], WITHOUT: []}
        for _ in range(TIMES):
            rows[WITH].append(of_a_model_file(path))
            with (
                mock.patch.object(model_file, "sum_of", return_value=""),
                mock.patch.object(model_file, "is_whole", return_value=True),
            ):
                rows[WITHOUT].append(of_a_model_file(path))
        show("pack, save and load 100 MB", rows)
    if folder is not None:
        of_pictures(folder)  # decodes, the first time
        rows = {WITH: [], WITHOUT: []}
        for _ in range(TIMES):
            rows[WITH].append(of_pictures(folder))
            with mock.patch.object(cache, "_is_whole", return_value=True):
                rows[WITHOUT].append(of_pictures(folder))
        show("read and record the pictures", rows)


if __name__ == "__main__":
    main()
