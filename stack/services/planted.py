"""The gateway's planted defects that are not a matter of settings."""

from __future__ import annotations

import time

LEAK_BYTES = 50_000


class Planted:
    """Acts out ``leak`` and ``stall``; answers for ``no-fallback``.

    Args:
        defects: Names that are switched on.
        stall_at_request: The user request, counted from 1, that freezes the process.
        stall_s: How long it freezes.
    """

    def __init__(self, defects: frozenset[str], stall_at_request: float, stall_s: float) -> None:
        self.no_fallback = "no-fallback" in defects
        self._leaks = "leak" in defects
        self._stall_at_request = int(stall_at_request) if "stall" in defects else 0
        self._stall_s = stall_s
        self._requests = 0
        self._leaked: list[bytes] = []

    def on_request(self) -> None:
        """To be called once for each user request, before it is answered."""
        self._requests += 1
        if self._leaks:
            self._leaked.append(b"x" * LEAK_BYTES)  # written, so that the memory is really used
        if self._requests == self._stall_at_request:
            time.sleep(self._stall_s)  # blocks the event loop, and that is the defect
