"""The model file: one safetensors file of weights whose header says everything needed to use them.

Header key `sightline` holds JSON: format_version, model (its settings), class_names, preprocessing, and temperature
where the file is calibrated; key `sightline_sha256` the sum of all the rest, which is checked when the file is read. No
date, path or run name, so that equal weights are equal bytes. Nothing in it can run code, and pickles are refused.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from sightline.classifier.header import FORMAT_VERSIONS, HEADER_KEY, ModelHeader, header_text, read_header
from sightline.errors import FileError
from sightline.files import atomic
from sightline.files.reading import refuse_no_file
from sightline.files.sums import SUM_KEY
from sightline.models.tensor_sums import is_whole, sum_of

HEAD = 9
"""Bytes that tell what a file is: a safetensors file begins with its header's length and the header's brace."""
RESTORE = "Restore a copy of it, or train again."


def save(path: Path, tensors: Mapping[str, torch.Tensor], header: ModelHeader) -> None:
    """Write a model file, whole or not at all."""
    atomic.write_bytes(path, pack(tensors, {HEADER_KEY: header_text(header)}))


def load(path: Path) -> tuple[dict[str, torch.Tensor], ModelHeader]:
    """The tensors and the header. Raises FileError for anything but a whole model file of this format."""
    tensors, metadata = unpack(path)
    text = metadata.get(HEADER_KEY)
    if text is None:
        raise FileError(str(path), "it has no Sightline header", "a Sightline model file")
    return tensors, read_header(str(path), text, ModelHeader, FORMAT_VERSIONS)


def pack(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> bytes:
    """Safetensors bytes of `tensors`, each copied to the CPU and made contiguous, and of their sum."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return _in_order(save_tensors(plain, {**metadata, SUM_KEY: sum_of(plain, metadata)}))


def unpack(path: Path, advice: str = RESTORE) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and header strings of a safetensors file.

    Raises FileError for anything else, and with `advice` where they have changed since they were written.
    """
    refuse_no_file(path)
    try:
        with path.open("rb") as stream:
            start = stream.read(HEAD)
            _refuse_foreign(path, start)
            if path.stat().st_size < 8 + struct.unpack("<Q", start[:8])[0]:
                raise FileError(str(path), "it is truncated or damaged", "a complete safetensors file")
            stream.seek(0)
            content = stream.read()
    except FileNotFoundError:
        raise FileError(str(path), "no such file") from None
    except OSError as error:
        raise FileError(str(path), f"it cannot be read ({error.strerror})") from None
    try:
        tensors = load_tensors(content)
        metadata = _metadata(content)
    except (SafetensorError, ValueError, LookupError, AttributeError, TypeError, OverflowError, struct.error) as error:
        raise FileError(str(path), "it is truncated or damaged", "a complete safetensors file") from error
    if not is_whole(tensors, metadata):
        raise FileError(str(path), "it has changed since it was written, by the SHA-256 in its header", advice=advice)
    return tensors, metadata


def fill(module: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Copy `tensors` into `module`. Raises ValueError, naming them, unless names and shapes are just the module's."""
    lacking = [f'"{name}"' for name in module.state_dict() if name not in tensors]
    if lacking:  # torch itself overlooks the counter of a batch norm
        raise ValueError(f"Missing key(s): {', '.join(lacking)}.")
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(" ".join(str(error).split("\n\t")[1:]) or str(error)) from None


def _refuse_foreign(path: Path, content: bytes) -> None:
    # The length may be any bytes.
    if (content[:1] == b"\x80" or content[:2] == b"PK") and content[8:9] != b"{":
        raise FileError(str(path), "it is a pickle, which can run code when it is read", "a Sightline model file")
    if len(content) < 8:
        raise FileError(str(path), f"it has {len(content)} bytes, too few for a header", "a complete safetensors file")


def _in_order(content: bytes) -> bytes:
    """Sort a header's strings, which safetensors writes in any order: equal weights are to be equal bytes."""
    (length,) = struct.unpack("<Q", content[:8])
    header: dict[str, Any] = json.loads(content[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)
    return b"".join((struct.pack("<Q", len(text)), text, memoryview(content)[8 + length :]))


def _metadata(content: bytes) -> dict[str, str]:
    (length,) = struct.unpack("<Q", content[:8])
    header: dict[str, Any] = json.loads(content[8 : 8 + length])
    return header.get("__metadata__", {})
