"""An estimator for scikit-learn: fit, predict and predict_proba on arrays of images, every setting a parameter.

N images of H x W pixels and C channels, or N rows of D features; K classes.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from inspect import Parameter, Signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_array, check_random_state, check_X_y
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from sightline.data.image_set import ImageData, ImageSet
from sightline.errors import SightlineError, UsageError
from sightline.settings import flat_fields

if TYPE_CHECKING:
    from sightline.classifier import Classifier
    from sightline.settings import Settings

DATA_NAME = "array"
DATA_SETTINGS = ("normalize", "validation", "split_seed")
"""The settings of the data that hold for images which are there already."""
VALIDATION = 0.1
WHITE = (1.0, 16.0, 255.0)
"""What the brightest pixel may be where the darkest is 0."""
SMALLEST_SIDE = 4
ROWS_A_CHUNK = 4096


class ArrayError(UsageError, ValueError):
    """Arrays or parameters that cannot be used; a ValueError too, as scikit-learn wants it."""


def _parameters() -> dict[str, Any]:
    own = {"model": None, "recipe": None, "image_size": None, "pixel_range": None, "runs": None, "random_state": 0}
    left_out = {"seed", "watch_test", *own}
    settings = [
        name
        for name, field in flat_fields().items()
        if name not in left_out and (field.section != "data" or name in DATA_SETTINGS)
    ]
    return {**own, **dict.fromkeys(settings), "verbose": False}


PARAMETERS: Mapping[str, Any] = _parameters()
OWN = ("recipe", "image_size", "pixel_range", "runs", "random_state", "verbose")


class SightlineClassifier(ClassifierMixin, BaseEstimator):  # pyright: ignore[reportUntypedBaseClass]
    """A network of Sightline as an estimator of scikit-learn.

    Parameters are the settings by their flat names (`model`, `epochs`, `lr`, `batch_size`, ...), as in
    `sightline.train`; None leaves a setting to the recipe or its default. And these:

    `recipe`: a recipe's name or YAML file, but for its size of images; None for the plain defaults. `image_size`: what
    flat features are images of, a side, (H, W) or (H, W, C); None for the square that they make; "pad" fills features
    that are no picture up to the next square. `pixel_range`: the values that are black and white; None learns them in
    `fit`: 0 to 255 from uint8; otherwise 0 to 1, 0 to 16 or 0 to 255, the first that holds all values, or else their
    smallest to their largest. `runs`: a folder in which the run's folder is kept; None keeps none. `random_state`: the
    seed; 0 unless it is said otherwise, None for another one at each `fit`. `verbose`: tell of the progress on stderr.

    A tenth of the images picks the best epoch (`validation`), none of them where there are too few for that.

    After `fit`: `classes_` (K), `n_features_in_`, `image_shape_` (H, W, C), `pixel_range_`, `model_` (the model file's
    bytes, which `sightline.load` reads from a file), `val_accuracy_` and `run_` (a folder, None where none was kept).
    """

    def __init__(self, **parameters: Any) -> None:
        for name in parameters:
            if name not in PARAMETERS:
                raise TypeError(f"{type(self).__name__}.__init__() got an unexpected keyword argument '{name}'")
        for name, default in PARAMETERS.items():
            setattr(self, name, parameters.get(name, default))

    # What get_params, set_params and clone know the parameters by.
    __init__.__signature__ = Signature(  # pyright: ignore[reportFunctionMemberAccess]
        [Parameter("self", Parameter.POSITIONAL_OR_KEYWORD)]
        + [Parameter(name, Parameter.KEYWORD_ONLY, default=default) for name, default in PARAMETERS.items()]
    )

    def fit(self, X: Any, y: Any) -> SightlineClassifier:  # noqa: N803
        """Train on X, images (N, H, W) or (N, H, W, C), C 1 or 3, or features (N, D), and labels y (N,) of any type.

        Raises ArrayError, which is a ValueError, and what `sightline.train` raises.
        """
        images, answers = self._checked_pair(X, y)
        check_classification_targets(answers)
        self.classes_, labels = np.unique(answers, return_inverse=True)
        if len(self.classes_) < 2:
            raise ArrayError("y", f"it has one class only, {self.classes_[0]}", "two classes or more")
        if images.ndim > 2:
            self.image_shape_ = _shape_of_images(images)
        else:
            self.image_shape_ = _shape_of_rows(images.shape[1], self._get("image_size"))
        self.pixel_range_ = _range_of(images, self._get("pixel_range"))
        self._train(self._pixels(images), labels.reshape(-1).astype(np.int64))
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """Tell the probability of each class, float64 (N, K), in the order of `classes_`."""
        check_is_fitted(self, "model_")
        return self._classifier.probabilities(self._pixels(self._checked(X))).astype(np.float64)

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803
        """Answer with the most probable class of each image, (N,)."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Hold what a pickle is to hold: the parameters and the model file's bytes, but no network."""
        return {name: value for name, value in vars(self).items() if name != "_classifier"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "model_" in state:
            self._classifier = self._load()

    def _get(self, name: str) -> Any:
        return getattr(self, name)

    def _checked_pair(self, X: Any, y: Any) -> tuple[Any, Any]:  # noqa: N803
        """Check X and y, and learn the number of features."""
        pair: Any
        if _are_images(X):
            pair = check_X_y(X, y, allow_nd=True)
            self.n_features_in_ = math.prod(pair[0].shape[1:])
        else:
            pair = validate_data(self, X, y)
        return pair[0], pair[1]

    def _checked(self, X: Any) -> NDArray[Any]:  # noqa: N803
        """Check X as `fit` has learned to know it."""
        if not _are_images(X):
            rows: Any = validate_data(self, X, reset=False)
            return rows
        images: Any = check_array(X, allow_nd=True)
        if _shape_of_images(images) != self.image_shape_:
            height, width, channels = self.image_shape_
            raise ArrayError("X", f"its shape is {images.shape}", f"(N, {height}, {width}, {channels}), as in fit")
        return images

    def _pixels(self, X: NDArray[Any]) -> NDArray[np.uint8]:  # noqa: N803
        """Images or features as the pixels that the network takes, uint8 (N, H, W, C)."""
        low, high = self.pixel_range_
        size = math.prod(self.image_shape_)
        flat = X.reshape(len(X), -1)
        pixels = np.zeros((len(X), size), np.uint8)
        for start in range(0, len(X), ROWS_A_CHUNK):
            part = flat[start : start + ROWS_A_CHUNK]
            if part.dtype != np.uint8 or (low, high) != (0, 255):
                part = np.rint(np.clip((part.astype(np.float64) - low) * (255 / (high - low)), 0, 255))
            pixels[start : start + ROWS_A_CHUNK, : flat.shape[1]] = part
        return pixels.reshape(len(X), *self.image_shape_)

    def _train(self, pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        from sightline.runs.folder import RunFolder
        from sightline.training.reporter import make_reporter
        from sightline.training.train import train_settings

        names = tuple(str(name) for name in self.classes_)
        if len(set(names)) < len(names):
            names = tuple(f"{number}: {name}" for number, name in enumerate(names))
        ids = [f"train/{number:06d}" for number in range(len(labels))]
        images = ImageSet.from_arrays(pixels, labels, ids, names)
        data = ImageData(DATA_NAME, images, None, None, files={}, skipped={})
        keep = self._get("runs")
        with tempfile.TemporaryDirectory() as temporary:
            settings = self._settings(images)
            reporter = make_reporter(quiet=not self._get("verbose"))
            try:
                done = train_settings(
                    settings, runs=Path(keep or temporary), data=data, reporter=reporter, draws=bool(keep)
                )
            except UsageError as error:
                raise _refused(error) from error
            self.model_ = RunFolder(done.run).model_file().read_bytes()
        self.val_accuracy_ = done.val_accuracy
        self.run_ = done.run if keep else None
        self._classifier = self._load()

    def _settings(self, images: ImageSet) -> Settings:
        from sightline.recipes import NO_RECIPE, resolve

        flags = {name: self._get(name) for name in PARAMETERS if name not in OWN}
        seed = self._get("random_state")
        if not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(2**31 - 1)
        if flags["validation"] is None and not 1 <= round(VALIDATION * len(images)) <= len(images) - len(self.classes_):
            flags["validation"] = 0
        if self._get("runs") is None and flags["checkpoint_epochs"] is None:
            flags["checkpoint_epochs"] = "none"
        try:
            found = resolve(DATA_NAME, self._get("recipe") or NO_RECIPE, {**flags, "seed": int(seed)})
        except SightlineError as error:
            raise _refused(error) from error
        # The images are what X makes them, and there are no test images to watch, whatever the recipe has.
        return found.replace(image_size=None, channels=None, fold=None, watch_test=False)

    def _load(self) -> Classifier:
        from sightline.classifier import load

        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary) / "model.safetensors"
            path.write_bytes(self.model_)
            return load(path, device=self._get("device") or "auto")


def _refused(error: SightlineError) -> ArrayError:
    return ArrayError(error.subject, error.found, error.expected, error.advice)


def _are_images(X: Any) -> bool:  # noqa: N803
    return int(X.ndim if hasattr(X, "ndim") else np.asarray(X).ndim) > 2


def _shape_of_images(images: NDArray[Any]) -> tuple[int, int, int]:
    shape = images.shape[1:] if images.ndim == 4 else (*images.shape[1:], 1)
    if len(shape) != 3 or shape[2] not in (1, 3) or 0 in shape:
        raise ArrayError("X", f"its shape is {images.shape}", "images (N, H, W) or (N, H, W, C) with C 1 or 3")
    return shape


def _shape_of_rows(features: int, asked: Any) -> tuple[int, int, int]:
    """Find what images `features` values are."""
    if asked == "pad":
        side = max(SMALLEST_SIDE, math.isqrt(features - 1) + 1)
        return side, side, 1
    if asked is None:
        side = math.isqrt(features)
        if side * side == features:
            return side, side, 1
        advice = "Pass image_size=(H, W) or (H, W, C), or image_size='pad' where the features are no picture."
        raise ArrayError("image_size", f"{features} features make no square", advice=advice)
    expected = "a side, (H, W), (H, W, C) or 'pad'"
    try:
        sides: tuple[int, ...] = (int(asked),) * 2 if isinstance(asked, int | np.integer) else tuple(map(int, asked))
        height, width, *channels = sides
    except (TypeError, ValueError):
        raise ArrayError("image_size", f"{asked!r} found", expected) from None
    shape = (height, width, channels[0] if channels else max(1, features // max(1, height * width)))
    if len(channels) > 1 or min(shape) < 1 or shape[2] not in (1, 3) or math.prod(shape) != features:
        raise ArrayError(
            "image_size", f"{asked!r} found for {features} features", "a size of as many values, with C 1 or 3"
        )
    return shape


def _range_of(X: NDArray[Any], asked: Any) -> tuple[float, float]:  # noqa: N803
    if asked is not None:
        try:
            low, high = map(float, asked)
        except (TypeError, ValueError):
            low = high = 0.0
        if not low < high < math.inf:
            raise ArrayError("pixel_range", f"{asked!r} found", "two numbers, the smaller first")
        return low, high
    if X.dtype == np.uint8:
        return 0.0, 255.0
    low, high = float(X.min()), float(X.max())
    if low >= 0 and high <= WHITE[-1]:
        return 0.0, next(white for white in WHITE if high <= white)
    return low, high if high > low else low + 1
