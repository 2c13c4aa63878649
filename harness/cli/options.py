"""What options say as text: durations, rates, shares. A wrong one is named with its option."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from harness.errors import InvalidError
from harness.units import parse_duration_s, parse_quantity, parse_rate_per_s

Value = TypeVar("Value")


def seconds(option: str, text: str) -> float:
    """A duration.

    Raises:
        InvalidError: It is none.
    """
    return _read(option, text, parse_duration_s)


def rate_per_s(option: str, text: str) -> float:
    """A rate above 0.

    Raises:
        InvalidError: It is none.
    """
    return _read(option, text, parse_rate_per_s)


def share(option: str, text: str, lowest: float = 0.02) -> float:
    """A percentage up to 100%, as a share.

    Raises:
        InvalidError: It is none, or below the lowest.
    """
    value = _read(option, text, parse_quantity).value
    if not lowest <= value <= 1 or not text.strip().endswith("%"):
        raise InvalidError(f"{option} {text!r} must be a percentage from {lowest:.0%} to 100%.")
    return value


def _read(option: str, text: str, parse: Callable[[str], Value]) -> Value:
    try:
        return parse(text)
    except ValueError as error:
        raise InvalidError(f"{option}: {error}.") from error
