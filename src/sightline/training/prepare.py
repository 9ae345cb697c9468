"""What a run begins with: its images, its augmentation, and its network with the first weights."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sightline.augment import resolve_augment
from sightline.classifier.input_step import InputStep
from sightline.data import ImageData, ImageSet, Preprocessing, Splits, fit_preprocessing, load, resized, split
from sightline.device import Compute
from sightline.errors import FileError, UsageError
from sightline.models import Network, build_model, summarize, whiten
from sightline.models.pretrained import PretrainedReport, load_pretrained
from sightline.runs.folder import RunFolder
from sightline.runs.records import NetworkSummary, Pretrained
from sightline.settings import Settings, SprintSettings, data_name
from sightline.training.frozen import Cut
from sightline.training.head import fit_head

IMAGES_WHITENED = 5000
"""Training images that a whitening stem is computed from."""
SAMPLES, SAMPLES_A_CLASS = 60, 6
"""Training images kept to be looked at."""


@dataclass(frozen=True)
class RunData:
    """What a run trains, selects and tests on."""

    loaded: ImageData
    splits: Splits
    preprocessing: Preprocessing

    @classmethod
    def from_settings(cls, settings: Settings, data: ImageData | None) -> RunData:
        """Read, unless they are there already, bring them to the size and channels asked for, and split them."""
        loaded = load(settings.data) if data is None else resized(data, settings.data)
        splits = split(loaded, settings.data, settings.training.watch_test)
        return cls(loaded, splits, fit_preprocessing(splits.train, settings.data))


@dataclass(frozen=True)
class PreparedRun:
    """What a run begins with: `settings` with everything decided, and a network with its first weights.

    `pretrained` says where the weights came from, None for fresh ones; `notes` what was decided, for people; `seconds`
    are those of what was computed from the training images, which count as training; `front` are features of these
    that training goes on from, where a head was fitted.
    """

    settings: Settings
    network: nn.Module
    pretrained: PretrainedReport | None
    notes: tuple[str, ...]
    seconds: float
    front: torch.Tensor | None = None


def prepare_run(settings: Settings, data: RunData, compute: Compute, module: nn.Module | None = None) -> PreparedRun:
    """Decide on augmentation, and make the network: `module`, the weights of a file, or fresh ones.

    A whitening stem, or the last layer behind a pretrained backbone, is fitted to the training images. Raises
    UsageError for a network or module that does not suit the images, FileError for weights that do not suit
    the network.
    """
    augment, choices = resolve_augment(settings.augment, data_name(settings.data), data.splits.train.class_names)
    settings = settings.replace(augment=augment)
    if module is not None:
        check_module(module, data.splits)
        return PreparedRun(settings.replace(model=None), module, None, (*choices, *_frozen_note(settings)), 0.0)
    network = build_network(settings, data.splits)
    if settings.finetune.freeze != "none":
        Cut.of(settings.finetune).parts(network)
    assert settings.model is not None
    source = settings.finetune.pretrained
    if source is not None:
        report = load_pretrained(network, settings.model, source)
        notes = [*choices, *_pretrained_notes(report, settings)]
        if settings.finetune.head == "fresh":
            return PreparedRun(settings, network, report, tuple(notes), 0.0)
        fitted = fit_head(network, data.preprocessing, settings, data.splits, compute)
        return PreparedRun(settings, network, report, (*notes, fitted.line()), fitted.seconds, fitted.front)
    seconds = 0.0
    if isinstance(settings.model, SprintSettings) and settings.model.stem == "whitening":
        began = time.perf_counter()
        train = data.splits.train
        spread = np.unique(np.linspace(0, len(train) - 1, IMAGES_WHITENED).astype(np.int64))
        pixels = torch.from_numpy(train.select(spread).images())
        whiten(network, InputStep(data.preprocessing)(pixels), settings.model.whitening_eps)
        seconds = time.perf_counter() - began
    return PreparedRun(settings, network, None, (*choices, *_frozen_note(settings)), seconds)


def prepare_resume(settings: Settings, data: RunData, folder: RunFolder, compute: Compute) -> nn.Module:
    """The network that a checkpoint fills, or as it was when a run began that ended before its first checkpoint.

    Raises FileError where the file of weights is not the one that the run began from.
    """
    if folder.checkpoints():
        return build_network(settings, data.splits)
    prepared = prepare_run(settings, data, compute)
    report = prepared.pretrained
    if report is not None and report.sha256 != folder.read(Pretrained).sha256:
        advice = "Bring the old file back, or start a new run."
        raise FileError(report.source, "the file has changed since the run started from it", advice=advice)
    return prepared.network


def _frozen_note(settings: Settings) -> list[str]:
    return ["the backbone is frozen at random weights"] if settings.finetune.freeze == "backbone" else []


def _pretrained_notes(report: PretrainedReport, settings: Settings) -> list[str]:
    if report.normalize in (None, settings.data.normalize):
        return [report.line()]
    scaling = f"these weights were trained with normalize {report.normalize}, this run has {settings.data.normalize}"
    return [report.line(), scaling]


def build_network(settings: Settings, splits: Splits) -> Network:
    """Lay out the network of the settings for the images, with fresh weights. Raises UsageError where there is none."""
    if settings.model is None:
        raise UsageError("--model", "no network is named", "a preset's name, or a module of your own from Python")
    height, width, channels = splits.train.size
    return build_model(
        settings.model,
        channels=channels,
        image_size=(height, width),
        num_classes=len(splits.train.class_names),
        seed=settings.training.seed,
    )


def check_module(module: nn.Module, splits: Splits) -> None:
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
        advice = "Change the module, or set channels or image_size."
        raise UsageError(name, f"it cannot take images of {image} ({reason})", advice=advice) from error
    finally:
        module.train(training)
    if not isinstance(answer, torch.Tensor) or answer.shape != (2, classes):
        found = f"shape {tuple(answer.shape)}" if isinstance(answer, torch.Tensor) else type(answer).__name__
        raise UsageError(
            name, f"for two images it gives {found}", f"a tensor of shape (2, {classes}), a logit for each class"
        )


def describe(module: nn.Module, splits: Splits) -> NetworkSummary:
    """Describe a network: parts, parameters and multiply-adds; no parts where they cannot be determined."""
    height, width, channels = splits.train.size
    name = type(module).__name__
    try:
        summary = summarize(module, channels, (height, width))
        return NetworkSummary(name, summary.input, summary.parts, summary.parameters, summary.macs)
    except Exception:  # a module of the user's own may do what cannot be done without values
        parameters = sum(parameter.numel() for parameter in module.parameters())
        return NetworkSummary(name, (1, channels, height, width), (), parameters, None)


def sample_images(images: ImageSet) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Choose the first few images of each class: at most SAMPLES in all, uint8 (n, H, W, C), and their labels."""
    classes = min(len(images.class_names), SAMPLES)
    each = max(1, min(SAMPLES_A_CLASS, SAMPLES // classes))
    rows = np.concatenate([np.flatnonzero(images.labels == label)[:each] for label in range(classes)])
    return images.select(rows).images(), images.labels[rows]
