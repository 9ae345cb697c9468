"""Copies and near copies that `sightline check` finds: all that are planted, and hardly anything else."""

from __future__ import annotations

import io
import shutil

import numpy as np
import pytest
from PIL import Image

from helpers.checking import check, found, make, picture
from sightline.data import duplicates

pytestmark = pytest.mark.draws


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def encoded(image, quality):
    stream = io.BytesIO()
    image.save(stream, "jpeg", quality=quality)
    return Image.open(stream)


def test_planted_duplicates_across_parts(tmp_path, rng):
    make(tmp_path, rng, train=70, test=30)
    train = sorted((tmp_path / "train").rglob("*.jpg"))
    chosen = [train[index] for index in rng.choice(len(train), 70, replace=False)]
    exact, near, bright, small = chosen[:20], chosen[20:40], chosen[40:55], chosen[55:]
    planted: dict[str, set[tuple[str, str]]] = {"exact": set(), "near": set()}

    def plant(path, kind, save, suffix="jpg"):
        target = tmp_path / "test" / path.parent.name / f"planted-{kind}-{path.stem}.{suffix}"
        save(target)
        word = "exact" if kind == "exact" else "near"
        planted[word].add((path.relative_to(tmp_path).as_posix(), target.relative_to(tmp_path).as_posix()))

    for path in exact[:10]:
        plant(path, "exact", lambda target, path=path: shutil.copy(path, target))
    for path in exact[10:]:
        plant(path, "exact", Image.open(path).save, "png")
    for path in near:
        plant(path, "near", encoded(Image.open(path), 75).save)
    for path in bright:
        brighter = Image.eval(Image.open(path), lambda level: min(255, level * 0.85 + 20))
        plant(path, "bright", brighter.save, "png")
    for path in small:
        plant(path, "small", Image.open(path).resize((42, 42), Image.Resampling.BICUBIC).save, "png")
    kinds = found(check(tmp_path))
    assert set(kinds["exact_across"]) == planted["exact"]
    assert set(kinds["near_across"]) == planted["near"]
    assert set(kinds) == {"exact_across", "near_across"}
    assert set(found(check(tmp_path, near=False))) == {"exact_across"}


def test_duplicates_with_other_labels_are_told_apart(tmp_path, rng):
    make(tmp_path, rng)
    shutil.copy(tmp_path / "train/cat/001.jpg", tmp_path / "test/dog/copy.jpg")
    encoded(Image.open(tmp_path / "train/cat/002.jpg"), 75).save(tmp_path / "train/dog/near.jpg")
    report = check(tmp_path)
    assert found(report) == {
        "exact_other_label": [("train/cat/001.jpg", "test/dog/copy.jpg")],
        "near_other_label": [("train/cat/002.jpg", "train/dog/near.jpg")],
    }
    entry = report["problems"][0]["found"][0]
    assert (entry["labels"], entry["parts"], entry["similarity"]) == (["cat", "dog"], ["train", "test"], 1)


def test_similarity_is_the_correlation_and_blocks_lose_no_pair(rng, monkeypatch):
    thumbnails = np.stack([duplicates.thumbnail(np.asarray(picture(rng))) for _ in range(60)])
    copies = np.clip(thumbnails[:25] * rng.uniform(0.7, 1, (25, 1, 1)) + rng.normal(0, 3, (25, 32, 32)), 0, 255)
    everything = np.concatenate([thumbnails, copies.astype(np.uint8)])
    parts = np.repeat([0, 1], [60, 25])
    pairs = duplicates.near_duplicates(everything, parts)
    assert {(pair.first, pair.later) for pair in pairs} == {(index, 60 + index) for index in range(25)}
    for pair in pairs:
        flat = [everything[row].reshape(-1).astype(float) for row in (pair.first, pair.later)]
        assert pair.similarity == pytest.approx(np.corrcoef(*flat)[0, 1], abs=1e-5)
    monkeypatch.setattr(duplicates, "BLOCK", 7)
    in_blocks = duplicates.near_duplicates(everything, parts)
    assert [pair[:2] for pair in in_blocks] == [pair[:2] for pair in pairs]


def test_pictures_of_one_colour_do_not_match_each_other(rng):
    flat = np.repeat(np.arange(0, 250, 5, dtype=np.uint8), 1024).reshape(-1, 32, 32)
    noisy = flat // 2 + rng.integers(0, 3, flat.shape, dtype=np.uint8)
    both = np.concatenate([flat, noisy])
    assert duplicates.flat(both).all()
    assert duplicates.near_duplicates(both, np.zeros(len(both), np.int64)) == []


def test_smooth_grounds_do_not_match_each_other(rng):
    rise = np.linspace(60, 200, 32)[None, :, None]
    horizons = np.clip(rise + rng.normal(0, 6, (15, 32, 32)), 0, 255).astype(np.uint8)
    assert np.corrcoef(horizons[0].reshape(-1), horizons[1].reshape(-1))[0, 1] > 0.97
    assert duplicates.near_duplicates(horizons, np.zeros(15, np.int64)) == []


def test_where_all_are_alike_only_what_stands_out_counts(rng):
    """As handwritten ones: a picture that is as like many others as the two are like each other is no copy."""
    base = np.asarray(picture(rng).resize((32, 32)).convert("L"), float)
    crowd = np.clip(base + rng.normal(0, 5, (120, 32, 32)), 0, 255).astype(np.uint8)
    assert np.corrcoef(crowd[0].reshape(-1), crowd[1].reshape(-1))[0, 1] > 0.97
    copy = np.clip(crowd[5] * 0.9 + rng.normal(0, 1, (32, 32)), 0, 255).astype(np.uint8)
    pairs = duplicates.near_duplicates(np.concatenate([crowd, copy[None]]), np.zeros(121, np.int64))
    assert [(pair.first, pair.later) for pair in pairs] == [(5, 120)]


def test_a_crowd_of_copies_stays_small():
    rng = np.random.default_rng(1)
    base = rng.integers(30, 220, (32, 32))
    copies = (base + rng.integers(0, 3, (300, 32, 32))).astype(np.uint8)
    parts = np.repeat([0, 1, 2], 100)
    pairs = duplicates.near_duplicates(copies, parts)
    assert len(pairs) == 99 + 2 * 100 - 1 + 3 * 100 - 1, "each with one of each part up to its own"
    assert len({(pair.later, int(parts[pair.first])) for pair in pairs}) == len(pairs)
