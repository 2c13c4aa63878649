"""Lost, doubled, corrupted, reordered: counted exactly, and never where nothing is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.durability.ledger import Attempt
from harness.durability.reconciliation import Copy, reconcile, rpo_s
from tests.builders import CALLED, PROVEN, ZERO, fault
from tests.durability.cases import (
    ACKNOWLEDGED,
    REFUSED,
    UNKNOWN,
    attempt,
    copy_of,
    counted,
    slowly,
    ten,
)

HEALTHY = {"acknowledged": 10, "present": 10}
WRITTEN = ten()
THERE = tuple(copy_of(a) for a in WRITTEN)

CASES: dict[str, tuple[Sequence[Attempt], Sequence[Copy], dict[str, int]]] = {
    "all is there once": (WRITTEN, THERE, HEALTHY),
    "nothing was written": ((), (), {}),
    "two are missing": (WRITTEN, THERE[2:], {"acknowledged": 10, "present": 8, "lost": 2}),
    "all are missing": (WRITTEN, (), {"acknowledged": 10, "lost": 10}),
    "one is there twice, another three times": (
        WRITTEN,
        (*THERE, THERE[0], THERE[1], THERE[1]),
        {**HEALTHY, "duplicated": 2, "extra_copies": 3},
    ),
    "one is there with another content": (
        WRITTEN,
        (*THERE[1:], replace(THERE[0], checksum="else")),
        {**HEALTHY, "corrupted": 1},
    ),
    "one of two copies has another content": (
        WRITTEN,
        (*THERE, replace(THERE[0], checksum="else")),
        {**HEALTHY, "corrupted": 1, "duplicated": 1, "extra_copies": 1},
    ),
    "the last stands first": (
        WRITTEN,
        (*THERE[:-1], replace(THERE[-1], position=-1)),
        {**HEALTHY, "reordered": 1},
    ),
    "the first stands last": (
        WRITTEN,
        (*THERE[1:], replace(THERE[0], position=99)),
        {**HEALTHY, "reordered": 9},
    ),
    "another partition has an order of its own": (
        WRITTEN,
        (*THERE[1:], replace(THERE[0], position=99, partition="1")),
        HEALTHY,
    ),
    "a redelivered copy comes later, which is no other order": (
        WRITTEN,
        (*THERE, replace(THERE[0], position=99)),
        {**HEALTHY, "duplicated": 1, "extra_copies": 1},
    ),
    "two on their way at the same time have no order": (
        (attempt(0, sent_at=1.0), attempt(1, sent_at=1.01)),
        (copy_of(attempt(0), position=5), copy_of(attempt(1), position=4)),
        {"acknowledged": 2, "present": 2},
    ),
    "those of different groups have no order": (
        (attempt(0, group="anna"), attempt(1, group="bert")),
        (copy_of(attempt(0), position=5), copy_of(attempt(1), position=4)),
        {"acknowledged": 2, "present": 2},
    ),
    "of unknown outcome and absent": ((attempt(0, UNKNOWN),), (), {"unknown": 1}),
    "of unknown outcome and there": (
        (attempt(0, UNKNOWN),),
        THERE[:1],
        {"unknown": 1, "unknown_present": 1},
    ),
    "of unknown outcome and there twice": (
        (attempt(0, UNKNOWN),),
        (THERE[0], THERE[0]),
        {"unknown": 1, "unknown_present": 1, "duplicated": 1, "extra_copies": 1},
    ),
    "refused and absent": ((attempt(0, REFUSED),), (), {"refused": 1}),
    "refused and there all the same": (
        (attempt(0, REFUSED),),
        THERE[:1],
        {"refused": 1, "refused_present": 1},
    ),
    "tried again after an unknown outcome, then acknowledged, and there once": (
        (attempt(0, UNKNOWN), attempt(1, key="o-0", checksum="sum-0")),
        THERE[:1],
        {"acknowledged": 1, "present": 1},
    ),
    "tried again and there twice: the server took both": (
        (attempt(0, UNKNOWN), attempt(1, key="o-0", checksum="sum-0")),
        (THERE[0], THERE[0]),
        {"acknowledged": 1, "present": 1, "duplicated": 1, "extra_copies": 1},
    ),
    "tried again with another content: either may have won": (
        (attempt(0), attempt(1, key="o-0")),
        (replace(THERE[0], checksum="sum-1"),),
        {"acknowledged": 1, "present": 1},
    ),
    "refused, then unknown": (
        (attempt(0, REFUSED), attempt(1, UNKNOWN, key="o-0")),
        (),
        {"unknown": 1},
    ),
    "somebody else's": (WRITTEN, (*THERE, Copy(key="theirs")), {**HEALTHY, "unexpected": 1}),
    "acknowledged without a key": ((attempt(0, key=""),), (), {"without_key": 1}),
    "unknown without a key": ((attempt(0, UNKNOWN, key=""),), (), {"unknown": 1}),
}


@pytest.mark.parametrize("name", CASES)
def test_the_counts_are_exact(name: str) -> None:
    attempts, copies, expected = CASES[name]
    zeros = dict.fromkeys(slowly((), ()), 0)
    assert counted(reconcile(attempts, copies)) == zeros | expected
    assert slowly(attempts, copies) == zeros | expected


ATTEMPTS = st.lists(
    st.builds(
        attempt,
        st.integers(0, 6),
        st.sampled_from([ACKNOWLEDGED, REFUSED, UNKNOWN]),
        key=st.sampled_from(["", "a", "b", "c", "d"]),
        sent_at=st.integers(0, 8).map(lambda n: ZERO + n / 20),
        checksum=st.sampled_from(["x", "y"]),
        group=st.just("anna"),
    ),
    max_size=8,
)
COPIES = st.lists(
    st.builds(
        Copy,
        key=st.sampled_from(["a", "b", "c", "d", "e"]),
        checksum=st.sampled_from(["x", "y"]),
        partition=st.sampled_from(["0", "1"]),
        position=st.one_of(st.none(), st.integers(0, 5)),
    ),
    max_size=8,
)


@given(ATTEMPTS, COPIES, st.lists(COPIES, max_size=2))
def test_it_counts_as_the_slow_one_does(
    attempts: list[Attempt], copies: list[Copy], replicas: list[list[Copy]]
) -> None:
    found = counted(reconcile(attempts, copies, replicas))
    assert found == slowly(attempts, copies, replicas)


REPLICAS: dict[str, tuple[Sequence[Copy], Sequence[Sequence[Copy]], tuple[str, ...]]] = {
    "no replica": (THERE, (), ()),
    "one that has followed": (THERE, (THERE,), ()),
    "one in another order": (THERE, (THERE[::-1],), ()),
    "one that lacks two": (THERE, (THERE[2:],), ("o-0", "o-1")),
    "one of two lacks some": (THERE, (THERE, THERE[:9]), ("o-9",)),
    "two lack different ones": (THERE, (THERE[1:], THERE[:9]), ("o-0", "o-9")),
    "an empty one": (THERE[:2], ((),), ("o-0", "o-1")),
    "one with an earlier state": (
        THERE,
        ((*THERE[1:], replace(THERE[0], checksum="before")),),
        ("o-0",),
    ),
    "what the store has lost cannot be stale": (THERE[1:], (THERE,), ()),
    "one that has more than the store": (THERE, ((*THERE, THERE[0]),), ()),
}


@pytest.mark.parametrize("name", REPLICAS)
def test_what_a_replica_lacks_is_stale(name: str) -> None:
    copies, replicas, stale = REPLICAS[name]
    found = reconcile(WRITTEN, copies, replicas)
    assert (found.stale, found.stale_keys) == (len(stale), stale)


def test_what_nobody_acknowledged_is_not_stale() -> None:
    open_ended = [attempt(n, UNKNOWN) for n in range(3)]
    assert reconcile(open_ended, tuple(copy_of(a) for a in open_ended), [()]).stale == 0


@given(st.sets(st.integers(0, 9)), st.sets(st.integers(0, 9)))
def test_every_planted_loss_and_duplicate_is_named(lost: set[int], twice: set[int]) -> None:
    copies = [c for n, c in enumerate(THERE) if n not in lost]
    copies += [c for n, c in enumerate(THERE) if n in twice - lost]
    found = reconcile(WRITTEN, copies)
    assert (found.lost, found.duplicated) == (len(lost), len(twice - lost))
    assert set(found.lost_keys) == {f"o-{n}" for n in lost}
    assert set(found.duplicated_keys) == {f"o-{n}" for n in twice - lost}


def test_the_recovery_point_is_an_interval_from_call_and_proof() -> None:
    found = reconcile(WRITTEN, THERE[3:])
    oldest = WRITTEN[0].answered_at
    assert oldest is not None
    assert found.oldest_lost_at == oldest
    assert rpo_s(found, [fault()]) == (CALLED - oldest, PROVEN - oldest)


def test_nothing_lost_is_a_recovery_point_of_zero() -> None:
    assert rpo_s(reconcile(WRITTEN, THERE), [fault()]) == (0.0, 0.0)


def test_what_was_acknowledged_after_the_onset_reaches_no_further_back() -> None:
    late = attempt(0, at=PROVEN + 3)
    assert rpo_s(reconcile([late], []), [fault()]) == (0.0, 0.0)


def test_between_the_call_and_its_proof_only_the_upper_bound_is_above_zero() -> None:
    between = attempt(0, sent_at=CALLED + 0.05)
    low, high = rpo_s(reconcile([between], []), [fault()]) or (9.0, 9.0)
    assert low == 0.0
    assert high == pytest.approx(0.1, abs=1e-5)


@pytest.mark.parametrize("faults", [[], [fault(proven_at=None)]], ids=["no fault", "no proof"])
def test_without_a_proven_fault_there_is_no_recovery_point(faults: list) -> None:  # type: ignore[type-arg]
    assert rpo_s(reconcile(WRITTEN, ()), faults) is None
