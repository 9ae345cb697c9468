"""A run's images, loaded again and held against what the run recorded of them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sightline.data import Splits, load, split, verify
from sightline.runs.folder import RunFolder


def images_of_run(run: RunFolder, changes: Mapping[str, Any] = MappingProxyType({})) -> Splits:
    """Load a run's images and split them as it did; `changes` replaces some of its data settings, such as `data_dir`.

    Raises DataError where they are not the same as when the run was trained, or cannot be loaded.
    """
    own = run.settings()
    settings = own.data.replace(**changes)
    splits = split(load(settings), settings, own.training.watch_test)
    verify(run.fact("splits"), splits)
    return splits
