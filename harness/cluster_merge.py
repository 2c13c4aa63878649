"""What a merge into an object changes, and whether an object has it. Pure.

Of the standard library only: a guardian inside a cluster runs this very text. A change is
a JSON merge patch (RFC 7386): what is null in it is absent, what is an object in it speaks only
of the keys that it has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def has(document: Any, change: Any) -> bool:
    """Whether merging the change into the document would leave it as it is."""
    if not isinstance(change, Mapping):
        return bool(document == change)
    if not isinstance(document, Mapping):
        return False
    return all(
        key not in document or document[key] is None
        if value is None
        else key in document and has(document[key], value)
        for key, value in change.items()
    )


def reverse(document: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """The change that puts a document back which another change is merged into."""
    back: dict[str, Any] = {}
    for key, value in change.items():
        before = document.get(key)
        both = isinstance(value, Mapping) and isinstance(before, Mapping)
        back[key] = reverse(before, value) if both else before  # type: ignore[arg-type]
    return back


def unlike(
    document: Mapping[str, Any], change: Mapping[str, Any], above: str = ""
) -> Iterator[str]:
    """Dotted names of the single leaves that merging the change into the document would alter."""
    for key, value in change.items():
        now = document.get(key)
        if isinstance(value, Mapping) and isinstance(now, Mapping):
            yield from unlike(now, value, f"{above}{key}.")
        elif not has(document, {key: value}):
            yield f"{above}{key}"


def remaining(
    document: Mapping[str, Any], put: Mapping[str, Any], back: Mapping[str, Any]
) -> dict[str, Any]:
    """What takes back those leaves of a change that a document still has.

    A leaf that somebody else has given another value since stays theirs, and so does what they
    put beside it; one that was the same before is nobody's change.

    Args:
        document: As it is now.
        put: What was merged into it.
        back: What puts it back: :func:`reverse` of the document before.
    """
    left: dict[str, Any] = {}
    for key, value in put.items():
        now, before = document.get(key), back.get(key)
        if not isinstance(value, Mapping):
            if has(document, {key: value}) and value != before:
                left[key] = before
        elif isinstance(before, Mapping) and isinstance(now, Mapping):
            if inner := remaining(now, value, before):
                left[key] = inner
        elif now == _made(value):
            left[key] = before
        elif isinstance(now, Mapping) and (inner := remaining(now, value, {})):
            left[key] = inner
    return left


def _made(change: Mapping[str, Any]) -> dict[str, Any]:
    """What becomes of a change that is merged into nothing."""
    return {
        key: _made(value) if isinstance(value, Mapping) else value
        for key, value in change.items()
        if value is not None
    }
