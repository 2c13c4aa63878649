"""Whether each objective and abort condition can be judged in the scenario it stands in."""

from __future__ import annotations

from collections.abc import Iterator

from harness.model import (
    AlertExpectation,
    BaselineThreshold,
    Condition,
    GrowthLimit,
    Op,
    Phase,
    RecoveryLimit,
    Threshold,
)
from harness.objectives import COUNT_STATS, LOAD_STATS, RUN_STATS, SERIES_STATS, quantile_of, show
from harness.scenario.checks import injects, seconds, sli_names, unknown_sli
from harness.scenario.lines import Line, defines_well, read, subject_of
from harness.scenario.problems import Problem, did_you_mean, quoted
from harness.scenario.tree import Node, at
from harness.scenario.written import of_count, of_writes

#: What ``load.http`` calls its one journey.
HTTP_JOURNEY = "http"
_NEED_A_FAULT = (Phase.FAULT, Phase.RECOVERY)


def check_conditions(root: Node) -> Iterator[Problem]:
    """Every problem of the lines under ``objectives`` and ``abort``."""
    objectives, unreadable = read(root, "objectives")
    yield from unreadable
    for line in objectives:
        for message in _objective(root, line.condition, objectives):
            yield Problem(line.mark, message)
    yield from _duplicates(objectives)
    aborts, unreadable = read(root, "abort")
    yield from unreadable
    for line in aborts:
        for message in _abort(root, line.condition):
            yield Problem(line.mark, message)
    yield from _duplicates(aborts)


def _objective(root: Node, condition: Condition, objectives: list[Line]) -> Iterator[str]:
    match condition:
        case Threshold():
            yield from _subject(root, condition)
            yield from _when(root, condition)
        case BaselineThreshold():
            yield from _subject(root, condition)
            yield from _phases(root, condition.phases)
        case RecoveryLimit():
            yield from _recovery(root, condition, objectives)
        case AlertExpectation():
            yield from _alert(root, condition)
        case GrowthLimit():
            yield from _growth(root, condition)


def _subject(root: Node, condition: Threshold | BaselineThreshold) -> Iterator[str]:
    """A name in slis is a series; any other name is something that the load does."""
    name, stat, slis = condition.subject, condition.stat, sli_names(root)
    if stat in RUN_STATS:
        yield from of_writes(root, condition)
        return
    if stat in COUNT_STATS and isinstance(condition, Threshold):
        yield from of_count(condition)
    if name in slis:
        if stat and stat not in SERIES_STATS:
            known = ", ".join(SERIES_STATS)
            yield f"{name} is an SLI; {stat!r} is for load, an SLI has none or {known}"
    elif not stat or stat in SERIES_STATS:
        hint = "" if stat else f", or give a statistic of the load, such as {name}.p99"
        yield unknown_sli(name, slis) + (hint if not slis else "")
    elif _only_http(root) and name != HTTP_JOURNEY:
        yield f"load.http calls its requests {HTTP_JOURNEY!r}, not {name!r}"


def _only_http(root: Node) -> bool:
    return at(root, "load", "http") is not None and at(root, "load", "profile") is None


def _when(root: Node, condition: Threshold) -> Iterator[str]:
    of_load = condition.stat in LOAD_STATS or quantile_of(condition.stat) is not None
    if condition.for_s is not None and condition.stat not in (*COUNT_STATS, *RUN_STATS):
        yield "`for` is for abort conditions; an objective says `during` or `at end`"
    if of_load and condition.at_end:
        yield f"{condition.subject}.{condition.stat} needs `during`; `at end` is for SLIs"
    if quantile_of(condition.stat) is not None and condition.op not in (Op.LT, Op.LE):
        yield f"{condition.subject}.{condition.stat} is a latency; only < and <= can be judged"
    yield from _phases(root, condition.phases)


def _phases(root: Node, phases: tuple[Phase, ...]) -> Iterator[str]:
    for phase in phases:
        if phase in _NEED_A_FAULT and not injects(root):
            yield f"`during {phase}` needs a fault, and faults is empty"
        elif phase is not Phase.STEADY and seconds(root, phase) == 0:
            yield f"nothing can be judged during {phase}: phases.{phase} is 0s"


def _recovery(root: Node, condition: RecoveryLimit, objectives: list[Line]) -> Iterator[str]:
    if not injects(root):
        yield "recovery needs a fault, and faults is empty"
    elif seconds(root, "recovery") == 0:
        yield "recovery cannot be seen: phases.recovery is 0s"
    if condition.limit_s <= 0:
        yield "the limit of recovery must be longer than 0s"
    slis = set(sli_names(root))
    well = {subject_of(o.condition) for o in objectives if defines_well(o.condition, slis)}
    if condition.subject in slis and condition.subject not in well:
        yield (
            f"nothing says when {condition.subject} is well; add an objective on each of its "
            f"samples, such as `{condition.subject} < 100 during steady`"
        )
    elif condition.subject and condition.subject not in well:
        hint = did_you_mean(condition.subject, sorted(well), label="")
        yield (
            f"nothing says when {condition.subject} is well; add an objective on its latency, "
            f"errors or degraded during steady or after{hint}"
        )
    elif not condition.subject and not well - slis:
        yield (
            "nothing says when a journey is well; add an objective on latency, errors or "
            "degraded during steady or after"
        )


def _alert(root: Node, condition: AlertExpectation) -> Iterator[str]:
    metrics = at(root, "metrics")
    if metrics is not None and metrics.value == "none":
        yield "alerts need Prometheus, but `metrics: none` says that there is none"
    if condition.within_s is not None and not injects(root):
        yield "an alert can be awaited only after a fault, and faults is empty"


def _growth(root: Node, condition: GrowthLimit) -> Iterator[str]:
    if condition.subject not in sli_names(root):
        yield unknown_sli(condition.subject, sli_names(root))


def _abort(root: Node, condition: Condition) -> Iterator[str]:
    if not isinstance(condition, Threshold) or condition.for_s is None:
        yield (
            f"{quoted(show(condition))} cannot abort a run; write a threshold with `for`, "
            "such as orders.errors > 60% for 20s"
        )
        return
    if condition.stat in RUN_STATS:
        name = f"{condition.subject}.{condition.stat}"
        yield f"{name} is known only after the load: make it an objective"
        return
    if condition.stat in COUNT_STATS:
        name = f"{condition.subject}.{condition.stat}"
        yield f"{name} is for objectives; abort on {condition.subject}.errors > 60% for 20s"
        return
    if condition.for_s <= 0:
        yield "`for` must be longer than 0s"
    yield from _subject(root, condition)


def _duplicates(lines: list[Line]) -> Iterator[Problem]:
    first: dict[str, Line] = {}
    for line in lines:
        text = show(line.condition)
        if text in first:
            message = f"{quoted(text)} is there twice; the first is on line {first[text].mark.line}"
            yield Problem(line.mark, message)
        first.setdefault(text, line)
