"""Weights, images and labels that both sides of a comparison make for themselves, from a seed and a name.

So no weights are stored, and none travel. NumPy only: Keras' side has no torch, and torch's no Keras. The numbers come
from the raw bits of Philox, which NumPy keeps the same for ever, not from its distributions, which it may change.

Names and shapes are PyTorch's, kernels (out, in, H, W) and (out, in); every side brings them into its own form.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray


def uniform(seed: int, name: str, shape: tuple[int, ...], low: float, high: float) -> NDArray[np.float32]:
    """Numbers between `low` and `high`, of 24 random bits each, that depend on nothing but the arguments."""
    key = int.from_bytes(hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=16).digest(), "little")
    count = math.prod(shape)
    raw = np.asarray(np.random.Philox(key=key).random_raw((count + 1) // 2), "<u8").view("<u4")[:count] >> 8
    values = raw.astype(np.float32)
    values *= np.float32((high - low) / 2**24)
    values += np.float32(low)
    return values.reshape(shape)


def weight(seed: int, name: str, shape: tuple[int, ...], gain: float = 2.0) -> NDArray[np.float32]:
    """The tensor called `name`: kernels of variance gain / fan-in, norms and biases far from what they start as.

    A norm's gamma is in 0.5 to 1.5, its moving variance too, its moving mean within 0.2, every bias within 0.1.
    """
    if name.endswith("running_mean"):
        return uniform(seed, name, shape, -0.2, 0.2)
    if name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")):
        return uniform(seed, name, shape, 0.5, 1.5)
    if len(shape) == 1:
        return uniform(seed, name, shape, -0.1, 0.1)
    bound = math.sqrt(3 * gain / math.prod(shape[1:]))
    return uniform(seed, name, shape, -bound, bound)


def weights(seed: int, shapes: Mapping[str, tuple[int, ...]], gain: float = 2.0) -> dict[str, NDArray[np.float32]]:
    """All tensors of `shapes` but the counters of batches, which are no weights."""
    return {n: weight(seed, n, tuple(s), gain) for n, s in shapes.items() if not n.endswith("num_batches_tracked")}


def images(seed: int, name: str, shape: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """Pixels (N, H, W, C) of noise, each image of a range of its own, so that no two have like figures."""
    noise = uniform(seed, f"{name}.pixels", shape, 0, 1)
    low = uniform(seed, f"{name}.low", (shape[0], 1, 1, 1), 0, 100)
    high = uniform(seed, f"{name}.high", (shape[0], 1, 1, 1), 150, 256)
    return np.floor(low + noise * (high - low)).astype(np.uint8)


def labels(seed: int, name: str, count: int, classes: int) -> NDArray[np.int64]:
    """Class numbers (N,)."""
    return np.floor(uniform(seed, f"{name}.labels", (count,), 0, classes)).astype(np.int64)
