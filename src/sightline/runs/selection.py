"""Which epoch is the best: the one with the highest metric on validation images, the earliest of equals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeVar

Select = Literal["accuracy", "balanced_accuracy", "macro_f1", "last"]
Row = TypeVar("Row", bound=Mapping[str, str] | Mapping[str, float])


def is_better(value: float, best: float | None, select: Select) -> bool:
    """Whether an epoch takes the place of the best before it; with `last` every epoch does. `best`: None at first."""
    return best is None or select == "last" or value > best


def selected_row(rows: Sequence[Row], select: Select) -> Row | None:
    """The selected epoch's row of results.csv, as text or as numbers; None where no epoch was validated."""
    column = "val_accuracy" if select == "last" else f"val_{select}"
    best: Row | None = None
    for row in rows:
        if row.get("val_accuracy") in (None, "") or row.get(column) in (None, ""):
            continue
        if is_better(float(row[column]), None if best is None else float(best[column]), select):
            best = row
    return best
