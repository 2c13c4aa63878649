"""How each HTTP fault is seen in a fresh answer through the edge: whether it bites, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness import http_answer
from harness.http_answer import Answer

Arguments = Mapping[str, str]
EffectFields = Mapping[str, float]
HttpLook = Callable[[Arguments, EffectFields], tuple[bool, str]]


def _made_up(arguments: Arguments, effect: EffectFields) -> tuple[bool, str]:
    """The status is the fault's, and the answer names this very entry as its maker."""
    met = _ask(arguments, effect)
    retry = met.retry_after == (f"{effect['retry_after_s']:.0f}" if effect["retry_after_s"] else "")
    bites = met.status == effect["status"] and met.mark == arguments["token"] and retry
    return _told(bites, arguments, met)


def _late_first_byte(arguments: Arguments, effect: EffectFields) -> tuple[bool, str]:
    """No byte of an answer comes before its time, on a connection that stays open."""
    met = _ask(arguments, effect)
    waits = met.status or met.ended == http_answer.SILENCE
    return _told(bool(waits) and met.began_s >= effect["no_byte_before_s"], arguments, met)


def _stalled(arguments: Arguments, effect: EffectFields) -> tuple[bool, str]:
    """After exactly so many bytes of the body no more come for a while, the connection open."""
    met = _ask(arguments, effect)
    there = met.status and met.paused_at == effect["after_bytes"]
    open_ = met.ended in (http_answer.SILENCE, http_answer.WHOLE)
    bites = bool(there) and open_ and met.longest_pause_s >= effect["silent_for_s"]
    return _told(bites, arguments, met)


def _broken_off(arguments: Arguments, effect: EffectFields) -> tuple[bool, str]:
    """After exactly so many bytes of the body the connection ends, short of the answer's end."""
    met = _ask(arguments, effect)
    cut = met.status and met.ended == http_answer.CUT
    return _told(bool(cut) and met.body_bytes == effect["after_bytes"], arguments, met)


def _ask(arguments: Arguments, effect: EffectFields) -> Answer:
    return http_answer.ask(
        arguments["listen"], arguments["look_path"], effect["timeout_s"], effect.get("pause_s")
    )


def _told(bites: bool, arguments: Arguments, met: Answer) -> tuple[bool, str]:
    return bites, f"GET {arguments['look_path']} through {arguments['listen']} met {met}"


HTTP_LOOKS: Mapping[str, HttpLook] = {
    "answer_made_up": _made_up,
    "first_byte_late": _late_first_byte,
    "answer_stalled": _stalled,
    "answer_broken_off": _broken_off,
}
