"""What a run does with Prometheus: sees that it is fit for use, watches it, and reads from it."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field

from harness.alert_reach import planned_s, reach_of, said
from harness.alerting import AlertFacts, Delivery
from harness.descriptor import StackDescriptor
from harness.errors import InvalidError, MetricsError
from harness.model import AlertExpectation, RecoveryLimit, Scenario
from harness.ports import Clock, Metrics, Receiver, Stop
from harness.slis import Series

EVERY_S = 1.0
PATIENCE_S = 5.0
SCRAPE_PATIENCE_S = 20.0
PAUSE_S = 0.25
RECEIVER = "receiver"  #: the service of a stack that keeps what alerts sent


@dataclass(slots=True)
class Scraping:
    """The SLIs and alerts of one run, as Prometheus has them; nothing without a Prometheus."""

    metrics: Metrics | None
    scenario: Scenario
    clock: Clock
    stop: Stop
    series: dict[str, Series] = field(default_factory=dict)
    alerts: dict[str, Series] = field(default_factory=dict)
    alerting: dict[str, AlertFacts] = field(default_factory=dict)
    receiver: Receiver | None = None
    limits: list[str] = field(default_factory=list)
    _receiver_url: str = ""
    _answered_at: float = math.inf
    _asked_at: float = -math.inf
    _recovery_read_at: float = -math.inf

    def attach(self, stack: StackDescriptor) -> None:
        """Wait until it scrapes the stack, and try every query.

        Raises:
            InvalidError: It cannot read one.
        """
        if self.metrics is None:
            return
        self.metrics.attach(stack.prometheus)
        give_up_at = self.clock.now() + SCRAPE_PATIENCE_S
        while not self.metrics.scraping():
            if self.clock.now() > give_up_at or self.stop.asked_by():
                break  # what is missing shows in steady, before anything is injected
            self.clock.wait(PAUSE_S)
        problems = [
            f"{sli.name}: {problem}"
            for sli in self.scenario.slis.values()
            if (problem := self.metrics.problem_with(sli)) is not None
        ]
        if problems:
            raise InvalidError(
                "Prometheus cannot read a query of this scenario: " + "; ".join(problems) + ".",
                "Correct it under `slis:`; nothing was injected.",
            )
        if RECEIVER in stack.services:
            self._receiver_url = stack.services[RECEIVER].url
        self.limits += self._limits()

    def _limits(self) -> list[str]:
        """What to say before the run of alerts that are too slow for it."""
        watched_s = planned_s(self.scenario)
        if self.metrics is None or watched_s is None:
            return []
        timings = {name: self.metrics.timing(name) for name in awaited(self.scenario)}
        found = [said(n, reach_of(t, watched_s)) for n, t in timings.items() if t is not None]
        return [text for text in found if text]

    def expect_answers(self) -> None:
        """From now on its silence counts."""
        self._answered_at = self.clock.now()

    def problem(self) -> str | None:
        """That it has been silent for too long; it is asked once a second at most."""
        now = self.clock.now()
        if self.metrics is None or now - self._asked_at < EVERY_S:
            return None
        self._asked_at = now
        if self.metrics.alive():
            self._answered_at = now
        elif now - self._answered_at > PATIENCE_S:
            return f"Prometheus has not answered for {now - self._answered_at:.0f} s"
        return None

    def read(self, start: float, end: float) -> None:
        """Read every SLI, and every alert that an objective names."""
        if self.metrics is None:
            return
        self._read_slis(start, end, self.scenario.slis)
        deliveries, unreceived = self._received()
        for name in awaited(self.scenario):
            self.alerts[name] = self.metrics.alert(name, start, end)
            self.alerting[name] = AlertFacts(
                timing=self.metrics.timing(name),
                pending=self.metrics.pending(name, start, end),
                deliveries=tuple(d for d in deliveries if d.alert == name and d.high >= start),
                unreceived=unreceived,
            )

    def _received(self) -> tuple[tuple[Delivery, ...], str]:
        """What arrived at the receiver of alerts, or why that is not known."""
        if self.receiver is None or not self._receiver_url:
            return (), f"the stack has no service {RECEIVER}, so nobody knows what arrived"
        if not awaited(self.scenario):
            return (), ""
        try:
            return self.receiver.deliveries(self._receiver_url), ""
        except MetricsError as error:
            return (), str(error)

    def read_recovery(self, start: float, end: float) -> None:
        """Read the SLIs whose recovery is asked for; once a second at most."""
        if end - self._recovery_read_at < EVERY_S:
            return
        self._recovery_read_at = end
        conditions = [o.condition for o in self.scenario.objectives]
        self._read_slis(start, end, {c.subject for c in conditions if isinstance(c, RecoveryLimit)})

    def _read_slis(self, start: float, end: float, names: Collection[str]) -> None:
        for sli in self.scenario.slis.values():
            if self.metrics is not None and sli.name in names:
                self.series[sli.name] = self.metrics.series(sli, start, end)


def awaited(scenario: Scenario) -> tuple[str, ...]:
    """The alerts that objectives name, each once."""
    conditions = (o.condition for o in scenario.objectives)
    return tuple(dict.fromkeys(c.alert for c in conditions if isinstance(c, AlertExpectation)))
