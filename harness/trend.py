"""How fast a series grows, how sure that is, and how long until it reaches a limit. Pure.

The slope is that of Theil (1950) and Sen (1968): the median of the slopes between all pairs of
points, which a fifth of outliers does not move. Sen's interval, which comes from the variance
of Kendall's S, holds for independent points only. Samples of a process are not: a garbage
collector's sawtooth, a cache or the time of day ties neighbours together. As Hamed and Rao
(1998, "A modified Mann-Kendall trend test for autocorrelated data", Journal of Hydrology 204)
and Yue and Wang (2004) do, that variance is multiplied by n/n*, where n* is the number of
independent points that would tell as much (Bayley and Hammersley 1946). It is taken from the
autocorrelation of what the trend leaves, summed up to the first pair of lags that is not
positive (Geyer 1992, initial positive sequence): the part beyond is noise, and the negative
part of a wave must not make the interval narrower. With few independent points the quantile
is Student's, not the normal one.

With fewer than six independent points, as after one big step, no interval can be had that way.
Then all that the series moved stands in for it: its range, as if it had grown, or shrunk, by
that much within half of the time. Such a bound never shows a leak, but a series that hardly
moved at all is known not to grow fast. No random numbers are involved.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

CONFIDENCE = 0.99  #: of each bound; a series that does not grow is not to be called a leak
BLOCKS = 200  #: medians that the pairs are taken of: 19,900 slopes, whatever the length
MIN_POINTS = 20
#: With fewer independent points a trend and a slow wave look alike.
MIN_EFFECTIVE = 6.0

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """A growth per second with its one-sided 99 % bounds.

    ``now`` is the level of the line at the end of the series and ``swing`` the furthest that
    a point lies above the line. ``effective`` is the number of independent points that would
    tell as much; with too few the bounds are those of all that the series moved.
    """

    slope: float
    low: float
    high: float
    now: float
    swing: float
    length_s: float
    effective: float

    @property
    def sure(self) -> bool:
        """Whether there are enough independent points to speak of an interval."""
        return self.effective >= MIN_EFFECTIVE

    def seconds_to(self, limit: float) -> tuple[float, float, float]:
        """Seconds until the limit is reached at this growth: best guess, soonest and latest.

        Counted from the end of the series and from its highest swing; infinite where the
        series does not grow.
        """
        headroom = max(0.0, limit - self.now - self.swing)
        return tuple(  # type: ignore[return-value]  # three in, three out
            headroom / slope if slope > 0 else math.inf
            for slope in (self.slope, self.high, self.low)
        )

    def allowed(self, limit: float, within_s: float) -> float:
        """The growth per second that just reaches the limit within a time from the end."""
        return max(0.0, limit - self.now - self.swing) / within_s

    def length_to_decide_s(self, allowed: float) -> float:
        """About how long a series like this has to be to tell its growth from the allowed one.

        The standard error of a slope falls with the length to the power of 3/2. Infinite when
        the growth is just the allowed one: then no length decides.
        """
        enough_s = self.length_s * MIN_EFFECTIVE / max(self.effective, 1.0)
        if not self.sure:
            return 1.5 * max(enough_s, self.length_s)
        gap = abs(self.slope - allowed)
        if gap == 0:
            return math.inf
        half = max(self.high - self.slope, self.slope - self.low)
        return max(enough_s, self.length_s * float((half / gap) ** (2 / 3)))


def trend_of(at_s: Values, values: Values) -> Trend | None:
    """The trend of a series; None for fewer than 20 points that are numbers.

    Args:
        at_s: When each value was taken, in seconds, ascending; a warm-up is cut off already.
        values: The values; those that are no finite number are passed over.
    """
    usable = np.isfinite(values)
    at_s, values = at_s[usable], values[usable]
    if len(values) < MIN_POINTS:
        return None
    x, y = _blocks(at_s, values)
    slopes = _slopes(x, y)
    slope = float(np.median(slopes))
    rest = y - slope * x
    level = float(np.median(rest))
    # What a fitted line leaves looks less correlated than it is: the line took two points' worth.
    effective = max(1.0, effective_points(rest - level) - 2)
    length_s = float(at_s[-1] - at_s[0])
    moved = 2 * float(np.ptp(y)) / length_s
    low, high = _bounds(slopes, len(x), effective, moved)
    end_s = float(at_s[-1])
    return Trend(
        slope=slope,
        low=low,
        high=high,
        now=level + slope * end_s,
        swing=float(np.max(rest - level)),
        length_s=length_s,
        effective=effective,
    )


def _blocks(at_s: Values, values: Values) -> tuple[Values, Values]:
    """Medians of up to 200 stretches with equally many points each."""
    if len(values) <= BLOCKS:
        return at_s, values
    parts = np.array_split(np.arange(len(values)), BLOCKS)
    x = np.array([at_s[part].mean() for part in parts])
    y = np.array([np.median(values[part]) for part in parts])
    return x, y


def _slopes(x: Values, y: Values) -> Values:
    """The slope between each pair of points, ascending."""
    one, other = np.triu_indices(len(x), k=1)
    found: Values = np.sort((y[other] - y[one]) / (x[other] - x[one]))
    return found


def effective_points(rest: Values) -> float:
    """How many independent points tell as much about a mean as these; at most all of them."""
    count = len(rest)
    centred = rest - rest.mean()
    spread = float(centred @ centred)
    if spread <= 0:
        return float(count)
    size = 2 ** math.ceil(math.log2(2 * count))  # padded, so that the ends do not meet
    spectrum = np.abs(np.fft.rfft(centred, size)) ** 2
    correlation = np.fft.irfft(spectrum, size)[:count] / spread
    pairs = correlation[: count - count % 2].reshape(-1, 2).sum(axis=1)
    ends = np.flatnonzero(pairs <= 0)
    positive = pairs[: ends[0]] if len(ends) else pairs
    # The pairs hold lag 0 once; every other lag counts twice.
    return float(min(count, count / max(1.0, 2 * positive.sum() - 1)))


def _bounds(slopes: Values, points: int, effective: float, moved: float) -> tuple[float, float]:
    """Sen's interval, with the variance of Kendall's S widened by n/n*; ``moved`` beyond it."""
    if effective < MIN_EFFECTIVE:
        return -moved, moved
    variance = points * (points - 1) * (2 * points + 5) / 18 * points / effective
    reach = float(stdtrit(effective - 2, CONFIDENCE)) * math.sqrt(variance)
    low = math.floor((len(slopes) - reach) / 2)
    high = math.ceil((len(slopes) + reach) / 2)
    return (
        float(slopes[low]) if low >= 0 else -moved,
        float(slopes[high]) if high < len(slopes) else moved,
    )
