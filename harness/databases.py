"""Connections to database servers: opened, counted by name, refused for want of slots.

Addresses are URLs with credentials, ``postgresql://user:password@host:port/database`` or
``redis://:password@host:port/0``. They go into no message, command line or log; where a server
is meant in words, it is :func:`place`.
"""

from __future__ import annotations

import contextlib
import importlib
import socket
import ssl
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from harness.errors import FaultError

POSTGRESQL = ("postgresql", "postgres")
REDIS = ("redis", "rediss")
PORTS: Mapping[str, int] = {"postgresql": 5432, "postgres": 5432, "redis": 6379, "rediss": 6379}

CONNECT_TIMEOUT_S = 2.0
TOO_MANY_CONNECTIONS = "53300"  # SQLSTATE, PostgreSQL manual, appendix A
MAXCLIENTS = "max number of clients reached"


class SlotsExhaustedError(FaultError):
    """The server answers that it has no connection left to give."""


class Connection(Protocol):
    """One open connection with a name that the server knows."""

    def named(self, name: str) -> int:
        """How many connections of that name the server counts now."""
        ...

    def close(self) -> None:
        """End it."""
        ...


def place(url: str) -> str:
    """``host:port`` of the server.

    Raises:
        FaultError: It is no URL of a database server that is known here.
    """
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname:
        raise FaultError(
            f"No database server is known at {parts.scheme or 'nothing'}://{parts.hostname or ''}; "
            f"known are {', '.join(f'{scheme}://' for scheme in PORTS)}."
        )
    return f"{parts.hostname}:{parts.port or PORTS[parts.scheme]}"


def connect(url: str, name: str) -> Connection:
    """A new connection of that name, signed in.

    Raises:
        SlotsExhaustedError: The server has no connection left.
        FaultError: It cannot be reached, or refuses for another reason; or the client is not
            installed.
    """
    place(url)
    return _Postgres(url, name) if urlsplit(url).scheme in POSTGRESQL else _Redis(url, name)


def client_of(name: str) -> Any:
    """The package that speaks to a server, imported late.

    Raises:
        FaultError: It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise FaultError(
            f"Talking to this database server needs the package {name.partition('.')[0]}.",
            "Install it with `pip install 'reliability-harness[databases]'`.",
        ) from error


def postgres_session(url: str, name: str, timeout_s: float = CONNECT_TIMEOUT_S) -> Any:
    """A session of pg8000; the server knows its name as ``application_name``.

    Args:
        url: The server's address with credentials.
        name: What the server is told.
        timeout_s: For the connection, and for each answer.

    Raises:
        SlotsExhaustedError: The server has no connection left.
        FaultError: It cannot be reached, or refuses; or the client is not installed.
    """
    client = client_of("pg8000.native")
    parts, at = urlsplit(url), place(url)
    host, _, port = at.rpartition(":")
    try:
        return client.Connection(
            user=unquote(parts.username or "postgres"),
            password=unquote(parts.password) if parts.password is not None else None,
            host=host,
            port=int(port),
            database=unquote(parts.path.lstrip("/")) or None,
            timeout=timeout_s,
            application_name=name,
            ssl_context=_ssl_context(parts.query),
        )
    except client.DatabaseError as error:
        fields = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
        said = str(fields.get("M", error))
        if fields.get("C") == TOO_MANY_CONNECTIONS:
            raise SlotsExhaustedError(f"{at} says: {said} (SQLSTATE {fields['C']})") from None
        raise FaultError(f"{at} does not let us in: {said}.") from None
    except (client.InterfaceError, OSError) as error:
        raise FaultError(f"{at} cannot be reached: {error}.") from None


class _Postgres:
    """A session; the server knows its name as ``application_name``."""

    def __init__(self, url: str, name: str) -> None:
        self._session = postgres_session(url, name)

    def named(self, name: str) -> int:
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = :name"
        (row,) = self._session.run(query, name=name)
        return int(row[0])

    def close(self) -> None:
        with contextlib.suppress(OSError):  # the server has ended it before us
            self._session.close()


def _ssl_context(query: str) -> ssl.SSLContext | None:
    (mode,) = parse_qs(query).get("sslmode", ["disable"])[-1:]
    if mode == "disable":
        return None
    context = ssl.create_default_context()
    if mode == "require":  # as libpq means it: encrypted, whoever is at the other end
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    elif mode != "verify-full":
        raise FaultError(f"sslmode {mode!r} must be one of disable, require, verify-full.")
    return context


class _Redis:
    """A client; the server knows its name by CLIENT SETNAME."""

    def __init__(self, url: str, name: str) -> None:
        client = client_of("redis")
        at = place(url)
        retry = client.retry.Retry(client.backoff.NoBackoff(), 0)
        self._client = client.Redis.from_url(
            url,
            client_name=name,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=CONNECT_TIMEOUT_S,
            retry=retry,
        )
        try:
            # Kept, and the one that is taken for each command: a client is one connection.
            self._client.ping()
        except client.RedisError as error:
            self.close()
            # The server says so and closes at once: our own first words may meet a reset.
            known = isinstance(error, client.AuthenticationError)
            if MAXCLIENTS in str(error) or (not known and MAXCLIENTS in _banner(at)):
                raise SlotsExhaustedError(f"{at} says: {MAXCLIENTS}") from None
            raise FaultError(f"{at} does not let us in: {error}.") from None

    def named(self, name: str) -> int:
        return sum(1 for each in self._client.client_list() if each.get("name") == name)

    def close(self) -> None:
        self._client.close()


def _banner(at: str) -> str:
    """What a server says before it is asked: Redis says nothing unless it refuses."""
    host, _, port = at.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT_S) as connection:
            return connection.recv(200).decode(errors="replace")
    except OSError:
        return ""
