"""A last layer that is fitted, not trained: a logistic regression on what the frozen backbone makes of the images.

Within seconds it gives what a linear probe gives; training goes on from there, if it is to go on at all.

N images, C features, K classes.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax
from torch import nn

from sightline.classifier.input_step import InputStep
from sightline.data import ImageSet, Preprocessing, Splits
from sightline.data.split import stratified
from sightline.device import Compute
from sightline.errors import UsageError
from sightline.settings import Settings
from sightline.training.frozen import Cut, continued, features_of, front_values, quick

PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003)
"""Weights of the L2 penalty beside the mean cross-entropy, on standardized features; the strongest first."""
WITHOUT_CHOICE = 0.01
"""The penalty where no image can be spared to choose one."""
WORSE_IN_A_ROW = 2
"""How many penalties may be worse than the best before weaker ones are no longer tried."""
LEAST_DEVIATION = 0.1
"""Part of the features' median standard deviation that is added to each one's: some hardly ever change."""
INNER_FRACTION = 0.2
MOST_ITERATIONS = 300
WHOLE = Cut("backbone")
FAR_BELOW = 20.0
"""How far the bias of a class without images lies below the least of the others."""

Matrix = NDArray[np.float32]
Labels = NDArray[np.int64]
Layer = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Weight (K, C) and bias (K,)."""


@dataclass(frozen=True)
class FittedHead:
    """What `fit_head` did: the penalty, and the accuracy on the images that chose it, None where none could.

    `front` are the features of the training images that are then trained on, where they were computed on the way.
    """

    penalty: float
    accuracy: float | None
    images: int
    seconds: float
    front: torch.Tensor | None

    def line(self) -> str:
        """One line for people."""
        chosen = "" if self.accuracy is None else f", chosen with an accuracy of {self.accuracy:.1%}"
        return (
            f"fitted the last layer to the features of {self.images:,} images in {self.seconds:.1f} s: "
            f"L2 penalty {self.penalty:g}{chosen}"
        )


@dataclass(frozen=True)
class FrozenBackbone:
    """What a network has before its dense layer, which is fitted to what that makes of images.

    It is cut in two: `front` is frozen in training too, `behind` may be trained later.
    """

    front: nn.Sequential
    behind: nn.Sequential
    dense: nn.Linear
    input_step: InputStep
    compute: Compute

    @classmethod
    def of(
        cls, network: nn.Module, preprocessing: Preprocessing, compute: Compute, cut: Cut = WHOLE
    ) -> FrozenBackbone | None:
        """Take a network apart; None for one whose head is more than a pooling and one dense layer."""
        _, rest = WHOLE.parts(network.to(compute.device))
        layers = list(rest)
        dense = layers[-1] if layers else None
        if not isinstance(dense, nn.Linear) or any(layer.state_dict() for layer in layers[:-1]):
            return None
        front, behind = cut.parts(network)
        return cls(
            quick(front),
            quick(nn.Sequential(*list(behind)[:-1])),
            dense,
            InputStep(preprocessing).to(compute.device),
            compute,
        )

    def features(self, images: ImageSet) -> Matrix:
        """What the dense layer sees of each image, (N, C)."""
        whole = nn.Sequential(self.front, self.behind)
        return features_of(images, whole, self.input_step, self.compute).float().cpu().numpy()

    def features_behind(self, front: torch.Tensor) -> Matrix:
        """The same of what `front` made of the images, (N, F)."""
        return continued(front, self.behind, self.compute).float().cpu().numpy()


def fit_head(
    network: nn.Module, preprocessing: Preprocessing, settings: Settings, splits: Splits, compute: Compute
) -> FittedHead:
    """Fit the network's last layer to the training images, in place; nothing else of it is changed.

    The penalty is the one with the least cross-entropy on the validation images; where there are none, on a fifth of
    the training images, and all of these are then fitted. Raises UsageError for a network whose head is more than a
    pooling and one dense layer.
    """
    began = time.perf_counter()
    cut = Cut.of(settings.finetune) if settings.finetune.freeze == "front" else WHOLE
    backbone = FrozenBackbone.of(network, preprocessing, compute, cut)
    if backbone is None:
        raise UsageError("--head", "fitted needs a head of a pooling and one dense layer", advice="Use --head fresh.")
    train, validation = splits.train, splits.validation
    balanced = settings.training.class_weights == "balanced"
    front = (
        None if cut is WHOLE else front_values(train, backbone.front, backbone.input_step, compute, settings.augment)
    )
    values = backbone.features(train) if front is None else backbone.features_behind(front)
    classes, labels = len(train.class_names), train.labels
    if validation is not None:
        regression = Regression(values, labels, classes, balanced=balanced)
        penalty, accuracy, layer = choose(regression, backbone.features(validation), validation.labels)
    else:
        penalty, accuracy = _choose_within(values, labels, classes, balanced=balanced)
        layer = Regression(values, labels, classes, balanced=balanced).fit(penalty)
    with torch.no_grad():
        for parameter, fitted in zip((backbone.dense.weight, backbone.dense.bias), layer, strict=True):
            parameter.copy_(torch.from_numpy(fitted))
    return FittedHead(penalty, accuracy, len(train), time.perf_counter() - began, front)


class Regression:
    """Logistic regressions on `values` (N, C) of images with `labels` (N,), of one penalty after another.

    scikit-learn's, on features that are standardized first, which the layer that comes out then does by itself.
    `balanced` weighs each class by the inverse of its frequency.
    """

    def __init__(self, values: Matrix, labels: Labels, classes: int, *, balanced: bool) -> None:
        from sklearn.linear_model import LogisticRegression

        deviation = values.std(axis=0, dtype=np.float64)
        self._mean = values.mean(axis=0, dtype=np.float64)
        self._scale = deviation + max(1e-6, LEAST_DEVIATION * float(np.median(deviation)))
        self._values = ((values - self._mean) / self._scale).astype(np.float32)
        self._labels, self._classes = labels, classes
        weights = "balanced" if balanced else None
        self._model = LogisticRegression(warm_start=True, max_iter=MOST_ITERATIONS, tol=1e-3, class_weight=weights)

    def fit(self, penalty: float) -> Layer:
        """Minimize the mean cross-entropy plus half of `penalty` times the sum of squares, and give the layer."""
        from sklearn.exceptions import ConvergenceWarning

        self._model.set_params(C=1 / (penalty * len(self._labels)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._model.fit(self._values, self._labels)
        weight, bias = np.asarray(self._model.coef_, np.float64), np.asarray(self._model.intercept_, np.float64)
        if len(weight) == 1:  # of two classes scikit-learn gives the second one's score alone
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        weight = weight / self._scale
        bias = bias - weight @ self._mean
        present = self._model.classes_
        whole = np.zeros((self._classes, weight.shape[1])), np.full(self._classes, bias.min() - FAR_BELOW)
        whole[0][present], whole[1][present] = weight, bias
        return whole


def choose(regression: Regression, values: Matrix, labels: Labels) -> tuple[float, float, Layer]:
    """Find the penalty with the least cross-entropy of `values` (N, C): it, the accuracy there, and its layer."""
    best: tuple[float, float, float, Layer] | None = None
    worse = 0
    for penalty in PENALTIES:
        weight, bias = layer = regression.fit(penalty)
        scores = values @ weight.T + bias
        loss = -float(log_softmax(scores, axis=1)[np.arange(len(labels)), labels].mean())
        if best is None or loss < best[0]:
            best, worse = (loss, penalty, float((scores.argmax(axis=1) == labels).mean()), layer), 0
        else:
            worse += 1
        if worse == WORSE_IN_A_ROW:
            break
    assert best is not None
    return best[1:]


def _choose_within(values: Matrix, labels: Labels, classes: int, *, balanced: bool) -> tuple[float, float | None]:
    """Choose by a part of the training images, which the others are fitted without."""
    spare = int(np.maximum(np.bincount(labels) - 1, 0).sum())
    count = min(round(INNER_FRACTION * len(labels)), spare)
    if count < 1:
        return WITHOUT_CHOICE, None
    judges = stratified(labels, count, classes, 0)
    fitted = np.setdiff1d(np.arange(len(labels)), judges)
    regression = Regression(values[fitted], labels[fitted], classes, balanced=balanced)
    return choose(regression, values[judges], labels[judges])[:2]
