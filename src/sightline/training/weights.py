"""The network that is validated, selected and saved, and its model files in a run's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from sightline.classifier import Classifier, model_file
from sightline.classifier.header import ModelHeader
from sightline.classifier.torch_backend import TorchBackend
from sightline.errors import FileError
from sightline.evaluation.predictions import forget_explanations
from sightline.runs.folder import RunFolder
from sightline.runs.records import Calibration
from sightline.training.reporter import Reporter

Weights = Mapping[str, torch.Tensor]


class RunWeights:
    """A run's tested network: the trained one, or its moving average where that is on."""

    def __init__(
        self, folder: RunFolder, network: nn.Module, header: ModelHeader, device: torch.device, reporter: Reporter
    ) -> None:
        self.network = network
        self._folder, self._header, self._device, self._reporter = folder, header, device, reporter

    def classifier(self, temperature: float = 1.0) -> Classifier:
        """The network, with the weights that it has whenever it is used, as a classifier."""
        header = self._header
        backend = TorchBackend(self.network, header.preprocessing, self._device, temperature=temperature)
        return Classifier(backend, header.preprocessing, header.class_names, header.model, temperature)

    def save_best(self, best: Weights) -> None:
        """Write the model file of the best epoch so far."""
        self._save_tested(self._folder.best_weights, best)

    def finish(self, best: Weights | None) -> Classifier:
        """Write the last weights, and `best` where validation chose; give the classifier that is to be tested."""
        last = self.network.state_dict()
        if best is None:
            return self.classifier(self._save_tested(self._folder.last_weights, last))
        model_file.save(self._folder.last_weights, last, self._header)
        temperature = self._save_tested(self._folder.best_weights, best)
        self.network.load_state_dict(best)
        return self.classifier(temperature)

    def _save_tested(self, path: Path, tensors: Weights) -> float:
        """Write the model file that is tested, and give its temperature.

        A file that holds just these tensors already keeps the temperature that was fitted to them. With others
        calibration.json and the test's explanations go, which tell of the former ones.
        """
        temperature = _temperature_of(path, tensors)
        if temperature is None:
            if forget_explanations(self._folder.test_folder):
                self._reporter.note("the explanations were removed, because they belong to other predictions")
            if self._folder.forget(Calibration):
                self._reporter.note(
                    "the temperature was removed, because it belongs to the former weights; calibrate again"
                )
            temperature = 1.0
        model_file.save(path, tensors, self._header.model_copy(update={"temperature": temperature}))
        return temperature


def _temperature_of(path: Path, tensors: Weights) -> float | None:
    """The temperature of a model file that holds just these tensors; None for any other."""
    try:
        stored, header = model_file.load(path)
    except FileError:
        return None
    same = stored.keys() == tensors.keys() and all(torch.equal(stored[name], tensors[name].cpu()) for name in stored)
    return header.temperature if same else None
