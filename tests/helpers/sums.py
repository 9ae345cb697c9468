"""Folders whose files may be edited, bits that flip, and all that a run tells."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np

import sightline as sl
from sightline.reporting.facts import Run
from sightline.reporting.subjects import read


def unlisted(folder: Path) -> Path:
    """Make a folder, with the runs in it, one of a version that kept no sums: its files may then be edited."""
    for path in folder.rglob("sums.json"):
        path.unlink()
    return folder


@contextlib.contextmanager
def flipped(path: Path, place: int, bit: int) -> Generator[None]:
    """Change one bit of a file, for a while."""
    before = path.read_bytes()
    content = bytearray(before)
    content[place] ^= 1 << bit
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)


def random_bits(files: list[Path], count: int, seed: int) -> list[tuple[Path, int, int]]:
    """Choose bits: each byte of all files together is as likely as any other, and each file is hit once at least."""
    generator = np.random.default_rng(seed)
    sizes = np.array([path.stat().st_size for path in files])
    chosen = list(range(len(files))) + generator.choice(len(files), count, p=sizes / sizes.sum()).tolist()
    return [(files[i], int(generator.integers(sizes[i])), int(generator.integers(8))) for i in chosen[:count]]


def told(run: Path) -> list[Any]:
    """All that a report, a card and a prediction read of a run, in a form that can be compared. Raises FileError."""
    found = read(run)
    assert isinstance(found, Run)
    facts = [found.settings, found.metrics, found.audit, found.splits, found.environment, found.network]
    facts += [found.forecast, found.epochs, found.is_finished, found.model]
    arrays: list[Any] = []
    if (predictions := found.predictions) is not None:
        arrays += [predictions.ids, predictions.labels, predictions.probabilities, predictions.class_names]
    for stored in (found.mistakes(), found.explanations()):
        arrays += [] if stored is None else [stored.rows, stored.pixels]
    arrays += list(found.samples() or ())
    classifier = sl.load(run, device="cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (8, *classifier.size), np.uint8)
    arrays += [classifier.class_names, classifier.temperature, classifier.probabilities(pixels)]
    return [repr(fact) for fact in facts] + [
        array.tobytes() if isinstance(array, np.ndarray) else repr(array) for array in arrays
    ]
