"""The figures of the training part against NumPy's own, and what the model file will hold."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from sightline.data import preprocessing as module
from sightline.data.image_set import ImageSet
from sightline.data.preprocessing import Preprocessing, fit_preprocessing, unit_preprocessing
from sightline.settings.data import DataSettings, Resizing


def images(count=50, channels=3, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 6, 5, channels), dtype=np.uint8)
    pixels[..., 0] //= 3
    labels = np.arange(count) % 2
    return ImageSet.from_arrays(pixels, labels, [str(i) for i in range(count)], ("a", "b"))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("chunk_values", [1, 1000, 1 << 26])
def test_mean_and_deviation_are_numpys(channels, chunk_values, monkeypatch):
    monkeypatch.setattr(module, "CHUNK_VALUES", chunk_values)
    train = images(channels=channels).select(np.array([3, 40, 7, 8, 9, 22]))
    fitted = fit_preprocessing(train, DataSettings(normalize="dataset"))
    scaled = train.images().astype(np.float64) / 255
    np.testing.assert_allclose(fitted.mean, scaled.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(fitted.std, scaled.std(axis=(0, 1, 2)), rtol=1e-12)
    assert (fitted.height, fitted.width, fitted.channels, fitted.per_image) == (6, 5, channels, False)


def test_only_the_set_itself_counts():
    everything = images()
    some = everything.select(np.arange(10))
    changed = everything.pixels.copy()
    changed[10:] = 0
    same = ImageSet(changed, some.rows, some.labels, some.ids, some.class_names)
    assert fit_preprocessing(some, DataSettings()) == fit_preprocessing(same, DataSettings())
    assert fit_preprocessing(some, DataSettings()) != fit_preprocessing(everything, DataSettings())


def test_a_constant_channel_stays_finite():
    flat = ImageSet.from_arrays(np.full((3, 2, 2, 1), 9, np.uint8), np.array([0, 1, 0]), ["a", "b", "c"], ("a", "b"))
    fitted = fit_preprocessing(flat, DataSettings())
    assert fitted.std == (1 / 255,)
    assert fitted.mean == pytest.approx((9 / 255,))


def test_unit_and_image():
    assert fit_preprocessing(images(), DataSettings(normalize="unit", fit="pad")) == unit_preprocessing(
        (6, 5, 3), Resizing("pad")
    )
    per_image = fit_preprocessing(images(), DataSettings(normalize="image"))
    assert per_image.per_image
    assert (per_image.mean, per_image.std) == ((0, 0, 0), (1, 1, 1))


def test_imagenet():
    colour = fit_preprocessing(images(), DataSettings(normalize="imagenet", fit="crop"))
    assert (colour.mean, colour.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert (colour.channels, colour.fit, colour.per_image) == (3, "crop", False)
    gray = fit_preprocessing(images(channels=1), DataSettings(normalize="imagenet"))
    assert (gray.mean, gray.std) == ((pytest.approx(np.mean(colour.mean)),), (pytest.approx(np.mean(colour.std)),))
    assert Preprocessing.model_validate(gray.model_dump()) == gray


def test_json_keeps_every_bit():
    fitted = fit_preprocessing(images(), DataSettings())
    assert Preprocessing.model_validate_json(fitted.model_dump_json()) == fitted


@pytest.mark.parametrize(
    "wrong", [{"std": (0.0,)}, {"std": (1.0, 1.0)}, {"mean": ()}, {"channels": 2}, {"height": 0}, {"other": 1}]
)
def test_nonsense_is_refused(wrong):
    with pytest.raises(ValidationError):
        Preprocessing.model_validate({"height": 4, "width": 4, "channels": 1, **wrong})
