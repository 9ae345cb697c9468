"""Reading weights that others wrote, safetensors or torch.save's, so that nothing in the file can run."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from sightline.errors import FileError
from sightline.files.atomic import sha256_of
from sightline.files.reading import refuse_no_file
from sightline.models.tensor_sums import is_whole

EXPECTED = "a state dict of torch.save (.pth, .pt), or safetensors"
# Where training scripts keep the state dict in a larger checkpoint.
STATE_DICT_KEYS = ("state_dict", "model_state_dict", "model_state", "model", "net", "weights")
RESTORE = "Restore a copy of it."
# What wrappers put before every name: data parallel, torch.compile, Lightning.
PREFIXES = ("module.", "_orig_mod.", "model.")


@dataclass(frozen=True)
class WeightsFile:
    """The tensors of a file by their names, on the CPU, as stored; `metadata` is a safetensors header's."""

    subject: str
    sha256: str
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Each tensor's shape."""
        return {name: tuple(tensor.shape) for name, tensor in self.tensors.items()}


def read_weights(path: Path, subject: str | None = None) -> WeightsFile:
    """Read a file by what is in it, whatever it is called; `subject` names it in messages.

    Raises FileError, in one line, for a file that is missing, damaged, something else, or holds more than tensors.
    """
    subject = subject or str(path)
    refuse_no_file(path, expected=EXPECTED)
    try:
        with path.open("rb") as stream:
            start = stream.read(9)
        sha256 = sha256_of(path)
    except FileNotFoundError:
        raise FileError(subject, "no such file", EXPECTED) from None
    except OSError as error:
        raise FileError(subject, f"it cannot be read ({(error.strerror or type(error).__name__).lower()})") from None
    if start[8:] == b"{":
        tensors, metadata = _safetensors(path, subject)
    elif start[:1] == b"\x80" or start[:2] == b"PK":
        tensors, metadata = _without_prefix(_state_dict(subject, _torch(path, subject))), {}
    else:
        raise FileError(subject, "it holds no weights" if start else "it is empty", EXPECTED)
    if not tensors:
        raise FileError(subject, "it holds no tensors", EXPECTED)
    return WeightsFile(subject, sha256, tensors, metadata)


def _safetensors(path: Path, subject: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, "pt", device="cpu") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            metadata: dict[str, str] = opened.metadata() or {}
    except MemoryError:
        raise
    except Exception as error:  # whatever the reader makes of foreign bytes
        raise _damaged(subject, "safetensors file") from error
    if not is_whole(tensors, metadata):
        raise FileError(subject, "it has changed since it was written, by the SHA-256 in its header", advice=RESTORE)
    return tensors, metadata


def _torch(path: Path, subject: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about TorchScript and pickle protocols, said below in one line
            return torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # whatever the reader makes of foreign bytes
        message = str(error)
        holds = re.search(r"GLOBAL ([\w.]+)", message)
        if holds or "Unsupported operand" in message or "TorchScript" in message:
            what = holds[1] if holds else "a program" if "TorchScript" in message else "a pickle's own operations"
            raise FileError(
                subject,
                f"it holds {what}, and reading that could run code",
                "a state dict, which is tensors by their names",
                "If it is yours, save it again with torch.save(model.state_dict(), FILE).",
            ) from error
        raise _damaged(subject, "file of torch.save") from error


def _damaged(subject: str, kind: str) -> FileError:
    return FileError(
        subject, "it is truncated, damaged or something else", f"a complete {kind}", "Download or save it again."
    )


def _state_dict(subject: str, content: Any) -> dict[str, Tensor]:
    """Find the mapping of names to tensors, in `content` itself or below a usual key."""
    candidates = [content]
    if isinstance(content, Mapping):
        candidates += [content[key] for key in STATE_DICT_KEYS if key in content]
    for candidate in candidates:
        if isinstance(candidate, Mapping):
            tensors = {name: value for name, value in candidate.items() if isinstance(value, Tensor)}
            if tensors and len(tensors) == len(candidate) and all(isinstance(name, str) for name in tensors):
                return tensors
    keys = ", ".join(map(repr, list(content)[:5])) if isinstance(content, Mapping) else type(content).__name__
    raise FileError(
        subject,
        f"it holds no state dict, but {keys or 'nothing'}",
        f"tensors by their names, at the top or below {', '.join(STATE_DICT_KEYS)}",
    )


def _without_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    changed = True
    while changed:
        changed = False
        for prefix in PREFIXES:
            if all(name.startswith(prefix) for name in tensors):
                tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
                changed = True
    return tensors
