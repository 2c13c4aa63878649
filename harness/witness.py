"""A second witness that the stack's own callers use a proxy: the proxy's byte counters.

A look proves that the proxy bites on what goes through it, not that anybody goes through it.
The server counts a connection's bytes when that connection ends, so a caller that keeps its
connections open is not seen here: growth tells something, its absence tells nothing.
"""

from __future__ import annotations

import re

import requests

COUNTER = "toxiproxy_proxy_received_bytes_total"
TIMEOUT_S = 1.0


def received_bytes(api: str, proxy: str) -> float | None:
    """Bytes that callers sent to a proxy on connections that ended; None when nobody counts.

    Args:
        api: Base URL of the Toxiproxy server.
        proxy: Name of the proxy.
    """
    with requests.Session() as session:
        session.trust_env = False
        try:
            answer = session.get(
                f"{api}/metrics", headers={"User-Agent": "harness"}, timeout=TIMEOUT_S
            )
        except requests.RequestException:
            return None
    if not answer.ok:
        return None  # the server was started without -proxy-metrics
    lines = re.findall(rf"^{COUNTER}{{(.*)}} (\S+)$", answer.text, re.MULTILINE)
    wanted = ('direction="upstream"', f'proxy="{proxy}"')
    return sum(float(value) for labels, value in lines if all(w in labels for w in wanted))
