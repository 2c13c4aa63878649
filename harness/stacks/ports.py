"""Choosing ports that stay free until they are used."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

from harness.errors import InvalidError
from harness.stacks.plan import HOST

#: Below the range from which Linux (32768 up) and macOS (49152 up) take the local ports
#: of outgoing connections. A port from inside that range can be lost to any connection
#: while its service is restarting, and a client that retries there can even end up
#: connected to itself and keep the port.
SAFE_PORTS = range(20_000, 32_000)
EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
TRIES = 100


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:``port`` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections of the last server that are winding down do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
        return True


def choose(names: Iterable[str], configured: Mapping[str, int]) -> dict[str, int]:
    """A port for each name: the configured one, or a free one.

    Raises:
        InvalidError: A configured port is in use.
    """
    chosen: dict[str, int] = {}
    for name, port in configured.items():
        if not is_free(port):
            raise InvalidError(
                f"Port {port} for {name} is in use.", "Stop what listens there or choose another."
            )
        chosen[name] = port
    for name in names:
        if name not in chosen:
            chosen[name] = _free_port(set(chosen.values()))
    return chosen


def _free_port(taken: set[int]) -> int:
    if _ephemeral_start() >= SAFE_PORTS.stop:
        for _ in range(TRIES):
            port = random.choice(SAFE_PORTS)
            if port not in taken and is_free(port):
                return port
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _ephemeral_start() -> int:
    try:
        return int(EPHEMERAL_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return SAFE_PORTS.stop  # not Linux
