"""How each network fault is seen on a fresh connection: whether it bites, and in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness import probe, wire
from harness.wire import Exchange

Arguments = Mapping[str, str]
EffectFields = Mapping[str, float]
NetworkLook = Callable[[Arguments, EffectFields], tuple[bool, str]]


def _refused(arguments: Arguments, _: EffectFields) -> tuple[bool, str]:
    """Nobody listens where the callers connect."""
    gone = probe.refuses(arguments["listen"])
    return gone, f"a connection to {arguments['listen']} was {'' if gone else 'not '}refused"


def _reset(arguments: Arguments, effect: EffectFields) -> tuple[bool, str]:
    """A fresh request ends in a reset, without an answer and not before the agreed time."""
    met = _exchange(arguments, effect)
    bites = met.ended == wire.RESET and met.ended_s >= effect["after_s"] and not met.received
    return _told(bites, arguments, met)


def _slow_transfer(arguments: Arguments, effect: EffectFields) -> tuple[bool, str]:
    """The same bytes as before arrive, later."""
    met = _exchange(arguments, effect)
    whole = met.ended == wire.CLOSED and met.received >= effect["bytes"]
    return _told(whole and met.last_s >= effect["slower_than_s"], arguments, met)


def _truncated(arguments: Arguments, effect: EffectFields) -> tuple[bool, str]:
    """The connection ends before all of the answers have come."""
    met = _exchange(arguments, effect)
    ended = met.ended in (wire.CLOSED, wire.RESET)
    return _told(ended and met.received <= effect["at_most_bytes"], arguments, met)


def _pieces(arguments: Arguments, effect: EffectFields) -> tuple[bool, str]:
    """The same bytes as before arrive, in more pieces."""
    met = _exchange(arguments, effect)
    whole = met.received >= effect["bytes"]
    return _told(whole and met.pieces >= effect["pieces"], arguments, met)


def _late_close(arguments: Arguments, effect: EffectFields) -> tuple[bool, str]:
    """The connection stays open for a while after the answer is complete."""
    met = _exchange(arguments, effect)
    whole = met.ended == wire.CLOSED and met.received >= effect["bytes"]
    return _told(whole and met.ended_s - met.last_s >= effect["open_for_s"], arguments, met)


def _exchange(arguments: Arguments, effect: EffectFields) -> Exchange:
    return wire.exchange(
        arguments["listen"],
        arguments["health_path"],
        requests=int(effect.get("requests", 1)),
        padding=int(effect.get("padding", 0)),
        timeout_s=effect["timeout_s"],
    )


def _told(bites: bool, arguments: Arguments, met: Exchange) -> tuple[bool, str]:
    return bites, f"a fresh connection through {arguments['listen']} met {met}"


NETWORK_LOOKS: Mapping[str, NetworkLook] = {
    "refused": _refused,
    "reset": _reset,
    "slow_transfer": _slow_transfer,
    "truncated": _truncated,
    "pieces": _pieces,
    "late_close": _late_close,
}
