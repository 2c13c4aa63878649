"""The objective language: one line in, one frozen condition out, and back again.

    objective := recovery | alert | growth | baseline | threshold
    recovery  := "recovery" ["of" NAME] "<" DURATION
                 ["from" ("injection" | "heal")] ["sustained" DURATION]
    alert     := "alert" NAME (awaited "within" DURATION | "does" "not" "fire")
    awaited   := "fires" | "resolves" | "reaches" CHANNEL
    growth    := NAME "does" "not" "reach" QUANTITY "within" DURATION
    baseline  := NAME ["." STAT] ("<=" "baseline" "+" PERCENT | ">=" "baseline" "-" PERCENT) during
    threshold := NAME ["." STAT] OP QUANTITY [during | "at" "end" | "for" DURATION]
    during    := "during" PHASE {"," PHASE}

``show(parse(text))`` is the canonical spelling and parses to the same condition.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.alerting import CHANNELS
from harness.model import (
    AlertEvent,
    AlertExpectation,
    BaselineThreshold,
    Condition,
    GrowthLimit,
    Op,
    Phase,
    Quantity,
    RecoveryFrom,
    RecoveryLimit,
    Threshold,
    Unit,
)
from harness.units import parse_duration_s, parse_quantity, show_duration, show_quantity

_TOKEN = re.compile(
    r"\s*(?:(?P<word>[A-Za-z_][\w-]*)|(?P<quantity>[+-]?(?:\d|\.\d)[\w.%]*(?:/[smh]\b)?)"
    r"|(?P<sign><=|>=|==|<|>|,|\.|\+))"
)
QUANTILE = re.compile(r"(?:(?:ttft|gap)_)?p(\d{1,2})(\d*)")
LOAD_STATS = ("errors", "availability", "degraded", "truncated", "goodput")
SERIES_STATS = ("min", "max", "mean", "last")
COUNT_STATS = ("failed",)  #: requests of a whole run
RUN_STATS = ("lost", "duplicated", "corrupted", "reordered", "stale")
FALLING_STATS = ("availability", "goodput")  #: the higher, the better
_RATIO_STATS = ("errors", "availability", "degraded", "truncated")


class ObjectiveError(ValueError):
    """An objective that cannot be read; the message names the place and what is allowed."""


def quantile_of(stat: str) -> float | None:
    """0.99 for ``p99``, 0.999 for ``p999``; None when the stat is not a quantile.

    ``ttft_p99`` and ``gap_p99`` are the same quantile of a stream's waits.

    ``p100`` is none: it reads like the maximum and must not become the 10th percentile.
    """
    match = QUANTILE.fullmatch(stat)
    if match is None or (match[2] and not match[2].strip("0")):
        return None
    quantile = float(f"0.{match[1].zfill(2)}{match[2]}")
    return quantile if quantile > 0 else None


def says_well(condition: Threshold) -> bool:
    """Whether an objective on an SLI says of each single sample, in steady or after, if it is well.

    A mean says it of none, and `max > 1` of one only.
    """
    extreme = {Op.LT: "max", Op.LE: "max", Op.GT: "min", Op.GE: "min"}.get(condition.op)
    of_each = condition.stat in ("", "last", extreme)
    in_time = condition.at_end or {Phase.STEADY, Phase.AFTER}.intersection(condition.phases)
    return of_each and bool(in_time)


def parse(text: str) -> Condition:
    """Read one objective.

    Raises:
        ObjectiveError: Not an objective; says where and what is expected there.
    """
    tokens = _Tokens(text)
    first = tokens.word("a name such as orders")
    if first == "recovery" and tokens.peek() in ("of", "<"):
        condition: Condition = _recovery(tokens)
    elif first == "alert" and tokens.peek() not in (".", "<", "<=", ">", ">=", "=="):
        condition = _alert(tokens)
    elif tokens.peek() == "does":
        condition = _growth(first, tokens)
    else:
        condition = _threshold(first, tokens)
    tokens.end()
    return condition


def show(condition: Condition) -> str:
    """The canonical spelling of a condition."""
    match condition:
        case Threshold():
            return _show_threshold(condition)
        case BaselineThreshold():
            margin = show_quantity(Quantity(value=condition.margin, unit=Unit.RATIO))
            phases = ", ".join(condition.phases)
            name = _show_name(condition.subject, condition.stat)
            sign = "-" if condition.falling else "+"
            return f"{name} {condition.op} baseline {sign}{margin} during {phases}"
        case RecoveryLimit():
            of = f" of {condition.subject}" if condition.subject else ""
            origin = f" from {condition.origin}" if condition.origin else ""
            sustained = condition.sustained_s
            tail = "" if sustained is None else f" sustained {show_duration(sustained)}"
            return f"recovery{of} < {show_duration(condition.limit_s)}{origin}{tail}"
        case AlertExpectation():
            if condition.within_s is None:
                return f"alert {condition.alert} does not fire"
            event = f"{condition.event} {condition.channel}".rstrip()
            return f"alert {condition.alert} {event} within {show_duration(condition.within_s)}"
        case GrowthLimit():
            limit, within = show_quantity(condition.limit), show_duration(condition.within_s)
            return f"{condition.subject} does not reach {limit} within {within}"


def _show_name(subject: str, stat: str) -> str:
    return f"{subject}.{stat}" if stat else subject


def _show_threshold(condition: Threshold) -> str:
    name = _show_name(condition.subject, condition.stat)
    text = f"{name} {condition.op} {show_quantity(condition.limit)}"
    if condition.phases:
        return f"{text} during {', '.join(condition.phases)}"
    if condition.at_end:
        return f"{text} at end"
    return text if condition.for_s is None else f"{text} for {show_duration(condition.for_s)}"


def _recovery(tokens: _Tokens) -> RecoveryLimit:
    subject = tokens.word("a name") if tokens.take("of") else ""
    tokens.expect("<")
    limit_s = tokens.duration_s()
    origin = None
    if tokens.take("from"):
        origin = RecoveryFrom(tokens.one_of(tuple(RecoveryFrom)))
    sustained_s = tokens.duration_s() if tokens.take("sustained") else None
    return RecoveryLimit(subject=subject, limit_s=limit_s, origin=origin, sustained_s=sustained_s)


def _alert(tokens: _Tokens) -> AlertExpectation:
    name = tokens.word("the alert's name")
    said = tokens.one_of((*AlertEvent, "does"))
    if said != "does":
        event, channel = AlertEvent(said), ""
        if event is AlertEvent.REACHES:
            channel = tokens.one_of(CHANNELS)
        tokens.expect("within")
        return AlertExpectation(
            alert=name, within_s=tokens.duration_s(), event=event, channel=channel
        )
    tokens.expect("not")
    tokens.expect("fire")
    return AlertExpectation(alert=name, within_s=None)


def _growth(subject: str, tokens: _Tokens) -> GrowthLimit:
    for word in ("does", "not", "reach"):
        tokens.expect(word)
    limit = tokens.quantity()
    tokens.expect("within")
    within_s = tokens.duration_s()
    if within_s <= 0:
        raise ObjectiveError(f"{subject} needs a time above 0 to grow in, such as `within 24h`")
    return GrowthLimit(subject=subject, limit=limit, within_s=within_s)


def _threshold(subject: str, tokens: _Tokens) -> Threshold | BaselineThreshold:
    stat = tokens.word("a statistic such as p99") if tokens.take(".") else ""
    _check_stat(subject, stat)
    op = Op(tokens.one_of(tuple(Op)))
    if tokens.take("baseline"):
        return _baseline(subject, stat, op, tokens)
    limit = tokens.quantity()
    _check_unit(subject, stat, limit)
    needs_phase = stat in LOAD_STATS or quantile_of(stat) is not None
    at_end = tokens.take("at")
    if at_end:
        tokens.expect("end")
    for_s = tokens.duration_s() if not at_end and tokens.take("for") else None
    scoped = at_end or for_s is not None or stat in (*COUNT_STATS, *RUN_STATS)
    phases = () if scoped else _during(tokens, required=needs_phase)
    if not scoped and not phases:
        raise ObjectiveError(
            f"{subject} needs `during` with one or more of {', '.join(Phase)}, or `at end`"
        )
    return Threshold(
        subject=subject, stat=stat, op=op, limit=limit, phases=phases, at_end=at_end, for_s=for_s
    )


def _baseline(subject: str, stat: str, op: Op, tokens: _Tokens) -> BaselineThreshold:
    """What may rise has ``<=`` and a margin above the baseline, what may fall the opposite."""
    name = _show_name(subject, stat)
    if stat in RUN_STATS:
        raise ObjectiveError(f"{name} is a count that has one right value, and no baseline")
    if stat in COUNT_STATS:
        raise ObjectiveError(f"{name} is a count of one run; compare {subject}.errors instead")
    of_load = bool(stat) and stat not in SERIES_STATS
    falling = Op.GE if stat in FALLING_STATS else Op.LE
    if op not in ((falling,) if of_load else (Op.LE, Op.GE)):
        reads = f"{name} >= baseline -10%" if falling is Op.GE else f"{name} <= baseline +10%"
        raise ObjectiveError(f"a baseline objective reads `{reads} during …`")
    tokens.take("+")
    margin, sign = tokens.quantity(), -1 if op is Op.GE else 1
    allowed = margin.value * sign + 0.0  # never the negative zero
    if margin.unit is not Unit.RATIO or allowed < 0 or (sign < 0 and allowed > 1):
        side, example = ("over", "+10%") if sign > 0 else ("under", "-10%")
        raise ObjectiveError(
            f"the margin {side} the baseline must be a percentage, such as {example}"
        )
    return BaselineThreshold(
        subject=subject, stat=stat, margin=allowed, phases=_during(tokens, required=True), op=op
    )


def _during(tokens: _Tokens, *, required: bool) -> tuple[Phase, ...]:
    if not tokens.take("during"):
        if required:
            raise ObjectiveError(
                f"say when: add `during` with one or more of {', '.join(Phase)} {tokens.place()}"
            )
        return ()
    phases = [Phase(tokens.one_of(tuple(Phase)))]
    while tokens.take(","):
        phases.append(Phase(tokens.one_of(tuple(Phase))))
    if len(set(phases)) != len(phases):
        raise ObjectiveError("a phase is named twice")
    return tuple(phases)


def _check_stat(subject: str, stat: str) -> None:
    known = (*LOAD_STATS, *COUNT_STATS, *SERIES_STATS, *RUN_STATS)
    if stat and stat not in known and quantile_of(stat) is None:
        raise ObjectiveError(
            f"{subject}.{stat}: unknown statistic {stat!r}; "
            f"known: p50, p95, p99, p999 (any quantile), {', '.join(known)}"
        )


def _check_unit(subject: str, stat: str, limit: Quantity) -> None:
    name = f"{subject}.{stat}"
    if quantile_of(stat) is not None and (limit.unit is not Unit.SECONDS or limit.value <= 0):
        raise ObjectiveError(f"{name} is a latency; its limit needs a time above 0, such as 250ms")
    if stat in _RATIO_STATS and (limit.unit is not Unit.RATIO or not 0 <= limit.value <= 1):
        raise ObjectiveError(f"{name} is a ratio; its limit needs a percentage from 0% to 100%")
    if stat == "goodput" and (limit.unit is not Unit.PER_SECOND or limit.value < 0):
        raise ObjectiveError(f"{name} is a rate; its limit needs a rate, such as 95/s")
    if stat in (*COUNT_STATS, *RUN_STATS) and (limit.unit is not Unit.NUMBER or limit.value < 0):
        raise ObjectiveError(f"{name} is a count; its limit needs a plain number, such as 0")


class _Tokens:
    """The words of one objective, taken from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._split(text))
        self._next = 0

    @staticmethod
    def _split(text: str) -> Iterator[tuple[str, str, int]]:
        at = 0
        while text[at:].strip():
            match = _TOKEN.match(text, at)
            if match is None:
                rest = text[at:].strip()
                raise ObjectiveError(f"cannot read {rest[:20]!r} in {text!r}")
            kind = match.lastgroup or ""
            yield kind, match[kind], match.start(kind)
            at = match.end()

    def peek(self) -> str | None:
        return self._tokens[self._next][1] if self._next < len(self._tokens) else None

    def place(self) -> str:
        if self._next < len(self._tokens):
            return f"before {self._text[self._tokens[self._next][2] :]!r}"
        return "at the end"

    def take(self, expected: str) -> bool:
        if self.peek() != expected:
            return False
        self._next += 1
        return True

    def expect(self, expected: str) -> None:
        if not self.take(expected):
            raise ObjectiveError(f"expected `{expected}` {self.place()}")

    def one_of(self, allowed: tuple[str, ...]) -> str:
        found = self.peek()
        if found not in allowed:
            raise ObjectiveError(f"expected one of {', '.join(allowed)} {self.place()}")
        self._next += 1
        return str(found)

    def word(self, what: str) -> str:
        if self._next < len(self._tokens) and self._tokens[self._next][0] == "word":
            self._next += 1
            return self._tokens[self._next - 1][1]
        raise ObjectiveError(f"expected {what} {self.place()}")

    def quantity(self) -> Quantity:
        try:
            value = parse_quantity(self.peek() or "")
        except ValueError as error:
            raise ObjectiveError(f"expected a limit {self.place()}: {error}") from error
        self._next += 1
        return value

    def duration_s(self) -> float:
        try:
            value = parse_duration_s(self.peek() or "")
        except ValueError as error:
            raise ObjectiveError(f"expected a duration {self.place()}: {error}") from error
        self._next += 1
        return value

    def end(self) -> None:
        if self._next < len(self._tokens):
            raise ObjectiveError(f"did not expect anything {self.place()}")
