"""Reading a dataset by its name, or pictures of one's own, at the size and in the channels that are asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sightline.data.decoder import fit_images
from sightline.data.folder import load_folder, load_test_folder, refuse_extra_classes, unseen_test
from sightline.data.folds import fold_numbers, fold_of
from sightline.data.image_set import ImageData, ImageSet
from sightline.data.preprocessing import Preprocessing
from sightline.data.readers import READERS
from sightline.settings.data import DataSettings


def load(settings: DataSettings, *, quiet: bool = False) -> ImageData:
    """Read a dataset by its name, or pictures of one's own, at the size and in the channels that `settings` ask for.

    A dataset's name means the dataset even where a folder is called so; write `./mnist` for the folder. Raises
    UsageError for a name that is neither and for a fold that cannot be made, DataError for files or pictures that
    cannot be used.
    """
    if settings.fold is not None:
        fold, count = settings.fold
        pool = load_pool(settings, quiet=quiet)
        return fold_of(pool, fold_numbers(pool.train, count, settings.split_seed), fold)
    reader = READERS.get(settings.name)
    if reader is None:
        return load_folder(settings, quiet=quiet)
    return resized(reader(settings, quiet=quiet), settings)


def load_pool(settings: DataSettings, *, quiet: bool = False) -> ImageData:
    """Read what folds are made of, as `train`: all pictures but those of a test part, which stay unseen.

    Raises as `load` does.
    """
    reader = READERS.get(settings.name)
    if reader is None:
        return load_folder(settings, quiet=quiet, pool=True)
    data = reader(settings, quiet=quiet)
    assert data.val is None and data.test is not None, "every dataset with a name has these two parts"
    notes = (*data.notes, unseen_test(len(data.test)))
    return resized(replace(data, test=None, notes=notes), settings)


def load_test(
    settings: DataSettings,
    class_names: tuple[str, ...],
    preprocessing: Preprocessing,
    *,
    quiet: bool = False,
    tell: Callable[[str], object] | None = None,
) -> ImageSet:
    """Read only the test images of a dataset or of pictures of one's own, at the size that a model wants them.

    A folder with `test/` gives that, one with a folder per class all of it; labels follow `class_names`, the model's.
    The test part that a run held out of such a folder for itself is another thing: `load` and `split` give it.
    `tell` is given what people should know of where the images were found, and of what is left out. Some classes may
    have no image. Raises DataError for classes that the model does not have, and as `load` does.
    """
    reader = READERS.get(settings.name)
    if reader is None:
        images, notes = load_test_folder(settings, class_names, preprocessing, quiet=quiet)
        if tell is not None:
            for note in notes:
                tell(note)
        return images
    height, width, channels = preprocessing.height, preprocessing.width, preprocessing.channels
    if settings.name == "synthetic":
        settings = settings.replace(image_size=max(height, width), channels=channels)
    test = reader(settings, quiet=quiet).test
    assert test is not None, "every dataset with a name has test images"
    refuse_extra_classes(settings.name, test.class_names, class_names)
    order = np.array([class_names.index(name) for name in test.class_names], np.int64)
    pixels = fit_images(test.images(), (height, width, channels), preprocessing.resizing)
    return ImageSet.from_arrays(pixels, order[test.labels], test.ids, class_names)


def resized(data: ImageData, settings: DataSettings) -> ImageData:
    """Bring images that are there to the size and the channels that `settings` ask for, once where parts share them.

    What was brought there before comes back as it is, so that nothing is cut twice. Training images that are larger are
    also kept at the size that random crops are cut from, or at their own where that is less.
    """
    height, width, channels = data.train.size
    if settings.image_size is not None:
        height = width = settings.image_size
    size = (height, width, settings.channels or channels)
    if data.train.size == size and data.resizing == settings.resizing:
        return data
    done: dict[int, NDArray[np.uint8]] = {}

    def bring(part: ImageSet) -> ImageSet:
        if id(part.pixels) not in done:
            done[id(part.pixels)] = fit_images(part.pixels, size, settings.resizing)
        return replace(part, pixels=done[id(part.pixels)])

    val, test = (None if part is None else bring(part) for part in (data.val, data.test))
    larger = min(settings.cache_side(max(height, width)), max(data.train.size[:2]))
    train = bring(data.train)
    if larger > max(height, width):
        whole = settings.resizing._replace(crop_fraction=1.0)
        train = replace(train, larger=fit_images(data.train.pixels, (larger, larger, size[2]), whole))
    return replace(data, train=train, val=val, test=test, resizing=settings.resizing)
