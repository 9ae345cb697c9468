"""Folders of pictures to look over, and what a check finds in them."""

from __future__ import annotations

import numpy as np
from PIL import Image

import sightline


def picture(rng, width=48, height=48):
    """A smooth ground with texture on it, as photographs have."""
    ground = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((width, height), 2)
    texture = rng.integers(-40, 40, (height, width, 1))
    return Image.fromarray(np.clip(np.asarray(ground, int) + texture, 0, 255).astype(np.uint8))


def make(root, rng, train=20, test=8, classes=("cat", "dog")):
    for part, count in (("train", train), ("test", test)):
        for name in classes:
            folder = root / part / name
            folder.mkdir(parents=True)
            for index in range(count):
                picture(rng).save(folder / f"{index:03}.jpg", quality=92)
    return root


def check(root, **options):
    return sightline.check(root, quiet=True, **options).to_dict()


def found(report):
    """What was found: kind -> the files of each case, without their order."""
    kinds: dict[str, list[tuple[str, ...]]] = {}
    for problem in report["problems"]:
        assert problem["count"] == len(problem["found"])
        name = problem["found"][0].get("picture_kind", problem["kind"])
        kinds[name] = sorted(tuple(entry["files"]) for entry in problem["found"])
    return kinds
