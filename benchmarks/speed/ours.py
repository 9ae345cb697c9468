"""Sightline's side: training and inference through what its users call."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import side
import torch
from numpy.typing import NDArray
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

import sightline as sl
from sightline import device as device_room
from sightline.classifier import model_file
from sightline.data import ImageData, ImageSet, load, unit_preprocessing
from sightline.errors import UsageError
from sightline.files.json_records import to_json
from sightline.models import build_model
from sightline.recipes import recipe_names
from sightline.runs.folder import RunFolder
from sightline.runs.records import Environment
from sightline.settings import ModelSettings, Settings, build_settings
from sightline.training.reporter import Silence
from sightline.training.train import train_settings

PACKAGES = ("sightline", "torch", "numpy", "pillow")
MODELS: dict[str, dict[str, Any]] = {
    "R1": {"model": "resnet-pad"},
    "R2": {"model": "cnn"},
    "ResNet-18": {"model": "resnet18", "stem": "small"},
}
HELD_OUT = 64


def main() -> None:
    """Answer."""
    tasks = {
        "environment": environment, "steps": steps, "train": train, "inference": inference,
        "digits_split": digits_split,
    }  # fmt: skip
    side.answer(tasks, PACKAGES)


def environment(threads: int) -> side.Answer:
    """The hardware, as the device room names it."""
    compute = device_room.resolve(build_settings({}, {"threads": threads, "device": "cpu"}).device)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"values": {}, "details": {**to_json(device_room.environment(compute)), "cores": cores}}


class StepEnds(Silence):
    """A reporter that notes when each step ended: behind the update, the sums and the logs."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def step(self, step: int, images_per_second: float, loss: float | None, accuracy: float | None) -> None:  # noqa: ARG002
        """Look at the clock."""
        self.ends.append(time.perf_counter())


def step_ends(settings: Settings, pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> tuple[list[float], str]:
    """When each step of a training run on these images ended, and in which precision it trained.

    A few further images validate and test behind the last step.
    """
    names = tuple(str(label) for label in range(side.CLASSES))

    def part(name: str, start: int, stop: int) -> ImageSet:
        ids = [f"{name}/{row}" for row in range(start, stop)]
        return ImageSet.from_arrays(pixels[start:stop], labels[start:stop], ids, names)

    count = len(pixels) - 2 * HELD_OUT
    val, test = part("val", count, count + HELD_OUT), part("test", count + HELD_OUT, len(pixels))
    data = ImageData("synthetic", part("train", 0, count), val, test, {}, {})
    reporter = StepEnds()
    with tempfile.TemporaryDirectory() as runs:
        result = train_settings(settings, runs=Path(runs), data=data, reporter=reporter)
        precision = RunFolder.open(result.run).read(Environment).precision or ""
    return reporter.ends, precision


def steps(network: str, batch_size: int, warmup: int, count: int, block: int, threads: int) -> side.Answer:
    """Images a second of the training loop, in one epoch, with the device settings left alone."""
    settings = build_settings({}, {
        **MODELS[network], "data": "synthetic", "optimizer": "sgd", "lr": 0.001, "momentum": 0,
        "batch_size": batch_size, "epochs": 1, "threads": threads, "device": "cpu",
    })  # fmt: skip
    pixels, labels = side.synthetic(network, batch_size * (warmup + count) + 2 * HELD_OUT)
    ends, precision = step_ends(settings, pixels, labels)
    assert settings.model is not None
    details = flops_and_parameters(settings.model, network) | {"precision": precision}
    return side.speed(ends, batch_size, warmup, block, details)


def flops_and_parameters(model: ModelSettings, network: str) -> side.Answer:
    """Operations of one image's forward and backward pass (a multiply-add is two), and how many numbers are trained.

    Counted on the meta device, so nothing is computed.
    """
    height, width, channels = side.SHAPES[network]
    built = build_model(model, channels=channels, image_size=(height, width), num_classes=side.CLASSES, seed=0)
    parameters = sum(parameter.numel() for parameter in built.parameters())
    built = built.to("meta").train()
    batch = 2  # batch norm wants two
    images = torch.empty(batch, channels, height, width, device="meta")
    labels = torch.zeros(batch, dtype=torch.int64, device="meta")
    with FlopCounterMode(display=False) as counter:
        functional.cross_entropy(built(images), labels).backward()
    return {"flops_an_image": counter.get_total_flops() / batch, "parameters": parameters}


def train(recipe: str, data: str, seed: int, threads: int, steps: int | None = None) -> side.Answer:
    """Train with a recipe, by the public call. The time is the run's own, from its first step to its last: validation
    and checkpoints are in it. `steps` cuts it short.
    """
    if recipe not in recipe_names():
        return {"absent": f"Sightline has no recipe {recipe}"}
    shorter = {} if steps is None else {"steps": steps}
    with tempfile.TemporaryDirectory() as runs:
        result = sl.train(
            os.environ[side.CIFAR10_FOLDER] if data == "cifar10-folder" else data,
            recipe=recipe, seed=seed, threads=threads, device="cpu", runs=runs, quiet=True, **shorter,
        )  # fmt: skip
        views = accuracy_with_views(result.run)
    assert result.test_accuracy is not None
    values = {"seconds": result.train_seconds, "test_accuracy": 100 * result.test_accuracy, **views}
    return {"values": values, "details": {k: v for k, v in result.to_dict().items() if k not in ("run", "data")}}


def accuracy_with_views(run: Path) -> dict[str, float]:
    """The accuracy with test-time augmentation, in percent, where the run's images were shifted or mirrored."""
    try:
        tta = sl.test(run, tta=True, device="cpu").tta
    except UsageError:
        return {}
    assert tta is not None
    return {"test_accuracy_tta": 100 * tta.accuracy}


def digits_split() -> side.Answer:
    """Write the embedded digits as Sightline splits them, for a side that has no Sightline: an .npz file of arrays."""
    data = load(build_settings({}, {"data": "digits"}).data)
    assert data.test is not None
    np.savez(
        side.digits_file(), train=data.train.images(), train_labels=data.train.labels,
        test=data.test.images(), test_labels=data.test.labels,
    )  # fmt: skip
    return {"values": {}, "details": {}}


def inference(network: str, repeats: int, threads: int) -> side.Answer:
    """Latency of a Classifier that was loaded from a model file, from decoded pixels to probabilities."""
    torch.set_num_threads(threads)
    model = build_settings({}, MODELS[network]).model
    assert model is not None
    height, width, channels = side.SHAPES[network]
    built = build_model(model, channels=channels, image_size=(height, width), num_classes=side.CLASSES, seed=0)
    preprocessing = unit_preprocessing(side.SHAPES[network]).model_copy(
        update={"mean": (0.5,) * channels, "std": (0.25,) * channels}
    )
    names = tuple(str(label) for label in range(side.CLASSES))
    header = model_file.ModelHeader(model=model, class_names=names, preprocessing=preprocessing)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        model_file.save(path, built.state_dict(), header)
        classifier = sl.load(path, device="cpu")
    return side.latencies(classifier.probabilities, network, repeats)


if __name__ == "__main__":
    main()
