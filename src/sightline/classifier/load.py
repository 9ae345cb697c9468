"""Loading a Classifier: from a model file or a run's folder, which needs torch, or from an ONNX file without it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sightline.classifier.classifier import Backend, Classifier
from sightline.errors import FileError, UsageError

if TYPE_CHECKING:
    from torch import nn

    from sightline.classifier.header import ModelHeader

ONNX_SUFFIX = ".onnx"


def load(
    path: str | Path, *, module: nn.Module | None = None, device: str = "auto", threads: int | None = None
) -> Classifier:
    """Load a model file, the selected weights of a run folder, or an ONNX file, which needs no torch.

    `module`: an instance of your own class, for a file that contains one. `threads`: number of threads for an ONNX
    file, None for as many as there are cores; torch has its own setting. Raises FileError (exit code 4) for a file that
    is truncated, has another format or version, is a pickle, or refers to other files; and for weights if torch is not
    installed.
    """
    path = Path(path)
    if path.suffix.lower() == ONNX_SUFFIX and not path.is_dir():
        backend, header = _from_onnx(path, device, threads)
    else:
        backend, header = _from_weights(path, module, device)
    return Classifier(backend, header.preprocessing, header.class_names, header.model, header.temperature)


def _from_weights(path: Path, module: nn.Module | None, device: str) -> tuple[Backend, ModelHeader]:
    from sightline.runs.folder import RunFolder

    if path.is_dir():
        path = RunFolder.open(path).model_file()
    elif not path.exists():
        raise FileError(str(path), "no such run folder or model file")
    try:
        from sightline.classifier.torch_backend import from_file
        from sightline.device import find_device
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        advice = "Make one with sightline export where torch is installed."
        raise FileError(
            str(path), "it holds weights, which need torch, and torch is not installed", "an ONNX file", advice
        ) from error
    return from_file(path, module, find_device(device))


def _from_onnx(path: Path, device: str, threads: int | None) -> tuple[Backend, ModelHeader]:
    from sightline.classifier.onnx_backend import from_file

    if device not in ("auto", "cpu"):
        raise UsageError("--device", f"an ONNX file cannot be computed on {device}", "cpu or auto")
    if not path.exists():
        raise FileError(str(path), "no such ONNX file")
    return from_file(path, threads=threads)
