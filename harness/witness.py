"""A second witness that the stack's own callers use a proxy: the proxy's byte counters.

A look proves that the proxy bites on what goes through it, not that anybody goes through it.
The server counts a connection's bytes when that connection ends, so a caller that keeps its
connections open is not seen here: growth tells something, its absence tells nothing.
"""

from __future__ import annotations

import re

from harness import rest

COUNTER = "toxiproxy_proxy_received_bytes_total"
TIMEOUT_S = 1.0


def received_bytes(api: str, proxy: str) -> float | None:
    """Bytes that callers sent to a proxy on connections that ended; None when nobody counts.

    Args:
        api: Base URL of the Toxiproxy server.
        proxy: Name of the proxy.
    """
    try:
        answer = rest.call("GET", f"{api}/metrics", timeout_s=TIMEOUT_S)
    except rest.NoAnswerError:
        return None
    if answer.status != 200:
        return None  # the server was started without -proxy-metrics
    lines = re.findall(rf"^{COUNTER}{{(.*)}} (\S+)$", answer.text, re.MULTILINE)
    wanted = ('direction="upstream"', f'proxy="{proxy}"')
    return sum(float(value) for labels, value in lines if all(w in labels for w in wanted))


class Witness:
    """Adds up what callers sent through one proxy between our own looks at it.

    Args:
        api: Base URL of the Toxiproxy server; empty if the fault is on no proxy.
        proxy: Name of the proxy.
    """

    def __init__(self, api: str, proxy: str) -> None:
        self._api, self._proxy = api, proxy
        self._since: float | None = None
        self._counted: float | None = None

    def looks_end(self) -> None:
        """From here on, what the proxy receives is not from us."""
        self._since = received_bytes(self._api, self._proxy) if self._api else None

    def looks_begin(self) -> None:
        """From here on, some of what the proxy receives is from us."""
        if self._since is None:
            return
        now = received_bytes(self._api, self._proxy)
        if now is not None:
            self._counted = (self._counted or 0) + max(0.0, now - self._since)

    @property
    def words(self) -> str:
        """What was seen, for the proof; empty when nobody counted."""
        if self._counted is None:
            return ""
        if not self._counted:
            return "; between looks, no connection of a caller ended at the proxy"
        return f"; between looks, callers' connections brought the proxy {self._counted:.0f} bytes"
