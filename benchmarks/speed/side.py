"""What all sides share: how one is asked and answers, what it is given to train on, how a call is timed.

A side is a process of its own: `python SIDE.py JOB` with JOB a JSON object whose `task` names a function of the side
and whose other keys are its arguments. The last line of its standard output is the answer, a JSON object: `values` by
the names in figures.FIGURES, `details` for whoever asks why, and `versions`; or `absent` with the reason why there is
nothing to measure. Jobs name no paths, since they are published: where the data are is in the environment.

Needs NumPy only, and knows nothing of Sightline.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import figures
import numpy as np
from numpy.typing import NDArray

Answer = dict[str, Any]
# Environment variables: the folder of CIFAR-10 as pictures, and where a side may leave a file for another.
CIFAR10_FOLDER, WORK = "SPEED_CIFAR10_FOLDER", "SPEED_WORK"
CLASSES = 10
PROJECTION_WARMUP, PROJECTION_BLOCK = 10, 10
SHAPES = {"R1": (28, 28, 1), "R2": (28, 28, 1), "ResNet-18": (32, 32, 3)}
"""(H, W, C) of the images of each network: R1's, R2's, and R4's ResNet-18 with the stem for small images."""


def answer(tasks: Mapping[str, Callable[..., Answer]], packages: Sequence[str]) -> None:
    """Do what the command line asks for and print what came of it."""
    job = json.loads(sys.argv[1])
    found = tasks[job.pop("task")](**job)
    versions = {name: importlib.metadata.version(name) for name in packages}
    print(f"\n{json.dumps({**found, 'versions': {'python': platform.python_version(), **versions}})}", flush=True)


def digits_file() -> Path:
    """Where Sightline's split of the digits lies for a side that has no Sightline."""
    return Path(os.environ[WORK]) / "digits.npz"


def synthetic(network: str, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Noise in the shape of a network's images: uint8 (N, H, W, C) and labels (N,), the same on all sides."""
    generator = np.random.RandomState(0)
    pixels = generator.randint(0, 256, (count, *SHAPES[network]), np.uint8)
    return pixels, generator.randint(0, CLASSES, count).astype(np.int64)


def speed(ends: Sequence[float], batch_size: int, warmup: int, block: int, details: Answer) -> Answer:
    """The answer to `steps`, from the times at which each step ended."""
    seconds = figures.steady_seconds(ends, warmup, block)
    blocks = [round(value, 6) for value in seconds]
    return {
        "values": {"images_per_second": batch_size / statistics.median(seconds)},
        "details": {**details, "seconds_a_step_of_each_block": blocks},
    }


def projected(ends: Sequence[float], steps: int, details: Answer) -> Answer:
    """The answer to a training of `steps` steps of which only the first were made: the time that all of them take."""
    seconds = figures.steady_seconds(ends, PROJECTION_WARMUP, PROJECTION_BLOCK)
    made = {"projected_from_steps": len(ends), "of_steps": steps}
    return {"values": {"seconds": steps * statistics.fmean(seconds)}, "details": {**details, **made}}


def latencies(predict: Callable[[NDArray[np.uint8]], NDArray[np.float32]], network: str, repeats: int) -> Answer:
    """The answer to `inference`: the median time of a call, with one image and with 256."""
    values: Answer = {}
    details: Answer = {}
    for size in (1, 256):
        pixels = synthetic(network, size)[0]
        for _ in range(3 if size == 1 else 1):
            probabilities = predict(pixels)
        assert probabilities.shape == (size, CLASSES)
        assert np.allclose(probabilities.sum(1), 1, atol=1e-4)
        times: list[float] = []
        for _ in range(repeats if size == 1 else max(1, repeats // 10)):
            start = time.perf_counter()
            predict(pixels)
            times.append(1000 * (time.perf_counter() - start))
        values[f"milliseconds_{size}"] = statistics.median(times)
        details[f"milliseconds_{size}"] = [round(value, 4) for value in times]
    return {"values": values, "details": details}
