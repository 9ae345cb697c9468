"""A frozen backbone: which layers never change, and their output, computed once, in place of the images.

N images; F is the shape of one image's features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from sightline.classifier.input_step import InputStep
from sightline.classifier.torch_backend import evaluation_mode
from sightline.data import ImageSet, Splits
from sightline.device import as_tensor, full_precision
from sightline.errors import UsageError
from sightline.evaluation.predictions import Predictions
from sightline.settings import Settings

# The same on every machine, so that a run goes on elsewhere as it began.
MOST_BYTES = 4 << 30
PIXELS_A_BATCH = 1 << 20
HEADS_A_BATCH = 4096


Forward = Callable[[torch.Tensor], torch.Tensor | tuple[torch.Tensor, ...]]
Input = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, eq=False)
class TrainedPart:
    """What an epoch trains. Another object whenever other parameters are trained than in the epoch before.

    `input_step` makes the network's input of a batch: float (B, C, H, W) of images uint8 (B, H, W, C), or kept features
    as they are. `forward` gives logits (B, K), or a tuple of them and those of auxiliary heads.
    """

    input_step: Input
    forward: Forward


class Backbone:
    """Which part of a network is trained in each epoch, and the features of the part that is not.

    A frozen network has no gradients but the head's, and its batch norm works as in evaluation. `train_features` and
    `val_features` are there while they take the place of the images: the validation images' as long as the backbone is
    frozen, the training images' where these also are never augmented. `forward` is `model` as it is executed. Raises
    UsageError for a module to be frozen that is not made of a `body` and a `head`.
    """

    def __init__(
        self, model: nn.Module, forward: Forward, input_step: InputStep, settings: Settings, splits: Splits
    ) -> None:
        self.train_features: Features | None = None
        self.val_features: Features | None = None
        self._model, self._input_step, self._splits = model, input_step, splits
        self._settings = settings.finetune
        self._augments = settings.augment.changes_images
        self._whole = TrainedPart(input_step, forward)
        self._frozen: TrainedPart | None = None
        if self._settings.freeze == "backbone":
            _parts(model)
            if self._settings.unfreeze_epoch is None:
                self._freeze()

    def begin_epoch(self, epoch: int) -> TrainedPart:
        """Freeze or thaw for `epoch`, counted from 1, and give what it trains."""
        if self._settings.freeze == "none":
            return self._whole
        if self._settings.unfreeze_epoch is not None and epoch >= self._settings.unfreeze_epoch:
            self._model.requires_grad_(True)
            self._model.train()
            self.train_features = self.val_features = None
            return self._whole
        self._freeze()
        if self._frozen is None:
            self._frozen = self._keep_features()
        return self._frozen

    def _keep_features(self) -> TrainedPart:
        """Compute the features that take the place of images, and give what is trained on them."""
        fixed, rest = split_at_features(self._model)
        self.val_features = self._features(self._splits.validation, fixed)
        if not self._augments:
            self.train_features = self._features(self._splits.train, fixed)
        if self.train_features is None:
            return TrainedPart(self._whole.input_step, self._whole.forward)
        return TrainedPart(nn.Identity(), rest)

    def _freeze(self) -> None:
        head = _parts(self._model)[1]
        self._model.requires_grad_(False)
        self._model.eval()
        head.requires_grad_(True)
        self._model.training = True
        head.train()

    def _features(self, images: ImageSet | None, fixed: nn.Sequential) -> Features | None:
        return Features.of(images, fixed, self._input_step) if images is not None and fits(images, fixed) else None


def split_at_features(model: nn.Module) -> tuple[nn.Sequential, nn.Sequential]:
    """The layers that a frozen network always computes alike, and those behind them that are trained.

    The head's first layers belong to the former as long as they have no weights and nothing random, as a pooling has
    not: what is kept of an image is then as small as it can be.
    """
    body, head = _parts(model)
    layers = list(head.children())
    fixed = next((number for number, layer in enumerate(layers) if not _is_fixed(layer)), len(layers))
    return nn.Sequential(body, *layers[:fixed]), nn.Sequential(*layers[fixed:])


def _parts(model: nn.Module) -> tuple[nn.Module, nn.Sequential]:
    body, head = getattr(model, "body", None), getattr(model, "head", None)
    if not isinstance(body, nn.Module) or not isinstance(head, nn.Sequential):
        raise UsageError(
            "--freeze", f"{type(model).__name__} has no backbone", "a network with a `body` and a sequential `head`"
        )
    return body, head


def _is_fixed(layer: nn.Module) -> bool:
    return not layer.state_dict() and not any(isinstance(m, nn.modules.dropout._DropoutNd) for m in layer.modules())  # pyright: ignore[reportPrivateUsage]


@dataclass(frozen=True)
class Features:
    """The features of an image set, float32 (N, F) on the device, in the set's order."""

    values: torch.Tensor
    labels: torch.Tensor
    images: ImageSet

    @classmethod
    @torch.no_grad()
    def of(cls, images: ImageSet, fixed: nn.Sequential, input_step: InputStep) -> Features:
        """Compute them in float32, as validation does."""
        height, width, _ = images.size
        device = input_step.scale.device
        size = max(8, min(1000, PIXELS_A_BATCH // (height * width)))
        values = torch.empty(0)
        with full_precision():
            for start in range(0, len(images), size):
                pixels = as_tensor(np.ascontiguousarray(images.images(start, start + size))).to(device)
                part = fixed(input_step(pixels).contiguous(memory_format=torch.channels_last))
                if not start:
                    values = torch.empty((len(images), *part.shape[1:]), device=device)
                values[start : start + size] = part
        return cls(values, as_tensor(images.labels).to(device), images)

    def gather(self, at: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The features (B, F) and labels int64 (B,) at `at`, int64 (B,) on their device."""
        return self.values.index_select(0, at), self.labels.index_select(0, at)

    @torch.no_grad()
    def predictions(self, model: nn.Module) -> Predictions:
        """What `model`, whose fixed layers these features come from, says of the images, in float32."""
        rest = split_at_features(model)[1]
        with evaluation_mode(rest), full_precision():
            parts = [torch.softmax(rest(part), dim=1) for part in self.values.split(HEADS_A_BATCH)]
        probabilities = torch.cat(parts).cpu().numpy()
        return Predictions(tuple(self.images.ids), self.images.labels, probabilities, tuple(self.images.class_names))


def fits(images: ImageSet, fixed: nn.Sequential) -> bool:
    """Whether the features of so many images may be kept."""
    height, width, channels = images.size
    device = next(fixed.parameters()).device
    with torch.no_grad():
        one = fixed(torch.zeros(1, channels, height, width, device=device))
    return one.numel() * 4 * len(images) <= MOST_BYTES
