"""Size, scaling and filter follow the weights that a run begins from, where nobody says otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sightline as sl
from sightline.classifier import model_file
from sightline.classifier.header import ModelHeader
from sightline.data.image_set import ImageSet
from sightline.data.preprocessing import Preprocessing, fit_preprocessing
from sightline.errors import UsageError
from sightline.recipes import resolve
from sightline.settings import DataSettings, Resizing

QUICK: dict[str, Any] = {"epochs": 1, "threads": 1, "precision": "fp32", "batch_size": 64, "quiet": True}


def data_of(model: str, **flags: Any) -> DataSettings:
    return resolve("digits", "none", {"model": model, "pretrained": "weights.pth", **flags}).data


def scaling(data: DataSettings) -> tuple[Any, ...]:
    return data.image_size, data.normalize, data.interpolation


def test_what_is_left_open_follows_the_publishers() -> None:
    assert scaling(data_of("resnet18")) == (224, "imagenet", "bilinear")
    assert scaling(data_of("googlenet-bn")) == (224, "symmetric", "bilinear")
    assert scaling(data_of("efficientnet-lite0")) == (224, "symmetric", "bicubic")
    assert scaling(data_of("efficientnet-lite2")) == (260, "symmetric", "bicubic")
    assert scaling(data_of("efficientnet-lite4")) == (380, "symmetric", "bilinear")


def test_what_is_asked_for_stands() -> None:
    data = data_of("efficientnet-lite0", image_size=96, normalize="unit", interpolation="bilinear")
    assert scaling(data) == (96, "unit", "bilinear")


def test_without_weights_it_is_as_it_was() -> None:
    data = resolve("digits", "none", {"model": "resnet18"}).data
    assert scaling(data) == (None, "dataset", "bilinear")
    assert data.resizing == Resizing("squash", "bilinear", 1.0)


def test_a_run_that_begins_from_ones_own_weights_sees_what_they_saw(tmp_path: Path) -> None:
    first = sl.train("digits", model="cnn", conv_widths=(4,), hidden=0, image_size=12, runs=tmp_path, **QUICK)
    was = sl.load(first.run).preprocessing
    second = sl.train(
        "digits", model="cnn", conv_widths=(4,), hidden=0, pretrained=str(first.run), seed=1, runs=tmp_path, **QUICK
    )
    assert sl.load(second.run).preprocessing == was
    again = resolve("digits", "none", {"model": "cnn", "pretrained": str(first.run / "weights" / "best.safetensors")})
    assert (again.data.image_size, again.data.mean, again.data.std) == (12, was.mean, was.std)


@pytest.mark.parametrize(("mean", "std"), [((0.2,), (0.5,)), ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))])
def test_fixed_figures(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    pixels = np.zeros((2, 4, 4, 3), np.uint8)
    images = ImageSet.from_arrays(pixels, np.array([0, 1]), ["a", "b"], ("x", "y"))
    found = fit_preprocessing(images, DataSettings(normalize="fixed", mean=mean, std=std))
    assert (found.mean, found.std) == (mean * (3 // len(mean)), std * (3 // len(std)))
    gray = ImageSet.from_arrays(pixels[..., :1], np.array([0, 1]), ["a", "b"], ("x", "y"))
    assert fit_preprocessing(gray, DataSettings(normalize="fixed", mean=mean, std=std)).mean == pytest.approx((0.2,))


@pytest.mark.parametrize(
    "flags",
    [{"mean": 0.5}, {"normalize": "fixed"}, {"normalize": "fixed", "mean": 0.5, "std": 0.0}, {"crop_fraction": 0.1}],
)
def test_figures_that_do_not_go_together_are_refused(flags: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        resolve("digits", "none", flags)


def test_files_name_filter_and_crop_only_where_an_older_sightline_would_go_wrong(tmp_path: Path) -> None:
    for number, (interpolation, fraction, temperature, version) in enumerate(
        (("bilinear", 1.0, 1.0, 1), ("bilinear", 1.0, 1.5, 2), ("bicubic", 1.0, 1.0, 3), ("bilinear", 0.875, 1.5, 3))
    ):
        preprocessing = Preprocessing(
            height=8, width=8, channels=1, interpolation=interpolation, crop_fraction=fraction
        )
        header = ModelHeader(class_names=("a", "b"), preprocessing=preprocessing, module="M", temperature=temperature)
        path = tmp_path / f"{number}.safetensors"
        model_file.save(path, {"x": torch.zeros(1)}, header)
        told = model_file.load(path)[1]
        assert told == header.model_copy(update={"format_version": version})
        assert (b"crop_fraction" in path.read_bytes()) == (version == 3)
