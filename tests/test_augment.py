"""Augmentation as a whole: the seed, the fill, odd sizes, what auto decides, and the picture of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.augment import CPU, augmented, some_images
from sightline.augment import build_augmentation, resolve_augment
from sightline.data.catalog import DATASETS
from sightline.drawing import augmentation
from sightline.drawing.augmentation import GAP, SEAM
from sightline.settings import AugmentSettings

EVERYTHING = {
    "rotate": 20,
    "shear": 10,
    "zoom": 0.2,
    "shift": 2,
    "brightness": 0.3,
    "contrast": 0.3,
    "erase": 0.5,
    "cutout": 2,
}
PHOTOGRAPHS = {
    "random_crop": True,
    "randaugment": 2,
    "saturation": 0.4,
    "hue": 0.1,
    "flip_vertical": True,
}


# The whole


def test_nothing_asked_for_is_nothing_done():
    images = some_images()
    assert augmented(images, fill="reflect") is images


@pytest.mark.parametrize("more", [{}, {"rotate": 20}])
def test_each_edge_has_its_fill(more):
    fills = [augmented(some_images(), shift=2, fill=fill, **more) for fill in ("zero", "reflect", "nearest")]
    assert len({images.numpy().tobytes() for images in fills}) == 3


@pytest.mark.parametrize(
    "settings",
    [EVERYTHING, {"shift": 2, "flip": "random"}, {"flip": "random", **EVERYTHING}, {**EVERYTHING, **PHOTOGRAPHS}]
    + [{name: value} for name, value in PHOTOGRAPHS.items()],
    ids="+".join,
)
def test_the_seed_decides(settings):
    images = some_images()
    before = images.clone()
    first = augmented(images, seed=1, **settings)
    assert torch.equal(first, augmented(images, seed=1, **settings))
    assert not torch.equal(first, augmented(images, seed=2, **settings))
    assert torch.equal(images, before)


@pytest.mark.parametrize(
    "settings",
    [{name: value} for name, value in (EVERYTHING | PHOTOGRAPHS).items()]
    + [{"flip": "random"}, {"erase": 1.0}, EVERYTHING, {**EVERYTHING, **PHOTOGRAPHS}],
    ids="+".join,
)
def test_each_image_goes_its_own_way(settings):
    images = some_images(1, 12, 12).expand(60, -1, -1, -1).contiguous()
    moved = augmented(images, **settings)
    assert moved.dtype == torch.uint8 and moved.shape == images.shape and moved.is_contiguous()
    expected = 2 if {"flip", "flip_vertical"} & settings.keys() else 15
    assert len({image.numpy().tobytes() for image in moved}) >= expected


@pytest.mark.parametrize(
    "settings", [{"shift": 3, "flip": "random"}, {**EVERYTHING, "erase": 0}, {**PHOTOGRAPHS, **EVERYTHING, "erase": 0}]
)
@pytest.mark.parametrize("fill", ["zero", "reflect", "nearest"])
def test_gray_and_colour_move_alike(settings, fill):
    gray = some_images(channels=1)
    colour = gray.expand(-1, -1, -1, 3).contiguous()
    assert torch.equal(
        augmented(gray, fill=fill, **settings).expand_as(colour), augmented(colour, fill=fill, **settings)
    )


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 1), (2, 2), (3, 8), (8, 3)])
@pytest.mark.parametrize("fill", ["zero", "reflect", "nearest"])
@pytest.mark.parametrize("channels", [1, 3])
def test_small_and_odd_sizes(size, fill, channels):
    images = some_images(6, *size, channels)
    whole = {**EVERYTHING, "erase": 1, "cutout": 9}
    for settings in ({"shift": 4, "flip": "alternate"}, whole, {**whole, **PHOTOGRAPHS}):
        assert augmented(images, fill=fill, **settings).shape == images.shape


def test_auto_has_to_be_decided_first():
    with pytest.raises(AssertionError):
        build_augmentation(AugmentSettings(flip="auto"), count=1, seed=0, device=CPU)


@pytest.mark.parametrize(
    "settings",
    [{"shift": 2}, {"shift": 2, "fill": "reflect"}, {"flip_vertical": True}, EVERYTHING, {**EVERYTHING, **PHOTOGRAPHS}],
)
@pytest.mark.parametrize("flips", ["random", "alternate"])
def test_nothing_waits_for_the_device(settings, flips):
    """Tensors without contents: whatever asks for a value, as a GPU would have to wait for it, is an error there."""
    nowhere = torch.device("meta")
    augment = build_augmentation(AugmentSettings(flip=flips, **settings), count=20, seed=3, device=nowhere)
    images = some_images()
    for _ in range(5):  # so that each operation of RandAugment is some image's
        assert augment(images.to(nowhere), torch.arange(20), 0).shape == images.shape


# What auto decides


@pytest.mark.parametrize(
    ("name", "flips"),
    [
        ("digits", False),
        ("mnist", False),
        ("fashion-mnist", True),
        ("cifar10", True),
        ("cifar100", True),
        ("synthetic", False),
    ],
)
def test_auto_on_datasets_with_a_name(name, flips):
    names = DATASETS[name].class_names or ("class0", "class1")
    settings, lines = resolve_augment(AugmentSettings(flip="auto", shift=2), name, names)
    assert settings == AugmentSettings(flip="alternate" if flips else "none", shift=2)
    assert lines[0] == "augmentation: shift up to 2 pixels, black edges"
    assert lines[1].startswith("flips every second epoch, since" if flips else "no flips, since")


@pytest.mark.parametrize(
    "names",
    [
        ["cat", "dog"],
        ["bright", "dark"],
        ["copyright", "trademark"],
        ["b-cell", "t-cell"],
        ["daisy", "rose"],
        ["猫咪", "小狗"],
        ["level_1", "level_2"],
        ["brightness", "leftover"],
    ],
)
def test_auto_flips_own_folders_whose_names_are_harmless(names):
    settings, lines = resolve_augment(AugmentSettings(flip="auto"), "photos", names)
    assert settings.flip == "alternate"
    assert lines == [
        "augmentation: none",
        "flips every second epoch, since the 2 class names do not distinguish left from right",
    ]


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["0", "1", "2"], "digits"),
        (["３", "４"], "digits"),
        (["zero", "One", "two"], "digits"),
        (["00001", "00002"], "numbers"),
        (["A", "B", "other"], "'A' looks like a sign"),
        (["turn_left", "straight", "turn_right"], "'turn_left' distinguishes left from right"),
        (["handLeft", "handUp"], "'handLeft'"),
        (["左转", "直行"], "'左转'"),
        (["arm-L", "arm-R"], "'arm-L' and 'arm-R'"),
        (["letter_b", "letter_c", "letter_d"], "'letter_b' and 'letter_d'"),
        (["upleft", "upright"], "'upleft' and 'upright'"),
        (["clockwise", "still"], "'clockwise'"),
    ],
)
def test_auto_leaves_flips_out_where_classes_tell_sides(names, reason):
    settings, lines = resolve_augment(AugmentSettings(flip="auto"), "own", names)
    assert settings.flip == "none"
    assert lines[1].startswith("no flips, since ") and reason in lines[1]


def test_a_folder_called_like_a_dataset_is_looked_at():
    settings, _ = resolve_augment(AugmentSettings(flip="auto"), "cifar10", ["left", "right"])
    assert settings.flip == "none"


def test_flips_asked_for_are_done_with_a_warning_where_they_harm():
    for flip_setting in ("random", "alternate"):
        asked = AugmentSettings(flip=flip_setting)
        settings, lines = resolve_augment(asked, "mnist", DATASETS["mnist"].class_names or ())
        assert settings == asked
        assert [line.startswith("warning: ") for line in lines] == [False, True]
        settings, lines = resolve_augment(asked, "cifar10", DATASETS["cifar10"].class_names or ())
        assert settings == asked and len(lines) == 1


def test_digits_turned_over_are_warned_of():
    digits = DATASETS["digits"].class_names or ()
    assert len(resolve_augment(AugmentSettings(rotate=90), "digits", digits)[1]) == 1
    assert "6 and 9" in resolve_augment(AugmentSettings(rotate=180), "digits", digits)[1][1]


def test_images_turned_over_are_warned_of_where_classes_tell():
    asked = AugmentSettings(flip_vertical=True)
    for names in (["thumb_up", "thumb_down"], ["6", "9"], ["朝上", "朝下"], ["UpperJaw", "other"]):
        settings, lines = resolve_augment(asked, "own", names)
        assert settings == asked and lines[0] == "augmentation: upside down at random"
        assert lines[1].startswith("warning: upside down as requested, but ")
    assert len(resolve_augment(asked, "own", ["cell", "setup"])[1]) == 1


def test_lines_are_short_and_say_everything():
    names = ["left " + "a long name of a class " * 8, "right " + "a long name of a class " * 8]
    for flip_setting in ("auto", "none", "random"):
        settings = AugmentSettings(flip=flip_setting, fill="reflect", **EVERYTHING)
        _, lines = resolve_augment(settings, "own", names)
        assert max(map(len, lines)) <= 120
        said = " ".join(lines)
        for word in (
            "shift",
            "rotate",
            "shear",
            "zoom 0.8 to 1.2",
            "reflected",
            "bright",
            "contrast",
            "50 %",
            "square",
        ):
            assert word in said
    assert resolve_augment(AugmentSettings(), "own", names)[1] == ["augmentation: none"]
    settings = AugmentSettings(mixup=0.2, cutmix=1, **PHOTOGRAPHS)
    assert resolve_augment(settings, "own", ["cat", "dog"])[1] == [
        "augmentation: random crops of 8 to 100 % of the area, RandAugment with 2 operations of magnitude 9,",
        "  black edges, upside down at random, saturation by up to 40 %, hue by up to 36 degrees, mixup or cutmix",
    ]
    lines = resolve_augment(AugmentSettings(level="light"), "own", ["cat", "dog"])[1]
    assert lines[0].startswith("augmentation, level light: random crops of 50 to 100 % of the area, brightness")


# The picture


@pytest.mark.draws
def test_originals_stand_above_what_the_network_sees(tmp_path):
    images = some_images(8, 32, 32)
    after = augmented(images, rotate=20)
    augmentation.draw(after.numpy(), tmp_path / "a.png", originals=images.numpy())
    with Image.open(tmp_path / "a.png") as picture:
        sheet = np.asarray(picture.convert("RGB"))
    large = [part.numpy().repeat(3, axis=1).repeat(3, axis=2) for part in (images, after)]
    tile = 96 + SEAM + 96
    assert sheet.shape == (
        2 * (tile + GAP) + GAP,
        4 * (96 + GAP) + GAP,
        3,
    )
    for i, (above, below) in enumerate(zip(*large, strict=True)):
        top, left = (
            GAP + i // 4 * (tile + GAP),
            GAP + i % 4 * (96 + GAP),
        )
        assert (sheet[top : top + 96, left : left + 96] == above).all()
        assert (sheet[top + 96 + SEAM : top + tile, left : left + 96] == below).all()
