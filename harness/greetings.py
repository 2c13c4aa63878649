"""How a server that speaks no HTTP is asked whether it is well: a first question of its language.

Each is the smallest question that the server answers to anybody, without credentials, without
an effect and without an entry in its log. Pure: bytes in, bytes out.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

#: More than the longest answer that has to be understood.
ENOUGH_BYTES = 4096

#: Any number: a Kafka broker sends it back with its answer.
CORRELATION = 0x6861726E


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """One question.

    Attributes:
        hello: What is sent.
        judge: What has come back so far: True is a good answer, False is another one, None is
            one that has not ended.
    """

    hello: bytes
    judge: Callable[[bytes], bool | None]


def _postgres(received: bytes) -> bool | None:
    """Like pg_isready: whatever it says of who we are, but not that it cannot connect anybody now.

    ``R`` asks for a password, ``E`` is an error with a length and fields; 57P03 is
    ``cannot_connect_now``, of a server that starts, recovers or ends.
    """
    if received[:1] in (b"", b"R"):
        return True if received else None
    if received[:1] != b"E":
        return False
    ended = len(received) >= 5 and len(received) > int.from_bytes(received[1:5], "big")
    return b"\0C57P03\0" not in received if ended else None


def _redis(received: bytes) -> bool | None:
    """A pong, or that it wants a password first; a server that still loads its data says so."""
    if b"\r\n" not in received:
        return None
    return received.startswith((b"+PONG", b"-NOAUTH"))


def _kafka(received: bytes) -> bool | None:
    """The same correlation id, and no error."""
    if len(received) < 4:
        return None
    (length,) = struct.unpack_from("!i", received)
    if length < 6:
        return False
    if len(received) < 4 + length:
        return None
    correlation, error = struct.unpack_from("!ih", received, 4)
    return (correlation, error) == (CORRELATION, 0)


#: Protocol 3.0. An answer to an SSLRequest would come from a server that cannot serve yet, too.
_STARTUP = struct.pack("!hh", 3, 0) + b"user\0harness\0database\0postgres\0\0"

#: By the name of the language. Sources: PostgreSQL's "Message Formats" (StartupMessage), the
#: command PING of Redis as an inline command, Kafka's protocol guide (ApiVersions, version 0).
GREETINGS: Mapping[str, Greeting] = {
    "postgres": Greeting(hello=struct.pack("!i", 4 + len(_STARTUP)) + _STARTUP, judge=_postgres),
    "redis": Greeting(hello=b"PING\r\n", judge=_redis),
    "kafka": Greeting(hello=struct.pack("!ihhih", 10, 18, 0, CORRELATION, -1), judge=_kafka),
}

#: The ports by which the languages are known.
PORTS: Mapping[int, str] = {5432: "postgres", 6379: "redis", 9092: "kafka"}


def is_http(health_path: str) -> bool:
    """Whether a health path is one of HTTP; else it is a name in :data:`GREETINGS`, or empty."""
    return health_path.startswith("/")
