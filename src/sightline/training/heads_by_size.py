"""How well fitted heads do with fewer training pictures: each picture is answered by heads that were fitted without it.

N pictures, C features, K sizes, D draws.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightline.data.groups import stratified_groups
from sightline.data.split import stratified
from sightline.stats.learning_curve import LearningCurve, fit_learning_curve
from sightline.training.head import Labels, Matrix, Regression, choose

FRACTIONS = (0.2, 0.4, 0.6, 0.8, 1.0)
"""Of the pictures that a draw trains on."""
FOLDS = 10
"""One answers the question, one chooses the penalty as validation images do, the others train."""
TRAINING_NOISE = 1.0
"""How much the choice of n training pictures moves a head's accuracy, as a part of p * (1 - p) / n: the binomial
variance of n pictures that measure it. Nadeau and Bengio's correction of cross-validation (Machine Learning 52, 2003)
has about this; of four folders of pictures it was 0.1 to 1.1 (docs/log.md)."""


@dataclass(frozen=True)
class HeadsBySize:
    """What heads on K sizes of training sets did with N pictures that they were fitted without.

    `sizes`: training pictures, (K,), a mean where groups of pictures are drawn whole. `wrong`: the part of its heads
    that answered a picture wrongly, (N, K). `accuracies`: of each draw on its own fold, (D, K). `groups`: int64 (N,),
    pictures that belong together.
    """

    sizes: NDArray[np.float64]
    wrong: NDArray[np.float64]
    accuracies: NDArray[np.float64]
    groups: NDArray[np.int64]

    def errors(self) -> NDArray[np.float64]:
        """The mean error at each size, (K,)."""
        return self.wrong.mean(axis=0)

    def covariance(self) -> NDArray[np.float64]:
        """The covariance (K, K) of `errors`: noise of the pictures that are answered, of the draws, and of the pool.

        The same pictures are answered at every size, so that the difference of two sizes is known far better than
        either. A group of pictures counts as one observation. All draws come from one pool, whose own deviation no
        draw can tell: TRAINING_NOISE stands for it.
        """
        errors = self.errors()
        off = self.wrong - errors
        sums = np.zeros((self.groups.max() + 1, len(errors)))
        np.add.at(sums, self.groups, off)
        # That no error was found is not that there is none: pictures that are always right, always wrong, and wrong at
        # one size alone, one of each, are made up.
        made_up = np.vstack([np.zeros_like(errors), np.ones_like(errors), np.eye(len(errors))]) - errors
        return (1 + TRAINING_NOISE) * (sums.T @ sums + made_up.T @ made_up) / len(off) ** 2

    def gain_deviation(self, start: int, images: int) -> float:
        """The standard deviation of a gain from `start` to `images` pictures that comes from which these are."""
        error = float(self.errors()[-1])
        return (TRAINING_NOISE * error * (1 - error) * abs(1 / start - 1 / images)) ** 0.5

    def curve(self) -> LearningCurve:
        """The accuracy by the number of training pictures."""
        return fit_learning_curve(self.sizes, self.errors(), self.covariance())


def measure_heads(
    values: Matrix,
    labels: Labels,
    classes: int,
    groups: NDArray[np.int64] | None = None,
    *,
    balanced: bool = False,
    repeats: int = 2,
    seed: int = 0,
    advance: Callable[[float], object] = lambda _: None,
) -> HeadsBySize:
    """Fit heads to stratified draws of features (N, C), by FRACTIONS of what trains, and answer the pictures left out.

    The pictures are divided into FOLDS, `repeats` times. Each fold is once answered by heads that another fold chose
    the penalty of and that the rest was fitted with; smaller draws are part of it. `groups` are never divided.
    `advance` is called with 1 after each draw.
    """
    members = np.arange(len(labels)) if groups is None else np.unique(groups, return_inverse=True)[1]
    wrong = np.zeros((len(labels), len(FRACTIONS)))
    sizes, accuracies = np.zeros((repeats * FOLDS, len(FRACTIONS))), np.zeros((repeats * FOLDS, len(FRACTIONS)))
    for draw in range(repeats * FOLDS):
        repeat, fold = divmod(draw, FOLDS)
        folds = _folds(labels, None if groups is None else members, seed * repeats + repeat)
        asked, judges = np.flatnonzero(folds == fold), np.flatnonzero(folds == (fold + 1) % FOLDS)
        train = np.setdiff1d(np.arange(len(labels)), np.concatenate([asked, judges]))
        for place, fraction in enumerate(FRACTIONS):
            drawn = train[_part(labels[train], None if groups is None else members[train], fraction, classes, draw)]
            regression = Regression(values[drawn], labels[drawn], classes, balanced=balanced)
            weight, bias = choose(regression, values[judges], labels[judges])[2]
            missed = (values[asked] @ weight.T + bias).argmax(axis=1) != labels[asked]
            wrong[asked, place] += missed / repeats
            sizes[draw, place], accuracies[draw, place] = len(drawn), 1 - missed.mean()
        advance(1)
    return HeadsBySize(sizes.mean(axis=0), wrong, accuracies, members)


def _folds(labels: Labels, members: NDArray[np.int64] | None, seed: int) -> NDArray[np.int64]:
    """Which fold each picture is in, int64 (N,)."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    kind = StratifiedKFold if members is None else StratifiedGroupKFold
    folds = np.zeros(len(labels), np.int64)
    with warnings.catch_warnings():
        # A class of fewer pictures than there are folds is in some of them.
        warnings.filterwarnings("ignore", message="The least populated class")
        parts = kind(FOLDS, shuffle=True, random_state=seed).split(labels, labels, members)
        for number, (_, part) in enumerate(parts):
            folds[part] = number
    return folds


def _part(
    labels: Labels, members: NDArray[np.int64] | None, fraction: float, classes: int, seed: int
) -> NDArray[np.int64]:
    """Draw a stratified fraction with a picture of each class: what is left out is chosen, for each class keeps one."""
    spare = int(np.maximum(np.bincount(labels) - 1, 0).sum())
    count = min(len(labels) - round(fraction * len(labels)), spare)
    if not count:
        return np.arange(len(labels))
    out = (
        stratified(labels, count, classes, seed) if members is None else stratified_groups(labels, members, count, seed)
    )
    return np.setdiff1d(np.arange(len(labels)), out)
