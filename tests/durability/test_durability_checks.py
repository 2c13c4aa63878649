"""Objectives on acknowledged writes: wrong is a FAIL, nothing wrong needs everything known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness import evidence as kinds
from harness.checks import all_checks
from harness.durability.ledger import Ledger
from harness.durability.reconciliation import Found, ReplicaRead
from harness.evidence import Evidence
from harness.model import Check, Gate, Outcome
from tests.builders import (
    OBJECTIVES,
    codes,
    event,
    events,
    good_evidence,
    judged,
    objective,
    samples,
    scenario,
    windows_of,
)
from tests.durability.cases import SERIES, UNKNOWN, attempt, copy_of, ledger, ten

THERE = tuple(copy_of(a) for a in ten())
ASKED = tuple(f"orders.{s} == 0" for s in ("lost", "duplicated", "corrupted", "reordered"))
REPLICATED = replace(SERIES, replicas=("postgresql://shop:secret@copy/shop",))


def evidence(
    copies: Any = THERE, book: Ledger | None = None, asked: Any = ASKED, **changes: Any
) -> Evidence:
    series = changes.pop("series_", SERIES)
    found = copies if isinstance(copies, Found) else Found(copies=tuple(copies))
    good: dict[str, Any] = {
        "scenario": scenario((*OBJECTIVES, *asked), durability=(series,)),
        "ledger": ledger() if book is None else book,
        "found": {"orders": found},
    }
    return good_evidence(**good | changes)


def check_of(found: Evidence, stat: str = "lost") -> Check:
    (check,) = (c for c in all_checks(found, windows_of(found)) if f".{stat} " in c.objective)
    return check


@pytest.mark.parametrize("stat", ["lost", "duplicated", "corrupted", "reordered"])
def test_a_healthy_store_passes(stat: str) -> None:
    check = check_of(evidence(), stat)
    assert (check.outcome, check.observed, check.samples) == (Outcome.PASS, 0, 10)
    assert judged(evidence()).evidence is Outcome.PASS


WRONG: dict[str, tuple[Evidence, str, int, str]] = {
    "two lost": (evidence(THERE[2:]), "lost", 2, "2 of 10 acknowledged writes are missing (o-0"),
    "one doubled": (evidence((*THERE, THERE[4])), "duplicated", 1, "(o-4), 1 copies too many"),
    "one corrupted": (
        evidence((*THERE[1:], replace(THERE[0], checksum="else"))),
        "corrupted",
        1,
        "1 of 10 writes differ from what was sent",
    ),
    "one out of order": (
        evidence((*THERE[:9], replace(THERE[9], position=-1))),
        "reordered",
        1,
        "1 of 10 writes stand before an earlier one",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_fails_with_its_count(name: str) -> None:
    found, stat, count, words = WRONG[name]
    check = check_of(found, stat)
    assert (check.outcome, check.observed, check.code) == (Outcome.FAIL, count, f"writes_{stat}")
    assert words in check.because
    assert judged(found).evidence is Outcome.FAIL


SAD_RUNS: dict[str, dict[str, Any]] = {
    "the generator died": {"samples": samples(intact=False)},
    "the load was stopped": {"events": events(event(kinds.ABORTED, by="SIGINT"))},
    "Prometheus was lost": {"events": events(event(kinds.METRICS_LOST, message="gone"))},
    "the generator was late": {
        "samples": replace(samples(), records=samples().records[: len(samples().records) // 2])
    },
    "a line of the ledger is damaged": {"book": ledger(damaged=1)},
    "the ledger has no end": {"book": ledger(open_ended=1)},
}


@pytest.mark.parametrize("name", SAD_RUNS)
def test_a_lost_write_is_a_failure_whatever_else_went_wrong(name: str) -> None:
    found = evidence(THERE[1:], **SAD_RUNS[name])
    assert judged(found).evidence is Outcome.FAIL
    assert "writes_lost" in codes(found)


def replicated(*reads: ReplicaRead, copies: Any = THERE, **changes: Any) -> Evidence:
    found = Found(copies=tuple(copies), replicas=reads, **changes)
    return evidence(found, asked=("orders.lost == 0", "orders.stale == 0"), series_=REPLICATED)


def on_copy(copies: Any = THERE, **changes: Any) -> ReplicaRead:
    return ReplicaRead(name="orders on copy", copies=tuple(copies), **changes)


def test_a_replica_that_has_followed_passes() -> None:
    check = check_of(replicated(on_copy()), "stale")
    assert (check.outcome, check.observed, check.samples) == (Outcome.PASS, 0, 10)


def test_a_replica_that_stopped_following_fails_with_its_count() -> None:
    check = check_of(replicated(on_copy(THERE[3:])), "stale")
    assert (check.outcome, check.observed, check.code) == (Outcome.FAIL, 3, "reads_stale")
    assert "3 of 10 acknowledged writes are kept, and stale where they are read" in check.because
    assert "(o-0, o-1, o-2" in check.because


STALE_OPEN: dict[str, tuple[Evidence, str, str]] = {
    "it could not be read": (
        replicated(on_copy((), problem="copy:5432 cannot be reached")),
        "durability_not_read",
        "orders on copy: copy:5432 cannot be reached",
    ),
    "nobody read it": (replicated(), "durability_not_read", "a replica was not read"),
    "the store itself could not be read": (
        replicated(on_copy(), copies=(), problem="gone"),
        "durability_not_read",
        "postgres.orders: gone",
    ),
    "the store was still changing": (
        replicated(on_copy(THERE[1:]), settled=False),
        "not_settled",
        "still changing",
    ),
    "nothing says where else": (
        evidence(asked=("orders.stale == 0",)),
        "not_judged",
        "nothing says where else orders are read",
    ),
}


@pytest.mark.parametrize("name", STALE_OPEN)
def test_what_is_not_known_of_replicas_is_inconclusive(name: str) -> None:
    found, code, words = STALE_OPEN[name]
    check = check_of(found, "stale")
    assert (check.outcome, check.code) == (Outcome.INCONCLUSIVE, code)
    assert words in check.because


def test_a_replica_that_could_not_be_read_takes_nothing_from_the_store() -> None:
    found = replicated(on_copy((), problem="gone"))
    assert check_of(found).outcome is Outcome.PASS


OPEN: dict[str, tuple[Evidence, str, str, str]] = {
    "the store could not be read": (
        evidence(Found(problem="127.0.0.1:5432 cannot be reached")),
        "lost",
        "durability_not_read",
        "postgres.orders: 127.0.0.1:5432 cannot be reached",
    ),
    "nobody read it": (evidence(found={}), "lost", "durability_not_read", "not read back"),
    "there is no ledger": (
        replace(evidence(), ledger=None),
        "duplicated",
        "durability_not_read",
        "no ledger",
    ),
    "nothing was acknowledged": (
        evidence((), ledger([])),
        "lost",
        "no_acknowledged_writes",
        "0 of 0 acknowledged writes are missing",
    ),
    "everything was of unknown outcome": (
        evidence((), ledger([attempt(0, UNKNOWN)])),
        "duplicated",
        "no_acknowledged_writes",
        "1 of unknown outcome, 0 of them there",
    ),
    "a line of the ledger is damaged": (
        evidence(book=ledger(damaged=2)),
        "lost",
        "ledger_damaged",
        "2 lines",
    ),
    "the ledger ends early although the load did not": (
        evidence(book=ledger(open_ended=1)),
        "lost",
        "ledger_damaged",
        "no end",
    ),
    "a write has no key": (
        evidence(book=ledger((*ten(), attempt(11, key="")))),
        "lost",
        "writes_without_key",
        "1 acknowledged writes have no order_id",
    ),
    "the store never came to rest, and something is missing": (
        evidence(Found(copies=THERE[1:], settled=False)),
        "lost",
        "not_settled",
        "still changing",
    ),
    "the store never came to rest, and nothing is doubled yet": (
        evidence(Found(copies=THERE, settled=False)),
        "duplicated",
        "not_settled",
        "still changing",
    ),
    "nothing says what must be kept": (
        evidence(series_=replace(SERIES, fields=())),
        "corrupted",
        "not_judged",
        "which fields",
    ),
    "nothing says within what": (
        evidence(series_=replace(SERIES, group="")),
        "reordered",
        "not_judged",
        "order",
    ),
}


@pytest.mark.parametrize("name", OPEN)
def test_what_is_not_known_is_inconclusive(name: str) -> None:
    found, stat, code, words = OPEN[name]
    check = check_of(found, stat)
    assert (check.outcome, check.code) == (Outcome.INCONCLUSIVE, code)
    assert words in check.because
    assert judged(found).evidence is Outcome.INCONCLUSIVE


def test_a_duplicate_stays_one_although_the_store_never_came_to_rest() -> None:
    found = evidence(Found(copies=(*THERE, THERE[0]), settled=False))
    assert check_of(found, "duplicated").outcome is Outcome.FAIL


def test_a_killed_generator_leaves_a_torn_line_that_is_no_damage() -> None:
    torn = ledger(torn=1, open_ended=1)
    found = evidence(book=torn, samples=samples(intact=False))
    assert check_of(found).outcome is Outcome.PASS
    assert judged(found).evidence is Outcome.INCONCLUSIVE
    assert "load_lost" in codes(found)


def test_the_recovery_point_stands_beside_the_loss() -> None:
    assert "; RPO 5.0 to 5.2 s" in check_of(evidence(THERE[1:])).because


@pytest.mark.parametrize(
    ("limit", "outcome"), [("< 3", Outcome.PASS), ("<= 2", Outcome.PASS), ("< 2", Outcome.FAIL)]
)
def test_some_may_be_lost_if_the_objective_says_so(limit: str, outcome: Outcome) -> None:
    assert check_of(evidence(THERE[2:], asked=[f"orders.lost {limit}"])).outcome is outcome


def test_a_loss_that_only_warns_is_reported_and_fails_nothing() -> None:
    asked = [objective("orders.lost == 0", Gate.WARN)]
    found = evidence(THERE[1:], asked=asked)
    assert check_of(found).outcome is Outcome.FAIL
    assert judged(found).evidence is Outcome.PASS
