"""Numbers as text."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def percent(value: float) -> str:
    """Write a fraction as per cent with two decimals."""
    return f"{100 * value:.2f}%"


def whole(value: float) -> str:
    """Write a number without decimals, thousands parted."""
    return f"{value:,.0f}"


def confidence(value: float) -> str:
    """Write how sure an interval is."""
    return f"{100 * value:.4g}%"


def signed(value: float) -> str:
    """Write a difference of fractions in points, with its sign."""
    return f"{100 * value:+.2f}"


def seconds(value: float) -> str:
    """Write seconds, or milliseconds, with three digits, and all of them from a hundred on."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def megabytes(size: int) -> str:
    """Write a file's size."""
    return f"{size / 1e6:.2f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


def p_value(value: float) -> str:
    """Write a p-value with two digits."""
    return f"{value:.2g}" if value >= 1e-4 else "<0.0001"


def optional(value: T | None, write: Callable[[T], str]) -> str:
    """Write a value that may be missing."""
    return "" if value is None else write(value)
