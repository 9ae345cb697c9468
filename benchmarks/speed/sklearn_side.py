"""scikit-learn's multi-layer perceptron on the digits, as its users write it: scaled features, every default."""

from __future__ import annotations

import time
import warnings

import numpy as np
import side
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def main() -> None:
    """Answer."""
    side.answer({"digits": digits}, ("scikit-learn", "numpy"))


def digits(seed: int) -> side.Answer:
    """Fit on all training images of Sightline's split and test on its test images."""
    with np.load(side.digits_file(), allow_pickle=False) as opened:
        train, train_labels, test, test_labels = (
            opened[name] for name in ("train", "train_labels", "test", "test_labels")
        )
    model = make_pipeline(StandardScaler(), MLPClassifier(random_state=seed))
    with warnings.catch_warnings():
        # Its default of 200 iterations may not be enough for its own rule; a user sees a warning and goes on.
        warnings.simplefilter("ignore", ConvergenceWarning)
        start = time.perf_counter()
        model.fit(train.reshape(len(train), -1), train_labels)
        seconds = time.perf_counter() - start
    right = float(model.score(test.reshape(len(test), -1), test_labels))
    return {
        "values": {"seconds": seconds, "test_accuracy": 100 * right},
        "details": {"iterations": int(model[-1].n_iter_), "test_images": len(test)},
    }


if __name__ == "__main__":
    main()
