"""Training pictures kept larger than the network's input, for random crops; all else sees what it saw before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import sightline as sl
from helpers.folders import load
from helpers.training import Stop, facts, stop_at
from sightline.cli.app import run
from sightline.data import ImageData, ImageSet, resized
from sightline.errors import UsageError
from sightline.recipes import resolve
from sightline.runs.folder import RunFolder
from sightline.runs.images import images_of_run
from sightline.settings.data import DataSettings
from sightline.training import trainer

SMALL: dict[str, Any] = {
    "recipe": "none", "model": "cnn", "conv_widths": (4, 8), "kernel": 3, "hidden": 16, "threads": 1, "quiet": True,
    "image_size": 24, "batch_size": 8, "epochs": 2, "lr": 0.05, "random_crop": True, "device": "cpu",
}  # fmt: skip


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path / "cache"))


@pytest.fixture(params=["parts", "classes"])
def pets(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Noise of several sizes, with train/ and test/ or with one folder per class."""
    draw, root = np.random.default_rng(0), tmp_path / "pets"
    for part in ("train", "test") if request.param == "parts" else ("",):
        for name in ("cat", "dog"):
            (root / part / name).mkdir(parents=True)
            for index in range(12):
                pixels = draw.integers(0, 256, (40 + index, 60 - index, 3), np.uint8)
                Image.fromarray(pixels).save(root / part / name / f"{index}.png")
    return root


def by_pillow(root: Path, name: str, side: int) -> np.ndarray:
    with Image.open(root / name) as picture:
        return np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR))


def test_training_pictures_are_kept_larger_and_all_others_as_before(pets: Path) -> None:
    plain = load(pets, image_size=24)
    kept = load(pets, image_size=24, cache_size="larger")
    assert plain.train.larger is None and kept.train.larger is not None
    for before, after in ((plain.train, kept.train), (plain.test, kept.test)):
        assert before is not None and after is not None
        assert list(before.ids) == list(after.ids) and np.array_equal(before.images(), after.images())
    source = kept.train.to_crop_from()
    assert source.size == (32, 32, 3) and len(source) == len(kept.train)
    for name, image in zip(source.ids, source.images(), strict=True):
        np.testing.assert_array_equal(image, by_pillow(pets, name, 32))
    some = kept.train.select(np.array([5, 2])).to_crop_from()
    np.testing.assert_array_equal(some.images(), source.images()[[5, 2]])


def test_a_file_of_labels_with_parts_in_any_order(tmp_path: Path) -> None:
    draw, rows = np.random.default_rng(0), ["file,label,split"]
    for index in range(18):
        Image.fromarray(draw.integers(0, 256, (50, 40, 3), np.uint8)).save(tmp_path / f"{index}.png")
        rows.append(f"{index}.png,{'ab'[index // 3 % 2]},{('test', 'train', 'val')[index % 3]}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    kept = load(tmp_path / "labels.csv", image_size=24, cache_size=30)
    assert kept.val is not None and kept.val.larger is None and len(kept.train) == 6
    source = kept.train.to_crop_from()
    for name, image in zip(source.ids, source.images(), strict=True):
        np.testing.assert_array_equal(image, by_pillow(tmp_path, name, 30))


def test_what_is_in_memory_is_at_most_four_fifths_more(pets: Path) -> None:
    """The smaller pictures of the same lie on disk: training looks at them once, validation at its own."""
    plain = load(pets, image_size=224).train.pixels
    kept = load(pets, image_size=224, cache_size="larger").train
    assert kept.larger is not None and kept.larger.shape[1:] == (298, 298, 3)
    assert not isinstance(plain, np.memmap) and not isinstance(kept.larger, np.memmap)
    assert isinstance(kept.pixels, np.memmap)
    assert kept.larger.nbytes <= 1.8 * plain.nbytes


def test_each_size_is_decoded_once(pets: Path, decodes: list[int]) -> None:
    first = load(pets, image_size=24, cache_size=40)
    count = decodes[0]
    assert first.train.larger is not None
    assert count == len(first.train.pixels) + len(first.train.larger)
    again = load(pets, image_size=24, cache_size=40)
    assert decodes[0] == count and np.array_equal(
        again.train.to_crop_from().images(), first.train.to_crop_from().images()
    )
    load(pets, image_size=24)
    assert decodes[0] == count


def test_bad_pictures_are_left_out_of_both(pets: Path) -> None:
    folder = pets / "train" if (pets / "train").is_dir() else pets
    (folder / "cat" / "3.png").write_bytes(b"no picture")
    kept = load(pets, image_size=24, cache_size=32, skip_bad=True)
    assert len(kept.skipped) == 1
    source = kept.train.to_crop_from()
    for name, image in zip(source.ids, source.images(), strict=True):
        np.testing.assert_array_equal(image, by_pillow(pets, name, 32))


def test_crops_are_cut_from_whole_pictures_where_the_network_sees_the_middle(pets: Path) -> None:
    kept = load(pets, image_size=24, cache_size=40, crop_fraction=0.6).train
    assert np.array_equal(kept.images()[0], by_pillow(pets, kept.ids[0], 40)[8:32, 8:32])
    assert np.array_equal(kept.to_crop_from().images()[0], by_pillow(pets, kept.ids[0], 40))


def test_a_run_is_trained_on_crops_of_larger_pictures_and_answers_as_its_files_say(
    pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decodes: list[int]
) -> None:
    seen: list[tuple[int, ...]] = []
    real = trainer.build_augmentation

    def looking(*arguments: Any, **options: Any) -> Any:
        augment = real(*arguments, **options)

        def look(images: torch.Tensor, *rest: Any) -> torch.Tensor:
            found = augment(images, *rest)
            seen.append((images.shape[1], found.shape[1]))
            return found

        return look

    monkeypatch.setattr(trainer, "build_augmentation", looking)
    result = sl.train(pets, runs=tmp_path / "runs", **SMALL)
    assert set(seen) == {(32, 24)}
    folder = RunFolder(result.run)
    assert folder.settings().data.cache_size == "larger"
    plain = sl.train(pets, runs=tmp_path / "plain", **{**SMALL, "random_crop": False})
    assert (result.run / "splits.json").read_bytes() == (plain.run / "splits.json").read_bytes()
    with np.load(result.run / "samples.npz", allow_pickle=False) as arrays:
        assert arrays["pixels"].shape[1:] == (24, 24, 3)
    # What tests, and what predicts from a file, see the same pixels.
    before = decodes[0]
    test = images_of_run(folder).test
    assert decodes[0] == before and test is not None and test.larger is None
    classifier = sl.load(result.run)
    expected = classifier.probabilities(test.images())
    answers = classifier.predict([pets / name for name in test.ids])
    found = [[answer.probabilities[name] for name in test.class_names] for answer in answers]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert sl.test(result.run).accuracy == result.test_accuracy


def test_it_goes_on_to_the_same_bits(pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {**SMALL, "augment": "strong", "flip": "none", "checkpoint_steps": 1}
    expected = facts(sl.train(pets, runs=tmp_path / "whole", **options).run)
    with monkeypatch.context() as patch:
        stop_at(patch, 3)
        with pytest.raises(Stop):
            sl.train(pets, runs=tmp_path / "broken", **options)
    assert facts(sl.resume(next((tmp_path / "broken").iterdir()), quiet=True).run) == expected


def test_a_third_more_is_what_random_crops_get_unless_it_is_said_otherwise() -> None:
    assert resolve("digits", "none", {}).data.cache_size == "input"
    assert resolve("digits", "none", {"random_crop": True}).data.cache_size == "larger"
    assert resolve("digits", "none", {"augment": "light"}).data.cache_size == "larger"
    assert resolve("digits", "none", {"augment": "light", "cache_size": "input"}).data.cache_size == "input"
    assert resolve("digits", "none", {"augment": "light", "cache_size": "300"}).data.cache_size == 300


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--random-crop", "--cache-size", "20", "--image-size", "24"], "--cache-size: 20 found"),
        (["--cache-size", "40"], "only random crops are cut from larger pictures"),
        (
            ["--random-crop", "--cache-size", "big"],
            "--cache-size: 'big' found (expected auto, input, larger or a side of 1 to 4096 pixels)",
        ),
        (["--random-crop", "--cache-size", "0"], "--cache-size: '0' found"),
    ],
)
def test_what_cannot_be_is_refused(
    pets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    code = run(["train", str(pets), "--recipe", "none", "--runs", str(tmp_path / "runs"), *options])
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert code == 2 and said in error


def some_data(side: int) -> ImageData:
    pixels = np.random.default_rng(0).integers(0, 256, (6, side, side, 3), np.uint8)
    images = ImageSet.from_arrays(pixels, np.arange(6) % 2, [str(number) for number in range(6)], ("a", "b"))
    return ImageData("own", images, None, None, {}, {})


@pytest.mark.parametrize(("own", "kept"), [(64, 32), (28, 28), (24, None), (16, None)])
def test_images_that_are_there_are_kept_at_their_own_size_at_the_most(own: int, kept: int | None) -> None:
    settings = DataSettings(image_size=24, cache_size="larger")
    brought = resized(some_data(own), settings)
    assert brought.train.size == (24, 24, 3)
    assert (None if brought.train.larger is None else brought.train.larger.shape[1]) == kept
    assert resized(brought, settings) is brought
    with pytest.raises(UsageError, match="24 or more"):
        resized(some_data(64), settings.replace(cache_size=20))
