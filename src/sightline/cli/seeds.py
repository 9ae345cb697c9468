"""What commands that train several seeds have in common: which seeds, and flags that do not go together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sightline.errors import UsageError

NUMBERS = re.compile(r"\d{1,9}(,\d{1,9})*")


def seeds_of(text: str) -> Sequence[int]:
    """Read --seeds: a number of seeds, which then count from 0, or several of them."""
    if NUMBERS.fullmatch(text) is None:
        raise UsageError("--seeds", f"'{text}' found", "a number of seeds, or several seeds as in 3,4,5")
    numbers = [int(part) for part in text.split(",")]
    return range(numbers[0]) if "," not in text else numbers


def leave_out(given: Mapping[str, Any], beside: str, why: str) -> None:
    """Refuse the first flag of `given` that has a value; None is none."""
    for flag, value in given.items():
        if value is not None:
            raise UsageError(flag, f"given with {beside}", why, "leave it out")
