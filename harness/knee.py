"""The highest arrival rate that a service bears, searched for with answers that may be wrong.

Each step offers a load at one rate and is answered "the objectives held" or "they did not".
An answer near the knee is a matter of luck, and now and then one is wrong far from it: a plain
bisection that is misled once never comes back. This is probabilistic bisection (Horstein 1963;
Waeber, Frazier and Henderson 2013, "Bisection search with noisy responses", SIAM J. Control
Optim. 51): a belief over where the knee is, asked at its median and updated by Bayes' rule,
with the likelihood of adaptive psychometry (Watson and Pelli 1983, QUEST): a logistic curve
over the logarithm of the rate, with a share of lapses. An answer that the objectives' own
intervals leave undecided is believed less. The interval is the belief's central 95 %. Pure:
no clock and no randomness; the steps are handed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
POINTS = 2000
#: How far from the knee, in units of its logarithm, the outcome is a matter of luck.
BLUR = 0.015
#: Shares of answers that are wrong far from the knee: decided ones, and others.
LAPSE, UNSURE_LAPSE = 0.05, 0.25
#: How far beyond the rates that may be asked the belief reaches, as a factor.
BEYOND = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one step showed.

    ``held`` is None when the step says nothing of the target, such as when the generator was
    late itself; ``sure`` says that the objectives were decided and not only estimated.
    """

    rate_per_s: float
    held: bool | None
    sure: bool = True
    because: str = ""


class Ending(StrEnum):
    """How a search ended."""

    FOUND = "found"
    ABOVE = "above"  #: it held at the highest rate that may be offered
    BELOW = "below"  #: it did not hold at the lowest rate
    UNSURE = "unsure"  #: out of steps before the interval was narrow enough


@dataclass(frozen=True, slots=True, kw_only=True)
class Knee:
    """Where the knee is: best guess and 95 % interval, in arrivals per second.

    ``high_per_s`` is infinite when the knee may lie above all rates that were allowed.
    """

    ending: Ending
    rate_per_s: float
    low_per_s: float
    high_per_s: float
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """Where the knee may be: a probability for each of a row of rates.

    ``lowest_per_s`` and ``highest_per_s`` bound the rates that may be asked.
    """

    rates_per_s: NDArray[np.float64]
    weights: NDArray[np.float64]
    lowest_per_s: float
    highest_per_s: float

    @classmethod
    def flat(cls, lowest_per_s: float, highest_per_s: float) -> Belief:
        """Anything from the lowest to the highest rate, or beyond, in equal measure.

        Raises:
            ValueError: The rates are not above 0 and ascending.
        """
        if not 0 < lowest_per_s < highest_per_s < math.inf:
            raise ValueError(f"no search leads from {lowest_per_s:g}/s to {highest_per_s:g}/s")
        rates = np.geomspace(lowest_per_s / BEYOND, highest_per_s * BEYOND, POINTS)
        return cls(
            rates_per_s=rates,
            weights=np.full(POINTS, 1 / POINTS),
            lowest_per_s=lowest_per_s,
            highest_per_s=highest_per_s,
        )

    def quantile(self, share: float) -> float:
        """The rate below which the knee lies with this probability."""
        place = int(np.searchsorted(np.cumsum(self.weights), share))
        return float(self.rates_per_s[min(place, POINTS - 1)])

    def ask(self) -> float:
        """The rate to offer next: the median, within what may be asked."""
        return min(self.highest_per_s, max(self.lowest_per_s, self.quantile(0.5)))

    def told(self, answer: Answer) -> Belief:
        """The belief after an answer.

        One that says nothing of the target lowers the highest rate: whoever could not offer
        that much cannot offer more.
        """
        if answer.held is None:
            return replace(self, highest_per_s=min(self.highest_per_s, answer.rate_per_s * 0.9))
        distance = (np.log(self.rates_per_s) - math.log(answer.rate_per_s)) / BLUR
        lapse = LAPSE if answer.sure else UNSURE_LAPSE
        holds = lapse + (1 - 2 * lapse) / (1 + np.exp(-np.clip(distance, -50, 50)))
        weights = self.weights * (holds if answer.held else 1 - holds)
        return replace(self, weights=weights / weights.sum())

    def ending(self, precision: float) -> Ending | None:
        """Why the search is over; None while it is not.

        Args:
            precision: How wide the interval may be, as a share of its lower end.
        """
        low, high = self.interval()
        if low >= self.highest_per_s:
            return Ending.ABOVE
        if high <= self.lowest_per_s:
            return Ending.BELOW
        return Ending.FOUND if high <= low * (1 + precision) else None

    def interval(self) -> tuple[float, float]:
        """The central 95 %."""
        return self.quantile((1 - CONFIDENCE) / 2), self.quantile((1 + CONFIDENCE) / 2)


def search(
    belief: Belief, step: Callable[[float], Answer], *, precision: float, most_steps: int
) -> Knee:
    """Ask until the interval is narrow enough, an end of the range is reached, or time is up.

    Args:
        belief: Where to begin, with the rates that may be asked.
        step: Offers a load at a rate, in arrivals per second, and says what it showed.
        precision: How wide the interval may be, as a share of its lower end, such as 0.1.
        most_steps: After so many the search ends as it stands.
    """
    answers: list[Answer] = []
    ending, again = None, False
    while ending is None and len(answers) < most_steps:
        if belief.highest_per_s <= belief.lowest_per_s:
            break
        answers.append(step(belief.ask()))
        again = answers[-1].held is None and not again
        if again:
            continue  # something else on the machine may have been in the way, once
        belief = belief.told(answers[-1])
        ending = belief.ending(precision)
    low, high = belief.interval()
    # Beyond the rates that may be asked nothing was measured.
    open_end = high > belief.highest_per_s
    return Knee(
        ending=ending or Ending.UNSURE,
        rate_per_s=belief.ask(),
        low_per_s=min(low, belief.highest_per_s),
        high_per_s=math.inf if open_end else high,
        answers=tuple(answers),
    )
