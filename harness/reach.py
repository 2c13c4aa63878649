"""Where a run's calls would go, and whether a name looks like production. Pure.

Nothing is resolved: a name is judged as it is written, so that asking a name server is not
the first call of a run that is then refused.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from harness.descriptor import StackDescriptor

PRODUCTION = frozenset({"prod", "production", "live"})
_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def looks_like_production(name: str) -> bool:
    """Whether a part of the name says so: ``shop-prod2``, ``live.example``, ``ShopProduction``.

    Parts end at anything but a letter, and at a capital after small ones; ``product`` and
    ``delivery`` are none.
    """
    parts = {part.lower() for part in _PARTS.findall(name)}
    return not PRODUCTION.isdisjoint(parts)


def host_of(url: str) -> str | None:
    """The host of a URL (or of ``host:port``), in small letters; None when it cannot be told.

    What two readers of URLs could take for two different hosts counts as unknown.
    """
    if re.search(r"[\s\\]|[^\x21-\x7e]", url):
        return None
    try:
        parts = urlsplit(url if "://" in url else f"//{url}")
        host = None if "${" in parts.netloc else parts.hostname
    except ValueError:
        return None
    return (host.rstrip(".") or None) if host else None


def is_loopback(host: str) -> bool:
    """Whether the name can only mean this machine."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def called_hosts(stack: StackDescriptor, targets: Sequence[str]) -> Mapping[str, str]:
    """The URLs and addresses of a stack that a run would call, with the parts it names."""
    found = {
        "base_url": stack.base_url,
        "prometheus": stack.prometheus,
        "alertmanager": stack.alertmanager,
        "toxiproxy": stack.toxiproxy,
    }
    for target in targets:
        if target in stack.edges:
            found[f"edge {target}"] = stack.edges[target].listen
        elif target in stack.services:
            found[f"service {target}"] = stack.services[target].url
    return {what: url for what, url in found.items() if url}
