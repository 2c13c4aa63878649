"""Parsed JSON bodies: what of them is of the right kind and in range, in words for the sender."""

from __future__ import annotations

MAX_TEXT = 200


class BodyError(ValueError):
    """What was sent is not what is taken here; the message says what is wrong."""


def json_object(document: object) -> dict[str, object]:
    """The body, which has to be an object.

    Raises:
        BodyError: It is something else.
    """
    if not isinstance(document, dict):
        raise BodyError("The body must be a JSON object.")
    return document


def text(body: dict[str, object], name: str) -> str:
    """A text that is there, of 1 to :data:`MAX_TEXT` characters, and that a database can store.

    Raises:
        BodyError: It is missing, or another thing.
    """
    value = body.get(name)
    # PostgreSQL has no character of number 0.
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT or "\0" in value:
        raise BodyError(f"`{name}` must be a text of 1 to {MAX_TEXT} characters.")
    return value


def whole(body: dict[str, object], name: str, default: int, least: int, most: int) -> int:
    """A whole number in a range; the default where there is none.

    Raises:
        BodyError: It is out of range, or another thing.
    """
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise BodyError(f"`{name}` must be a whole number.")
    if not least <= value <= most:
        raise BodyError(f"`{name}` {value} must be from {least} to {most}.")
    return value


def number(body: dict[str, object], name: str, default: float, least: float, most: float) -> float:
    """A number in a range; the default where there is none.

    Raises:
        BodyError: It is out of range, or another thing.
    """
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BodyError(f"`{name}` must be a number.")
    if not least <= value <= most:  # nothing compares with what is not a number
        raise BodyError(f"`{name}` {value} must be from {least:g} to {most:g}.")
    return float(value)


def flag(body: dict[str, object], name: str) -> bool:
    """True or false; false where there is neither.

    Raises:
        BodyError: It is another thing.
    """
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise BodyError(f"`{name}` must be true or false.")
    return value
