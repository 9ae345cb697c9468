"""The model file that is tested: what was found out of its weights stays with them, and goes with them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from sightline.classifier import model_file
from sightline.classifier.header import ModelHeader
from sightline.errors import FileError
from sightline.evaluation.predictions import forget_explanations
from sightline.runs.folder import RunFolder
from sightline.training.reporter import Reporter


def save_tested(
    folder: RunFolder, path: Path, tensors: Mapping[str, torch.Tensor], header: ModelHeader, reporter: Reporter
) -> float:
    """Write a run's model file that is tested, and give its temperature.

    A file that holds just these tensors already keeps the temperature that was fitted to them. With others
    calibration.json and the test's explanations go, which tell of the former ones.
    """
    temperature = _temperature_of(path, tensors)
    if temperature is None:
        forget_explanations(folder.test_folder)
        if folder.forget_fact("calibration"):
            reporter.note("the temperature fitted to the run's former weights is gone with them; calibrate again")
        temperature = 1.0
    model_file.save(path, tensors, header.model_copy(update={"temperature": temperature}))
    return temperature


def _temperature_of(path: Path, tensors: Mapping[str, torch.Tensor]) -> float | None:
    """The temperature of a model file that holds just these tensors; None for any other."""
    try:
        found, header = model_file.load(path)
    except FileError:
        return None
    same = found.keys() == tensors.keys() and all(torch.equal(found[name], tensors[name].cpu()) for name in found)
    return header.temperature if same else None
