"""Moves, light and covering against NumPy, SciPy and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from helpers.augment import CPU, augmented, some_images
from sightline.augment import build_augmentation
from sightline.augment.covering import cutout, erase
from sightline.augment.lighting import adjust, random_factors
from sightline.augment.moves import cut_rows, flip, shift
from sightline.augment.warp import affine_matrices, random_matrices, warp
from sightline.settings import AugmentSettings

# fill -> the name of the same thing in NumPy's pad and in SciPy's map of coordinates.
NUMPY = {"zero": "constant", "reflect": "reflect", "nearest": "edge"}
SCIPY = {"zero": "grid-constant", "reflect": "mirror", "nearest": "nearest"}


def matrices(turn=0.0, slant=0.0, zoom_x=1.0, zoom_y=1.0, x=0.0, y=0.0, count=1):
    return affine_matrices(*(torch.full((count,), float(value)) for value in (turn, slant, zoom_x, zoom_y, x, y)))


# Whole pixels


@pytest.mark.parametrize("fill", ["zero", "reflect", "nearest"])
@pytest.mark.parametrize("channels", [1, 3])
def test_shift_is_a_crop_of_numpys_padding(fill, channels):
    images = some_images(400, 7, 9, channels)
    torch.manual_seed(0)
    moved = shift(images, 2, fill).numpy()
    offsets = set()
    for before, after in zip(images.numpy(), moved, strict=True):
        padded = np.pad(before, ((2, 2), (2, 2), (0, 0)), mode=NUMPY[fill])
        found = [(y, x) for y in range(5) for x in range(5) if (padded[y : y + 7, x : x + 9] == after).all()]
        assert len(found) == 1
        offsets.update(found)
    assert len(offsets) == 25


def test_reflection_goes_back_and_forth():
    images = some_images(300, 3, 3)
    torch.manual_seed(0)
    moved = shift(images, 3, "reflect").numpy()
    for before, after in zip(images.numpy(), moved, strict=True):
        padded = np.pad(before, ((3, 3), (3, 3), (0, 0)), mode="reflect")
        assert any((padded[y : y + 3, x : x + 3] == after).all() for y in range(7) for x in range(7))


def test_no_image_is_shifted_beyond_its_side():
    torch.manual_seed(0)
    images = some_images(100, 3, 4) | 1
    moved = shift(images, 1000)
    assert torch.equal(moved.flatten(1).any(1), torch.zeros(100, dtype=torch.bool))
    torch.manual_seed(0)
    corners = shift(images, 1000, "nearest")
    assert all(len(image.reshape(-1, 3).unique(dim=0)) == 1 for image in corners)


def test_both_ways_of_cutting_rows_agree():
    pixels = some_images(1, 40, 1).view(-1, 3)
    starts = torch.tensor([0, 33, 7, 7, 20])
    first, second = (cut_rows(pixels, starts, 7, overlapping).view(5, 7, 3) for overlapping in (True, False))
    assert torch.equal(first, second)
    assert torch.equal(first[1], pixels[33:])


def test_flip_mirrors_the_chosen():
    images = some_images()
    which = torch.arange(20) % 3 == 0
    mirrored = flip(images, which)
    assert torch.equal(mirrored[which], images[which].flip(2)) and torch.equal(mirrored[~which], images[~which])


def test_alternating_flips_mirror_each_image_every_second_epoch():
    images = some_images(40)
    first, second, third = (augmented(images, flip="alternate", epoch=epoch, seed=epoch) for epoch in range(3))
    assert torch.equal(first, third) and torch.equal(first, second.flip(2))
    flipped = (first != images).flatten(1).any(1)
    assert 5 < int(flipped.sum()) < 35
    # By the image, not by its place in the batch.
    augment = build_augmentation(AugmentSettings(flip="alternate"), count=40, seed=3, device=CPU)
    at = torch.randperm(40)
    assert torch.equal(augment(images[at], at, 0), first[at])


def test_random_flips_are_even():
    images = some_images(2000, 2, 2)
    flipped = (augmented(images, flip="random") != images).flatten(1).any(1)
    assert 900 < int(flipped.sum()) < 1100


# The warp


@pytest.mark.parametrize("fill", ["zero", "reflect", "nearest"])
@pytest.mark.parametrize("size", [(28, 28), (13, 22), (7, 4)])
def test_warp_equals_scipy(fill, size):
    height, width = size
    images = some_images(12, height, width)
    torch.manual_seed(0)
    maps = torch.eye(2, 3) + torch.randn(12, 2, 3) * torch.tensor([0.4, 0.4, 3.0])
    warped = warp(images, maps, fill).numpy()
    # SciPy counts (row, column) from the first pixel, the maps (x, y) from the centre.
    centre = np.array([(height - 1) / 2, (width - 1) / 2])
    for image, found, matrix in zip(images.numpy(), warped, maps.double().numpy(), strict=True):
        linear, move = matrix[::-1, 1::-1], matrix[::-1, 2]
        offset = centre + move - linear @ centre
        for channel in range(3):
            expected = ndimage.affine_transform(
                image[..., channel].astype(float), linear, offset, order=1, mode=SCIPY[fill]
            )
            assert np.abs(found[..., channel] - expected).max() < 0.502  # rounding to whole levels is half a level


def test_matrices_are_keras_product():
    """R * T * S * Z in (x, y), as ImageDataGenerator's published source has them since it swaps the axes."""
    generator = np.random.default_rng(0)
    turn, slant, x, y = generator.uniform(-1.5, 1.5, (4, 50))
    zoom_x, zoom_y = generator.uniform(0.5, 1.5, (2, 50))
    found = affine_matrices(*(torch.tensor(v) for v in (turn, slant, zoom_x, zoom_y, x, y))).numpy()
    for i in range(50):
        cos, sin = math.cos(turn[i]), math.sin(turn[i])
        rotation = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        move = np.array([[1, 0, x[i]], [0, 1, y[i]], [0, 0, 1]])
        shear = np.array([[1, -math.sin(slant[i]), 0], [0, math.cos(slant[i]), 0], [0, 0, 1]])
        zoom = np.diag([zoom_x[i], zoom_y[i], 1])
        np.testing.assert_allclose(found[i], (rotation @ move @ shear @ zoom)[:2], atol=1e-12)


@pytest.mark.parametrize("fill", ["zero", "reflect", "nearest"])
def test_the_identity_changes_nothing(fill):
    images = some_images(4, 31, 224)
    assert torch.equal(warp(images, matrices(count=4), fill), images)


@pytest.mark.parametrize("fill", ["zero", "reflect", "nearest"])
@pytest.mark.parametrize("side", [8, 9, 224])
def test_a_quarter_turn_equals_rot90(fill, side):
    images = some_images(2, side, side)
    for quarters in (1, 2, 3):
        turned = warp(images, matrices(turn=quarters * math.pi / 2, count=2), fill)
        assert torch.equal(turned, torch.rot90(images, quarters, dims=(1, 2)))


@pytest.mark.parametrize("fill", ["zero", "reflect", "nearest"])
def test_a_warp_by_whole_pixels_is_a_shift(fill):
    images = some_images(3, 7, 9)
    moved = warp(images, matrices(x=-2, y=3, count=3), fill).numpy()
    padded = np.pad(images.numpy(), ((0, 0), (3, 3), (3, 3), (0, 0)), mode=NUMPY[fill])
    np.testing.assert_array_equal(moved, padded[:, 6:13, 1:10])


def test_reflection_leaves_the_edge_out():
    row = torch.tensor([10, 20, 30, 40], dtype=torch.uint8).view(1, 1, 4, 1)
    assert warp(row, matrices(x=-2), "reflect").flatten().tolist() == [30, 20, 10, 20]  # NumPy's reflect
    assert warp(row, matrices(x=-2), "nearest").flatten().tolist() == [10, 10, 10, 20]
    assert warp(row, matrices(x=-1.5), "zero").flatten().tolist() == [0, 5, 15, 25]  # half a pixel of the edge


def test_zoom_changes_the_size_of_contents():
    images = torch.zeros(1, 41, 41, 1, dtype=torch.uint8)
    images[:, 10:31, 10:31] = 200
    smaller = warp(images, matrices(zoom_x=1.25, zoom_y=1.0))[0, ..., 0]
    assert (smaller > 100).any(0).sum() == pytest.approx(21 / 1.25, abs=1) and (smaller > 100).any(1).sum() == 21


def test_random_matrices_stay_in_their_ranges():
    settings = AugmentSettings(rotate=30)
    turns = random_matrices(settings, 4000, CPU)
    angles = torch.atan2(turns[:, 1, 0], turns[:, 0, 0]).rad2deg()
    assert -30 <= angles.min() < -29.5 and 29.5 < angles.max() <= 30 and abs(angles.mean()) < 1
    assert torch.allclose(torch.linalg.det(turns[:, :, :2]), torch.ones(4000))
    zooms = random_matrices(AugmentSettings(zoom=0.2), 4000, CPU)
    wide, high = zooms[:, 0, 0], zooms[:, 1, 1]
    for factors in (wide, high):
        assert 0.8 <= factors.min() < 0.802 and 1.198 < factors.max() <= 1.2
    assert abs(np.corrcoef(wide, high)[0, 1]) < 0.05
    slants = random_matrices(AugmentSettings(shear=0.2), 4000, CPU)
    assert slants[:, 0, 1].abs().max() == pytest.approx(math.sin(math.radians(0.2)), rel=0.01)
    shifts = random_matrices(AugmentSettings(shift=3, rotate=0.0), 4000, CPU)[:, :, 2]
    assert 2.99 < shifts.abs().max() <= 3


# Light


def test_light_has_its_closed_form():
    images = some_images(50, 12, 10)
    settings = AugmentSettings(brightness=0.4, contrast=0.6)
    torch.manual_seed(0)
    brightness, contrast = random_factors(settings, 50, CPU)
    assert 0.6 <= brightness.min() < 0.7 and 1.3 < brightness.max() <= 1.4
    assert 0.4 <= contrast.min() < 0.5 and 1.5 < contrast.max() <= 1.6
    found = adjust(images, brightness, contrast).numpy()
    for image, after, b, c in zip(images.double().numpy(), found, brightness.numpy(), contrast.numpy(), strict=True):
        bright = image * float(b)
        expected = np.clip(bright.mean() + (bright - bright.mean()) * float(c), 0, 255)
        assert np.abs(after - expected).max() < 0.501


def test_light_at_its_ends():
    images = some_images(3)
    one, none = torch.ones(3), torch.zeros(3)
    assert torch.equal(adjust(images, one, one), images)
    assert not adjust(images, none, one).any()
    flat = adjust(images, one, none)
    assert torch.equal(flat[:, 0, 0, 0], images.double().mean((1, 2, 3)).round().byte())
    assert (flat == flat[:, :1, :1, :1]).all()
    assert adjust(images, 100 * one, one).unique().tolist()[-1] == 255


# Covering


def test_erased_rectangles_have_the_papers_sizes():
    images = torch.zeros(6000, 48, 48, 1, dtype=torch.uint8)
    torch.manual_seed(0)
    # Noise is 0 once in 256: what is not 0 still shows where the rectangle is.
    touched = erase(images, 0.5)[..., 0] > 0
    chosen = touched.flatten(1).any(1)
    assert 2850 < int(chosen.sum()) < 3150
    rows, columns = touched[chosen].any(2), touched[chosen].any(1)
    high, wide = rows.sum(1), columns.sum(1)
    area = (high * wide / 48**2).numpy()
    assert 0.012 < area.min() < 0.03 and 0.32 < area.max() < 0.35
    assert np.quantile(area, [0.25, 0.5, 0.75]) == pytest.approx([0.0975, 0.175, 0.2525], abs=0.02)
    aspect = np.log((high / wide).numpy())
    assert abs(aspect.mean()) < 0.05 and aspect.min() > math.log(0.3) - 0.15 and aspect.max() < math.log(3.3) + 0.15
    filled = touched[chosen].flatten(1).sum(1) / (high * wide)
    assert filled.mean() == pytest.approx(255 / 256, abs=0.002)  # a whole rectangle, with nothing beyond it
    first_row = rows.float().argmax(1)
    small = high < 24
    assert first_row[small].min() == 0 and (first_row + high)[small].max() == 48


def test_erasing_leaves_the_rest_and_fills_with_even_noise():
    images = some_images(1500, 16, 16)
    torch.manual_seed(0)
    erased = erase(images, 1.0)
    changed = (erased != images).any(3)
    boxes = changed.any(2)[:, :, None] & changed.any(1)[:, None, :]
    noise = erased[boxes].numpy()
    assert len(noise) > 60_000
    counts = np.bincount(noise.ravel(), minlength=256)
    # Chi-square with 255 degrees of freedom: 255 is expected, its deviation is 23.
    assert 120 < ((counts - counts.mean()) ** 2 / counts.mean()).sum() < 390
    assert abs(np.corrcoef(noise[:, 0], noise[:, 1])[0, 1]) < 0.02
    assert torch.equal(erase(images, 0.0), images)


def test_erasing_a_strip_takes_what_fits():
    torch.manual_seed(0)
    touched = erase(torch.zeros(500, 4, 100, 1, dtype=torch.uint8), 1.0)[..., 0] > 0
    assert touched.flatten(1).any(1).all()


@pytest.mark.parametrize("side", [4, 5, 1])
def test_cutout_is_a_black_square_clipped_at_the_border(side):
    images = torch.full((4000, 9, 7, 3), 200, dtype=torch.uint8)
    torch.manual_seed(0)
    dark = (cutout(images, side) == 0).all(3)
    assert torch.equal(cutout(images, side).unique(), torch.tensor([0, 200], dtype=torch.uint8))
    places = set()
    for mask in dark.numpy():
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert mask.sum() == len(rows) * len(columns) and len(rows) <= side
        places.add((rows[0], rows[-1], columns[0], columns[-1]))
    expected = set()
    for y in range(9):
        for x in range(7):
            top, left = y - side // 2, x - side // 2
            expected.add((max(top, 0), min(top + side, 9) - 1, max(left, 0), min(left + side, 7) - 1))
    assert places == expected
