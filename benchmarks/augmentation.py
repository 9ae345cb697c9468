"""What augmentation for photographs costs beside a training step, and larger training pictures in memory.

    python benchmarks/augmentation.py [--repeats 30] [--threads 2] [--out figures.json]

A ResNet-18 is trained on batches of 32 pictures of 224 pixels, in bf16 where the machine has it, as `sightline train`
does. Each round times a random resized crop, two operations of RandAugment of magnitude 9 and mixup of one batch, then
the step on it: forward, loss, backward, update. Told are the median of the rounds' ratios, their spread and n; the aim
is 0.05 at the most. Then the memory of 300 training pictures that are kept a third larger, over that of the same at the
network's size: of the arrays, and of a process that loads them (Linux); the aim is 1.8 at the most. A minute.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sightline.data import load
from sightline.device import resolve as resolve_device
from sightline.recipes import resolve
from sightline.runs.folder import RunFolder
from sightline.settings import DataSettings
from sightline.training.prepare import RunData, prepare_run
from sightline.training.reporter import Silence
from sightline.training.trainer import Trainer

PICTURES, SIDE, BATCH, WARM_UP = 300, 224, 32, 3
MOST_OF_A_STEP, MOST_MEMORY = 0.05, 1.8


def write_pictures(root: Path) -> None:
    """A folder of two classes, JPEGs of 360 x 300 pixels: smooth noise, which has edges and colors."""
    draw = np.random.default_rng(0)
    for number in range(PICTURES):
        folder = root / "train" / ("even", "odd")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        rough = Image.fromarray(draw.integers(0, 256, (15, 18, 3), np.uint8))
        rough.resize((360, 300), Image.Resampling.BICUBIC).save(folder / f"{number}.jpg", quality=90)
    for name in ("even", "odd"):
        (root / "test" / name).mkdir(parents=True)
        Image.new("RGB", (360, 300)).save(root / "test" / name / "0.jpg")


def time_rounds(root: Path, repeats: int, threads: int) -> tuple[str, list[float], list[float]]:
    """The precision, and seconds of augmentation and of the step behind it, a round each."""
    flags = {
        "model": "resnet18", "image_size": SIDE, "batch_size": BATCH, "threads": threads, "device": "cpu",
        "validation": 0, "random_crop": True, "randaugment": 2, "mixup": 0.2, "momentum": 0.9, "steps": 1000,
    }  # fmt: skip
    settings = resolve(str(root), "none", flags)
    compute = resolve_device(settings.device)
    data = RunData.from_settings(settings, None)
    run = prepare_run(settings, data, compute)
    augmenting: list[float] = []
    training: list[float] = []
    with tempfile.TemporaryDirectory() as place:
        trainer = Trainer(run.settings, RunFolder.create(Path(place), "run"), data, run.network, compute, Silence())
        assert trainer.mix is not None
        part = trainer.backbone.begin_epoch(1)
        for step in range(WARM_UP + repeats):
            torch.manual_seed(step)
            indices = trainer.order.indices(step % (PICTURES // BATCH))
            at = torch.from_numpy(indices)
            pixels, labels = trainer.images.gather(indices, at)
            began = time.perf_counter()
            batch, soft = trainer.mix(trainer.augment(pixels, at, 0), labels)
            middle = time.perf_counter()
            trainer.training_step(part, batch, soft, step=step, rate=0.01)
            augmenting.append(middle - began)
            training.append(time.perf_counter() - middle)
    return compute.precision, augmenting[WARM_UP:], training[WARM_UP:]


def bytes_of(root: Path, cache_size: str) -> tuple[int, int | None]:
    """Bytes of the pixels that training reads, and what loading them adds to a process, None where it is not told."""
    code = f"import augmentation; print(augmentation.loaded_bytes({str(root)!r}, {cache_size!r}))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent)
    found = json.loads(done.stdout)
    return found["array"], found["process"]


def loaded_bytes(root: str, cache_size: str) -> str:
    """In a process of its own, from a cache that is there already."""
    before = _anonymous()
    train = load(DataSettings(name=root, image_size=SIDE, channels=3, cache_size=cache_size), quiet=True).train
    after = _anonymous()
    grown = None if before is None or after is None else after - before
    return json.dumps({"array": train.to_crop_from().pixels.nbytes, "process": grown})


def _anonymous() -> int | None:
    """Bytes of this process that no file stands behind."""
    try:
        lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon")), None)


def main() -> None:
    """Measure, print and, where asked for, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=30, help="rounds that are timed")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--out", type=Path, help="where the figures are written as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        os.environ["SIGHTLINE_CACHE"] = str(Path(place) / "cache")
        root = Path(place) / "pictures"
        write_pictures(root)
        precision, augmenting, training = time_rounds(root, arguments.repeats, arguments.threads)
        kept = {}
        for cache_size in ("input", "larger"):
            loaded_bytes(str(root), cache_size)  # so that it is in the cache
            kept[cache_size] = bytes_of(root, cache_size)
    ratios = [first / second for first, second in zip(augmenting, training, strict=True)]
    median = statistics.median(ratios)
    print(f"ResNet-18, {BATCH} pictures of {SIDE} pixels, {precision}, {arguments.threads} threads, n={len(ratios)}")
    for name, values in (("augmentation", augmenting), ("step", training)):
        print(
            f"{name}: {1000 * statistics.median(values):.1f} ms ({1000 * min(values):.1f} to {1000 * max(values):.1f})"
        )
    print(f"augmentation over step: {median:.4f} ({min(ratios):.4f} to {max(ratios):.4f}); aim {MOST_OF_A_STEP}")
    array, process = (
        None if None in pair else pair[1] / pair[0] for pair in zip(kept["input"], kept["larger"], strict=True)
    )
    told = "" if process is None else f", {process:.3f} of a process"
    print(f"memory of training pictures a third larger: {array:.3f} of the arrays{told}; aim {MOST_MEMORY}")
    if arguments.out:
        figures = {
            "precision": precision, "threads": arguments.threads, "n": len(ratios), "augmentation_seconds": augmenting,
            "step_seconds": training, "ratio": median, "array_memory": array, "process_memory": process,
        }  # fmt: skip
        arguments.out.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
