"""With another filter and a crop the same picture gets the same answer in training, test, predict, ONNX and server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sightline as sl
from helpers.serving import running
from sightline.evaluation.predictions import Predictions
from sightline.settings import Resizing

WAYS = [("crop", "bicubic", 0.875), ("squash", "bicubic", 1.0), ("pad", "bilinear", 0.9)]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of colourful pictures, of many shapes, none of the network's."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for number in range(60):
        place = folder / ("wide", "tall")[number % 2]
        place.mkdir(exist_ok=True)
        noise = Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8))
        sides = (40 + number, 30) if number % 2 == 0 else (32, 41 + number)
        noise.resize(sides, Image.Resampling.BICUBIC).save(place / f"{number}.{('png', 'jpg')[number % 3 == 0]}")
    return folder


@pytest.mark.parametrize(("fit", "interpolation", "fraction"), WAYS)
def test_the_same_picture_gets_the_same_answer(
    fit: Any, interpolation: Any, fraction: float, pictures: Path, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    run = sl.train(
        pictures, model="resnet8", epochs=1, batch_size=16, image_size=32, recipe="none", threads=1, precision="fp32",
        fit=fit, interpolation=interpolation, crop_fraction=fraction, runs=tmp_path, quiet=True,
    ).run  # fmt: skip
    trained = Predictions.load(run / "test" / "predictions.npz")
    classifier = sl.load(run)
    assert classifier.preprocessing.resizing == Resizing(fit, interpolation, fraction)
    files = [str(pictures / name) for name in trained.ids]

    def close(found: Any, most: float = 1e-6) -> None:
        np.testing.assert_allclose(np.asarray(found), trained.probabilities, atol=most, rtol=0)

    def rows(answers: Any) -> list[list[float]]:
        return [list(answer.probabilities.values()) for answer in answers]

    close(sl.test(run).predictions.probabilities)
    whole = sl.test(run, pictures)
    order = [whole.predictions.ids.index(name) for name in trained.ids]
    close(whole.predictions.probabilities[order])
    close(rows(classifier.predict(files)))
    close(rows(classifier.predict([np.asarray(Image.open(file)) for file in files])))
    onnx = sl.load(sl.export(run).path)
    assert onnx.preprocessing == classifier.preprocessing
    close(rows(onnx.predict(files)), 1e-5)
    with running(classifier) as served:
        answers = [served.post(Path(file).read_bytes()).json()["predictions"][0]["classes"] for file in files]
    named = [{item["name"]: item["probability"] for item in classes} for classes in answers]
    close([[found[name] for name in trained.class_names] for found in named])
