"""Validation: how good each epoch is, which is the best, and whether a rule ends training."""

from __future__ import annotations

import torch

from sightline.data import ImageSet, Splits
from sightline.errors import UsageError
from sightline.evaluation.predictions import Predictions, evaluate
from sightline.runs.selection import is_better
from sightline.settings import Settings
from sightline.training.backbone import Backbone
from sightline.training.checkpoints import TrainingState
from sightline.training.weights import RunWeights

Columns = dict[str, float | None]


def check_rules(settings: Settings, splits: Splits) -> None:
    """Raise UsageError for a rule that is to end training and waits for a metric that no images give."""
    training = settings.training
    advice = "Leave it out." if training.watch_test else "Set --validation, or leave it out."
    if splits.validation is not None:
        return
    if training.patience is not None:
        raise UsageError("--patience", "there are no validation images to judge an epoch by", advice=advice)
    if training.stop_at_accuracy is not None and not (training.watch_test and splits.test is not None):
        raise UsageError(
            "--stop-at-accuracy", "there are no validation images to measure an accuracy on", advice=advice
        )


class Validation:
    """Judges a network after an epoch: on the validation images, and on the test images where these are watched.

    `best` holds the weights of the best epoch so far, on the CPU; None before the first.
    """

    def __init__(
        self, settings: Settings, splits: Splits, weights: RunWeights, backbone: Backbone, steps_per_epoch: int
    ) -> None:
        self.best: dict[str, torch.Tensor] | None = None
        self._training, self._splits, self._weights, self._backbone = settings.training, splits, weights, backbone
        self._classifier = weights.classifier()
        # A run that its user made longer is given the same patience again.
        self._patient_from_epoch = settings.extended_from_step // steps_per_epoch

    def is_due(self, epoch: int) -> bool:
        """Whether `epoch`, counted from 1, is one of those that are validated."""
        return epoch % self._training.validate_epochs == 0

    def columns(self, epoch: int, state: TrainingState) -> Columns:
        """Validate, and give results.csv's columns; `state` and `best` then tell of the best epoch and of an end."""
        columns = self.empty_columns()
        images, training = self._splits.validation, self._training
        if images is not None:
            metrics = self._predictions(images).metrics()
            columns |= {"val_loss": metrics.loss, "val_accuracy": metrics.accuracy, "val_macro_f1": metrics.macro_f1}
            if training.select == "balanced_accuracy":
                columns["val_balanced_accuracy"] = metrics.balanced_accuracy
            value = getattr(metrics, "accuracy" if training.select == "last" else training.select)
            self._select(epoch, value, state)
            self._stop_at("validation", metrics.accuracy, state)
            if training.patience is not None and state.epochs_since_best >= training.patience:
                state.stopped = f"no better epoch in {training.patience}"
        if training.watch_test and self._splits.test is not None:
            metrics = evaluate(self._classifier, self._splits.test).metrics()
            columns |= {"test_loss": metrics.loss, "test_accuracy": metrics.accuracy}
            self._stop_at("test", metrics.accuracy, state)
        return columns

    def empty_columns(self) -> Columns:
        """Give the same columns for an epoch that is not validated."""
        names = ["val_loss", "val_accuracy", "val_macro_f1"] if self._splits.validation is not None else []
        if names and self._training.select == "balanced_accuracy":
            names.append("val_balanced_accuracy")
        if self._training.watch_test and self._splits.test is not None:
            names += ["test_loss", "test_accuracy"]
        return dict.fromkeys(names)

    def _predictions(self, images: ImageSet) -> Predictions:
        if self._backbone.val_features is not None:
            return self._backbone.val_features.predictions(self._weights.network)
        return evaluate(self._classifier, images)

    def _select(self, epoch: int, value: float, state: TrainingState) -> None:
        """Keep the weights of an epoch that is better than all before, the earliest of equals."""
        if not is_better(value, state.best_value, self._training.select):
            state.epochs_since_best = epoch - max(state.best_epoch or 0, self._patient_from_epoch)
            return
        state.best_value, state.best_epoch, state.epochs_since_best = value, epoch, 0
        tensors = self._weights.network.state_dict()
        self.best = {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
        self._weights.save_best(self.best)

    def _stop_at(self, images: str, accuracy: float, state: TrainingState) -> None:
        wanted = self._training.stop_at_accuracy
        if wanted is not None and accuracy >= wanted:
            state.stopped = f"{images} accuracy reached {wanted:g}"
