"""Spares what Locust's fast client does for every request although few requests need it.

Measured on a GET of a small answer, of some 180 µs altogether: 30 µs to ask through gevent's
``select`` whether the kept connection still stands, 13 µs for a cookie jar that is empty, 16 µs
to take the same URL apart anew. Inside Locust's process only.
"""

from __future__ import annotations

import functools
from http.cookiejar import CookieJar
from typing import Any

from geventhttpclient.connectionpool import ConnectionPool
from geventhttpclient.url import URL
from locust.contrib.fasthttp import FastHttpSession, FastRequest

from harness.load.exchange import silence_of

KNOWN_URLS = 4096


class IdleJar(CookieJar):
    """A cookie jar that does nothing while there are no cookies."""

    def add_cookie_header(self, request: Any) -> None:
        """As the plain one."""
        if next(iter(self), None) is not None:
            super().add_cookie_header(request)

    def extract_cookies(self, response: Any, request: Any) -> None:
        """As the plain one."""
        if "set-cookie" in response.headers or "set-cookie2" in response.headers:
            super().extract_cookies(response, request)


class KnownURL(URL):
    """A URL whose parts are worked out once; it is immutable."""

    host = functools.cached_property(URL.host.fget)  # type: ignore[attr-defined]
    port = functools.cached_property(URL.port.fget)  # type: ignore[attr-defined]
    quoted_uri = functools.cached_property(URL.quoted_uri.fget)  # type: ignore[attr-defined]

    @functools.cached_property
    def _text(self) -> str:
        return super().__str__()

    def __str__(self) -> str:
        """The whole of it."""
        return self._text


_known = functools.lru_cache(KNOWN_URLS)(KnownURL)


class SparingRequest(FastRequest):
    """A request that takes no URL apart twice."""

    def set_url(self, url: Any, params: Any = None) -> None:
        """As the plain one."""
        super().set_url(_known(url) if params is None and isinstance(url, str) else url, params)


def make_sparing(session: FastHttpSession) -> None:
    """From now on this session spares what can be spared; it has sent nothing yet."""
    session.cookiejar = session.client.cookiejar = IdleJar()
    session.client.request_type = SparingRequest  # type: ignore[misc]  # a class attribute of its


def _still_stands(_pool: ConnectionPool, kept: Any) -> bool:
    """Whether nothing, not even an end, has come on a connection that should be silent.

    Not by ``select``: it knows no descriptor above 1,023, so that with a thousand users every
    request would open a connection of its own.
    """
    if kept is None or kept.fileno() < 0:
        return False
    return silence_of(kept.fileno())()


setattr(ConnectionPool, "_is_socket_alive", _still_stands)  # noqa: B010 - its types differ
