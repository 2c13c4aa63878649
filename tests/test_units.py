"""Durations, rates and limits: what is read, what is refused, and that showing reads back."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tests.builders  # noqa: F401 - sets hypothesis up
from harness.errors import InvalidError
from harness.model import Quantity, Unit
from harness.units import (
    parse_duration_s,
    parse_quantity,
    parse_rate_per_s,
    show_duration,
    show_quantity,
)

DURATIONS = {
    "whole seconds": ("15s", 15.0),
    "milliseconds": ("250ms", 0.25),
    "microseconds": ("7us", 7e-6),
    "minutes": ("2m", 120.0),
    "a fraction of an hour": ("1.5h", 5400.0),
    "a day": ("1d", 86400.0),
    "nothing before the point": (".5s", 0.5),
    "a blank before the unit": ("3 s", 3.0),
    "blanks around": ("  3s ", 3.0),
    "an explicit plus": ("+3s", 3.0),
    "zero": ("0s", 0.0),
    "a number that floats cannot hold exactly": ("0.1s", 0.1),
}
NOT_DURATIONS = {
    "nothing": "",
    "no unit": "15",
    "no number": "s",
    "an unknown unit": "15 parsecs",
    "two units": "1m30s",
    "a percentage": "5%",
    "a rate": "5/s",
    "negative": "-1s",
    "an exponent": "1e3s",
    "infinity": "infs",
    "not a number": "nans",
    "a point without digits": "1.s",
    "larger than any float": "9" * 400 + "s",
    "longer than Python converts": "9" * 5000 + "s",
}


@pytest.mark.parametrize(("text", "seconds"), DURATIONS.values(), ids=DURATIONS)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize("text", NOT_DURATIONS.values(), ids=NOT_DURATIONS)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_duration_s(text)


def test_the_message_names_the_value_and_what_is_allowed() -> None:
    with pytest.raises(ValueError) as caught:
        parse_duration_s("1 fortnight")
    assert str(caught.value) == (
        "'1 fortnight' is not a duration; write a number and a unit, such as 250ms, 15s or 2m"
    )


RATES = {
    "per second": ("200/s", 200.0),
    "per minute": ("600/m", 10.0),
    "per hour": ("3600/h", 1.0),
    "a fraction": ("0.5/s", 0.5),
    "blanks around the stroke": ("5 / s", 5.0),
}
NOT_RATES = {
    "nothing": "",
    "no time": "200",
    "per day": "200/d",
    "zero": "0/s",
    "negative": "-1/s",
    "a duration": "5s",
    "too large": "9" * 400 + "/s",
    "too small for a float": "0." + "0" * 400 + "1/s",
}


@pytest.mark.parametrize(("text", "rate"), RATES.values(), ids=RATES)
def test_a_rate_is_read(text: str, rate: float) -> None:
    assert parse_rate_per_s(text) == rate


@pytest.mark.parametrize("text", NOT_RATES.values(), ids=NOT_RATES)
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_rate_per_s(text)


QUANTITIES = {
    "a time becomes seconds": ("250ms", 0.25, Unit.SECONDS),
    "a negative time is a limit too": ("-1s", -1.0, Unit.SECONDS),
    "a percentage becomes a ratio": ("0.1%", 0.001, Unit.RATIO),
    "more than everything": ("150%", 1.5, Unit.RATIO),
    "a rate": ("100/s", 100.0, Unit.PER_SECOND),
    "a rate per minute": ("90/m", 1.5, Unit.PER_SECOND),
    "a plain number": ("100", 100.0, Unit.NUMBER),
    "a size in thousands": ("512MB", 512e6, Unit.BYTES),
    "a size in powers of 1,024": ("1.5KiB", 1536.0, Unit.BYTES),
    "single bytes": ("7B", 7.0, Unit.BYTES),
    "a negative number": ("-3.5", -3.5, Unit.NUMBER),
}
NOT_QUANTITIES = {
    "nothing": "",
    "a word": "many",
    "an unknown unit": "5kg",
    "a size without its B": "512M",
    "a size in bits": "512Mb",
    "a size too large": "9" * 400 + "GB",
    "an exponent": "1e3",
    "infinity": "inf",
    "not a number": "nan",
    "a number too large": "9" * 400,
    "a percentage too large": "9" * 400 + "%",
    "a rate too large": "9" * 400 + "/s",
}


@pytest.mark.parametrize(("text", "value", "unit"), QUANTITIES.values(), ids=QUANTITIES)
def test_a_limit_is_read(text: str, value: float, unit: Unit) -> None:
    assert parse_quantity(text) == Quantity(value=value, unit=unit)


@pytest.mark.parametrize("text", NOT_QUANTITIES.values(), ids=NOT_QUANTITIES)
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_quantity(text)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_limit_that_cannot_be_compared_is_refused(value: float) -> None:
    with pytest.raises(InvalidError):
        Quantity(value=value, unit=Unit.NUMBER)


SHOWN = {
    "a quarter of a second": (0.25, "250ms"),
    "a minute reads better as seconds": (60.0, "60s"),
    "two minutes": (120.0, "2m"),
    "an hour reads better as minutes": (3600.0, "60m"),
    "a day": (86400.0, "24h"),
    "one and a half seconds": (1.5, "1500ms"),
    "a microsecond": (1e-6, "1us"),
    "less than a microsecond": (1e-7, "0.0001ms"),
    "nothing": (0.0, "0s"),
    "what no unit divides": (1.23456789, "1.23456789s"),
}


@pytest.mark.parametrize(("seconds", "text"), SHOWN.values(), ids=SHOWN)
def test_a_duration_is_shown_as_people_write_it(seconds: float, text: str) -> None:
    assert show_duration(seconds) == text


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(finite.filter(lambda s: s >= 0))
def test_a_duration_that_is_shown_reads_back_exactly(seconds: float) -> None:
    assert parse_duration_s(show_duration(seconds)) == seconds


@given(finite, st.sampled_from(Unit))
def test_a_limit_that_is_shown_reads_back_exactly(value: float, unit: Unit) -> None:
    quantity = Quantity(value=value, unit=unit)
    assert parse_quantity(show_quantity(quantity)) == quantity


@given(st.text() | st.from_regex(r"[+-]?\d{0,400}\.?\d{0,5}\s?(us|ms|s|m|h|d|%|/s|/m)?"))
def test_any_text_is_read_or_refused_with_a_value_error(text: str) -> None:
    for parse in (parse_duration_s, parse_rate_per_s, parse_quantity):
        try:
            parse(text)
        except ValueError as error:
            assert str(error)
