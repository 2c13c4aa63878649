"""How far what a model is asked has moved away from what it was trained on.

The population stability index: the sum over the bins of (asked - trained) * ln(asked / trained),
each a share. Below 0.1 nothing has moved, above 0.25 much has (Siddiqi, Credit Risk Scorecards).
The model was trained on features spread evenly from 0 to 1.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

BINS = 10
WINDOW = 1000  # requests
LEAST = 100  # requests; fewer say nothing
EMPTY_SHARE = 1e-4  # instead of the 0 of a bin without requests, whose logarithm is infinite


class Drift:
    """The last requests, counted bin by bin.

    Args:
        features: How many each request has.
    """

    def __init__(self, features: int) -> None:
        self._counts = [[0] * BINS for _ in range(features)]
        self._recent: deque[tuple[int, ...]] = deque()

    def add(self, features: Sequence[float]) -> None:
        """One more request; the oldest beyond the window is forgotten."""
        places = tuple(min(BINS - 1, int(value * BINS)) for value in features)
        self._recent.append(places)
        self._count(places, 1)
        if len(self._recent) > WINDOW:
            self._count(self._recent.popleft(), -1)

    def index(self, feature: int) -> float:
        """The index of one feature; 0 while there were too few requests to tell."""
        total = len(self._recent)
        if total < LEAST:
            return 0.0
        trained = 1 / BINS
        asked = (max(count / total, EMPTY_SHARE) for count in self._counts[feature])
        return sum((share - trained) * math.log(share / trained) for share in asked)

    def _count(self, places: tuple[int, ...], by: int) -> None:
        for counts, place in zip(self._counts, places, strict=True):
            counts[place] += by
