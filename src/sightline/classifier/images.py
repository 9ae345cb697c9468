"""The images that a trained classifier is looked at with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sightline.data import load_test
from sightline.errors import DataError, UsageError
from sightline.runs.folder import RunFolder
from sightline.runs.images import images_of_run

if TYPE_CHECKING:
    from sightline.classifier.classifier import Classifier
    from sightline.data import ImageSet
    from sightline.settings import DataSettings


def images_to_test(
    path: Path,
    run: RunFolder | None,
    classifier: Classifier,
    settings: DataSettings | None,
    changes: Mapping[str, Any] = MappingProxyType({}),
    tell: Callable[[str], object] | None = None,
) -> ImageSet:
    """Find the images that a test or an export of `path` looks at: those that `settings` name, else the run's own.

    The run's own must be the same as when it was trained. `tell` is given what people should know of where the images
    were found. Raises UsageError for a model file without data, DataError where there are no test images, or not the
    same.
    """
    if settings is not None:
        return load_test(settings, classifier.class_names, classifier.preprocessing, tell=tell)
    if run is None:
        raise UsageError(
            str(path), "it is a model file, which names no data", advice="Add --data NAME or --data FOLDER."
        )
    test = images_of_run(run, changes).test
    if test is None:
        raise DataError(str(path), "this run has no test images", advice="Add --data NAME or --data FOLDER.")
    return test
