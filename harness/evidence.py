"""Everything a verdict may rest on, gathered in one frozen value. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.alerting import AlertFacts
from harness.durability.ledger import Ledger
from harness.durability.reconciliation import Found
from harness.model import Activity, Event, FaultRecord, Scenario
from harness.samples import LoadSamples
from harness.slis import Series

# Kinds of events that judging depends on; the lifecycle writes them.
ABORTED = "aborted"  # data: by, reason
ERROR = "error"  # data: message
CONDITION_TRIPPED = "abort_condition"  # data: text
STEADY_STOPPED = "steady_stopped"  # data: outcome
ALERTS_LIMITED = "alerts_limited"  # data: said
METRICS_LOST = "metrics_lost"  # data: message
LOAD_LOST = "load_lost"  # data: message
RESTORED = "restored"  # data: clean, left


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineRun:
    """One accepted run: its id and the observed value of each check, by objective and phase."""

    run_id: str
    values: Mapping[tuple[str, str], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What one run left behind.

    ``series`` holds each SLI; ``alerts`` the times at which each expected alert was seen
    firing, as series of 0 and 1, and ``alerting`` what is known of it besides; ``unreadable``
    names undo entries that could not be read. ``elsewhere`` says what the accepted runs that
    cannot be compared differ in.
    Of several ``repeats`` of a scenario the values are compared with the accepted runs
    together, after the last one. ``found`` is what was read back of each series of writes.
    """

    scenario: Scenario
    events: tuple[Event, ...]
    samples: LoadSamples | None = None
    series: Mapping[str, Series] = field(default_factory=dict)
    alerts: Mapping[str, Series] = field(default_factory=dict)
    alerting: Mapping[str, AlertFacts] = field(default_factory=dict)
    faults: tuple[FaultRecord, ...] = ()
    unreadable: tuple[str, ...] = ()
    activities: tuple[Activity, ...] = ()
    baselines: tuple[BaselineRun, ...] = ()
    ledger: Ledger | None = None
    found: Mapping[str, Found] = field(default_factory=dict)
    repeats: int = 1
    elsewhere: tuple[str, ...] = ()
