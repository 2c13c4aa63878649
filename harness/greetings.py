"""The shortest exchange that shows a server of another language than HTTP to be well. Pure.

Each server answers its greeting only when it would serve a client, and minds nothing about a
client that leaves right after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

#: More than the longest answer that has to be understood.
ENOUGH_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Greeting:
    """What to send, and whether what came back so far is a whole answer of a server that is well.

    ``judge`` is None as long as more has to be read.
    """

    hello: bytes
    judge: Callable[[bytes], bool | None]


def _kafka(reply: bytes) -> bool | None:
    """Length, the number of our request, an error code (Kafka protocol guide, ApiVersions)."""
    if len(reply) < 10:
        return None
    return reply[4:8] == _NUMBER and reply[8:10] == b"\0\0"


def _postgres(reply: bytes) -> bool | None:
    """As pg_isready has it: whatever is said of who we are, but not that it cannot connect now.

    ``R`` begins an authentication request, ``E`` an error; a length follows (PostgreSQL manual,
    "Message Formats"); 57P03 is ``cannot_connect_now``.
    """
    if not reply or reply[:1] == b"R":
        return True if reply else None
    if reply[:1] != b"E":
        return False
    whole = len(reply) >= 5 and len(reply) > int.from_bytes(reply[1:5], "big")
    return b"C57P03\0" not in reply if whole else None


def _redis(reply: bytes) -> bool | None:
    """That it wants a password is said by a server that serves; ``-LOADING`` is not."""
    if not reply.endswith(b"\r\n"):
        return None
    return reply.startswith((b"+PONG", b"-NOAUTH"))


_NUMBER = b"hrns"  # comes back as it was sent
_STARTUP = b"\0\3\0\0user\0harness\0database\0postgres\0\0"

#: By the name of the language.
GREETINGS: Mapping[str, Greeting] = {
    # ApiVersions, version 0, from a client without a name.
    "kafka": Greeting(b"\0\0\0\x0a\0\x12\0\0" + _NUMBER + b"\xff\xff", _kafka),
    "postgres": Greeting((len(_STARTUP) + 4).to_bytes(4, "big") + _STARTUP, _postgres),
    "redis": Greeting(b"PING\r\n", _redis),
}

#: The ports by which the languages are known.
PORTS: Mapping[int, str] = {5432: "postgres", 6379: "redis", 9092: "kafka"}


def is_http(health_path: str) -> bool:
    """Whether a service with this health path is asked by HTTP."""
    return health_path.startswith("/")
