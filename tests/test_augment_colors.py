"""RandAugment's operations on levels against Pillow, level for level; saturation and hue against colorsys."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from helpers.augment import CPU, some_images
from sightline.augment import operations
from sightline.augment.lighting import random_colors, recolor
from sightline.settings import AugmentSettings

FACTORS = [0.0, 0.1, 0.37, 0.5, 0.9, 1.0, 1.3, 1.9, 3.0]
ENHANCERS = {
    "color": ImageEnhance.Color,
    "contrast": ImageEnhance.Contrast,
    "brightness": ImageEnhance.Brightness,
    "sharpness": ImageEnhance.Sharpness,
}


def pictures(channels=3):
    """Noise, a picture of few levels, narrow ranges, one level alone, two levels, and a slope; 13 x 22 pixels."""
    noise = some_images(6, 13, 22, channels)
    few = noise[:2] // 64 * 60
    narrow = noise[2:4] // 5 + 90
    flat = torch.full_like(noise[:1], 77)
    two = torch.where(noise[4:5] > 250, noise.new_tensor(200), noise.new_tensor(10))
    slope = torch.arange(13 * 22 * channels).remainder(251).byte().view(1, 13, 22, channels)
    return torch.cat([noise, few, narrow, flat, two, slope])


def by_pillow(images, function, *arguments):
    """What Pillow makes of each image."""

    def one(image):
        picture = Image.fromarray(image if image.shape[2] == 3 else image[..., 0])
        return np.asarray(function(picture, *arguments)).reshape(image.shape)

    return torch.from_numpy(np.stack([one(image) for image in images.numpy()]))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ENHANCERS)
def test_blends_are_pillows(name, channels):
    images = pictures(channels)
    for factor in FACTORS:
        found = getattr(operations, name)(images, torch.full((len(images),), factor))
        assert torch.equal(found, by_pillow(images, lambda p, f=factor: ENHANCERS[name](p).enhance(f))), factor


def test_each_image_is_blended_by_its_own_factor():
    images = pictures()[:9]
    for name, kind in ENHANCERS.items():
        found = getattr(operations, name)(images, torch.tensor(FACTORS))
        for image, after, factor in zip(images, found, FACTORS, strict=True):
            assert torch.equal(after, by_pillow(image[None], lambda p, f=factor, k=kind: k(p).enhance(f))[0])


@pytest.mark.parametrize("channels", [1, 3])
def test_operations_without_a_factor_are_pillows(channels):
    images = pictures(channels)
    assert torch.equal(operations.autocontrast(images), by_pillow(images, ImageOps.autocontrast))
    assert torch.equal(operations.equalize(images), by_pillow(images, ImageOps.equalize))
    for bits in range(1, 9):
        assert torch.equal(operations.posterize(images, bits), by_pillow(images, ImageOps.posterize, bits))
    for threshold in (0, 1, 100, 128, 255, 256):
        found = operations.solarize(images, threshold)
        assert torch.equal(found, by_pillow(images, ImageOps.solarize, threshold)), threshold


def test_stretching_is_pillows_for_every_range():
    """Pillow computes in doubles and cuts: at each of these ranges some level could come out one lower."""
    ends = [(low, high) for low in range(0, 256, 5) for high in range(low, 256, 3)]
    images = torch.stack([torch.linspace(low, high, 64).round().byte().view(8, 8, 1) for low, high in ends])
    assert torch.equal(operations.autocontrast(images), by_pillow(images, ImageOps.autocontrast))


@pytest.mark.parametrize("size", [(2, 9), (9, 1), (1, 1), (3, 3)])
def test_tiny_pictures_are_sharpened_as_pillow_does(size):
    images = some_images(4, *size)
    found = operations.sharpness(images, torch.full((4,), 1.9))
    assert torch.equal(found, by_pillow(images, lambda p: ImageEnhance.Sharpness(p).enhance(1.9)))


def test_a_device_counts_levels_as_the_host_does(monkeypatch):
    """Where counting may not wait for the largest value, the same counts come from adding ones."""
    images = pictures()
    at = operations._places(images)
    expected = operations._histograms(at, images)

    class Elsewhere:
        device, view = torch.device("meta"), at.view

    monkeypatch.setattr(torch, "zeros", lambda size, **_: torch.full((size,), 0))
    monkeypatch.setattr(torch, "ones_like", lambda _: torch.full(at.shape, 1))
    assert torch.equal(operations._histograms(Elsewhere(), images), expected)


def test_hue_is_turned_as_in_colorsys():
    images = pictures()
    turns = torch.linspace(-0.5, 0.5, len(images))
    found = recolor(images, torch.ones(len(images)), turns).numpy()
    for image, after, turn in zip(images.numpy(), found, turns.tolist(), strict=True):
        for pixel, changed in zip(image.reshape(-1, 3), after.reshape(-1, 3), strict=True):
            hue, saturation, value = colorsys.rgb_to_hsv(*(pixel / 255))
            expected = 255 * np.array(colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value))
            assert np.abs(changed - expected).max() < 0.51


def test_saturation_blends_with_luma():
    images = pictures()
    factors = torch.linspace(0, 2, len(images))
    found = recolor(images, factors, torch.zeros(len(images))).numpy()
    for image, after, factor in zip(images.numpy().astype(float), found, factors.tolist(), strict=True):
        luma = (image @ [0.299, 0.587, 0.114])[..., None]
        assert np.abs(after - np.clip(luma + factor * (image - luma), 0, 255)).max() < 0.51
    # And Pillow's, whose luma is rounded first, and whose levels are then cut.
    enhanced = operations.color(images, factors).numpy().astype(int)
    assert np.abs(found - enhanced).max() <= 2


def test_colors_at_their_ends():
    images, one, none = pictures(), torch.ones(13), torch.zeros(13)
    assert torch.equal(recolor(images, one, none), images)
    assert torch.equal(recolor(images, one, one), images)
    gray = recolor(images, none, none)
    assert torch.equal(gray, gray[..., :1].expand_as(gray)) and torch.equal(recolor(gray, 5 * one, one / 3), gray)
    assert torch.equal(recolor(images[..., :1], none, one / 3), images[..., :1])


def test_colors_stay_in_their_ranges():
    torch.manual_seed(0)
    factors, turns = random_colors(AugmentSettings(saturation=0.4, hue=0.1), 4000, CPU)
    assert 0.6 <= factors.min() < 0.601 and 1.399 < factors.max() <= 1.4
    assert -0.1 <= turns.min() < -0.099 and 0.099 < turns.max() <= 0.1
