"""The fixed table of looks: how it is seen, from outside, that a fault bites.

A look only reads. It is told the undo arguments of an entry and the effect to be seen, both
plain data, so that anybody who holds the entry can look again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness import probe
from harness.errors import FaultError
from harness.probe import Effect

Arguments = Mapping[str, str]
EffectFields = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look met, in words, and whether it is the fault."""

    bites: bool
    words: str


def _request(arguments: Arguments, effect: EffectFields) -> Seen:
    """A timed request on a fresh connection through the faulted path."""
    wanted = Effect(**effect)
    met = probe.request(arguments["listen"], arguments["health_path"], wanted.look_timeout_s)
    return Seen(wanted.seen_in(met), f"a request through {arguments['listen']} met {met}")


LOOKS: Mapping[str, Callable[[Arguments, EffectFields], Seen]] = {"request": _request}


def look(name: str, arguments: Arguments, effect: EffectFields) -> Seen:
    """Look once.

    Raises:
        FaultError: No such look.
    """
    if name not in LOOKS:
        raise FaultError(f"Unknown look {name!r}; known: {', '.join(LOOKS)}.")
    return LOOKS[name](arguments, effect)
