"""Words that every report shares: values with units, outcomes, the headline, exit codes.

Names in a result come from scenario files, targets and servers, so nobody vouches for them:
``clean`` makes each of them safe to show before a renderer escapes it for its own format.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from datetime import datetime
from typing import IO, Any

from harness.errors import ExitCode

NOTHING = "–"
PHASES = {
    "warmup": "warm-up",
    "steady": "steady",
    "fault": "FAULT",
    "recovery": "recovery",
    "after": "after",
}
EXIT_MEANINGS = {
    ExitCode.DIRTY: "a fault may still be active",
    ExitCode.ERROR: "the harness or its infrastructure failed; the target is proven clean",
    ExitCode.INVALID: "the request was refused; nothing was touched",
    ExitCode.FAIL: "a valid negative verdict",
    ExitCode.ABORTED: "stopped on purpose; the target is proven clean",
    ExitCode.INCONCLUSIVE: "the evidence is not enough to decide",
    ExitCode.PASS: "everything on the closed list held",
}
_OUTCOMES = {
    "pass": ("✓", "pass"),
    "fail": ("✗", "FAIL"),
    "inconclusive": ("?", "inconclusive"),
    "warn": ("!", "WARN"),
    "waived": ("!", "WAIVED"),
}
# Control characters, lone surrogates, non-characters, and what reorders or hides text.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufffe\uffff\ud800-\udfff]"
)


def clean(text: object) -> str:
    """The text on one line, with nothing in it that acts instead of being shown."""
    return _UNSAFE.sub(_visible, str(text))


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] in "\n\r\t":
        return " "
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def value(number: float | None, unit: str, beside: float | None = None) -> str:
    """A number as people write it: ``41 ms``, ``2.3 s``, ``0.31 %``, ``120/s``.

    With ``beside`` it gets as many digits as it takes to look different from that number, so
    that 250.4 ms does not read as equal to a limit of 250 ms.
    """
    if number is None:
        return NOTHING
    for more in range(5):
        text = _value(number, unit, more)
        if beside is None or number == beside or text != _value(beside, unit, 0):
            break
    return text


def _value(number: float, unit: str, more: int) -> str:
    match unit:
        case "s" if abs(number) < 1:
            return f"{_number(number * 1000, 2 if 0 < abs(number) < 0.01 else 0, more)} ms"
        case "s":
            return f"{_number(number, 1 if abs(number) < 120 else 0, more)} s"
        case "ratio":
            return f"{_number(number * 100, _percent_digits(number), more)} %"
        case "/s":
            return f"{_number(number, 1, more)}/s"
        case "B":
            return _size(number, more)
    return _number(number, 0 if abs(number) >= 1000 else 3, more)


def _size(number: float, more: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(number) >= size:
            return f"{_number(number / size, 1, more)} {unit}"
    return f"{_number(number, 0, more)} B"


def _percent_digits(ratio: float) -> int:
    """Two digits, or as many as keep "not quite all" and "nearly none" from looking rounded."""
    rest = min(abs(ratio), abs(1 - ratio)) * 100
    return 2 if rest == 0 or rest >= 0.01 else min(8, 1 - math.floor(math.log10(rest)))


def _number(number: float, digits: int, more: int) -> str:
    text = f"{number:,.{digits + more}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def milliseconds(number: float | None) -> str:
    """A duration that is given in milliseconds."""
    return value(None if number is None else number / 1000, "s")


def clock(seconds: float) -> str:
    """A time on the run's own clock: ``1:05``, ``-0:03``, ``2:00:00``."""
    whole = round(abs(seconds))
    sign = "-" if seconds < 0 and whole else ""
    hours, rest = divmod(whole, 3600)
    shown = f"{hours}:{rest // 60:02d}" if hours else f"{rest // 60}"
    return f"{sign}{shown}:{rest % 60:02d}"


def between(start: str | None, end: str | None) -> float | None:
    """Seconds from one ISO time to another; None when one of them never happened."""
    if start is None or end is None:
        return None
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def outcome_kind(check: Mapping[str, Any]) -> str:
    """``pass``, ``fail``, ``inconclusive``; ``warn`` or ``waived`` for what does not gate."""
    if check["waiver"] is not None:
        return "waived"
    outcome = str(check["outcome"])
    return "warn" if outcome == "fail" and check["gate"] == "warn" else outcome


def outcome_label(kind: str) -> str:
    """Sign and word; never the one without the other."""
    sign, word = _OUTCOMES[kind]
    return f"{sign} {word}"


def verdict_kind(result: Mapping[str, Any]) -> str:
    """How the verdict looks: ``pass``, ``fail`` or ``inconclusive`` (all that is in between)."""
    code = ExitCode(result["verdict"]["exit_code"])
    if code is ExitCode.PASS:
        return "pass"
    bad = (ExitCode.FAIL, ExitCode.DIRTY, ExitCode.ERROR)
    return "fail" if code in bad else "inconclusive"


def verdict_label(result: Mapping[str, Any]) -> str:
    """Sign and name of the verdict, such as ``✗ FAIL``."""
    return f"{_OUTCOMES[verdict_kind(result)][0]} {result['verdict']['name']}"


def exit_meaning(code: int) -> str:
    """What an exit code says, as half a sentence."""
    return EXIT_MEANINGS[ExitCode(code)]


def phase_name(phase: str) -> str:
    """A phase in words; other text as it is."""
    return PHASES.get(phase, clean(phase))


def wants_color(stream: IO[str], environ: Mapping[str, str] = os.environ) -> bool:
    """Whether to colour what goes to a stream: NO_COLOR, FORCE_COLOR, TERM, then the terminal."""
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR") not in (None, "", "0"):
        return True
    return environ.get("TERM") != "dumb" and stream.isatty()
