"""Labelled images: named datasets and folders of pictures, one decoder, near duplicates, groups, splits and folds.

`load` reads; `split` decides which images train, select and test.
"""

from __future__ import annotations

from sightline.data.catalog import dataset_names
from sightline.data.decoder import decode, decode_raw, fit_images
from sightline.data.folder import FolderData
from sightline.data.image_set import ImageData, ImageSet
from sightline.data.load import load, load_test, resized
from sightline.data.lookup import DatasetStatus, get_dataset, list_datasets
from sightline.data.preprocessing import Preprocessing, fit_preprocessing, unit_preprocessing
from sightline.data.source import folder_path
from sightline.data.split import Splits, split

__all__ = [
    "DatasetStatus",
    "FolderData",
    "ImageData",
    "ImageSet",
    "Preprocessing",
    "Splits",
    "dataset_names",
    "decode",
    "decode_raw",
    "fit_images",
    "fit_preprocessing",
    "folder_path",
    "get_dataset",
    "list_datasets",
    "load",
    "load_test",
    "resized",
    "split",
    "unit_preprocessing",
]
