"""Sightline: the short, straight way from labelled images to a classifier that people can trust.

    import sightline as sl

    result = sl.train("digits")
    classifier = sl.load(result.run)
    print(classifier.predict("seven.png")[0].label)

Importing this module is quick and imports no torch; each name is loaded when it is first used.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# For type checkers. `as` says that a name is passed on.
if TYPE_CHECKING:
    from sightline.checking.check import CheckResult as CheckResult
    from sightline.checking.check import check as check
    from sightline.classifier import Classifier as Classifier
    from sightline.classifier import Prediction as Prediction
    from sightline.classifier import load as load
    from sightline.classifier.onnx_export import ExportResult as ExportResult
    from sightline.classifier.onnx_export import export as export
    from sightline.classifier.summary import summary as summary
    from sightline.comparison.compare import ComparisonResult as ComparisonResult
    from sightline.comparison.compare import compare as compare
    from sightline.comparison.compare import resume_comparison as resume_comparison
    from sightline.data.lookup import DatasetStatus as DatasetStatus
    from sightline.data.lookup import get_dataset as get_dataset
    from sightline.data.lookup import list_datasets as list_datasets
    from sightline.data.pictures import find_pictures as find_pictures
    from sightline.errors import DataError as DataError
    from sightline.errors import FileError as FileError
    from sightline.errors import ImageError as ImageError
    from sightline.errors import Interrupted as Interrupted
    from sightline.errors import NumericError as NumericError
    from sightline.errors import ResourceError as ResourceError
    from sightline.errors import SightlineError as SightlineError
    from sightline.errors import UsageError as UsageError
    from sightline.evaluation.calibrate import CalibrationResult as CalibrationResult
    from sightline.evaluation.calibrate import calibrate as calibrate
    from sightline.evaluation.test import TestResult as TestResult
    from sightline.evaluation.test import test as test
    from sightline.folds.cross_validate import CrossValidationResult as CrossValidationResult
    from sightline.folds.cross_validate import cross_validate as cross_validate
    from sightline.folds.cross_validate import resume_cross_validation as resume_cross_validation
    from sightline.folds.folder import is_cross_validation as is_cross_validation
    from sightline.models import ModelSummary as ModelSummary
    from sightline.recipes import Recipe as Recipe
    from sightline.recipes import list_recipes as list_recipes
    from sightline.recipes import load_recipe as load_recipe
    from sightline.reporting.card import CardResult as CardResult
    from sightline.reporting.card import card as card
    from sightline.reporting.make import ReportResult as ReportResult
    from sightline.reporting.make import report as report
    from sightline.runs.listing import ListedRun as ListedRun
    from sightline.runs.listing import RunList as RunList
    from sightline.runs.listing import list_runs as list_runs
    from sightline.runs.verify import VerifiedFolder as VerifiedFolder
    from sightline.runs.verify import VerifyResult as VerifyResult
    from sightline.runs.verify import verify as verify
    from sightline.serving.serve import ServerInfo as ServerInfo
    from sightline.serving.serve import serve as serve
    from sightline.settings import Settings as Settings
    from sightline.training.forecast import ForecastResult as ForecastResult
    from sightline.training.forecast import forecast as forecast
    from sightline.training.resume import resume as resume
    from sightline.training.train import TrainResult as TrainResult
    from sightline.training.train import train as train
    from sightline.tuning.tune import TuneResult as TuneResult
    from sightline.tuning.tune import resume_study as resume_study
    from sightline.tuning.tune import tune as tune

# Torch's threads spin while they wait for each other. Where another program has one of the cores, each wait then lasts
# until the system takes the core away: small networks trained 30 times slower. Must be set before torch is loaded.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")

_ROOMS = {
    "checking.check": "CheckResult check",
    "classifier": "Classifier Prediction load",
    "classifier.onnx_export": "ExportResult export",
    "classifier.summary": "summary",
    "comparison.compare": "ComparisonResult compare resume_comparison",
    "data.lookup": "DatasetStatus get_dataset list_datasets",
    "data.pictures": "find_pictures",
    "errors": "DataError FileError ImageError Interrupted NumericError ResourceError SightlineError UsageError",
    "evaluation.calibrate": "CalibrationResult calibrate",
    "evaluation.test": "TestResult test",
    "folds.cross_validate": "CrossValidationResult cross_validate resume_cross_validation",
    "folds.folder": "is_cross_validation",
    "models": "ModelSummary",
    "recipes": "Recipe list_recipes load_recipe",
    "reporting.card": "CardResult card",
    "reporting.make": "ReportResult report",
    "runs.listing": "ListedRun RunList list_runs",
    "runs.verify": "VerifiedFolder VerifyResult verify",
    "serving.serve": "ServerInfo serve",
    "settings": "Settings",
    "training.forecast": "ForecastResult forecast",
    "training.resume": "resume",
    "training.train": "TrainResult train",
    "tuning.tune": "TuneResult resume_study tune",
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names.split()}

__all__ = list(_ROOM_OF)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from sightline.installation import version

        return version()
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'sightline' has no attribute '{name}'")
    return getattr(import_module(f"sightline.{_ROOM_OF[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
