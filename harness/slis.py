"""What is asked of Prometheus, and what it answered."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Sli:
    """A named Prometheus query, or a typed one whose parts stand beside it.

    A ratio has ``good`` or ``bad`` over ``total``; a quantile has the name of a ``histogram``
    with its matchers, whose rates are taken over ``window_s``, and which is a ``native`` one
    or has classic buckets. ``query`` is always the whole as PromQL. ``witness`` is the
    statistic of the load that sees the same: ``orders.p99``.
    """

    name: str
    query: str
    good: str = ""
    bad: str = ""
    total: str = ""
    histogram: str = ""
    quantile: float = 0.0
    window_s: float = 0.0
    native: bool = False
    witness: str = ""

    @property
    def parts(self) -> tuple[str, ...]:
        """The queries whose answers the value is made of."""
        if self.total:
            return (self.good or self.bad, self.total)
        if self.histogram:
            return (buckets(self.histogram, self.window_s, native=self.native),)
        return (self.query,)


def buckets(histogram: str, window_s: float, *, native: bool = False) -> str:
    """PromQL for the rates of a histogram's buckets; a native one keeps them in one series."""
    window = f"[{window_s * 1000:.0f}ms]"
    if native:
        return f"sum(rate({histogram}{window}))"
    metric, brace, matchers = histogram.partition("{")
    return f"sum by (le) (rate({metric}_bucket{brace}{matchers}{window}))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One SLI as Prometheus gave it: ``points`` are (time, value) with NaN kept as NaN.

    ``left_out`` are the samples that are no evidence, as (time, value, reason code);
    ``bounds`` the bucket that a quantile fell into, as (time, low, high). ``scraped`` says
    between which times a step's targets were looked at, as (time, start of the oldest scrape,
    end of the newest); ``reach_s`` how far back from its step a value looks. ``problem`` says
    why the series cannot be used at all (empty when it can); ``warnings`` are Prometheus's
    own, and ours on what its query hides.
    """

    name: str
    points: tuple[tuple[float, float], ...] = ()
    step_s: float = 1.0
    left_out: tuple[tuple[float, float, str], ...] = ()
    bounds: tuple[tuple[float, float, float], ...] = ()
    scraped: tuple[tuple[float, float, float], ...] = ()
    reach_s: float = 0.0
    warnings: tuple[str, ...] = ()
    problem: str = ""
    problem_code: str = ""
