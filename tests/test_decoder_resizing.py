"""From a picture of any size to that of the network: squash, crop and pad, gray and color."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from helpers.decoding import encoded, off, smooth
from sightline.data.decoder import decode, fit_image, fit_images, resize
from sightline.data.preprocessing import unit_preprocessing
from sightline.settings.data import Resizing


def test_squash_is_pillows_bilinear_and_averages_when_it_shrinks():
    pixels = smooth(64, 96)
    shrunk = resize(pixels, 32, 48, Resizing("squash"))
    # A triangle filter of twice the scale: close to OpenCV's mean over each 2x2 block on a smooth picture.
    assert np.abs(shrunk.astype(int) - cv2.resize(pixels, (48, 32), interpolation=cv2.INTER_AREA)).max() <= 4
    grown = resize(pixels, 128, 192, Resizing("squash"))
    assert off(grown, cv2.resize(pixels, (192, 128), interpolation=cv2.INTER_LINEAR)) <= 1


def test_crop_takes_the_centre():
    pixels = np.zeros((10, 30, 1), np.uint8)
    pixels[:, 10:20] = 200
    assert (resize(pixels, 10, 10, Resizing("crop")) == 200).all()
    assert (resize(pixels, 4, 4, Resizing("crop")) == 200).all()
    assert (resize(pixels.transpose(1, 0, 2), 4, 4, Resizing("crop")) == 200).all()


def test_pad_keeps_the_aspect_and_fills_with_zero():
    pixels = np.full((10, 30, 3), 200, np.uint8)
    padded = resize(pixels, 30, 30, Resizing("pad"))
    assert (padded[10:20] == 200).all()
    assert (padded[:10] == 0).all()
    assert (padded[20:] == 0).all()
    assert resize(pixels, 15, 15, Resizing("pad"))[:, 0, 0].tolist() == [0] * 5 + [200] * 5 + [0] * 5


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 70), st.integers(1, 70), st.sampled_from([1, 3]), st.integers(1, 40), st.integers(1, 40),
    st.sampled_from([1, 3]), st.sampled_from(["squash", "crop", "pad"]),
)  # fmt: skip
def test_any_size_becomes_any_size(h, w, own, height, width, channels, fit):
    pixels = np.full((h, w, own), 77, np.uint8)
    fitted = fit_image(pixels, (height, width, channels), Resizing(fit))
    assert fitted.shape == (height, width, channels)
    assert fitted.dtype == np.uint8
    assert set(np.unique(fitted)) <= ({0, 77} if fit == "pad" else {77})
    assert (fitted == 77).any()


def test_extreme_aspect_needs_no_extreme_memory():
    assert resize(np.zeros((1, 1_000_000, 1), np.uint8), 8, 8, Resizing("pad")).shape == (8, 8, 1)


def test_gray_and_colour_conversion_is_pillows():
    pixels = smooth()
    luma = np.asarray(Image.fromarray(pixels).convert("L"))
    assert np.array_equal(fit_image(pixels, (40, 56, 1), Resizing("squash"))[..., 0], luma)
    assert off(luma, cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)) <= 1
    gray = smooth(channels=1)
    assert np.array_equal(fit_image(gray, (40, 56, 3), Resizing("squash")), np.repeat(gray, 3, axis=2))


def test_arrays_and_files_go_through_the_same_resize():
    pixels = smooth()
    wanted = unit_preprocessing((24, 24, 1), Resizing("crop"))
    from_file = decode(encoded(pixels, "PNG"), wanted)
    assert from_file.shape == (24, 24, 1)
    assert np.array_equal(fit_images(pixels[None], (24, 24, 1), Resizing("crop"))[0], from_file)
    assert fit_images(pixels[None], (40, 56, 3), Resizing("squash"))[0].base is not None


@pytest.mark.parametrize(("height", "width"), [(300, 451), (451, 300), (90, 61), (224, 224)])
@pytest.mark.parametrize("fraction", [0.875, 0.9])
def test_a_crop_is_the_shorter_side_resized_and_the_middle_cut_out(height: int, width: int, fraction: float) -> None:
    pixels = smooth(height, width)
    larger = int(56 / fraction)
    wide, tall = (int(larger * width / height), larger) if height <= width else (larger, int(larger * height / width))
    image = Image.fromarray(pixels).resize((wide, tall), Image.Resampling.BICUBIC)
    left, top = round((wide - 56) / 2), round((tall - 56) / 2)
    expected = np.asarray(image.crop((left, top, left + 56, top + 56)))
    assert np.array_equal(resize(pixels, 56, 56, Resizing("crop", "bicubic", fraction)), expected)


def test_squash_and_pad_cut_the_middle_of_what_they_give() -> None:
    pixels = smooth(60, 90)
    for fit in ("squash", "pad"):
        whole = resize(pixels, 64, 64, Resizing(fit))
        assert np.array_equal(resize(pixels, 48, 48, Resizing(fit, crop_fraction=0.75)), whole[8:56, 8:56])


def test_a_picture_that_has_the_size_is_cut_all_the_same() -> None:
    pixels = smooth(48, 48)
    cut = fit_images(pixels[None], (48, 48, 3), Resizing("crop", crop_fraction=0.75))[0]
    assert np.array_equal(cut, fit_image(pixels, (48, 48, 3), Resizing("crop", crop_fraction=0.75)))
    assert not np.array_equal(cut, pixels)
