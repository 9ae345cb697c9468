"""The sum of a file's tensors, in its own header: a changed bit of a weight is noticed when the file is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import torch

from sightline.files.sums import SUM_KEY


def sum_of(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> str:
    """The SHA-256 of tensors with their names, types and shapes, and of a header's strings but for the sum itself.

    Tensors count in the order of their names, as they lie in a safetensors file: row by row, the lowest byte first.
    """
    named = sorted(tensors.items())
    told = {
        "metadata": {key: value for key, value in metadata.items() if key != SUM_KEY},
        "tensors": [[name, str(tensor.dtype), list(tensor.shape)] for name, tensor in named],
    }
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode("ascii"))
    for _, tensor in named:
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def is_whole(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> bool:
    """Whether a file has the sum that its header says; yes for one of an older version, or another program's."""
    return SUM_KEY not in metadata or metadata[SUM_KEY] == sum_of(tensors, metadata)
