"""The two sides of benchmarks/gpu.py: Sightline's step in one form, and the loop that a PyTorch user writes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from sightline import device as device_room
from sightline.data import Preprocessing, Splits
from sightline.models import build_model
from sightline.runs.folder import RunFolder
from sightline.settings import Settings, build_settings
from sightline.training.cuda_graph import WARM_UP_STEPS
from sightline.training.prepare import RunData
from sightline.training.reporter import Silence
from sightline.training.trainer import Trainer

SEARCHED, PLAIN = "graph, cuDNN searched", "plain PyTorch"
FORMS = ("eager", "graph", SEARCHED, "compile")
SGD: Mapping[str, Any] = {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}
TRAINING: Mapping[str, Any] = {
    "optimizer": "sgd", **SGD, "label_smoothing": 0.1, "ema_decay": 0.99, "shift": 4, "fill": "reflect",
    "flip": "alternate", "last_batch": "wrap", "epochs": 1_000_000, "log_steps": 1_000_000_000,
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A network at a batch size, on square images of three channels."""

    name: str
    model: Mapping[str, Any]
    batch_size: int
    side: int = 32
    images: int = 50_000


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Seconds from the beginning of `work` to the end of what it gives the device: on a GPU between two events."""
    if device.type != "cuda":
        start = time.perf_counter()
        work()
        return time.perf_counter() - start
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    work()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1000


class OurSide:
    """Training steps of Sightline in one form."""

    def __init__(self, case: Case, form: str, settings: Settings, data: RunData, runs: Path) -> None:
        self.batch_size = case.batch_size
        compute = device_room.resolve(settings.device)
        folder = RunFolder.create(runs, "bench")
        network = build_network(case, len(data.splits.train.class_names))
        self.trainer = Trainer(settings, folder, data, network, compute, Silence())
        self.told = self.trainer.execution.line
        self._searches = form == SEARCHED

    def start(self) -> None:
        """Take the first steps: set up, compile, warm up, record."""
        torch.backends.cudnn.benchmark = self._searches
        self.trainer.begin()
        self._part = self.trainer.backbone.begin_epoch(1)
        self.steps(WARM_UP_STEPS + 1)
        torch.backends.cudnn.benchmark = False

    def ready(self) -> None:
        """Take a few steps behind another side's."""
        self.steps(WARM_UP_STEPS)

    def steps(self, count: int) -> None:
        """Train."""
        for _ in range(count):
            self.trainer.train_step(self._part, self.trainer.state.step)


class PerImage(Dataset[tuple[torch.Tensor, int]]):
    """Images as a PyTorch user serves them: decoded to float, padded, cut, mirrored and normalised one by one."""

    def __init__(self, pixels: np.ndarray, labels: np.ndarray, preprocessing: Preprocessing) -> None:
        self._pixels, self._labels = pixels, labels
        self._mean = torch.tensor(preprocessing.mean).reshape(-1, 1, 1)
        self._std = torch.tensor(preprocessing.std).reshape(-1, 1, 1)

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = torch.from_numpy(self._pixels[index]).permute(2, 0, 1).float() / 255
        height, width = image.shape[1:]
        padded = functional.pad(image, (4, 4, 4, 4), mode="reflect")
        top, left = (int(torch.randint(0, 9, ())) for _ in range(2))
        image = padded[:, top : top + height, left : left + width]
        if torch.rand(()) < 0.5:
            image = image.flip(2)
        return (image - self._mean) / self._std, int(self._labels[index])


class PlainSide:
    """The loop that a PyTorch user writes."""

    def __init__(
        self, case: Case, splits: Splits, preprocessing: Preprocessing, device: torch.device, workers: int
    ) -> None:
        self.batch_size, self.told = case.batch_size, None
        self._device = device
        self._loader = DataLoader(
            PerImage(splits.train.images(), splits.train.labels, preprocessing), case.batch_size, shuffle=True,
            drop_last=True, num_workers=workers, persistent_workers=workers > 0,
        )  # fmt: skip
        self._model = build_network(case, len(splits.train.class_names)).to(device).train()
        self._optimizer = torch.optim.SGD(self._model.parameters(), **SGD)
        self._criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
        self._batches = self._endless()
        self._prefetched = workers * (self._loader.prefetch_factor or 0)
        self.loss = 0.0

    def _endless(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        while True:
            yield from self._loader

    def start(self) -> None:
        """Start the workers and take the first steps."""
        self.steps(WARM_UP_STEPS + 1)

    def ready(self) -> None:
        """Use up what the workers have prepared while other sides ran."""
        self.steps(WARM_UP_STEPS + self._prefetched)

    def steps(self, count: int) -> None:
        """Train."""
        for _ in range(count):
            images, labels = (part.to(self._device) for part in next(self._batches))
            self._optimizer.zero_grad()
            loss = self._criterion(self._model(images), labels)
            loss.backward()
            self._optimizer.step()
            self.loss += loss.item()


def build_network(case: Case, classes: int) -> nn.Module:
    """The case's network, with seeded weights."""
    model = build_settings(None, dict(case.model)).model
    assert model is not None
    return build_model(model, channels=3, image_size=(case.side, case.side), num_classes=classes, seed=0)
