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

if TYPE_CHECKING:
    from sightline.checking.check import CheckResult, check
    from sightline.classifier import Classifier, Prediction, load
    from sightline.classifier.onnx_export import ExportResult, export
    from sightline.classifier.summary import summary
    from sightline.comparison.compare import ComparisonResult, compare, resume_comparison
    from sightline.errors import (
        DataError,
        FileError,
        ImageError,
        Interrupted,
        NumericError,
        ResourceError,
        SightlineError,
        UsageError,
    )
    from sightline.evaluation.calibrate import CalibrationResult, calibrate
    from sightline.evaluation.test import TestResult, test
    from sightline.models import ModelSummary
    from sightline.reporting.card import CardResult, card
    from sightline.reporting.make import ReportResult, report
    from sightline.runs.listing import ListedRun, RunList, list_runs
    from sightline.settings import Settings
    from sightline.training.resume import resume
    from sightline.training.train import TrainResult, train
    from sightline.tuning.tune import TuneResult, resume_study, tune

# Torch's threads spin while they wait for each other. Where another program has one of the cores, each wait then lasts
# until the system takes the core away: small networks trained 30 times slower. Must be set before torch is loaded.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")

_ROOMS = {
    "checking.check": (
        "CheckResult",
        "check",
    ),
    "classifier": (
        "Classifier",
        "Prediction",
        "load",
    ),
    "classifier.onnx_export": (
        "ExportResult",
        "export",
    ),
    "classifier.summary": ("summary",),
    "comparison.compare": (
        "ComparisonResult",
        "compare",
        "resume_comparison",
    ),
    "errors": (
        "DataError",
        "FileError",
        "ImageError",
        "Interrupted",
        "NumericError",
        "ResourceError",
        "SightlineError",
        "UsageError",
    ),
    "evaluation.calibrate": (
        "CalibrationResult",
        "calibrate",
    ),
    "evaluation.test": (
        "TestResult",
        "test",
    ),
    "models": ("ModelSummary",),
    "reporting.card": (
        "CardResult",
        "card",
    ),
    "reporting.make": (
        "ReportResult",
        "report",
    ),
    "runs.listing": (
        "ListedRun",
        "RunList",
        "list_runs",
    ),
    "settings": ("Settings",),
    "training.resume": ("resume",),
    "training.train": (
        "TrainResult",
        "train",
    ),
    "tuning.tune": (
        "TuneResult",
        "resume_study",
        "tune",
    ),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "CalibrationResult",
    "CardResult",
    "CheckResult",
    "Classifier",
    "ComparisonResult",
    "DataError",
    "ExportResult",
    "FileError",
    "ImageError",
    "Interrupted",
    "ListedRun",
    "ModelSummary",
    "NumericError",
    "Prediction",
    "ReportResult",
    "ResourceError",
    "RunList",
    "Settings",
    "SightlineError",
    "TestResult",
    "TrainResult",
    "TuneResult",
    "UsageError",
    "calibrate",
    "card",
    "check",
    "compare",
    "export",
    "list_runs",
    "load",
    "report",
    "resume",
    "resume_comparison",
    "resume_study",
    "summary",
    "test",
    "train",
    "tune",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("sightline")
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'sightline' has no attribute '{name}'")
    return getattr(import_module(f"sightline.{_ROOM_OF[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
