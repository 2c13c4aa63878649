"""What an HTTP fault does to the answers that it hits: plain data, checked when built."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import TypeVar

#: Names the undo entry in every answer that a fault makes up, so that it can be told from one
#: of the callee's own.
MARK = "X-Harness-Fault"

MIN_SHARE = 0.05  # a look at less would take hundreds of requests, each second
MAX_BYTES = 1_000_000_000
MIN_MS, MAX_MS = 50, 3_600_000  # less is not told from chance

ANSWER, DELAY, STALL, TRUNCATE = "answer", "delay", "stall", "truncate"

#: The lowest and the highest value of each number, by what the fault does.
_RANGES: Mapping[str, Mapping[str, tuple[int, int]]] = MappingProxyType(
    {
        ANSWER: {"status": (400, 599), "retry_after_s": (0, 3600)},
        DELAY: {"delay_ms": (MIN_MS, MAX_MS)},
        STALL: {"after_bytes": (0, MAX_BYTES), "stall_ms": (0, MAX_MS)},
        TRUNCATE: {"after_bytes": (0, MAX_BYTES)},
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpFault:
    """One fault on the answers of a callee.

    Args:
        does: ``answer`` (instead of the callee), ``delay`` (the first byte), ``stall`` or
            ``truncate`` (after some bytes of the body).
        share: Share of the requests that it hits, drawn for each.
        path: It hits only requests whose path begins so.
        status: Of an ``answer``.
        retry_after_s: Seconds in the header ``Retry-After`` of an ``answer``; 0 sends none.
        body: Text of an ``answer``.
        delay_ms: How much later the first byte comes.
        after_bytes: How many bytes of a body pass before it stalls or breaks off; a body that
            has no more than these passes whole.
        stall_ms: How long a body stalls; 0 is until the connection ends.
    """

    does: str
    share: float = 1.0
    path: str = "/"
    status: int = 503
    retry_after_s: int = 0
    body: str = ""
    delay_ms: int = 1000
    after_bytes: int = 0
    stall_ms: int = 0

    def __post_init__(self) -> None:
        """Refuse what would do nothing, or something else than it says.

        Raises:
            ValueError: A value out of its range; the message names it and the range.
        """
        if self.does not in _RANGES:
            raise ValueError(f"{self.does!r} must be one of {', '.join(_RANGES)}")
        if not MIN_SHARE <= self.share <= 1:
            raise ValueError(f"share {self.share} must be from {MIN_SHARE} to 1")
        for name, (least, most) in _RANGES[self.does].items():
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} {getattr(self, name)} must be from {least} to {most}")
        if self.does == STALL and 0 < self.stall_ms < MIN_MS:
            raise ValueError(f"stall_ms {self.stall_ms} must be 0, or at least {MIN_MS}")
        check_path("path", self.path)

    def covers(self, path: str) -> bool:
        """Whether requests for this path may be hit."""
        return path.startswith(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where a helper stands between a proxy and the callee.

    Args:
        api: Base URL of the Toxiproxy server.
        proxy: Name of the proxy that is pointed at the helper.
        via: ``host:port`` that the helper listens on.
        upstream: ``host:port`` of the callee, as the server knows it.
        callee: The same as the helper reaches it.
    """

    api: str
    proxy: str
    via: str
    upstream: str
    callee: str


def check_path(name: str, path: str) -> None:
    """Refuse what cannot be the path of a request line.

    Raises:
        ValueError: It does not begin with a slash, or has characters that a path has not.
    """
    if not path.startswith("/") or not path.isascii() or not path.isprintable() or " " in path:
        raise ValueError(f"{name} {path!r} must be a path such as /v1/chat/completions")


Loaded = TypeVar("Loaded", HttpFault, Route)


def dump(value: HttpFault | Route) -> str:
    """A fault or a route as JSON text."""
    return json.dumps(asdict(value), sort_keys=True)


def load(shape: type[Loaded], text: str) -> Loaded:
    """Parse :func:`dump`'s text.

    Raises:
        ValueError: Not what was asked for.
    """
    try:
        return shape(**json.loads(text))
    except TypeError as error:
        raise ValueError(f"not a {shape.__name__}: {error}") from error
