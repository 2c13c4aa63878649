"""A lean HTTP client for hot endpoints: many requests a second, little asked of each.

Runs inside a load process, or under plain Locust. It keeps one connection a user, follows no
redirect, has no cookies and does not decompress; in return a request costs a fifth of what
Locust's fast client takes. What is told of a request is the same: the limit is on the whole
exchange, nothing is sent twice, and latency runs from the intended start.
"""

from __future__ import annotations

import functools
import json as jsons
import re
import time
from base64 import b64encode
from collections.abc import Callable, Container, Mapping
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urlsplit

import gevent.socket
import gevent.ssl
from geventhttpclient.response import HTTPParseError
from locust import User
from locust.exception import CatchResponseError, LocustError, StopTest

from harness.load.engine import Engine
from harness.load.exchange import Connection, LeanAnswer
from harness.load.journeys import record_request, stamp_of
from harness.load.patience import Patience, RequestTimeout
from harness.load.session import StopJourney

#: What counts as answered. A redirect does not: it is not followed, so nobody got what they asked.
ANSWERED = frozenset([*range(200, 209), 226, 304])
WITH_BODY = ("POST", "PUT", "PATCH")
PORTS = {"http": 80, "https": 443}
_TARGET = re.compile(r"/[!-~]*")
_KEPT = "!#$%&'()*+,/:;=?@[]~"  # what quoting leaves as it is
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t -~\x80-\xff]*")

Check = Callable[[LeanAnswer], str | None]


class LeanHttpUser(User):
    """A user with a :class:`LeanClient`.

    Attributes:
        network_timeout: Seconds for a whole exchange under plain Locust; under the harness the
            scenario's timeout holds.
        insecure: TLS certificates are not checked, as Locust's fast client does not.
        default_headers: Sent with every request.
    """

    abstract = True
    network_timeout: float = 60.0
    insecure: bool = True
    default_headers: Mapping[str, str] = {}

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        if self.host is None:
            raise StopTest("Say what to load: --host, or host in the user class.")
        self.client = LeanClient(self, self.host)


class LeanClient:
    """Requests of one user, on one connection that is kept.

    Args:
        user: Whose requests they are.
        host: Base URL; paths are appended to it. User and password in it are sent as basic
            authentication.
    """

    def __init__(self, user: LeanHttpUser, host: str) -> None:
        self._user = user
        self._base = urlsplit(host)
        if self._base.scheme not in PORTS or not self._base.hostname:
            raise LocustError(f"{host!r} is no base URL; it looks like http://127.0.0.1:8080.")
        self._port = self._base.port or PORTS[self._base.scheme]
        self._prefix = self._base.path.rstrip("/")
        self._headers = _merged(_common(self._base), user.default_headers)
        self._head = _head(self._headers)
        self._kept: Connection | None = None
        engine = Engine.current
        self._limit_s = user.network_timeout if engine is None else engine.plan.timeout_s
        self._patience = Patience.of(self._limit_s)

    def request(
        self,
        method: str,
        path: str,
        *,
        name: str | None = None,
        data: bytes | str = b"",
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        answered: Container[int] = ANSWERED,
        check: Check | None = None,
    ) -> LeanAnswer:
        """Send a request and read the whole answer, whatever its status.

        Args:
            method: HTTP method, in capitals.
            path: From the base URL on; what no URL may hold is quoted.
            name: Name of its series; the path, when None.
            data: Body.
            json: Body, as JSON.
            headers: Sent besides the common ones.
            answered: Statuses that count as answered; any other is a failure.
            check: Says what is wrong with the content of an answer, or None. An exception in it
                is a failure too, and ends the journey.

        Raises:
            StopJourney: Open loop: the user gave up after the scenario's timeout.
            ValueError: A header or a path that cannot be sent.
        """
        text = self._text(method, path, data, json, headers)
        stamp = stamp_of(self._user)
        answer = LeanAnswer(method)
        in_time = self._exchange(text, answer)
        completed = time.perf_counter()
        broken = _judge(answer, answered, check)
        engine = Engine.current
        if engine is None:
            self._tell_locust(method, name or path, path, answer, completed - stamp.at)
        else:
            record_request(
                engine,
                stamp,
                name=name or path,
                completed=completed,
                response=answer,
                error=answer.error,
                size=len(answer.content),
            )
        if broken is not None:
            raise broken
        if not in_time and engine is not None and engine.schedule is not None:
            raise StopJourney
        return answer

    get = functools.partialmethod(request, "GET")
    head = functools.partialmethod(request, "HEAD")
    post = functools.partialmethod(request, "POST")
    put = functools.partialmethod(request, "PUT")
    patch = functools.partialmethod(request, "PATCH")
    delete = functools.partialmethod(request, "DELETE")

    def _exchange(self, text: bytes, answer: LeanAnswer) -> bool:
        """Whether the exchange was over within the limit; however it went, the answer says."""
        # Out of reach of other greenlets of this user: they get a connection of their own.
        connection, self._kept = self._kept, None
        self._patience.begin()
        try:
            if connection is not None and not connection.is_idle():
                connection.close()
                connection = None
            connection = connection or Connection(self._connected())
            if connection.exchange(text, answer):
                self._kept, connection = connection, None
        except RequestTimeout:
            answer.error = TimeoutError(f"no complete answer within {self._limit_s:g} s")
            return False
        except (OSError, HTTPParseError) as error:
            answer.error = error
        finally:
            self._patience.end()
            if connection is not None:
                connection.close()
        return True

    def _connected(self) -> gevent.socket.socket:
        connected = gevent.socket.create_connection((self._base.hostname, self._port))
        if self._base.scheme == "http":
            return connected
        context = gevent.ssl.create_default_context()
        if self._user.insecure:
            context.check_hostname = False
            context.verify_mode = gevent.ssl.CERT_NONE
        return context.wrap_socket(connected, server_hostname=self._base.hostname)

    def _text(
        self,
        method: str,
        path: str,
        data: bytes | str,
        json: Any,
        headers: Mapping[str, str] | None,
    ) -> bytes:
        """The request as it is sent."""
        if not path.startswith("/"):
            raise ValueError(f"{path!r} is no path of {self._base.geturl()}; it begins with /.")
        if not _TARGET.fullmatch(path):
            path = quote(path, safe=_KEPT)
        body = data.encode() if isinstance(data, str) else data
        if json is not None:
            body = jsons.dumps(json).encode()
            headers = {"Content-Type": "application/json", **(headers or {})}
        head = _head(_merged(self._headers, headers)) if headers else self._head
        length = f"Content-Length: {len(body)}\r\n" if body or method in WITH_BODY else ""
        line = f"{method} {self._prefix}{path} HTTP/1.1\r\n"
        return f"{line}{head}{length}\r\n".encode("latin-1") + body

    def _tell_locust(
        self, method: str, name: str, path: str, answer: LeanAnswer, took_s: float
    ) -> None:
        """Under plain Locust its own event is fired, as by its own clients."""
        error = answer.error
        self._user.environment.events.request.fire(
            request_type=method,
            name=name,
            response_time=took_s * 1000,
            response_length=len(answer.content),
            response=answer,
            context=self._user.context(),
            exception=CatchResponseError(error) if isinstance(error, str) else error,
            start_time=time.time() - took_s,
            url=self._base.geturl() + path,
        )


def _judge(answer: LeanAnswer, answered: Container[int], check: Check | None) -> Exception | None:
    """Say on the answer what is wrong with it; returns what the check itself raised."""
    if answer.error is not None:
        return None
    if answer.status_code not in answered:
        answer.error = f"status {answer.status_code}"
        return None
    try:
        answer.error = None if check is None else check(answer)
    except Exception as error:  # noqa: BLE001 - raised again once the request is on record
        answer.error = f"the check of the answer raised {error!r}"
        return error
    return None


def _common(base: SplitResult) -> dict[str, str]:
    """Headers of every request."""
    found = {"Host": base.netloc.rpartition("@")[2], "User-Agent": "harness", "Accept": "*/*"}
    if base.username is not None:
        secret = f"{unquote(base.username)}:{unquote(base.password or '')}"
        found["Authorization"] = "Basic " + b64encode(secret.encode()).decode()
    return found


def _merged(common: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    replaced = {name.lower() for name in own}
    return {**{n: v for n, v in common.items() if n.lower() not in replaced}, **own}


def _head(headers: Mapping[str, str]) -> str:
    """Headers as they are sent.

    Raises:
        ValueError: A name or a value would be read as something else.
    """
    lines = [f"{name}: {value}" for name, value in headers.items()]
    for line in lines:
        if not _HEADER.fullmatch(line):
            raise ValueError(f"{line.partition(':')[0]!r} is no header that can be sent.")
    return "".join(f"{line}\r\n" for line in lines)
