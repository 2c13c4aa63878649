"""What a locustfile imports from the harness; imported in Locust's process only.

One line turns a plain user into an open-loop one::

    from harness.load import OpenLoop

    class Shopper(OpenLoop, FastHttpUser): ...

The names load Locust (which patches the whole interpreter), so they are looked up late:
the harness itself uses the other modules of this package and must never see Locust.
"""

from importlib import import_module
from typing import Any

__all__ = ["LeanHttpUser", "OpenLoop", "mark_degraded", "stream", "write", "write_key"]
_HOMES = {
    "LeanHttpUser": "lean",
    "OpenLoop": "openloop",
    "mark_degraded": "journeys",
    "stream": "streaming",
    "write": "ledger",
    "write_key": "ledger",
}


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
