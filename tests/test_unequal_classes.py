"""Classes of very different sizes: told, weighed, shown alike, and judged by their mean recall."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, recall_score

import sightline as sl
from sightline.cli.app import run as command
from sightline.data.image_set import ImageData, ImageSet
from sightline.runs.folder import RESULTS, RunFolder
from sightline.training.batches import BatchOrder

QUICK: dict[str, Any] = {"model": "cnn", "conv_widths": (4,), "hidden": 0, "threads": 1, "precision": "fp32"}


@pytest.mark.parametrize("last_batch", ["keep", "wrap"])
def test_a_balanced_epoch_has_as_many_images_of_each_class(last_batch: Any) -> None:
    classes = np.repeat([0, 1, 2], [90, 24, 6])
    order = BatchOrder(120, 30, 5, last_batch, classes)
    epochs = [np.concatenate([order.indices(4 * epoch + step) for step in range(4)]) for epoch in range(6)]
    for indices in epochs:
        assert np.bincount(classes[indices]).tolist() == [40, 40, 40]
        assert np.bincount(indices, minlength=120)[114:].min() >= 6  # each of the rare ones, equally often
    assert not np.array_equal(epochs[0], epochs[1])
    assert len(np.unique(np.concatenate(epochs))) > 110  # of the frequent ones others in each epoch
    batches = np.array([np.bincount(classes[order.indices(step)], minlength=3) for step in range(24)])
    assert (batches > 0).all()  # no batch is of one class alone
    again = BatchOrder(120, 30, 5, last_batch, classes)
    assert all(np.array_equal(order.indices(step), again.indices(step)) for step in (0, 7, 23))


def unequal(tmp_path: Path) -> ImageData:
    """Bright, gray and dark noise: 200, 40 and 20 images."""
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1, 2], [200, 40, 20])
    pixels = np.clip(rng.normal(120 - 14 * labels[:, None, None, None], 25, (260, 8, 8, 1)), 0, 255).astype(np.uint8)
    images = ImageSet.from_arrays(pixels, labels, [f"{n}" for n in range(260)], ("bright", "gray", "dark"))
    half = np.arange(260) % 2
    return ImageData(
        "noise", images.select(np.flatnonzero(half)), None, images.select(np.flatnonzero(1 - half)), {}, {}
    )


@pytest.mark.parametrize("flags", [{}, {"sampler": "balanced"}, {"class_weights": "balanced"}], ids=str)
def test_a_run_tells_balanced_accuracy_and_the_worst_class(flags: dict[str, Any], tmp_path: Path) -> None:
    data = unequal(tmp_path)
    result = sl.train(
        data, epochs=3, batch_size=20, select="balanced_accuracy", runs=tmp_path, quiet=True, **QUICK, **flags
    )
    told = result.to_dict()
    predictions = np.load(result.run / "test" / "predictions.npz")
    labels, answers = predictions["labels"], predictions["probabilities"].argmax(1)
    assert told["test_balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, answers))
    recalls = recall_score(labels, answers, average=None)
    assert told["worst_class_recall"] == pytest.approx(recalls.min())
    assert told["worst_class"] == data.class_names[int(recalls.argmin())]
    rows = RunFolder.open(result.run).rows(RESULTS)
    values = [float(row["val_balanced_accuracy"]) for row in rows]
    assert result.val_accuracy == float(rows[int(np.argmax(values))]["val_accuracy"])
    assert json.dumps(told)


def test_showing_classes_alike_finds_more_of_the_rare_ones(tmp_path: Path) -> None:
    data = unequal(tmp_path)
    found = [
        sl.train(data, epochs=6, batch_size=20, sampler=sampler, select="last", runs=tmp_path, quiet=True, **QUICK)
        for sampler in ("shuffle", "balanced")
    ]
    plain, balanced = (result.test_report.balanced_accuracy for result in found if result.test_report)
    assert balanced > plain + 0.05


def test_the_command_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    from PIL import Image

    for name, count, level in (("many", 40, 200), ("few", 10, 60)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(count):
            noise = rng.normal(level, 10, (8, 8)).clip(0, 255).astype(np.uint8)
            Image.fromarray(noise).save(tmp_path / "data" / name / f"{number}.png")
    flags = ["--recipe", "none", "--epochs", "1", "--threads", "1", "--runs", str(tmp_path / "runs")]
    assert command(["train", str(tmp_path / "data"), *flags]) == 0
    out, err = capsys.readouterr()
    assert "times as many images as the smallest: accuracy alone says little" in err
    assert "balanced " in out and "worst class " in out
