"""Random crops, RandAugment's moves and mirroring as one map: against Pillow's resizing and OpenCV's warp."""

from __future__ import annotations

import math
from collections import Counter

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from helpers.augment import CPU, augmented, some_images
from sightline.augment import build_augmentation
from sightline.augment.randaugment import MOVES, OPERATIONS, Plan
from sightline.augment.warp import affine_matrices, composed, crop_matrices, mirrored, random_matrices, warp
from sightline.settings import AugmentSettings

BORDERS = {"zero": cv2.BORDER_CONSTANT, "reflect": cv2.BORDER_REFLECT_101, "nearest": cv2.BORDER_REPLICATE}


def smooth_images(count=8, height=40, width=56):
    """Pictures in which neighbors differ by few levels: OpenCV interpolates between 32 places a pixel."""
    rough = some_images(count, height, width).double().numpy()
    smooth = ndimage.gaussian_filter(rough, (0, 3, 3, 0), mode="mirror")
    low, high = smooth.min(), smooth.max()
    return torch.from_numpy(np.rint((smooth - low) / (high - low) * 255).astype(np.uint8))


def whole(matrix):
    return np.vstack([np.asarray(matrix, np.float64), [0, 0, 1]])


def about_centers(matrix, source, result):
    """A map over pixels from the centers, as one over pixels from the first one of each."""
    to_center, from_center = np.eye(3), np.eye(3)
    to_center[:2, 2] = -(result[1] - 1) / 2, -(result[0] - 1) / 2
    from_center[:2, 2] = (source[1] - 1) / 2, (source[0] - 1) / 2
    return from_center @ whole(matrix) @ to_center


# Crops


def test_a_crop_is_the_box_that_pillow_enlarges():
    images = some_images(60, 40, 56)
    torch.manual_seed(0)
    settings = AugmentSettings(random_crop=True, crop_area=(0.08, 0.5))
    maps = crop_matrices(settings, 60, (40, 56), (64, 64), CPU)
    found = warp(images, maps, "nearest", (64, 64)).numpy()
    for image, after, matrix in zip(images.numpy(), found, maps.double().numpy(), strict=True):
        wide, high = 64 * matrix[0, 0], 64 * matrix[1, 1]
        left, top = matrix[:, 2] + [28 - wide / 2, 20 - high / 2]
        assert min(left, top) >= -1e-4 and left + wide <= 56.0001 and top + high <= 40.0001
        box = (max(left, 0), max(top, 0), min(left + wide, 56), min(top + high, 40))
        expected = np.asarray(Image.fromarray(image).resize((64, 64), Image.Resampling.BILINEAR, box))
        assert wide <= 64 and high <= 64  # where it is made larger, Pillow's filter is that of two neighbors
        # Pillow rounds after rows and again after columns.
        assert np.abs(after.astype(int) - expected).max() <= 1


def test_crops_have_their_areas_and_aspects():
    settings = AugmentSettings(random_crop=True)
    torch.manual_seed(0)
    maps = crop_matrices(settings, 20_000, (100, 100), (50, 50), CPU).double().numpy()
    wide, high = 50 * maps[:, 0, 0], 50 * maps[:, 1, 1]
    area, aspect = wide * high / 1e4, np.log(wide / high)
    assert 0.08 <= area.min() < 0.082 and area.max() < 1
    # A crop of nearly all of a square rarely has another aspect; below 3/4 of the area every aspect fits.
    fitting = area[area < 0.75]
    assert np.quantile(fitting, [0.25, 0.5, 0.75]) == pytest.approx([0.2475, 0.415, 0.5825], abs=0.01)
    assert -math.log(4 / 3) - 1e-6 <= aspect.min() and aspect.max() <= math.log(4 / 3) + 1e-6
    assert aspect[area < 0.75].std() == pytest.approx(2 * math.log(4 / 3) / math.sqrt(12), rel=0.03)
    left = maps[:, 0, 2] + 50 - wide / 2
    place = left / (100 - wide)
    assert place.min() >= -1e-4 and place.max() <= 1.0001 and place.mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(("source", "middle"), [((30, 30), (30, 30)), ((20, 60), (20, 80 / 3)), ((60, 21), (28, 21))])
def test_where_no_crop_fits_it_is_the_largest_in_the_middle(source, middle):
    settings = AugmentSettings(random_crop=True, crop_area=(1, 1))
    maps = crop_matrices(settings, 5, source, (30, 30), CPU)
    expected = torch.tensor([[middle[1] / 30, 0, 0], [0, middle[0] / 30, 0]]).expand(5, -1, -1)
    torch.testing.assert_close(maps, expected)
    if source == (30, 30):
        images = some_images(5, 30, 30)
        assert torch.equal(augmented(images, random_crop=True, crop_area=(1, 1)), images)


def test_crops_alone_show_no_edge():
    white = torch.full((50, 24, 24, 3), 255, dtype=torch.uint8)
    assert torch.equal(augmented(white, random_crop=True), white)
    assert (augmented(white, random_crop=True, shift=8) == 0).any()


@pytest.mark.parametrize("fill", ["zero", "reflect", "nearest"])
def test_larger_images_come_out_at_the_size_asked_for(fill):
    images = smooth_images()
    settings = AugmentSettings(random_crop=True, rotate=30, shear=10, zoom=0.2, shift=3, flip="random", fill=fill)
    augment = build_augmentation(settings, count=8, seed=0, device=CPU, size=(30, 30))
    torch.manual_seed(5)
    found = augment(images, torch.arange(8), 0)
    assert found.shape == (8, 30, 30, 3)
    # The same draws, put together by NumPy and warped by OpenCV.
    torch.manual_seed(5)
    moves = random_matrices(settings, 8, CPU)
    flips = torch.rand(8) < 0.5
    crops = crop_matrices(settings, 8, (40, 56), (30, 30), CPU)
    for number, image in enumerate(images.numpy()):
        mirror = np.diag([-1.0 if flips[number] else 1.0, 1, 1])
        product = whole(crops[number]) @ whole(moves[number]) @ mirror
        product = about_centers(product[:2], (40, 56), (30, 30))[:2]
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        expected = cv2.warpAffine(image, product, (30, 30), flags=flags, borderMode=BORDERS[fill])
        # Beyond a black edge levels fall from one pixel to the next, and a 32nd of a pixel is some levels.
        assert np.abs(found[number].numpy().astype(int) - expected).max() <= (9 if fill == "zero" else 2)


# Mirroring


@pytest.mark.parametrize("fill", ["zero", "reflect", "nearest"])
@pytest.mark.parametrize("size", [(28, 28), (13, 22)])
def test_mirroring_in_the_map_is_mirroring_behind_it_to_the_bit(fill, size):
    images = some_images(12, *size)
    torch.manual_seed(0)
    maps = random_matrices(AugmentSettings(rotate=40, shear=20, zoom=0.3, shift=4), 12, CPU)
    which = torch.arange(12) % 2 == 0
    for axis, dimension in ((0, 2), (1, 1)):
        expected = warp(images, maps, fill)
        expected[which] = expected[which].flip(dimension)
        assert torch.equal(warp(images, mirrored(maps, which, axis), fill), expected)


@pytest.mark.parametrize("more", [{}, {"rotate": 1e-6}], ids=["alone", "warped"])
def test_vertical_flips_are_even_and_each_on_its_own(more):
    images = some_images(2000, 4, 4)
    turned = augmented(images, flip_vertical=True, flip="random", fill="reflect", **more)
    kinds = [images, images.flip(1), images.flip(2), images.flip(1, 2)]
    same = torch.stack([(turned == kind).flatten(1).all(1) for kind in kinds])
    assert same.any(0).all() and all(430 < int(count) < 570 for count in same.sum(1))


# RandAugment's moves


def test_moves_are_the_product_of_single_ones():
    torch.manual_seed(0)
    plan = Plan.draw(3, 7, 200)
    found = plan.matrices(40, 56).numpy()
    for image in range(200):
        expected = np.eye(3)
        for chosen, strength in zip(plan.chosen[:, image], plan.strengths[:, image].tolist(), strict=True):
            one = np.eye(3)
            angle = math.radians(30 * strength)
            match OPERATIONS[chosen]:
                case "rotate":
                    one[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
                case "shear x":
                    one[0, 1] = 0.3 * strength
                case "shear y":
                    one[1, 0] = 0.3 * strength
                case "translate x":
                    one[0, 2] = 150 / 331 * strength * 56
                case "translate y":
                    one[1, 2] = 150 / 331 * strength * 40
            expected = expected @ one
        np.testing.assert_allclose(found[image], expected[:2], atol=1e-4)


@pytest.mark.parametrize("fill", ["zero", "reflect", "nearest"])
def test_moves_warp_as_opencv_does(fill):
    images = smooth_images(len(MOVES))
    chosen = torch.tensor([[OPERATIONS.index(name) for name in MOVES]])
    maps = Plan(chosen, torch.tensor([[0.5, -0.7, 1.0, 0.4, -0.6]])).matrices(40, 56)
    found = warp(images, maps, fill).numpy().astype(int)
    for image, after, matrix in zip(images.numpy(), found, maps.numpy(), strict=True):
        at = about_centers(matrix, (40, 56), (40, 56))[:2]
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        expected = cv2.warpAffine(image, at, (56, 40), flags=flags, borderMode=BORDERS[fill])
        assert np.abs(after - expected).max() <= (9 if fill == "zero" else 2)


def test_maps_are_composed_as_matrices_are():
    torch.manual_seed(0)
    first, second = affine_matrices(*torch.rand(6, 9)), affine_matrices(*torch.rand(6, 9))
    for one, other, both in zip(first, second, composed(first, second), strict=True):
        np.testing.assert_allclose(both, (whole(one) @ whole(other))[:2], rtol=1e-5, atol=1e-6)


# RandAugment as a whole


def test_each_operation_is_as_likely_and_has_both_directions():
    torch.manual_seed(0)
    plan = Plan.draw(2, 9, 14_000)
    counts = Counter(OPERATIONS[number] for number in plan.chosen.flatten().tolist())
    assert len(counts) == len(OPERATIONS) == 14
    assert all(1850 < count < 2150 for count in counts.values())
    assert plan.strengths.unique().tolist() == pytest.approx([-0.9, 0.9])
    assert float(plan.strengths.mean()) == pytest.approx(0, abs=0.03)


def test_operations_on_levels_follow_each_other_image_by_image():
    from PIL import ImageEnhance, ImageOps

    images = some_images(6, 16, 18)
    names = [("posterize", "equalize"), ("color", "solarize"), ("autocontrast", "brightness"),
             ("sharpness", "contrast"), ("identity", "rotate"), ("contrast", "color")]  # fmt: skip
    chosen = torch.tensor([[OPERATIONS.index(name) for name in pair] for pair in names]).T
    strengths = torch.tensor([[0.5, 0.5, 0.5, -0.5, 0.5, 0.5], [-0.5, 0.5, -0.5, 0.5, 0.5, -0.5]])
    done = {
        "posterize": lambda p, _: ImageOps.posterize(p, 6),
        "solarize": lambda p, _: ImageOps.solarize(p, 128),
        "equalize": lambda p, _: ImageOps.equalize(p),
        "autocontrast": lambda p, _: ImageOps.autocontrast(p),
        "color": lambda p, s: ImageEnhance.Color(p).enhance(1 + 0.9 * s),
        "contrast": lambda p, s: ImageEnhance.Contrast(p).enhance(1 + 0.9 * s),
        "brightness": lambda p, s: ImageEnhance.Brightness(p).enhance(1 + 0.9 * s),
        "sharpness": lambda p, s: ImageEnhance.Sharpness(p).enhance(1 + 0.9 * s),
    }
    before = images.clone()
    found = Plan(chosen, strengths).recolored(images)
    for number, pair in enumerate(names):
        picture = Image.fromarray(images[number].numpy())
        for name, strength in zip(pair, strengths[:, number].tolist(), strict=True):
            picture = done[name](picture, strength) if name in done else picture
        np.testing.assert_array_equal(found[number].numpy(), np.asarray(picture), pair)
    assert torch.equal(images, before)


def test_without_magnitude_only_what_has_none_changes_an_image():
    images = some_images(400, 9, 9)
    torch.manual_seed(0)
    chosen = Plan.draw(1, 0, 400).chosen[0]
    found = augmented(images, randaugment=1, randaugment_magnitude=0)
    unmeasured = torch.tensor([OPERATIONS[number] in ("autocontrast", "equalize") for number in chosen])
    changed = (found != images).flatten(1).any(1)
    assert not changed[~unmeasured].any() and changed[unmeasured].any()
