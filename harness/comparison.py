"""New runs against old ones, metric by metric: what got worse, and what nobody can tell. Pure.

All metrics of a comparison are one family: the probability that runs which do not differ are
called a regression anywhere is at most :data:`ALARMS`, by Holm's procedure. Metrics that an
objective names share four fifths of that risk, all others the last fifth, so that looking at
everything costs what matters little. A change also has to be beyond the margin, below which
it is nobody's concern.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from harness.baseline import MIN_RUNS, drift_p, holm, outliers
from harness.contrast import Contrast, contrast, least_p, paired
from harness.design import runs_needed, smallest_gap
from harness.findings import Asked, Comparison, Finding, Row
from harness.measures import Measure, Measured, Metric
from harness.scales import Scale

ALARMS = 0.01  #: the family's risk of any false alarm
OF_NAMED = 0.8  #: the part of it that metrics with an objective share
MOST_RUNS = 1000


@dataclass(frozen=True, slots=True)
class _Sides:
    """One metric's values on both sides, in the order of the runs."""

    metric: Metric
    new: Mapping[str, Measure]
    old: Mapping[str, Measure]
    contrast: Contrast | None
    problem: tuple[str, str] = ("", "")


def compare(new: Sequence[Measured], old: Sequence[Measured], asked: Asked) -> Comparison:
    """Two groups of runs, each of any size; runs that are no evidence are left out by name."""
    left_out = tuple((r.run_id, r.unusable) for r in (*old, *new) if r.unusable)
    new, old = ([r for r in side if not r.unusable] for side in (new, old))
    sides = _family(new, old, asked, pairs=False)
    return Comparison(
        new=tuple(r.run_id for r in new),
        old=tuple(r.run_id for r in old),
        paired=False,
        rows=_rows(sides, asked),
        left_out=left_out,
        not_comparable=differing(new, old),
        notes=_notes(new, old),
    )


def compare_pairs(
    pairs: Sequence[tuple[Measured, Measured]],
    asked: Asked,
    *,
    same_plan: bool = False,
    also_left_out: tuple[tuple[str, str], ...] = (),
) -> Comparison:
    """Pairs of (new, old) runs, one right after the other; one unusable half drops its pair.

    Args:
        pairs: In the order in which they were run.
        asked: What counts.
        same_plan: Whether load, faults and phases have to be equal too.
        also_left_out: Runs that never became half of a pair, and why.
    """
    whole, left_out = [], []
    for new, old in pairs:
        why = "; ".join(f"{r.run_id}: {r.unusable}" for r in (old, new) if r.unusable)
        if why:
            left_out.append((f"the pair {old.run_id} and {new.run_id}", why))
        else:
            whole.append((new, old))
    news, olds = [n for n, _ in whole], [o for _, o in whole]
    ignored = () if same_plan else ("plan", "key")
    return Comparison(
        new=tuple(r.run_id for r in news),
        old=tuple(r.run_id for r in olds),
        paired=True,
        rows=_rows(_family(news, olds, asked, pairs=True), asked),
        left_out=(*left_out, *also_left_out),
        not_comparable=differing(news, olds, ignored),
        notes=_notes(news, olds),
    )


def differing(
    new: Sequence[Measured], old: Sequence[Measured], ignored: tuple[str, ...] = ("key",)
) -> tuple[str, ...]:
    """What must match between the runs of a comparison and does not; also that there are none."""
    if not new or not old:
        return (f"there are {len(new)} usable new runs and {len(old)} usable old ones",)
    known = [r.environment for r in (*old, *new) if r.environment]
    parts = dict.fromkeys(key for e in known for key in e if key not in ("noted", *ignored))
    found = []
    for part in parts:
        values = list(dict.fromkeys(str(e.get(part, "")) for e in known))
        if len(values) > 1:
            found.append(f"the environment differs in {part}: {', '.join(values)}")
    return tuple(found)


def _notes(new: Sequence[Measured], old: Sequence[Measured]) -> tuple[str, ...]:
    """What may differ and does, where it can explain a change."""
    noted = [r.environment["noted"] for r in (*old, *new) if r.environment.get("noted")]
    found = []
    for part in dict.fromkeys(key for n in noted for key in n):
        values = list(dict.fromkeys(str(n.get(part, "")) for n in noted))
        if len(values) > 1:
            found.append(
                f"{part} differs ({', '.join(values)}); --interleave compares on one machine"
            )
    return tuple(found)


def _family(
    new: Sequence[Measured], old: Sequence[Measured], asked: Asked, *, pairs: bool
) -> list[_Sides]:
    """Every metric that either side has, with its contrast where it can be had."""
    metrics = sorted({metric for run in (*new, *old) for metric in run.values} | asked.named)
    if asked.only is not None:
        metrics = sorted(asked.only)
    levels = _levels(metrics, asked)
    return [_sides(metric, new, old, asked, levels[metric], pairs) for metric in metrics]


def _levels(metrics: Sequence[Metric], asked: Asked) -> dict[Metric, float]:
    """The level of each metric at the strictest step of Holm's procedure."""
    matters = [m for m in metrics if m in asked.named]
    others = [m for m in metrics if m not in asked.named]
    share = OF_NAMED if matters and others else 1.0
    levels = {m: ALARMS * share / len(matters) for m in matters}
    return levels | {m: ALARMS * (1 - share if matters else 1.0) / len(others) for m in others}


def _sides(
    metric: Metric,
    new: Sequence[Measured],
    old: Sequence[Measured],
    asked: Asked,
    level: float,
    pairs: bool,
) -> _Sides:
    news = {r.run_id: r.values[metric] for r in new if metric in r.values}
    olds = {r.run_id: r.values[metric] for r in old if metric in r.values}
    if pairs:
        both = [(n, o) for n, o in zip(new, old, strict=True) if metric in n.values]
        both = [(n, o) for n, o in both if metric in o.values]
        news = {n.run_id: n.values[metric] for n, _ in both}
        olds = {o.run_id: o.values[metric] for _, o in both}
    try:
        upper, lower = _scaled(metric, news), _scaled(metric, olds)
    except ValueError as error:
        if len({m.value for m in (*news.values(), *olds.values())}) > 1:
            return _Sides(metric, news, olds, None, ("not_positive", f"{error} to compare by"))
        upper, lower = [0.0] * len(news), [0.0] * len(olds)  # zero everywhere is no change
    if not upper or not lower:
        side = "new" if not upper else "old"
        return _Sides(metric, news, olds, None, ("not_observed", f"no {side} run observed it"))
    floor = _floor(metric, (*news.values(), *olds.values()))
    if asked.falls(metric):
        upper, lower = [-v for v in upper], [-v for v in lower]
    found = (
        paired([n - o for n, o in zip(upper, lower, strict=True)], floor=floor)
        if pairs
        else contrast(upper, lower, level=level, floor=floor)
    )
    problem = ("", "") if found else ("too_few_runs", "one run has no spread to go by")
    return _Sides(metric, news, olds, found, problem)


def _scaled(metric: Metric, side: Mapping[str, Measure]) -> list[float]:
    return [metric.scale.of(m.value) for m in side.values()]


def _floor(metric: Metric, measured: Sequence[Measure]) -> float:
    """The variance that counting gives a share of its own: 1/4n on the arcsine scale."""
    counts = [m.requests for m in measured if m.requests]
    if metric.scale is not Scale.POINTS or not counts:
        return 0.0
    return fmean(1 / (4 * n) for n in counts)


def regressions(
    new: Sequence[Measured], old: Sequence[Measured], asked: Asked, *, pairs: bool = False
) -> frozenset[Metric]:
    """Only which metrics are a regression: beyond chance, all together, and beyond the margin."""
    family = _family(new, old, asked, pairs=pairs)
    worse, _ = _beyond_chance(family, asked)
    return frozenset(
        s.metric
        for s in family
        if s.metric in worse and s.contrast and s.contrast.gap > _least(s, asked)
    )


def _rows(family: Sequence[_Sides], asked: Asked) -> tuple[Row, ...]:
    """What to say of each metric, all of them decided together."""
    levels = _levels([s.metric for s in family], asked)
    worse, better = _beyond_chance(family, asked)
    drifting = _drifting(family)
    return tuple(
        _row(s, asked, levels[s.metric], s.metric in worse, s.metric in better, drifting)
        for s in family
    )


def _beyond_chance(family: Sequence[_Sides], asked: Asked) -> tuple[set[Metric], set[Metric]]:
    """The metrics that are worse, and those that are better, than chance would have it."""
    levels = _levels([s.metric for s in family], asked)
    worse: set[Metric] = set()
    better: set[Metric] = set()
    for matters in (True, False):
        part = [s for s in family if (s.metric in asked.named) == matters]
        risk = sum(levels[s.metric] for s in part)
        known = [(s.metric, s.contrast) for s in part if s.contrast and _known_way(s, asked)]
        for found, p_values in (
            (worse, [c.higher for _, c in known]),
            (better, [c.lower for _, c in known]),
        ):
            beyond = holm(p_values, risk)
            found |= {m for (m, _), hit in zip(known, beyond, strict=True) if hit}
    return worse, better


def _least(sides: _Sides, asked: Asked) -> float:
    """The margin as a gap on the scale of the metric."""
    margin, metric = asked.margin_of(sides.metric), sides.metric
    sign = -1 if asked.falls(metric) else 1
    return abs(metric.scale.gap(_typical(metric, sides.old), sign * margin))


def _known_way(sides: _Sides, asked: Asked) -> bool:
    return asked.falls(sides.metric) is not None


def _drifting(family: Sequence[_Sides]) -> set[Metric]:
    """Metrics in which the old runs themselves go one way, all tested together."""
    long = [(s.metric, [m.value for m in s.old.values()]) for s in family]
    long = [(metric, values) for metric, values in long if len(values) >= MIN_RUNS]
    beyond = holm([drift_p(values) for _, values in long], ALARMS)
    return {metric for (metric, _), hit in zip(long, beyond, strict=True) if hit}


def _row(
    sides: _Sides, asked: Asked, level: float, worse: bool, better: bool, drifting: set[Metric]
) -> Row:
    metric, found = sides.metric, sides.contrast
    row = Row(
        metric=metric,
        named=metric in asked.named,
        finding=Finding.UNDECIDED,
        code=sides.problem[0],
        because=sides.problem[1],
        new_runs=len(sides.new),
        old_runs=len(sides.old),
        drifts=metric in drifting,
        outliers=_outliers(sides),
    )
    if found is None:
        return row
    old, scale = _typical(metric, sides.old), metric.scale
    sign = -1 if asked.falls(metric) else 1  # from worsening to rising
    sought = asked.margin_of(metric) * asked.unseen
    least, unseen = _least(sides, asked), abs(scale.gap(old, sign * sought))
    finding, code, because = _decide(found, least, unseen, level, worse, better)
    if not _known_way(sides, asked):
        finding, code = Finding.UNDECIDED, "no_direction"
        because = "no objective says whether more of it is better or worse"
    low, high = sorted(scale.change(old, sign * gap) for gap in found.interval)
    smallest = smallest_gap(found, level=level, margin=least)
    return replace(
        row,
        finding=finding,
        code=code,
        because=because,
        old=old,
        new=_typical(metric, sides.new),
        change=scale.change(old, sign * found.gap),
        low=low,
        high=high,
        p=found.higher,
        sought=sought,
        smallest=None if smallest is None else abs(scale.change(old, sign * smallest)),
        needed=runs_needed(found, unseen, level=level, margin=least, most=MOST_RUNS),
    )


def _decide(
    found: Contrast, margin: float, unseen: float, level: float, worse: bool, better: bool
) -> tuple[Finding, str, str]:
    if not found.paired and least_p(found.new_runs, found.old_runs) > level:
        return (
            Finding.UNDECIDED,
            "too_few_runs",
            f"{found.new_runs} against {found.old_runs} runs cannot be told from chance, "
            "whatever they show",
        )
    if worse and found.gap > margin:
        return Finding.REGRESSION, "regression", "beyond the margin and beyond chance"
    if better and -found.gap > margin:
        return Finding.IMPROVEMENT, "", "better beyond the margin and beyond chance"
    if found.high_95 < unseen:
        return Finding.NO_CHANGE, "", "a worsening that matters is excluded"
    code = "within_noise" if found.gap > margin else "too_few_runs"
    return Finding.UNDECIDED, code, "these runs scatter too much to exclude a worsening"


def _typical(metric: Metric, side: Mapping[str, Measure]) -> float:
    """The middle of a group, on the scale of the comparison."""
    if all(m.value == 0 for m in side.values()):
        return 0.0
    middle = fmean(_scaled(metric, side))
    return math.exp(middle) if metric.scale is Scale.RATIO else math.sin(middle) ** 2


def _outliers(sides: _Sides) -> tuple[str, ...]:
    """Runs that are unlike the others of their group; listed, and still counted."""
    found: list[str] = []
    for side in (sides.old, sides.new):
        ids = list(side)
        found += [ids[place] for place in outliers([m.value for m in side.values()])]
    return tuple(found)
