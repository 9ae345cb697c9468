"""What a run begins with: its images, its augmentation, and its network with the first weights."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sightline import data as data_room
from sightline.augment import resolve_augment
from sightline.classifier.input_step import InputStep
from sightline.errors import FileError, UsageError
from sightline.models import Network, build_model, summarize, whiten
from sightline.models.pretrained import PretrainedReport, load_pretrained
from sightline.runs.folder import RunFolder
from sightline.settings import Settings, SprintSettings, data_name

if TYPE_CHECKING:
    from sightline.data import ImageData, ImageSet, Preprocessing, Splits

IMAGES_WHITENED = 5000
"""Training images that a whitening stem is computed from."""
SAMPLES, SAMPLES_A_CLASS = 60, 6
"""Training images kept to be looked at."""


@dataclass(frozen=True)
class RunImages:
    """What a run trains, selects and tests on."""

    loaded: ImageData
    splits: Splits
    preprocessing: Preprocessing

    @classmethod
    def of(cls, settings: Settings, data: ImageData | None) -> RunImages:
        """Read, unless they are there already, bring them to the size and channels asked for, and split them."""
        loaded = data_room.load(settings.data) if data is None else data_room.resized(data, settings.data)
        splits = data_room.split(loaded, settings.data, settings.training.watch_test)
        return cls(loaded, splits, data_room.fit_preprocessing(splits.train, settings.data))


def check_rules(settings: Settings, splits: Splits) -> None:
    """Raise UsageError for a rule that is to end training and waits for a figure that no images give."""
    training = settings.training
    advice = "leave it out" if training.watch_test else "set --validation, or leave it out"
    if splits.validation is not None:
        return
    if training.patience is not None:
        raise UsageError("--patience", "there are no validation images to find an epoch better by", advice=advice)
    if training.stop_at_accuracy is not None and not (training.watch_test and splits.test is not None):
        raise UsageError("--stop-at-accuracy", "there are no validation images to have an accuracy of", advice=advice)


def with_augmentation(settings: Settings, images: RunImages) -> tuple[Settings, list[str]]:
    """The settings with augmentation decided, and why."""
    augment, choices = resolve_augment(settings.augment, data_name(settings.data), images.splits.train.class_names)
    return settings.replace(augment=augment), choices


@dataclass(frozen=True)
class Start:
    """A network as training begins with it; `seconds` are those of what was computed from the training images."""

    module: nn.Module
    report: PretrainedReport | None = None
    seconds: float = 0.0

    def lines(self, settings: Settings) -> list[str]:
        """Say which weights training begins with, where they are not fresh."""
        if self.report is None:
            return ["the backbone is frozen at random weights"] if settings.finetune.freeze == "backbone" else []
        if self.report.normalize in (None, settings.data.normalize):
            return [self.report.line()]
        return [
            self.report.line(),
            f"these weights were trained with --normalize {self.report.normalize}, this run has "
            f"{settings.data.normalize}",
        ]


def begin(settings: Settings, images: RunImages) -> Start:
    """The network with the weights of a file, or with fresh ones, a whitening stem fitted to the training images."""
    network = build(settings, images.splits)
    source = settings.finetune.pretrained
    assert settings.model is not None
    if source is not None:
        return Start(network, load_pretrained(network, settings.model, source))
    if not isinstance(settings.model, SprintSettings) or settings.model.stem != "whitening":
        return Start(network)
    began = time.perf_counter()
    train = images.splits.train
    spread = np.unique(np.linspace(0, len(train) - 1, IMAGES_WHITENED).astype(np.int64))
    pixels = torch.from_numpy(train.select(spread).images())
    whiten(network, InputStep(images.preprocessing)(pixels), settings.model.whitening_eps)
    return Start(network, seconds=time.perf_counter() - began)


def begin_again(settings: Settings, images: RunImages, folder: RunFolder) -> nn.Module:
    """The network as it was when a run began that ended before its first checkpoint.

    Raises FileError where the file of weights is not the one that it began from.
    """
    start = begin(settings, images)
    if start.report is not None and start.report.sha256 != folder.fact("pretrained")["sha256"]:
        advice = "bring the old one back, or start a new run"
        raise FileError(start.report.source, "this file has changed since the run began from it", advice=advice)
    return start.module


def build(settings: Settings, splits: Splits) -> Network:
    """Lay out the network of the settings for the images, with fresh weights. Raises UsageError where there is none."""
    if settings.model is None:
        raise UsageError("--model", "none found", "a preset's name, or a module of your own from Python")
    height, width, channels = splits.train.size
    return build_model(
        settings.model,
        channels=channels,
        image_size=(height, width),
        num_classes=len(splits.train.class_names),
        seed=settings.training.seed,
    )


def check_own(module: nn.Module, splits: Splits) -> None:
    """Let the user's module look at two blank images. Raises UsageError unless it answers with (2, K) logits."""
    height, width, channels = splits.train.size
    classes = len(splits.train.class_names)
    image = f"{channels}x{height}x{width}"
    name = type(module).__name__
    training = module.training
    try:
        with torch.inference_mode():
            first = next(module.parameters(), torch.empty(0))
            answer = module.eval()(torch.zeros(2, channels, height, width, device=first.device))
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        advice = "change the module, or set channels or image_size"
        raise UsageError(name, f"it cannot take images of {image} ({reason})", advice=advice) from error
    finally:
        module.train(training)
    if not isinstance(answer, torch.Tensor) or answer.shape != (2, classes):
        found = f"shape {tuple(answer.shape)}" if isinstance(answer, torch.Tensor) else type(answer).__name__
        raise UsageError(name, f"for two images it gives {found}", f"a tensor of shape (2, {classes}), a logit a class")


def describe(module: nn.Module, splits: Splits) -> dict[str, Any]:
    """Give what network.json holds: parts, parameters and multiply-adds; no parts where they cannot be told."""
    height, width, channels = splits.train.size
    name = type(module).__name__
    try:
        return {"name": name, **summarize(module, channels, (height, width)).to_dict()}
    except Exception:  # a module of the user's own may do what cannot be done without values
        parameters = sum(parameter.numel() for parameter in module.parameters())
        return {
            "name": name,
            "input": [1, channels, height, width],
            "parts": [],
            "parameters": parameters,
            "macs": None,
        }


def samples_of(images: ImageSet) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Choose the first few images of each class: at most SAMPLES in all, uint8 (n, H, W, C), and their labels."""
    classes = min(len(images.class_names), SAMPLES)
    each = max(1, min(SAMPLES_A_CLASS, SAMPLES // classes))
    rows = np.concatenate([np.flatnonzero(images.labels == label)[:each] for label in range(classes)])
    return images.select(rows).images(), images.labels[rows]
