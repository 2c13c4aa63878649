"""The kinds of text that a scenario's values are: how each is read, and its JSON Schema."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
)

from harness import arrival_text
from harness.arrivals import Plan, Replay
from harness.model import Unit
from harness.scenario.problems import quoted
from harness.units import parse_duration_s, parse_quantity, parse_rate_per_s

LONGEST = "30d"
HIGHEST_RATE = "1000000/s"

_NUMBER = r"(?:\d+(?:\.\d+)?|\.\d+)"
#: For editors, which see the file before its variables are filled in.
_VARIABLE = r".*\$\{.+\}.*"
DURATION_PATTERN = rf"^(?:\s*\+?{_NUMBER}\s*(?:us|ms|s|m|h|d)\s*|{_VARIABLE})$"
RATE_PATTERN = rf"^(?:\s*\d+(?:\.\d+)?\s*/\s*(?:s|m|h)\s*|{_VARIABLE})$"
REQUEST_PATTERN = r"^(?:GET|HEAD) /\S*$"
SHARE_PATTERN = rf"^(?:\s*{_NUMBER}\s*%\s*|{_VARIABLE})$"
NAME_PATTERN = r"^[A-Za-z_][A-Za-z0-9_-]*$"
DAY_PATTERN = r"^\d{4}-\d{2}-\d{2}$"


def _text(value: object, kind: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected {kind}, found {quoted(value)}")  # noqa: TRY004 - pydantic's
    return value


def _number(value: object, kind: str, read: Callable[[str], float], most: str) -> float:
    text = _text(value, kind)
    try:
        number = read(text)
    except ValueError as error:
        raise ValueError(str(error).replace(repr(text), quoted(text), 1)) from error
    if number > read(most):
        raise ValueError(f"{quoted(text)} is too much; at most {most}")
    return number


def _duration(value: object) -> float:
    return _number(value, "a duration such as 15s", parse_duration_s, LONGEST)


def _longer(value: float) -> float:
    if value <= 0:
        raise ValueError("must be longer than 0s")
    return value


def _rate(value: object) -> float:
    return _number(value, "a rate such as 100/s", parse_rate_per_s, HIGHEST_RATE)


def _share(value: object) -> float:
    text = _text(value, "a percentage such as 34%")
    try:
        quantity = parse_quantity(text)
    except ValueError:
        quantity = None
    if quantity is None or quantity.unit is not Unit.RATIO or not 0 < quantity.value <= 1:
        raise ValueError(f"{quoted(text)} is not a share; write a percentage from above 0% to 100%")
    return quantity.value


def _arrivals(value: object) -> Plan:
    text = _text(value, "arrivals such as 100/s")
    try:
        plan = arrival_text.parse(text)
    except ValueError as error:
        raise ValueError(str(error).replace(repr(text), quoted(text), 1)) from error
    if plan.peak_per_s > parse_rate_per_s(HIGHEST_RATE):
        raise ValueError(f"{quoted(text)} is too much; at most {HIGHEST_RATE}")
    if max(arrival_text.durations(plan), default=0.0) > parse_duration_s(LONGEST):
        raise ValueError(f"{quoted(text)} is too long; at most {LONGEST}")
    if isinstance(plan, Replay) and not inside_project(plan.path):
        raise ValueError(
            f"{quoted(plan.path)} must be a path inside the project, relative to its root"
        )
    return plan


def _request(value: object) -> str:
    text = _text(value, "a request such as GET /items")
    if re.fullmatch(REQUEST_PATTERN[1:-1], text) is None:
        raise ValueError(
            f"{quoted(text)} is not a request; write GET /path or HEAD /path, "
            "and a locustfile (load.profile) for anything else"
        )
    return text


def _argument(value: object) -> str | int | float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"expected text or a number, found {quoted(value)}")  # noqa: TRY004
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is not a number that can be handed on")
    return value


def _day(value: object) -> str:
    text = _text(value, "a day such as 2026-12-31")
    try:
        if re.fullmatch(DAY_PATTERN, text) is None:
            raise ValueError
        date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{quoted(text)} is no day; write it as 2026-12-31") from None
    return text


def inside_project(text: str) -> bool:
    """Whether a path can be one below the project's root."""
    return bool(text) and not text.startswith(("/", "~")) and ".." not in text.split("/")


def _project_file(value: object) -> str:
    text = _text(value, "a path such as loadtests/orders.py")
    if not inside_project(text):
        raise ValueError(f"{quoted(text)} must be a path inside the project, relative to its root")
    return text


_DURATION_SCHEMA = {"type": "string", "pattern": DURATION_PATTERN}
Duration = Annotated[float, BeforeValidator(_duration), WithJsonSchema(_DURATION_SCHEMA)]
LongerDuration = Annotated[
    float, BeforeValidator(_duration), AfterValidator(_longer), WithJsonSchema(_DURATION_SCHEMA)
]
Rate = Annotated[
    float, BeforeValidator(_rate), WithJsonSchema({"type": "string", "pattern": RATE_PATTERN})
]
Share = Annotated[
    float, BeforeValidator(_share), WithJsonSchema({"type": "string", "pattern": SHARE_PATTERN})
]
ArrivalPlan = Annotated[
    Any,
    PlainValidator(_arrivals),
    WithJsonSchema({"type": "string", "pattern": rf"^(?:{arrival_text.PATTERN}|{_VARIABLE})$"}),
]
Request = Annotated[
    str, BeforeValidator(_request), WithJsonSchema({"type": "string", "pattern": REQUEST_PATTERN})
]
ProjectFile = Annotated[
    str, BeforeValidator(_project_file), WithJsonSchema({"type": "string", "minLength": 1})
]
Argument = Annotated[Any, PlainValidator(_argument), WithJsonSchema({"type": ["string", "number"]})]
Text = Annotated[str, StringConstraints(min_length=1)]
Line = Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=r"\S")]
Day = Annotated[
    str,
    BeforeValidator(_day),
    WithJsonSchema({"type": "string", "format": "date", "pattern": DAY_PATTERN}),
]
UrlPath = Annotated[str, StringConstraints(pattern=r"^/[!-~]*$")]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
ImageName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._:/@-]{0,254}$")]
ObjectName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
Label = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9./_-]{1,253}$")]


class Shape(BaseModel):
    """Base of all: strict kinds, no unknown keys."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=False
    )
