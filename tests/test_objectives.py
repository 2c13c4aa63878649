"""The objective language: every form, every refusal with its place, and show as its inverse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tests.builders  # noqa: F401 - sets hypothesis up
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
from harness.objectives import (
    COUNT_STATS,
    LOAD_STATS,
    RUN_STATS,
    SERIES_STATS,
    ObjectiveError,
    parse,
    quantile_of,
    show,
)


def threshold(subject: str, stat: str, op: Op, value: float, unit: Unit, **when: object) -> object:
    limit = Quantity(value=value, unit=unit)
    return Threshold(subject=subject, stat=stat, op=op, limit=limit, **when)  # type: ignore[arg-type]


READ = {
    "a latency in two phases": (
        "orders.p99 < 250ms during steady, after",
        threshold("orders", "p99", Op.LT, 0.25, Unit.SECONDS, phases=(Phase.STEADY, Phase.AFTER)),
    ),
    "errors in the fault phase": (
        "orders.errors<0.5% during fault",
        threshold("orders", "errors", Op.LT, 0.005, Unit.RATIO, phases=(Phase.FAULT,)),
    ),
    "the first token of a streamed answer": (
        "assistant.ttft_p99 < 500ms during steady",
        threshold("assistant", "ttft_p99", Op.LT, 0.5, Unit.SECONDS, phases=(Phase.STEADY,)),
    ),
    "the largest gap in a streamed answer": (
        "assistant.gap_p95 < 1s during fault",
        threshold("assistant", "gap_p95", Op.LT, 1, Unit.SECONDS, phases=(Phase.FAULT,)),
    ),
    "streams that broke off": (
        "assistant.truncated < 0.1% during fault",
        threshold("assistant", "truncated", Op.LT, 0.001, Unit.RATIO, phases=(Phase.FAULT,)),
    ),
    "availability": (
        "orders.availability >= 99.9% during steady",
        threshold("orders", "availability", Op.GE, 0.999, Unit.RATIO, phases=(Phase.STEADY,)),
    ),
    "goodput": (
        "orders.goodput > 95/s during recovery",
        threshold("orders", "goodput", Op.GT, 95, Unit.PER_SECOND, phases=(Phase.RECOVERY,)),
    ),
    "a bare SLI at the end": (
        "lag < 100 at end",
        threshold("lag", "", Op.LT, 100, Unit.NUMBER, at_end=True),
    ),
    "the mean of an SLI": (
        "lag.mean <= 5 during warmup",
        threshold("lag", "mean", Op.LE, 5, Unit.NUMBER, phases=(Phase.WARMUP,)),
    ),
    "an abort condition": (
        "orders.errors > 60% for 20s",
        threshold("orders", "errors", Op.GT, 0.6, Unit.RATIO, for_s=20.0),
    ),
    "lost writes belong to the whole run": (
        "orders.lost == 0",
        threshold("orders", "lost", Op.EQ, 0, Unit.NUMBER),
    ),
    "failures belong to the whole run": (
        "orders.failed <= 40",
        threshold("orders", "failed", Op.LE, 40, Unit.NUMBER),
    ),
    "recovery of everything": ("recovery < 30s", RecoveryLimit(subject="", limit_s=30.0)),
    "recovery in full": (
        "recovery of orders < 60s from injection sustained 10s",
        RecoveryLimit(
            subject="orders", limit_s=60.0, origin=RecoveryFrom.INJECTION, sustained_s=10.0
        ),
    ),
    "recovery from the heal": (
        "recovery of orders < 500ms from heal",
        RecoveryLimit(subject="orders", limit_s=0.5, origin=RecoveryFrom.HEAL),
    ),
    "an alert that fires": (
        "alert UnderReplicated fires within 60s",
        AlertExpectation(alert="UnderReplicated", within_s=60.0),
    ),
    "an alert that ends": (
        "alert UnderReplicated resolves within 2m",
        AlertExpectation(alert="UnderReplicated", within_s=120.0, event=AlertEvent.RESOLVES),
    ),
    "an alert that wakes somebody": (
        "alert UnderReplicated reaches pagerduty within 60s",
        AlertExpectation(
            alert="UnderReplicated",
            within_s=60.0,
            event=AlertEvent.REACHES,
            channel="pagerduty",
        ),
    ),
    "an alert that stays silent": (
        "alert UnderReplicated does not fire",
        AlertExpectation(alert="UnderReplicated", within_s=None),
    ),
    "a growth": (
        "memory does not reach 512MB within 24h",
        GrowthLimit(
            subject="memory", limit=Quantity(value=512e6, unit=Unit.BYTES), within_s=86_400.0
        ),
    ),
    "a growth of something that is counted": (
        "descriptors does not reach 1024 within 7d",
        GrowthLimit(
            subject="descriptors", limit=Quantity(value=1024, unit=Unit.NUMBER), within_s=604_800.0
        ),
    ),
    "a baseline": (
        "orders.p99 <= baseline +15% during steady",
        BaselineThreshold(subject="orders", stat="p99", margin=0.15, phases=(Phase.STEADY,)),
    ),
    "a baseline of what should be high": (
        "orders.goodput >= baseline -15% during steady",
        BaselineThreshold(
            subject="orders", stat="goodput", margin=0.15, phases=(Phase.STEADY,), op=Op.GE
        ),
    ),
    "a baseline of a bare SLI": (
        "lag <= baseline +15% during steady",
        BaselineThreshold(subject="lag", stat="", margin=0.15, phases=(Phase.STEADY,)),
    ),
    "a baseline with the sign set apart": (
        "orders.p99 <= baseline + 15% during steady",
        BaselineThreshold(subject="orders", stat="p99", margin=0.15, phases=(Phase.STEADY,)),
    ),
    "a journey that is called recovery": (
        "recovery.p99 < 1s during steady",
        threshold("recovery", "p99", Op.LT, 1.0, Unit.SECONDS, phases=(Phase.STEADY,)),
    ),
    "an SLI that is called alert": (
        "alert == 0 at end",
        threshold("alert", "", Op.EQ, 0, Unit.NUMBER, at_end=True),
    ),
    "no blanks anywhere": (
        "a.p50<1s during steady,fault",
        threshold("a", "p50", Op.LT, 1.0, Unit.SECONDS, phases=(Phase.STEADY, Phase.FAULT)),
    ),
}


@pytest.mark.parametrize(("text", "condition"), READ.values(), ids=READ)
def test_an_objective_is_read(text: str, condition: Condition) -> None:
    assert parse(text) == condition


@pytest.mark.parametrize("text", [text for text, _ in READ.values()], ids=READ)
def test_what_was_read_is_shown_in_one_spelling(text: str) -> None:
    shown = show(parse(text))
    assert (parse(shown), show(parse(shown))) == (parse(text), shown)


REFUSED = {
    "nothing at all": ("", "expected a name such as orders at the end"),
    "only blanks": ("   ", "expected a name such as orders at the end"),
    "a number first": ("5 < 3", "expected a name such as orders before '5 < 3'"),
    "a sign that does not exist": ("orders & 3", "cannot read '& 3' in 'orders & 3'"),
    "no comparison": ("orders.p99", "expected one of <, <=, >, >=, == at the end"),
    "a word where the limit goes": (
        "orders.p99 < fast during steady",
        "expected a limit before 'fast during steady': 'fast' is not a limit; write a number "
        "with its unit: 250ms, 0.1%, 100/s, 512MB or 100",
    ),
    "an unknown statistic": (
        "orders.p99x < 1s during steady",
        "orders.p99x: unknown statistic 'p99x'; known: p50, p95, p99, p999 (any quantile), "
        "errors, availability, degraded, truncated, goodput, failed, min, max, mean, last, lost, "
        "duplicated, corrupted, reordered, stale",
    ),
    "p100, which reads like a maximum and must not be the 10th percentile": (
        "orders.p100 < 1s during steady",
        "orders.p100: unknown statistic 'p100'; known: p50, p95, p99, p999 (any quantile), "
        "errors, availability, degraded, truncated, goodput, failed, min, max, mean, last, lost, "
        "duplicated, corrupted, reordered, stale",
    ),
    "p0, which is below every request": (
        "orders.p0 < 1s during steady",
        "orders.p0: unknown statistic 'p0'; known: p50, p95, p99, p999 (any quantile), "
        "errors, availability, degraded, truncated, goodput, failed, min, max, mean, last, lost, "
        "duplicated, corrupted, reordered, stale",
    ),
    "a latency without a unit": (
        "orders.p99 < 250 during steady",
        "orders.p99 is a latency; its limit needs a time above 0, such as 250ms",
    ),
    "a latency of nothing": (
        "orders.p99 < 0ms during steady",
        "orders.p99 is a latency; its limit needs a time above 0, such as 250ms",
    ),
    "errors as a plain number": (
        "orders.errors < 0.5 during steady",
        "orders.errors is a ratio; its limit needs a percentage from 0% to 100%",
    ),
    "more than all requests": (
        "orders.errors < 101% during steady",
        "orders.errors is a ratio; its limit needs a percentage from 0% to 100%",
    ),
    "goodput as a percentage": (
        "orders.goodput > 95% during steady",
        "orders.goodput is a rate; its limit needs a rate, such as 95/s",
    ),
    "a share of failures": (
        "orders.failed < 1%",
        "orders.failed is a count; its limit needs a plain number, such as 0",
    ),
    "failures of one phase": (
        "orders.failed <= 40 during fault",
        "did not expect anything before 'during fault'",
    ),
    "a baseline of failures": (
        "orders.failed <= baseline +15% during steady",
        "orders.failed is a count of one run; compare orders.errors instead",
    ),
    "a share of lost writes": (
        "orders.lost < 1%",
        "orders.lost is a count; its limit needs a plain number, such as 0",
    ),
    "a latency without a phase": (
        "orders.p99 < 250ms",
        "say when: add `during` with one or more of warmup, steady, fault, recovery, after "
        "at the end",
    ),
    "an SLI without a time": (
        "lag < 100",
        "lag needs `during` with one or more of warmup, steady, fault, recovery, after, "
        "or `at end`",
    ),
    "a phase that does not exist": (
        "orders.p99 < 250ms during lunch",
        "expected one of warmup, steady, fault, recovery, after before 'lunch'",
    ),
    "a phase twice": ("orders.p99 < 1s during steady, steady", "a phase is named twice"),
    "a comma too many": (
        "orders.p99 < 1s during steady,",
        "expected one of warmup, steady, fault, recovery, after at the end",
    ),
    "at without end": ("lag < 100 at noon", "expected `end` before 'noon'"),
    "words after the end": (
        "lag < 100 at end please",
        "did not expect anything before 'please'",
    ),
    "recovery that is at least": (
        "recovery of orders > 30s",
        "expected `<` before '> 30s'",
    ),
    "recovery in requests": (
        "recovery < 30",
        "expected a duration before '30': '30' is not a duration; write a number and a unit, "
        "such as 250ms, 15s or 2m",
    ),
    "recovery from nowhere": (
        "recovery < 30s from scratch",
        "expected one of injection, heal before 'scratch'",
    ),
    "a negative recovery": (
        "recovery < -30s",
        "expected a duration before '-30s': '-30s' is negative; a duration is 0 or more",
    ),
    "an alert without a name": ("alert 5 fires", "expected the alert's name before '5 fires'"),
    "an alert without a limit": ("alert X fires", "expected `within` at the end"),
    "an alert that does nothing": ("alert X does", "expected `not` at the end"),
    "an alert that might": (
        "alert X may fire",
        "expected one of fires, resolves, reaches, does before 'may fire'",
    ),
    "an alert that resolves at no time": (
        "alert X resolves",
        "expected `within` at the end",
    ),
    "an alert that resolves by a phase": (
        "alert X resolves during after",
        "expected `within` before 'during after'",
    ),
    "an alert that reaches nobody": (
        "alert X reaches within 5s",
        "expected one of pagerduty, slack, teams before 'within 5s'",
    ),
    "an alert that reaches somebody else": (
        "alert X reaches email within 5s",
        "expected one of pagerduty, slack, teams before 'email within 5s'",
    ),
    "an alert that reaches somebody at no time": (
        "alert X reaches slack",
        "expected `within` at the end",
    ),
    "a growth that does": ("memory does reach 5", "expected `not` before 'reach 5'"),
    "a growth without an end": ("memory does not grow", "expected `reach` before 'grow'"),
    "a growth without a time": (
        "memory does not reach 512MB",
        "expected `within` at the end",
    ),
    "a growth within no time": (
        "memory does not reach 512MB within 0s",
        "memory needs a time above 0 to grow in, such as `within 24h`",
    ),
    "a latency that may only be higher than the baseline": (
        "orders.p99 >= baseline -15% during steady",
        "a baseline objective reads `orders.p99 <= baseline +10% during …`",
    ),
    "a goodput that may only be lower than the baseline": (
        "orders.goodput <= baseline +15% during steady",
        "a baseline objective reads `orders.goodput >= baseline -10% during …`",
    ),
    "a baseline that is met to the bit": (
        "lag == baseline +15% during steady",
        "a baseline objective reads `lag <= baseline +10% during …`",
    ),
    "a baseline of lost writes": (
        "orders.lost <= baseline +15%",
        "orders.lost is a count that has one right value, and no baseline",
    ),
    "a floor above the baseline": (
        "orders.goodput >= baseline +15% during steady",
        "the margin under the baseline must be a percentage, such as -10%",
    ),
    "a floor below nothing": (
        "orders.goodput >= baseline -101% during steady",
        "the margin under the baseline must be a percentage, such as -10%",
    ),
    "a baseline margin in seconds": (
        "orders.p99 <= baseline +15ms during steady",
        "the margin over the baseline must be a percentage, such as +10%",
    ),
    "a baseline that must shrink": (
        "orders.p99 <= baseline -15% during steady",
        "the margin over the baseline must be a percentage, such as +10%",
    ),
    "a baseline without a phase": (
        "orders.p99 <= baseline +15%",
        "say when: add `during` with one or more of warmup, steady, fault, recovery, after "
        "at the end",
    ),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_objective_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ObjectiveError) as caught:
        parse(text)
    assert str(caught.value) == message


@pytest.mark.parametrize("number", ["9" * 400, "9" * 5000], ids=["no float", "no integer"])
def test_a_number_beyond_all_bounds_is_refused_like_any_other(number: str) -> None:
    with pytest.raises(ObjectiveError):
        parse(f"lag < {number} at end")


QUANTILES = {
    "p50": 0.5,
    "p99": 0.99,
    "p999": 0.999,
    "p9999": 0.9999,
    "p975": 0.975,
    "p5": 0.05,
    "p05": 0.05,
    "p0": None,
    "p00": None,
    "p100": None,
    "p1000": None,
    "p": None,
    "99": None,
    "q99": None,
    "errors": None,
    "": None,
}


@pytest.mark.parametrize(("stat", "quantile"), QUANTILES.items(), ids=[repr(s) for s in QUANTILES])
def test_the_quantile_of_a_statistic(stat: str, quantile: float | None) -> None:
    assert quantile_of(stat) == quantile


names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,8}", fullmatch=True)
durations = st.floats(0, 1e6).filter(lambda s: s > 0)
phases = st.lists(st.sampled_from(Phase), min_size=1, unique=True).map(tuple)
numbers = st.floats(allow_nan=False, allow_infinity=False)


def quantity(unit: Unit, values: st.SearchStrategy[float]) -> st.SearchStrategy[Quantity]:
    return values.map(lambda value: Quantity(value=value, unit=unit))


def whens(stat: str) -> st.SearchStrategy[dict[str, object]]:
    if stat in (*COUNT_STATS, *RUN_STATS):
        return st.just({})
    return st.one_of(
        phases.map(lambda p: {"phases": p}),
        st.just({"at_end": True}),
        durations.map(lambda s: {"for_s": s}),
    )


def limits(stat: str) -> st.SearchStrategy[Quantity]:
    if quantile_of(stat) is not None:
        return quantity(Unit.SECONDS, durations)
    if stat == "goodput":
        return quantity(Unit.PER_SECOND, st.floats(0, 1e6))
    if stat in LOAD_STATS:
        return quantity(Unit.RATIO, st.floats(0, 1))
    if stat in (*COUNT_STATS, *RUN_STATS):
        return quantity(Unit.NUMBER, st.floats(0, 1e9))
    return st.sampled_from(Unit).flatmap(lambda unit: quantity(unit, numbers))


@st.composite
def thresholds(draw: st.DrawFn) -> Threshold:
    named = (*LOAD_STATS, *COUNT_STATS, *SERIES_STATS, *RUN_STATS)
    stat = draw(st.sampled_from(("", "p50", "p99", "p999", *named)))
    subject, op = draw(names), draw(st.sampled_from(Op))
    if not stat and subject == "recovery" and op is Op.LT:
        subject = "recoveries"  # `recovery < 5` speaks of the recovery
    limit, when = draw(limits(stat)), draw(whens(stat))
    return Threshold(subject=subject, stat=stat, op=op, limit=limit, **when)  # type: ignore[arg-type]


conditions = st.one_of(
    thresholds(),
    st.builds(
        BaselineThreshold,
        subject=names,
        stat=st.sampled_from(("p50", "p99", "errors")),
        margin=st.floats(0, 10),
        phases=phases,
    ),
    st.builds(
        RecoveryLimit,
        subject=names | st.just(""),
        limit_s=durations,
        origin=st.none() | st.sampled_from(RecoveryFrom),
        sustained_s=st.none() | durations,
    ),
    st.builds(AlertExpectation, alert=names, within_s=st.none() | durations),
    st.builds(
        AlertExpectation, alert=names, within_s=durations, event=st.just(AlertEvent.RESOLVES)
    ),
    st.builds(
        AlertExpectation,
        alert=names,
        within_s=durations,
        event=st.just(AlertEvent.REACHES),
        channel=st.sampled_from(CHANNELS),
    ),
    st.builds(
        GrowthLimit,
        subject=names.filter(lambda name: name != "alert"),
        limit=st.sampled_from(Unit).flatmap(lambda unit: quantity(unit, numbers)),
        within_s=durations,
    ),
)


@given(conditions)
def test_every_condition_that_is_shown_reads_back_as_itself(condition: Condition) -> None:
    assert parse(show(condition)) == condition


WORDS = """
orders recovery alert of . < <= == p99 errors 250ms 1% 5 during steady , after at end for 10s
from heal sustained fires within does not fire reach 512MB baseline +15%
"""
words = st.sampled_from(WORDS.split())


@given(st.text() | st.lists(words, max_size=10).map(" ".join))
def test_any_text_is_an_objective_or_an_objective_error(text: str) -> None:
    try:
        condition = parse(text)
    except ObjectiveError as error:
        assert str(error)
    else:
        assert parse(show(condition)) == condition


@pytest.mark.parametrize("op", ["<", "<=", ">", ">=", "=="])
def test_an_sli_may_be_called_alert(op: str) -> None:
    found = parse(f"alert {op} 5 at end")
    assert isinstance(found, Threshold)
    assert (found.subject, found.op) == ("alert", op)
