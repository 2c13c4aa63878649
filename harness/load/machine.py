"""Which machine this is, and what a process on it has read."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Sequence
from pathlib import Path

from harness.reach import host_of, is_loopback

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
NETWORK = Path("/proc/self/ns/net")


def machine() -> str:
    """Equal for two processes exactly if ``127.0.0.1`` is the same place for both.

    On Linux the boot and the network namespace; elsewhere the host's name.
    """
    try:
        return f"{BOOT_ID.read_text().strip()} {NETWORK.readlink()}"
    except OSError:
        return socket.gethostname()


def digest(files: Sequence[str]) -> str:
    """SHA-256 over the contents of locustfiles, in their order."""
    whole = hashlib.sha256()
    for name in files:
        whole.update(hashlib.sha256(Path(name).read_bytes()).digest())
    return whole.hexdigest()


def own_address(url: str) -> str:
    """The host of a URL if each machine takes it for itself, such as ``127.0.0.1``; or empty."""
    host = host_of(url) or ""
    return host if is_loopback(host) else ""
