"""Durations, rates, percentages, sizes and plain numbers as people write them.

Exact by construction: parsing goes through :class:`fractions.Fraction`, so that
``parse(show(x)) == x`` holds for everything that was parsed.
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

from harness.model import Quantity, Unit

DURATION_UNITS = {"us": "1/1000000", "ms": "1/1000", "s": "1", "m": "60", "h": "3600", "d": "86400"}
#: Largest first; where two divide a size, the binary one says more.
SIZE_UNITS = {
    "TiB": 2**40,
    "TB": 10**12,
    "GiB": 2**30,
    "GB": 10**9,
    "MiB": 2**20,
    "MB": 10**6,
    "KiB": 2**10,
    "kB": 10**3,
    "B": 1,
}
_NUMBER = r"[+-]?(?:\d+(?:\.\d+)?|\.\d+)"
_QUANTITY = re.compile(rf"({_NUMBER})\s*(us|ms|s|m|h|d|%|/s|/m|[TGMK]iB|[TGMk]?B)?")
_DURATION = re.compile(rf"({_NUMBER})\s*(us|ms|s|m|h|d)")
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*(s|m|h)")


def _float(number: Fraction, text: str) -> float:
    try:
        return float(number)
    except OverflowError as error:
        raise ValueError(f"{text!r} is too large a number") from error


def parse_duration_s(text: str) -> float:
    """Seconds in ``1500ms``, ``2s``, ``5m``, ``1.5h``.

    Raises:
        ValueError: Not a duration; the message says what is allowed.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(
            f"{text!r} is not a duration; write a number and a unit, such as 250ms, 15s or 2m"
        )
    seconds = _float(Fraction(match[1]) * Fraction(DURATION_UNITS[match[2]]), text)
    if seconds < 0:
        raise ValueError(f"{text!r} is negative; a duration is 0 or more")
    return seconds


def parse_rate_per_s(text: str) -> float:
    """Arrivals per second in ``100/s``, ``600/m``.

    Raises:
        ValueError: Not a positive rate; the message says what is allowed.
    """
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a rate; write a positive number per time, such as 200/s")
    rate = _float(Fraction(match[1]) / Fraction(DURATION_UNITS[match[2]]), text)
    if rate <= 0:
        raise ValueError(f"{text!r} is not above 0; write a positive rate, such as 200/s")
    return rate


def parse_quantity(text: str) -> Quantity:
    """A limit: ``250ms`` (seconds), ``0.1%`` (ratio), ``100/s``, ``512MB`` (bytes) or ``100``.

    Raises:
        ValueError: None of these.
    """
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        raise ValueError(
            f"{text!r} is not a limit; "
            "write a number with its unit: 250ms, 0.1%, 100/s, 512MB or 100"
        )
    number, unit = Fraction(match[1]), match[2]
    if unit is None:
        return Quantity(value=_float(number, text), unit=Unit.NUMBER)
    if unit == "%":
        return Quantity(value=_float(number / 100, text), unit=Unit.RATIO)
    if unit.startswith("/"):
        per = Fraction(DURATION_UNITS[unit[1:]])
        return Quantity(value=_float(number / per, text), unit=Unit.PER_SECOND)
    if unit in SIZE_UNITS:
        return Quantity(value=_float(number * SIZE_UNITS[unit], text), unit=Unit.BYTES)
    seconds = _float(number * Fraction(DURATION_UNITS[unit]), text)
    return Quantity(value=seconds, unit=Unit.SECONDS)


def _decimal(number: Decimal) -> str:
    """The number without exponent and without trailing zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def show_duration(seconds: float) -> str:
    """A duration in the unit people would choose, such as ``250ms``; reads back exactly."""
    exact = Decimal(repr(seconds))
    for unit in ("h", "m", "s", "ms", "us"):
        count = Fraction(exact) / Fraction(DURATION_UNITS[unit])
        few = unit in ("h", "m") and count < 2  # 60s reads better than 1m
        if count.denominator == 1 and count != 0 and not few:
            return f"{count.numerator}{unit}"
    return f"{_decimal(exact)}s" if seconds >= 1 or seconds == 0 else f"{_decimal(exact * 1000)}ms"


def show_size(count: float) -> str:
    """Bytes in the largest unit that divides them, such as ``512MB``; reads back exactly."""
    exact = Decimal(repr(count))
    for unit, size in SIZE_UNITS.items():
        whole = Fraction(exact) / size
        if whole.denominator == 1 and whole != 0:
            return f"{whole.numerator}{unit}"
    return f"{_decimal(exact)}B"


def about(value: float, unit: Unit) -> str:
    """A measured value in three digits, for sentences: ``61.3MB``, ``0.021s``, ``42``."""
    if unit is not Unit.BYTES:
        return f"{value:.3g}{'' if unit is Unit.RATIO else unit}"
    for name in ("GB", "MB", "kB"):
        if abs(value) >= SIZE_UNITS[name]:
            return f"{value / SIZE_UNITS[name]:.3g}{name}"
    return f"{value:.3g}B"


def show_quantity(quantity: Quantity) -> str:
    """The limit as text that :func:`parse_quantity` reads back as the same quantity."""
    exact = Decimal(repr(quantity.value))
    match quantity.unit:
        case Unit.SECONDS:
            return show_duration(quantity.value) if exact >= 0 else f"{_decimal(exact)}s"
        case Unit.RATIO:
            return f"{_decimal(exact * 100)}%"
        case Unit.PER_SECOND:
            return f"{_decimal(exact)}/s"
        case Unit.BYTES:
            return show_size(quantity.value)
        case Unit.NUMBER:
            return _decimal(exact)
