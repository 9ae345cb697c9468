"""A network and its input step as a function from pixels to probabilities, always in float32."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sightline.classifier import model_file
from sightline.classifier.input_step import InputStep
from sightline.data.preprocessing import Preprocessing
from sightline.device import as_tensor, channels_last, explain_memory, full_precision
from sightline.errors import FileError, UsageError
from sightline.models import lay_out
from sightline.recipes.timm_catalog import import_timm
from sightline.settings.model import (
    CnnSettings,
    ModelSettings,
    PadResNetSettings,
    ResNetSettings,
    SprintSettings,
    TimmSettings,
)


@contextlib.contextmanager
def evaluation_mode(module: nn.Module) -> Generator[None]:
    """Batch norm and dropout as in evaluation; afterwards each part is in the mode it was in."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


class TorchBackend:
    """Probabilities from a torch module. One that `trains` meanwhile is put back into its mode after each call.

    For another, which is in evaluation mode for good, changing modes would be a third of the time of a small network's
    answer for one image. `temperature` divides the logits; a network that trains has none.
    """

    def __init__(
        self,
        module: nn.Module,
        preprocessing: Preprocessing,
        device: torch.device,
        *,
        trains: bool = True,
        temperature: float = 1.0,
    ) -> None:
        self.module = module.to(device)
        self.device = device
        self.temperature = temperature
        self._mode = evaluation_mode if trains else contextlib.nullcontext
        if not trains:
            module.eval()
        self._input = InputStep(preprocessing).to(device)

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 (N, H, W, C) to float32 (N, K); each row sums to 1."""
        return self._answers(pixels, lambda logits: torch.softmax(logits / self.temperature, dim=1))

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 (N, H, W, C) to float32 (N, K), before the temperature and the softmax."""
        return self._answers(pixels, lambda logits: logits)

    def _answers(self, pixels: NDArray[np.uint8], of: Callable[[torch.Tensor], torch.Tensor]) -> NDArray[np.float32]:
        with (
            self._mode(self.module),
            torch.inference_mode(),
            full_precision(),
            explain_memory("inference", "Use smaller batches."),
        ):
            return of(self.module(self.prepared(pixels)).float()).cpu().numpy()

    def prepared(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        """uint8 (N, H, W, C) to what the network is given, float (N, C, H, W) on its device."""
        images = self._input(as_tensor(np.ascontiguousarray(pixels)).to(self.device))
        return images.contiguous(memory_format=torch.channels_last)


def from_file(
    path: Path, module: nn.Module | None, device: torch.device
) -> tuple[TorchBackend, model_file.ModelHeader]:
    """Read a model file into its network, or into `module` if the file holds a user's own.

    Raises FileError where the file is damaged, foreign, or does not fit the module.
    """
    tensors, header = model_file.load(path)
    if module is None:
        if header.model is None:
            raise FileError(
                str(path),
                f"it holds the weights of your own class {header.module}",
                advice="Load it from Python with sightline.load(path, module=...).",
            )
        module = _laid_out(path, header.model, header, len(tensors))
        # Nothing is allocated before it is known that the network is as large as the file.
        _fill(path, module, {name: tensor.to("meta") for name, tensor in tensors.items()})
        module.to_empty(device="cpu")
    _fill(path, module, tensors)
    backend = TorchBackend(
        channels_last(module), header.preprocessing, device, trains=False, temperature=header.temperature
    )
    return backend, header


def _laid_out(path: Path, settings: ModelSettings, header: model_file.ModelHeader, most_tensors: int) -> nn.Module:
    """The network that a file's header describes, without memory for its tensors."""
    if _blocks(settings) > most_tensors:
        raise FileError(str(path), f"its header describes more layers than its {most_tensors} tensors can fill")
    size = header.preprocessing
    if isinstance(settings, TimmSettings):
        try:
            import_timm()
        except UsageError as error:
            raise UsageError(str(path), error.found, advice=error.advice) from error
    try:
        return lay_out(
            settings,
            channels=size.channels,
            image_size=(size.height, size.width),
            num_classes=len(header.class_names),
        )
    except UsageError as error:
        reason = f"{error.found} (expected {error.expected})" if error.expected else error.found
    except (RuntimeError, TypeError, OverflowError):  # torch's, for sizes beyond 64 bits
        reason = "it would be larger than any memory"
    raise FileError(str(path), f"its header describes a network that cannot be built: {reason}"[:400])


def _blocks(settings: ModelSettings) -> int:
    """How many layers or blocks the settings ask for one by one; each has tensors of its own."""
    match settings:
        case CnnSettings():
            return len(settings.conv_widths)
        case ResNetSettings():
            return sum(settings.stage_depths)
        case PadResNetSettings():
            return len(settings.block_widths)
        case SprintSettings():
            return len(settings.stage_widths)
        case _:
            return 0


def _fill(path: Path, module: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    try:
        model_file.fill(module, tensors)
    except ValueError as error:
        reason = str(error).rstrip(".")
        raise FileError(str(path), f"its tensors do not fit the network: {reason}"[:400]) from None
