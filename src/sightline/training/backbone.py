"""A frozen backbone: which layers are trained in an epoch, and the features that then take the place of the images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from sightline.augment import build_mirroring
from sightline.classifier.input_step import InputStep
from sightline.data import ImageSet, Splits
from sightline.device import Compute, as_tensor
from sightline.settings import Settings
from sightline.training.frozen import Cut, Features, features_of, fits, quick

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

    A frozen part has no gradients, and batch norm works as in evaluation. `train_features` and `val_features` are there
    while they take the place of the images: the validation images' as long as something is frozen, the training
    images' where these are never changed but for mirroring. `forward` is `model` as it is executed. Raises UsageError
    for a module that cannot be frozen so.
    """

    def __init__(
        self,
        model: nn.Module,
        forward: Forward,
        input_step: InputStep,
        settings: Settings,
        splits: Splits,
        compute: Compute,
    ) -> None:
        self.train_features: Features | None = None
        self.val_features: Features | None = None
        self._model, self._input_step, self._splits, self._compute = model, input_step, splits, compute
        self._settings, self._augment = settings.finetune, settings.augment
        self._cut = Cut.of(settings.finetune)
        self._whole = TrainedPart(input_step, forward)
        self._frozen: TrainedPart | None = None
        self._kept: tuple[Features | None, Features | None] | None = None
        self._front: torch.Tensor | None = None
        self._mirroring = build_mirroring(
            settings.augment, count=len(splits.train), seed=settings.training.seed, device=compute.device
        )
        if self._settings.freeze != "none":
            self._cut.parts(model)
            if self._settings.unfreeze_epoch is None:
                self._cut.freeze_in(model)

    def take_features(self, other: Backbone) -> None:
        """Take over what another has computed for the same network and images."""
        self._kept = other.train_features, other.val_features

    def take_front(self, values: torch.Tensor | None) -> None:
        """Take over the training images' features, not mirrored, where fitting the head has computed them."""
        self._front = values

    def begin_epoch(self, epoch: int) -> TrainedPart:
        """Freeze or thaw for `epoch`, counted from 1, and give what it trains."""
        if self._settings.freeze == "none":
            return self._whole
        if self._settings.unfreeze_epoch is not None and epoch >= self._settings.unfreeze_epoch:
            self._model.requires_grad_(True)
            self._model.train()
            self.train_features = self.val_features = None
            return self._whole
        self._cut.freeze_in(self._model)
        if self._frozen is None:
            self._frozen = self._keep_features()
        return self._frozen

    def training_batch(self, at: torch.Tensor, passes: int | torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Kept features of the training images at `at`, int64 (B,), mirrored as these would be, and their labels."""
        assert self.train_features is not None
        return self.train_features.gather(at, None if self._mirroring is None else self._mirroring(at, passes))

    def _keep_features(self) -> TrainedPart:
        """Compute the features that take the place of images, and give what is trained on them."""
        fixed, rest = self._cut.parts(self._model)
        if self._kept is None:
            self._kept = self._compute_features(fixed)
        self.train_features, self.val_features = self._kept
        if self.train_features is None:
            return TrainedPart(self._whole.input_step, self._whole.forward)
        return TrainedPart(nn.Identity(), rest)

    def _compute_features(self, fixed: nn.Sequential) -> tuple[Features | None, Features | None]:
        in_float32 = Compute(self._compute.device, "fp32")
        validation = self._features(self._splits.validation, fixed, in_float32)
        if not self._augment.only_mirrors:
            return None, validation
        mirror = self._mirroring is not None
        return self._features(self._splits.train, quick(fixed), self._compute, mirror, self._front), validation

    def _features(
        self,
        images: ImageSet | None,
        fixed: nn.Sequential,
        compute: Compute,
        mirror: bool = False,
        known: torch.Tensor | None = None,
    ) -> Features | None:
        if images is None or not fits(images, fixed, (2 if mirror else 1) * (4 if compute.precision == "fp32" else 2)):
            return None
        labels = as_tensor(images.labels).to(compute.device)
        values = features_of(images, fixed, self._input_step, compute) if known is None else known
        mirrored = features_of(images, fixed, self._input_step, compute, mirror=True) if mirror else None
        return Features(values, mirrored, labels, images, self._cut)
