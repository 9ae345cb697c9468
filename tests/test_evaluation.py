"""From pixels to stored probabilities and back."""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import sys
import time
import zipfile
from typing import ClassVar

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss
from statsmodels.stats.proportion import proportion_confint

from sightline.data.image_set import ImageSet
from sightline.errors import DataError, FileError, NumericError, ResourceError, UsageError
from sightline.evaluation import predictions as evaluation
from sightline.evaluation.predictions import Predictions, evaluate, worst_mistakes
from sightline.files.json_records import to_json

NAMES = ("cat", "dog", "飞机")


class ByFirstPixel:
    """The first pixel is the class; the second how sure, in 1/255ths. Keeps the sizes of its batches."""

    class_names: tuple[str, ...] = NAMES

    def __init__(self):
        self.batches = []

    def probabilities(self, images):
        assert images.dtype == np.uint8 and images.ndim == 4
        self.batches.append(len(images))
        sure = images[:, 0, 1, 0] / 255
        rest = (1 - sure) / 2
        return np.where(np.arange(3) == images[:, 0, 0, 0][:, None], sure[:, None], rest[:, None]).astype(np.float32)


def make_pixels(count=20, seed=0):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (count, 4, 5, 1), dtype=np.uint8)
    pixels[:, 0, 0, 0] = rng.integers(0, 3, count)
    pixels[:, 0, 1, 0] = rng.integers(100, 251, count)  # never 1, so that no label is impossible
    return pixels


def make_set(pixels, seed=1):
    count = len(pixels)
    labels = np.random.default_rng(seed).integers(0, 3, count)
    return ImageSet.from_arrays(pixels, labels, [f"test/{i:05}" for i in range(count)], NAMES)


def make_predictions(count=20):
    return evaluate(ByFirstPixel(), make_set(make_pixels(count)))


@pytest.mark.parametrize("batch_size", [1, 7, 20, 1000])
def test_order_is_kept_whatever_the_batch(batch_size):
    whole = make_set(make_pixels())
    shuffled = whole.select(np.random.default_rng(2).permutation(20)[:15])
    predictor = ByFirstPixel()
    found = evaluate(predictor, shuffled, batch_size)
    assert sum(predictor.batches) == 15 and max(predictor.batches) <= batch_size
    assert found.ids == tuple(shuffled.ids)
    np.testing.assert_array_equal(found.labels, shuffled.labels)
    one_by_one = [ByFirstPixel().probabilities(whole.pixels[row][None])[0] for row in shuffled.rows]
    np.testing.assert_array_equal(found.probabilities, one_by_one)
    assert found.probabilities.dtype == np.float32 and found.labels.dtype == np.int64


class CountingMap(np.memmap):
    """A memory map that knows how many rows were read from it each time."""

    rows_read: ClassVar[list[int]] = []

    def __getitem__(self, key):
        found = super().__getitem__(key)
        if self.ndim == found.ndim == 4:
            self.rows_read.append(len(found))
        return found


def test_a_memory_map_is_read_in_slices(tmp_path):
    pixels = make_pixels(50)
    pixels.tofile(tmp_path / "pixels.bin")
    mapped = CountingMap(tmp_path / "pixels.bin", np.uint8, "r", shape=pixels.shape)
    CountingMap.rows_read = []
    subset = make_set(mapped).select(np.arange(0, 50, 2))
    found = evaluate(ByFirstPixel(), subset, 8)
    expected = evaluate(ByFirstPixel(), make_set(pixels).select(np.arange(0, 50, 2)))
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    assert CountingMap.rows_read == [8, 8, 8, 1]


def test_an_empty_set_is_an_error():
    with pytest.raises(DataError, match="there is none"):
        evaluate(ByFirstPixel(), make_set(make_pixels(0)))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("cat", "dog"), "only the model has 飞机"),
        (("cat", "dog", "ship"), "only the model has 飞机; only the data has ship"),
        (("dog", "cat", "飞机"), "the same classes in the same order"),
        (tuple("abcdefg"), "only the data has a, b, c, d, e and 2 more"),
    ],
)
def test_other_classes_are_an_error(names, message):
    images = ImageSet.from_arrays(make_pixels(2), np.zeros(2, np.int64), ["a", "b"], names)
    with pytest.raises(DataError, match=message):
        evaluate(ByFirstPixel(), images)


def test_another_number_of_outputs_is_an_error():
    class Wide(ByFirstPixel):
        def probabilities(self, images):
            return np.full((len(images), 4), 0.25, np.float32)

    with pytest.raises(UsageError, match=r"\(20, 4\).*\(20, 3\)"):
        evaluate(Wide(), make_set(make_pixels()))


def test_nan_names_the_image():
    class Broken(ByFirstPixel):
        def probabilities(self, images):
            found = super().probabilities(images)
            if len(self.batches) == 3:
                found[1, 0] = np.nan
            return found

    with pytest.raises(NumericError, match="test/00011"):
        evaluate(Broken(), make_set(make_pixels()), batch_size=5)


def test_report_is_scikit_learns_and_statsmodels():
    predictions = make_predictions(200)
    report = json.loads(json.dumps(to_json(evaluation.report_of(predictions)), allow_nan=False))
    labels, predicted = predictions.labels, predictions.probabilities.argmax(axis=1)
    correct = accuracy_score(labels, predicted, normalize=False)
    assert report["n"] == 200
    assert report["accuracy"] == correct / 200
    assert report["interval"] == pytest.approx(proportion_confint(correct, 200, method="wilson"), abs=1e-12)
    normalised = predictions.probabilities.astype(float)
    normalised /= normalised.sum(axis=1, keepdims=True)
    assert report["loss"] == pytest.approx(log_loss(labels, normalised, labels=range(3)), rel=1e-5)
    assert report["confusion_matrix"] == confusion_matrix(labels, predicted).tolist()
    assert [c["name"] for c in report["per_class"]] == list(NAMES)
    assert sum(c["support"] for c in report["per_class"]) == 200
    assert report["top_k"] == 2 and report["accuracy"] <= report["top_k_accuracy"] <= 1
    assert {"macro_f1", "balanced_accuracy"} <= set(report)


def test_worst_mistakes_are_the_surest_first():
    probabilities = np.array(
        [[0.6, 0.3, 0.1], [0.1, 0.9, 0.0], [0.8, 0.1, 0.1], [0.1, 0.3, 0.6], [0.2, 0.0, 0.8], [0.0, 1.0, 0.0]],
        np.float32,
    )
    labels = np.array([1, 1, 2, 0, 1, 1])  # right are 1 and 5
    predictions = Predictions(tuple("abcdef"), labels, probabilities, NAMES)
    assert worst_mistakes(predictions, 10) == [2, 4, 0, 3]
    assert worst_mistakes(predictions, 2) == [2, 4]
    assert worst_mistakes(predictions, 0) == []


def test_what_is_saved_is_loaded(tmp_path):
    saved = make_predictions()
    strange = ("", "two words", "ÄÖ/飞机.png", "\U0001f431", "bad\udcff", *saved.ids[5:])
    saved = Predictions(strange, saved.labels, saved.probabilities, saved.class_names)
    saved.save(tmp_path / "test" / "predictions.npz")
    loaded = Predictions.load(tmp_path / "test" / "predictions.npz")
    assert loaded.ids == saved.ids and loaded.class_names == saved.class_names
    np.testing.assert_array_equal(loaded.labels, saved.labels)
    np.testing.assert_array_equal(loaded.probabilities, saved.probabilities)
    assert loaded.labels.dtype == np.int64 and loaded.probabilities.dtype == np.float32
    with np.load(tmp_path / "test" / "predictions.npz", allow_pickle=False) as archive:
        assert sorted(archive) == ["class_names", "ids", "labels", "probabilities"]
        assert archive["ids"].dtype.kind == archive["class_names"].dtype.kind == "U"


def test_the_same_predictions_are_the_same_bytes(tmp_path, monkeypatch):
    make_predictions().save(tmp_path / "a.npz")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 1e8)
    make_predictions().save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_folder_that_is_a_file_is_explained(tmp_path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(ResourceError, match="a file is where a folder"):
        make_predictions().save(tmp_path / "run" / "predictions.npz")


class Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('a pickle ran')",))


def test_a_pickle_is_refused_unread(tmp_path):
    good = make_predictions(2)
    bombs = np.array([Bomb(), Bomb()], object)
    np.savez(
        tmp_path / "bomb.npz",
        ids=bombs,
        labels=good.labels,
        probabilities=good.probabilities,
        class_names=np.array(NAMES),
    )
    with pytest.raises(FileError, match="holds a pickle"):
        Predictions.load(tmp_path / "bomb.npz")
    (tmp_path / "bare.npz").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(FileError, match=r"not a complete \.npz file"):
        Predictions.load(tmp_path / "bare.npz")
    with zipfile.ZipFile(tmp_path / "member.npz", "w") as archive:
        for name in ("ids", "labels", "probabilities", "class_names"):
            archive.writestr(f"{name}.npy", pickle.dumps(Bomb()))
    with pytest.raises(FileError, match="it has no ids, labels"):
        Predictions.load(tmp_path / "member.npz")


def saved_arrays():
    good = make_predictions(4)
    return {
        "ids": np.array(good.ids),
        "labels": good.labels,
        "probabilities": good.probabilities,
        "class_names": np.array(NAMES),
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": None, "labels": None}, "no ids, labels"),
        ({"ids": np.arange(4)}, "ids have type int64"),
        ({"labels": np.zeros(4)}, "labels have type float64"),
        ({"labels": np.zeros((4, 1), int)}, "2 axes"),
        ({"probabilities": np.zeros((4, 3), int)}, "probabilities have type int64"),
        ({"labels": np.zeros(3, int)}, "4 ids, 3 labels and 4 rows"),
        ({"class_names": np.array(["a", "b"])}, "2 class names and 3 columns"),
        ({"labels": np.array([0, 1, 2, 3])}, "labels from 0 to 3 for 3 classes"),
        ({"labels": np.array([0, 1, 2, -1])}, "labels from -1 to 2"),
    ],
)
def test_the_wrong_arrays_are_refused(tmp_path, change, message):
    arrays = {name: array for name, array in (saved_arrays() | change).items() if array is not None}
    np.savez(tmp_path / "p.npz", **arrays)
    with pytest.raises(FileError, match=message) as caught:
        Predictions.load(tmp_path / "p.npz")
    assert str(tmp_path / "p.npz") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_explained(tmp_path):
    with pytest.raises(FileError, match="no such file"):
        Predictions.load(tmp_path / "nothing.npz")
    with pytest.raises(FileError):
        Predictions.load(tmp_path)


def test_an_array_alone_is_refused(tmp_path):
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(FileError, match=r"not a complete \.npz file"):
        Predictions.load(tmp_path / "array.npy")


def test_every_truncation_and_many_damages_are_refused_or_harmless(tmp_path):
    stream = io.BytesIO()
    np.savez_compressed(stream, **saved_arrays())
    whole = stream.getvalue()
    path = tmp_path / "p.npz"
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(FileError):
            Predictions.load(path)
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 3):
            damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            Predictions.load(path)
        except FileError:
            refused += 1
    assert refused > 100


def test_no_torch_and_no_drawing():
    heavy = {"torch", "matplotlib", "sklearn", "scipy"}
    code = f"import sys, sightline.evaluation.predictions; bad = {heavy} & set(sys.modules); assert not bad, bad"
    subprocess.run([sys.executable, "-c", code], check=True)


class Corners:
    """Says how bright each image's first and last pixel are: told apart by moving and by mirroring."""

    class_names = ("first", "last")

    def probabilities(self, images, /):
        return np.stack([images[:, 0, 0, 0], images[:, -1, -1, 0]], 1).astype(np.float32)


@pytest.mark.parametrize(
    ("mirror", "shift", "first"),
    # Pixels 0 to 11 in three rows of four. Moved by one up and left, the pixel in the middle of the first two rows
    # comes first; moved back, the reflection brings the same one. Mirrored, the last of a row does.
    [(False, False, [0]), (True, False, [0, 3]), (False, True, [0, 5, 5]), (True, True, [0, 5, 5, 3, 6, 6])],
)
def test_averaged_views_are_the_shifted_and_mirrored_images(mirror, shift, first):
    images = np.arange(12, dtype=np.uint8).reshape(1, 3, 4, 1)
    views = evaluation.AveragedViews(Corners(), mirror, shift)
    assert views.count == len(first)
    assert views.class_names == ("first", "last")
    found = views.probabilities(images)
    assert found.dtype == np.float32
    assert found[0].tolist() == pytest.approx([np.mean(first), 11 - np.mean(first)])
