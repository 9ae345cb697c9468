"""Arrays as data: what they are taken for, what is refused, and a run on them that goes on."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

import sightline as sl
from sightline.data.in_memory import from_arrays
from sightline.settings import DataSettings

QUICK = {"epochs": 1, "threads": 1, "precision": "fp32", "quiet": True, "model": "cnn"}


@pytest.fixture(scope="module")
def digits():
    images, labels = load_digits(return_X_y=True)
    return (images.reshape(-1, 8, 8) / 16), labels


def made(*arrays, **settings):
    return from_arrays(arrays, DataSettings(**settings))


@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def test_pixels_and_labels_are_the_arrays_own(channels):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 5, 6, *channels), dtype=np.uint8)
    labels = rng.permutation(np.arange(40) % 4 + 7)
    loaded = made(images, labels, test_fraction=0.25)
    assert loaded.class_names == ("7", "8", "9", "10")
    assert (len(loaded.train), len(loaded.test)) == (30, 10)
    for part in (loaded.train, loaded.test):
        rows = [int(name.split("/")[1]) for name in part.ids]
        assert np.array_equal(part.images(), images[rows].reshape(len(rows), 5, 6, channels[0] if channels else 1))
        assert [part.class_names[label] for label in part.labels] == [str(label) for label in labels[rows]]
    for same in (images / 255, (images / 255).astype(np.float32), images.astype(np.int64), images.tolist()):
        assert np.array_equal(made(same, labels).train.pixels, loaded.train.pixels)


def test_two_pairs_as_keras_gives_them():
    images, labels = np.zeros((6, 4, 4), np.uint8), np.array([["b"], ["a"], ["c"], ["a"], ["b"], ["c"]])
    loaded = made((images, labels), (images[:2], labels[:2]))
    assert loaded.class_names == ("a", "b", "c")
    assert loaded.train.labels.tolist() == [1, 0, 2, 0, 1, 2]
    assert loaded.test.labels.tolist() == [1, 0]


ONE = np.zeros((4, 3, 3), np.uint8), np.array([0, 1, 0, 1])


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ((ONE[0],), "a tuple of 1 found"),
        ((*ONE, *ONE), "a tuple of 4 found"),
        (((*ONE, 1), ONE), "3 arrays of train found"),
        ((ONE[0], ONE[1][:3]), r"train labels: 3 found \(expected 4, one for each image\)"),
        ((ONE[0], np.zeros(4)), "one class only, 0"),
        ((ONE[0], np.eye(4)), r"their shape is \(4, 4\)"),
        ((ONE[0], np.array([0, 1, np.nan, 1])), "their shape is"),
        ((ONE[0][0], ONE[1][:3]), r"train images: their shape is \(3, 3\)"),
        ((np.zeros((4, 3, 8, 8)), ONE[1]), r"their shape is \(4, 3, 8, 8\) .*Put the channels last"),
        ((ONE[0] + 1.5, ONE[1]), "their values go from 1.5 to 1.5 in float64"),
        ((ONE[0].astype(int) - 1, ONE[1]), "go from -1 to -1 in int64"),
        ((np.full((4, 3, 3), np.nan), ONE[1]), "go from nan to nan"),
        ((np.full((4, 3, 3), "x"), ONE[1]), "they are of type <U1"),
        ((ONE, (ONE[0], ONE[1] + 1)), "test labels: 2 found"),
        ((ONE, (ONE[0][:, :2], ONE[1])), "test images: their size is"),
    ],
)
def test_what_is_no_dataset_is_refused_in_one_line(arrays, said):
    with pytest.raises(sl.UsageError, match=said) as caught:
        sl.train(arrays, quiet=True)
    assert "\n" not in str(caught.value)


def test_a_run_on_arrays_goes_on_with_the_same_arrays(digits, tmp_path):
    done = sl.train(digits, runs=tmp_path, **QUICK)
    assert done.run.name == "arrays-cnn-001"
    assert done.test_accuracy is not None
    whole = sl.train(digits, runs=tmp_path, **{**QUICK, "epochs": 2})
    longer = sl.resume(done.run, epochs=2, data=digits, quiet=True)
    assert longer.test_accuracy == whole.test_accuracy
    images, labels = digits
    with pytest.raises(sl.DataError, match="changed since the run started"):
        sl.resume(done.run, epochs=3, data=(1 - images, labels), quiet=True)
    own = sl.train(((images[:900], labels[:900]), (images[900:], labels[900:])), runs=tmp_path, **QUICK)
    assert own.test_report is not None and own.test_report.n == 897
