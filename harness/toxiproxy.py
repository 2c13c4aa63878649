"""A Toxiproxy client that does not believe its server.

Every call has a timeout, every answer outside 2xx raises, and every change is read
back: the server accepts misspelt attributes and out-of-range toxicity without a word,
so what was asked for is compared with what is there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from harness import rest
from harness.errors import FaultError

STREAMS = ("downstream", "upstream")

#: Attribute names of each toxic as the server's source defines them; all are integers.
TOXIC_ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "latency": ("latency", "jitter"),
    "bandwidth": ("rate",),
    "slow_close": ("delay",),
    "timeout": ("timeout",),
    "reset_peer": ("timeout",),
    "slicer": ("average_size", "size_variation", "delay"),
    "limit_data": ("bytes",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Toxic:
    """One toxic on one proxy; times in ``attributes`` are milliseconds, as on the wire."""

    name: str
    type: str
    stream: str
    toxicity: float = 1.0
    attributes: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what the server would accept and ignore."""
        allowed = TOXIC_ATTRIBUTES.get(self.type)
        if allowed is None:
            raise FaultError(
                f"Unknown toxic type {self.type!r}; known: {', '.join(TOXIC_ATTRIBUTES)}."
            )
        if self.stream not in STREAMS:
            raise FaultError(f"Toxic stream {self.stream!r} must be one of {', '.join(STREAMS)}.")
        if not 0 < self.toxicity <= 1:
            raise FaultError(f"Toxicity {self.toxicity} must be above 0 and at most 1.")
        for key, value in self.attributes.items():
            if key not in allowed:
                raise FaultError(
                    f"Toxic {self.type!r} has no attribute {key!r}; it has {', '.join(allowed)}."
                )
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise FaultError(
                    f"Attribute {key} of toxic {self.type!r} is {value!r}; "
                    "it must be a whole number, 0 or more."
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """One proxy as the server reports it; addresses are ``host:port``."""

    name: str
    listen: str
    upstream: str
    enabled: bool
    toxics: tuple[Toxic, ...] = ()


class Toxiproxy:
    """The HTTP API of one Toxiproxy server.

    Args:
        url: Base URL of the API, without a trailing slash.
        timeout_s: Limit for each single call.
    """

    def __init__(self, url: str, timeout_s: float = 2.0) -> None:
        self.url = url
        self.timeout_s = timeout_s

    def proxies(self) -> dict[str, Proxy]:
        """All proxies by name, with their toxics.

        Raises:
            FaultError: The server did not answer in time or not in its own language.
        """
        answer = self._call("GET", "/proxies")
        try:
            raw = dict(json.loads(answer.body))
        except (ValueError, TypeError) as error:
            raise FaultError(
                f"What answers at {self.url} is no Toxiproxy: {answer.text[:200]!r}."
            ) from error
        return {name: _proxy(value) for name, value in raw.items()}

    def proxy(self, name: str) -> Proxy:
        """One proxy.

        Raises:
            FaultError: No such proxy (the message lists those there are), or no answer.
        """
        known = self.proxies()
        if name not in known:
            raise FaultError(
                f"Toxiproxy at {self.url} has no proxy {name!r}; "
                f"it has {', '.join(sorted(known)) or 'none'}."
            )
        return known[name]

    def create(self, *, name: str, listen: str, upstream: str) -> Proxy:
        """Ensure a proxy with these addresses exists; nothing happens when it does.

        Raises:
            FaultError: The name is taken by a proxy with other addresses, the port is in
                use, or the read-back differs.
        """
        existing = self.proxies().get(name)
        if existing is None:
            body = {"name": name, "listen": listen, "upstream": upstream, "enabled": True}
            self._call("POST", "/proxies", body=body)
            existing = self.proxy(name)
        if (existing.listen, existing.upstream) != (listen, upstream):
            raise FaultError(
                f"Proxy {name!r} listens on {existing.listen} for {existing.upstream}, "
                f"not on {listen} for {upstream} as asked."
            )
        return existing

    def add_toxic(self, proxy: str, toxic: Toxic) -> None:
        """Add a toxic and read it back.

        Raises:
            FaultError: The proxy is missing, the name is taken by a different toxic, or
                what is there afterwards is not what was asked for.
        """
        body = {
            "name": toxic.name,
            "type": toxic.type,
            "stream": toxic.stream,
            "toxicity": toxic.toxicity,
            "attributes": dict(toxic.attributes),
        }
        self._call("POST", f"/proxies/{quote(proxy, safe='')}/toxics", body=body, accept=(409,))
        found = {t.name: t for t in self.proxy(proxy).toxics}.get(toxic.name)
        if found is None or not _covers(found, toxic):
            raise FaultError(
                f"Toxic {toxic.name!r} on {proxy!r} reads back as {found}, not {toxic}."
            )

    def remove_toxic(self, proxy: str, name: str) -> None:
        """Ensure the toxic is absent; one that is already gone is success after read-back.

        Raises:
            FaultError: The proxy is missing or the toxic is still there.
        """
        path = f"/proxies/{quote(proxy, safe='')}/toxics/{quote(name, safe='')}"
        self._call("DELETE", path, accept=(404,))
        if any(t.name == name for t in self.proxy(proxy).toxics):
            raise FaultError(f"Toxic {name!r} is still on proxy {proxy!r} after its removal.")

    def set_enabled(self, proxy: str, enabled: bool) -> None:
        """Let a proxy listen, or not, and read it back; its toxics stay as they are.

        Raises:
            FaultError: The proxy is missing, its port is taken, or the read-back differs.
        """
        self._call("POST", f"/proxies/{quote(proxy, safe='')}", body={"enabled": enabled})
        if self.proxy(proxy).enabled is not enabled:
            raise FaultError(f"Proxy {proxy!r} is not {'enabled' if enabled else 'disabled'}.")

    def move_upstream(self, proxy: str, *, from_: str, to: str) -> str:
        """Point a proxy elsewhere if it points at ``from_``, and return where it points then.

        The server closes the proxy's connections when its upstream changes, both idle ones and
        those in use, and listens again at once. The toxics stay.

        Raises:
            FaultError: The proxy is missing, its port is taken, or the read-back differs.
        """
        found = self.proxy(proxy)
        if found.upstream != from_ or from_ == to:
            return found.upstream
        self._call("POST", f"/proxies/{quote(proxy, safe='')}", body={"upstream": to})
        after = self.proxy(proxy)
        if (after.upstream, after.enabled) != (to, found.enabled):
            raise FaultError(f"Proxy {proxy!r} reads back as {after}, not with the upstream {to}.")
        return to

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        accept: tuple[int, ...] = (),
    ) -> rest.Answer:
        try:
            answer = rest.call(method, f"{self.url}{path}", timeout_s=self.timeout_s, body=body)
        except rest.NoAnswerError as error:
            raise FaultError(
                f"Toxiproxy at {self.url} did not answer {method} {path} "
                f"within {self.timeout_s:g} s ({error}).",
                "Check that the stack is up: `harness stack status`.",
            ) from error
        if answer.status >= 400 and answer.status not in accept:
            raise FaultError(
                f"Toxiproxy refused {method} {path} with {answer.status}: {answer.text[:200]}"
            )
        return answer


def _proxy(raw: Mapping[str, Any]) -> Proxy:
    try:
        return Proxy(
            name=raw["name"],
            listen=raw["listen"],
            upstream=raw["upstream"],
            enabled=raw["enabled"],
            toxics=tuple(_toxic(t) for t in raw["toxics"]),
        )
    except (KeyError, TypeError) as error:
        raise FaultError(f"Toxiproxy reported a proxy that cannot be read: {raw!r}.") from error


def _toxic(raw: Mapping[str, Any]) -> Toxic:
    """A toxic as found, which may be one that this client would never have created."""
    found = object.__new__(Toxic)
    for name in ("name", "type", "stream", "toxicity"):
        object.__setattr__(found, name, raw[name])
    object.__setattr__(found, "attributes", dict(raw.get("attributes") or {}))
    return found


def _covers(found: Toxic, asked: Toxic) -> bool:
    same = (found.type, found.stream) == (asked.type, asked.stream)
    # The server keeps toxicity as a 32-bit float.
    near = abs(found.toxicity - asked.toxicity) < 1e-6
    return same and near and all(found.attributes.get(k) == v for k, v in asked.attributes.items())
