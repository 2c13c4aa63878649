"""From Prometheus's answers to the samples of one SLI. Pure.

An answer is a matrix as its API gives it: a list of series, each with ``metric`` (labels)
and ``values`` (pairs of time and text), or ``histograms`` (pairs of time and a histogram,
whose ``buckets`` are rule, low, high, count).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.buckets import Estimate, native_quantile, quantile
from harness.slis import Sli

Matrix = Sequence[Mapping[str, Any]]
Points = tuple[tuple[float, float], ...]


class Unusable(Exception):  # noqa: N818 - a finding about an SLI, not a failure of ours
    """There is an answer, but it says nothing about the SLI; ``code`` is the reason code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Reading:
    """The samples of an SLI, and the bucket of each where it is a quantile."""

    points: Points
    bounds: tuple[tuple[float, float, float], ...] = ()


def points_of(series: Mapping[str, Any]) -> Points:
    """The samples of one series; ``NaN`` and ``+Inf`` arrive as text and stay what they are.

    Raises:
        Unusable: They are histograms.
    """
    if "histograms" in series:
        raise Unusable(
            "no_data",
            "the query gives a native histogram, not a number; ask for a quantile of it, with "
            "`histogram`, `quantile` and `native: true`",
        )
    return tuple((float(t), float(value)) for t, value in series["values"])


def reading(sli: Sli, answers: Sequence[Matrix]) -> Reading:
    """The samples of an SLI from the answers to its parts.

    Raises:
        Unusable: No data, or several series where one is needed.
    """
    if sli.total:
        numerator, denominator = answers
        return Reading(_ratio(sli, numerator, denominator))
    (answer,) = answers
    if not answer:
        raise Unusable("no_data", f"the query returned no data: {sli.parts[0]}")
    if sli.native:
        return _native_quantiles(sli, answer)
    if sli.histogram:
        return _quantiles(sli, answer)
    return Reading(points_of(_only(answer, sli.query)))


def _only(answer: Matrix, query: str) -> Mapping[str, Any]:
    if len(answer) > 1:
        raise Unusable(
            "many_series", f"the query returned {len(answer)} series, one is needed: {query}"
        )
    return answer[0]


def _ratio(sli: Sli, numerator: Matrix, denominator: Matrix) -> Points:
    """Share by share; what nobody counted is 0 only while there was something to count."""
    if not denominator:
        raise Unusable("no_data", f"the query returned no data: {sli.total}")
    counted = dict(points_of(_only(numerator, sli.parts[0]))) if numerator else {}
    total = points_of(_only(denominator, sli.total))
    return tuple((t, counted.get(t, 0.0) / n if n > 0 else math.nan) for t, n in total)


def _quantiles(sli: Sli, answer: Matrix) -> Reading:
    columns: dict[float, list[tuple[float, float]]] = {}
    for series in answer:
        labels = series["metric"]
        if set(labels) != {"le"}:
            raise Unusable("many_series", f"a histogram needs `sum by (le) (…)`: {sli.parts[0]}")
        bound = float(labels["le"])
        for t, rate in points_of(series):
            columns.setdefault(t, []).append((bound, rate))
    return _estimated((t, quantile(column, sli.quantile)) for t, column in sorted(columns.items()))


def _native_quantiles(sli: Sli, answer: Matrix) -> Reading:
    series = _only(answer, sli.parts[0])
    if "histograms" not in series:
        raise Unusable("no_data", f"{sli.histogram} is no native histogram: leave `native` out")
    return _estimated(
        (float(t), native_quantile(_narrow(histogram), sli.quantile))
        for t, histogram in series["histograms"]
    )


def _narrow(histogram: Mapping[str, Any]) -> list[tuple[float, float, float]]:
    """Its buckets; one without an observation has none."""
    buckets = histogram.get("buckets", ())
    return [(float(low), float(high), float(count)) for _, low, high, count in buckets]


def _estimated(estimates: Iterable[tuple[float, Estimate]]) -> Reading:
    found = list(estimates)
    return Reading(
        tuple((t, e.value) for t, e in found),
        tuple((t, e.low, e.high) for t, e in found if math.isfinite(e.value)),
    )
