"""The largest difference between tensors of the same names, and tables of such."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Difference:
    """How far `count` tensors are apart at most, where, and how large their largest value is."""

    network: str
    row: str
    what: str
    count: int
    difference: float
    where: str
    size: float
    tolerance: float

    @property
    def within(self) -> bool:
        """Whether it is no more than the tolerance."""
        return self.difference < self.tolerance


def largest(
    network: str,
    row: str,
    what: str,
    ours: Mapping[str, NDArray],
    theirs: Mapping[str, NDArray],
    tolerance: float,
) -> Difference:
    """Compare every tensor of `theirs`. Raises ValueError for another shape or a value that is not finite."""
    worst, where, size = 0.0, "", 0.0
    for name, expected in theirs.items():
        found = ours[name]
        if found.shape != expected.shape:
            raise ValueError(f"{network}, {name}: shape {found.shape}, expected {expected.shape}")
        apart = float(np.abs(found.astype(np.float64) - expected).max())
        if not np.isfinite(apart):
            raise ValueError(f"{network}, {name}: not finite")
        if apart >= worst:
            worst, where = apart, name
        size = max(size, float(np.abs(expected).max()))
    return Difference(network, row, what, len(theirs), worst, where, size, tolerance)


def markdown(rows: Sequence[Difference]) -> str:
    """The rows as a table."""
    lines = ["| network | of | what | tensors | largest value | max difference | |", "|---|---|---|--:|--:|--:|---|"]
    for r in rows:
        verdict = "" if r.within else f"MORE THAN {r.tolerance:g} in {r.where}"
        figures = f"{r.count} | {r.size:.3g} | {r.difference:.1e}"
        lines.append(f"| {r.network} | {r.row} | {r.what} | {figures} | {verdict} |")
    return "\n".join(lines)
