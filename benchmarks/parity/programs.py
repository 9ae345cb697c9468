"""The reference programs that are compared with Keras: what both sides must agree on beforehand. NumPy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Program:
    """A network, how its weights and images are drawn, and how many training steps of its recipe are compared.

    `images` is (N, H, W, C) of a batch; `steps` 0 compares logits only. `gain` scales the kernels so that the logits
    are of the order of 1 to 10: a tolerance of 1e-4 says nothing about logits of any other size.
    """

    name: str
    row: str
    images: tuple[int, int, int, int]
    steps: int = 0
    gain: float = 1.0
    seed: int = 0


CLASSES = 10
PROGRAMS = {
    program.name: program
    for program in (
        Program("mnist-resnet-pad", "R1, batch norm never trained", (8, 28, 28, 1), steps=2),
        Program("mnist-resnet-pad-bn", "R1, batch norm trained", (8, 28, 28, 1), steps=2),
        Program("mnist-resnet-pad-doubling", "R1, a block that doubles the channels", (8, 28, 28, 1)),
        Program("mnist-cnn", "R2, dropout 0", (8, 28, 28, 1), steps=2),
        Program("cifar10-resnet18", "R4", (4, 32, 32, 3), steps=2),
        Program("mnist-alexnet-small", "R5, small form", (4, 28, 28, 1), steps=2, gain=2.0),
        Program("cifar10-resnet20", "R6, version 1, depth 20", (4, 32, 32, 3), steps=2),
        Program("cifar10-resnet20v2", "R6, version 2, depth 20", (4, 32, 32, 3), steps=2),
    )
}
VALUES = 16


def digest(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """What is stored for the tests of one program's gradients and weights: per kind one table and its rows' names.

    A row has a tensor's root mean square, then up to 16 of its values, from its first to its last. Arrays of no kind,
    such as logits, stay whole.
    """
    kinds: dict[str, dict[str, NDArray[Any]]] = {}
    kept: dict[str, NDArray[Any]] = {}
    for name in sorted(arrays):
        kind, _, tensor = name.partition("/")
        if not tensor:
            kept[name] = arrays[name]
        elif kind != "keras3" and not tensor.endswith("num_batches_tracked"):
            kinds.setdefault(kind, {})[tensor] = summary(arrays[name])
    for kind, rows in kinds.items():
        kept[kind] = np.stack(list(rows.values()))
        kept[f"{kind}.names"] = np.array("\n".join(rows))
    return kept


def summary(value: NDArray[Any]) -> NDArray[np.float32]:
    """A tensor's root mean square, then 16 of its values, or all and zeros; float32 (17,)."""
    flat = value.astype(np.float64).ravel()
    row = np.zeros(1 + VALUES, np.float32)
    row[0] = np.sqrt(np.mean(flat**2))
    chosen = np.linspace(0, flat.size - 1, VALUES).round().astype(int) if flat.size > VALUES else np.arange(flat.size)
    row[1 : 1 + chosen.size] = flat[chosen]
    return row
