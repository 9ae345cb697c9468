"""Order of batches: every image once an epoch, the same from any step, no batch of one."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from sightline.data.image_set import ImageSet
from sightline.training.batches import BatchOrder, ResidentImages

counts = st.integers(2, 60)
sizes = st.integers(2, 70)


@given(counts, sizes, st.integers(0, 5), st.integers(0, 3))
def test_keep_shows_every_image_once_an_epoch_and_never_one_alone(n: int, b: int, seed: int, epoch: int) -> None:
    order = BatchOrder(n, b, seed)
    start = epoch * order.steps_per_epoch
    batches = [order.indices(step) for step in range(start, start + order.steps_per_epoch)]
    assert sorted(np.concatenate(batches)) == list(range(n))
    assert min(len(batch) for batch in batches) >= 2


@given(counts, sizes, st.integers(0, 5))
def test_wrap_has_one_size_and_shows_images_equally_often(n: int, b: int, seed: int) -> None:
    order = BatchOrder(n, b, seed, "wrap")
    batches = [order.indices(step) for step in range(2 * n)]
    assert {len(batch) for batch in batches} == {b}
    seen = np.bincount(np.concatenate(batches), minlength=n)
    assert seen.max() - seen.min() <= 1


def test_epochs_and_seeds_differ() -> None:
    order = BatchOrder(50, 50, 1)
    assert (order.indices(0) != order.indices(1)).any()
    assert (order.indices(0) != BatchOrder(50, 50, 2).indices(0)).any()
    assert (order.indices(3) == BatchOrder(50, 50, 1).indices(3)).all()


def test_gather_takes_the_rows_of_the_set(tmp_path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 4, 5, 3), np.uint8)
    names = tuple("abcde")
    every = ImageSet.from_arrays(pixels, np.arange(20) % 5, [str(i) for i in range(20)], names)
    part = every.select(np.array([3, 17, 4, 9]))
    np.save(tmp_path / "pixels.npy", pixels)
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    on_disk = ImageSet(mapped, part.rows, part.labels, part.ids, names)
    for images in (part, on_disk):
        found, labels = ResidentImages(images, torch.device("cpu")).gather(np.array([2, 0]), torch.tensor([2, 0]))
        assert (found.numpy() == pixels[[4, 3]]).all()
        assert labels.tolist() == [4, 3]
