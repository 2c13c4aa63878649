"""How sure a share is: one-sided 95 % bounds that know that seconds are alike inside.

Requests of one second share their fate, so they are not independent trials, and neither are
neighbouring seconds when trouble lasts. The variance comes from clusters of one second and,
where there are enough of them, of 2, 4, 8, … seconds; the largest counts. It is turned into
an effective sample size, with which the exact binomial bound is taken. That is the interval
of Korn and Graubard (1998, "Confidence intervals for proportions with small expected number
of positive counts estimated from survey data", Survey Methodology 24), with their correction
for the degrees of freedom. No random numbers are involved.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, stdtrit

CONFIDENCE = 0.95
MIN_SECONDS = 10
MIN_CLUSTERS = 15
#: Below this no sample can bound a 99th percentile with 95 % confidence: 0.99**298 > 0.05.
MIN_EFFECTIVE = 299

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share of requests with its one-sided 95 % bounds.

    ``effective`` is the number of independent requests that would tell as much.
    """

    flagged: int
    total: int
    seconds: int
    low: float
    high: float
    effective: float

    @property
    def observed(self) -> float:
        """The share itself; NaN when there was no request."""
        return self.flagged / self.total if self.total else math.nan

    def enough(self, allowed: float) -> bool:
        """Whether there is enough to speak of an interval, against a limit of this share.

        A 99th percentile (1 %) needs 299 effective requests; a share that may be larger is
        bounded by fewer. A smaller one needs more, which its upper bound says by itself.
        """
        floor = MIN_EFFECTIVE if allowed <= 0 else min(MIN_EFFECTIVE, requests_needed(allowed))
        return self.seconds >= MIN_SECONDS and self.effective >= floor


def census(flagged: int, total: int) -> Share:
    """A share that is simply counted: every request of the phase is there."""
    share = flagged / total if total else math.nan
    return Share(
        flagged=flagged, total=total, seconds=0, low=share, high=share, effective=float(total)
    )


def share_of(flagged: Counts, total: Counts) -> Share:
    """A share with its bounds, from counts per second.

    Args:
        flagged: Requests that count against the objective, one number for each second.
        total: All requests of the same seconds.
    """
    used = total > 0
    x, n = flagged[used].astype(float), total[used].astype(float)
    seconds, all_n = len(n), float(n.sum())
    if seconds < 2:
        low, high = _binomial_bounds(float(x.sum()), all_n)
        return _share(x, n, low, high, all_n)
    share = float(x.sum()) / all_n
    clusters = [_joined(x, n, size) for size in _cluster_sizes(seconds)]
    # The first of equals: where nothing lasts, the shortest clusters know their variance best.
    effect, (_, joined) = max(
        ((_design_effect(*sums, share), sums) for sums in clusters), key=lambda found: found[0]
    )
    # Korn and Graubard's correction: few clusters know their own variance badly.
    ratio = _t(all_n - 1) / _t(len(joined) - 1)
    corrected = all_n / effect * ratio**2
    low, high = _binomial_bounds(share * corrected, corrected)
    return _share(x, n, low, high, corrected)


def _share(
    x: NDArray[np.float64], n: NDArray[np.float64], low: float, high: float, effective: float
) -> Share:
    return Share(
        flagged=int(x.sum()),
        total=int(n.sum()),
        seconds=len(n),
        low=low,
        high=high,
        effective=effective,
    )


def _cluster_sizes(seconds: int) -> list[int]:
    """1, 2, 4, … seconds, as long as there are enough clusters to know their variance by.

    Trouble may last for longer than a second; then neighbours are alike too, and only longer
    clusters show how little they tell together.
    """
    sizes = [1]
    while seconds // (2 * sizes[-1]) >= MIN_CLUSTERS:
        sizes.append(2 * sizes[-1])
    return sizes


def _joined(
    x: NDArray[np.float64], n: NDArray[np.float64], size: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sums over ``size`` neighbouring seconds; what is left over joins the last cluster."""
    starts = np.arange(len(n) // size) * size
    return np.add.reduceat(x, starts), np.add.reduceat(n, starts)


def _design_effect(x: NDArray[np.float64], n: NDArray[np.float64], share: float) -> float:
    """How many times larger the variance is than that of independent requests; at least 1."""
    if not 0 < share < 1:
        return 1.0
    seconds, all_n = len(n), n.sum()
    clustered = seconds / (seconds - 1) * float(((x - share * n) ** 2).sum()) / all_n**2
    independent = share * (1 - share) / all_n
    return max(1.0, float(clustered / independent))


def _binomial_bounds(x: float, n: float) -> tuple[float, float]:
    """One-sided Clopper–Pearson bounds, for counts that need not be whole."""
    if n <= 0:
        return 0.0, 1.0
    alpha = 1 - CONFIDENCE
    low = 0.0 if x <= 0 else float(betaincinv(x, n - x + 1, alpha))
    high = 1.0 if x >= n else float(betaincinv(x + 1, n - x, 1 - alpha))
    return low, high


def _t(degrees: float) -> float:
    return float(stdtrit(max(1.0, degrees), CONFIDENCE))


def quantile_bounds(
    values: NDArray[np.float64], quantile: float, effective: float
) -> tuple[float, float, float]:
    """A quantile and its one-sided 95 % bounds (Woodruff 1952: bounds of the share, inverted).

    Args:
        values: All values; infinity for requests that are slower than any limit.
        quantile: Such as 0.99.
        effective: Effective sample size from :func:`share_of`.

    Returns:
        Observed, low, high; infinite where the rank falls among the infinite.
    """
    low_share, high_share = _binomial_bounds((1 - quantile) * effective, effective)
    places = [place_of(share, len(values)) for share in (quantile, 1 - high_share, 1 - low_share)]
    ordered = np.partition(values, places)  # in order at these places, which is all that counts
    observed, low, high = (float(ordered[place]) for place in places)
    return observed, low, high


def place_of(quantile: float, count: int) -> int:
    """Where a quantile is among so many values in order: the nearest rank, counted from 0."""
    return min(max(1, math.ceil(quantile * count - 1e-9)), count) - 1


def requests_needed(allowed_share: float) -> int:
    """Clean, independent requests that bound a share below a limit with 95 % confidence."""
    if allowed_share <= 0:
        raise ValueError("no number of requests proves a share of zero")
    return math.ceil(math.log(1 - CONFIDENCE) / math.log(1 - min(allowed_share, 0.5)))
