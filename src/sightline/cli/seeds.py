"""What commands that train several seeds have in common."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sightline.errors import UsageError

NUMBERS = re.compile(r"\d{1,9}(,\d{1,9})*,?")


def seeds_of(text: str) -> Sequence[int]:
    """Read --seeds: a number of seeds, which then count from 0; or which, as in `3,4,5`, a lone one as in `3,`."""
    if NUMBERS.fullmatch(text) is None:
        raise UsageError("--seeds", f"'{text}' found", "a number of seeds, or a list such as 3,4,5")
    numbers = [int(part) for part in text.removesuffix(",").split(",")]
    return range(numbers[0]) if "," not in text else numbers
