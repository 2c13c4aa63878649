"""The Lease of a run on a namespace: what it is to somebody, and how it is taken and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness import cluster_lease, namespace_lease
from harness.cluster_lease import Lease, Standing, Watched
from harness.errors import FaultError, HarnessError, InvalidError
from harness.fakes.cluster import FakeCluster
from harness.namespace_lease import NamespaceLease
from tests.real import eventually

ME, OTHER = "run a on here", "run b on there"
PATH = cluster_lease.path("shop")
LONG_AGO = 1_000_000.0


def lease(holder: str, renewed: str = "t0") -> Lease:
    return Lease(holder=holder, acquired="t0", renewed=renewed, version="1", uid="u")


def seen(since: float, renewals: int = 0) -> Watched:
    return Watched(seen=(OTHER, "t0"), since=since, renewals=renewals)


STANDINGS: dict[str, tuple[Lease | None, Watched | None, Standing]] = {
    "there is none": (None, None, Standing.FREE),
    "it was given back": (lease(""), None, Standing.FREE),
    "it was given back long ago": (lease(""), seen(0), Standing.FREE),
    "it is ours": (lease(ME), None, Standing.OURS),
    "it is ours, and was not renewed for long": (lease(ME), seen(0), Standing.OURS),
    "it is another's, and nobody has watched it yet": (lease(OTHER), None, Standing.SILENT),
    "another's, watched for less than its length": (lease(OTHER), seen(86), Standing.SILENT),
    "another's, watched for its whole length": (lease(OTHER), seen(85), Standing.STALE),
    "another's, renewed while we watched": (lease(OTHER), seen(99, 1), Standing.LIVING),
    "renewed once, and never again": (lease(OTHER), seen(85, 3), Standing.STALE),
}


@pytest.mark.parametrize(("found", "known", "standing"), STANDINGS.values(), ids=STANDINGS)
def test_what_a_lease_is(found: Lease | None, known: Watched | None, standing: Standing) -> None:
    assert cluster_lease.standing(found, ME, known, at=100.0) is standing


def test_a_clock_that_is_wrong_on_either_side_decides_nothing() -> None:
    """Only a change of what stands in it counts, never what time stands in it."""
    future = lease(OTHER, "2999-01-01T00:00:00.000000Z")
    known = cluster_lease.watched(None, future, at=50.0)
    assert cluster_lease.standing(future, ME, known, at=66.0) is Standing.STALE
    past = lease(OTHER, "1999-01-01T00:00:00.000000Z")
    known = cluster_lease.watched(known, past, at=66.0)
    assert cluster_lease.standing(past, ME, known, at=66.0) is Standing.LIVING


def test_a_look_at_the_same_changes_nothing() -> None:
    known = cluster_lease.watched(None, lease(OTHER), at=5.0)
    assert cluster_lease.watched(known, lease(OTHER), at=9.0) == known
    assert known.unchanged_for_s(9.0) == 4.0


UNREADABLE: dict[str, Any] = {
    "no metadata": {"spec": {}},
    "no uid": {"metadata": {}},
    "a length that is none": {"metadata": {"uid": "u"}, "spec": {"leaseDurationSeconds": "x"}},
    "notes that are none": {"metadata": {"uid": "u", "annotations": 3}},
}


@pytest.mark.parametrize("raw", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_said(raw: Any) -> None:
    with pytest.raises(FaultError, match="in a way that cannot be read"):
        cluster_lease.parse(raw)


AGES = {
    "seconds": ("1970-01-12T13:46:40.000000Z", LONG_AGO + 7, "7 s by this machine's clock"),
    "minutes": ("1970-01-12T13:46:40.000000Z", LONG_AGO + 300, "5 min by this machine's clock"),
    "a clock that is behind": ("1970-01-12T13:46:40.000000Z", LONG_AGO - 50, ", 0 s by"),
    "not a time": ("yesterday", LONG_AGO, "nobody knows since when"),
}


@pytest.mark.parametrize(("acquired", "now", "words"), AGES.values(), ids=AGES)
def test_an_age_in_words(acquired: str, now: float, words: str) -> None:
    held = Lease(holder=OTHER, acquired=acquired, renewed="", version="1", uid="u")
    assert words in cluster_lease.age_in_words(held, now)
    assert cluster_lease.stamp(LONG_AGO) == "1970-01-12T13:46:40.000000Z"


# -- taken and kept


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_lease, "DURATION_S", 0.2)
    monkeypatch.setattr(namespace_lease, "RENEW_EVERY_S", 0.01)


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def mine(cluster: FakeCluster, quick: None) -> Iterator[NamespaceLease]:
    found = NamespaceLease(lambda: cluster, "shop", ME, pause=lambda _: None)
    yield found
    found.release(well=True)


def held_by(cluster: FakeCluster, holder: str) -> None:
    body = cluster_lease.document(cluster_lease.NAME, holder, LONG_AGO, {})
    cluster.add(PATH.rpartition("/")[0], body)


def holder(cluster: FakeCluster) -> str:
    return str(cluster.held[PATH]["spec"].get("holderIdentity", ""))


TAKEN: dict[str, Callable[[FakeCluster], None]] = {
    "there was none": lambda _: None,
    "it was given back": lambda c: held_by(c, ""),
    "it was ours already": lambda c: held_by(c, ME),
    "its holder has gone stale": lambda c: held_by(c, OTHER),
}


@pytest.mark.parametrize("before", TAKEN.values(), ids=TAKEN)
def test_it_is_taken(
    before: Callable[[FakeCluster], None], cluster: FakeCluster, mine: NamespaceLease
) -> None:
    before(cluster)
    mine.take(lambda _: None)
    assert holder(cluster) == ME
    assert mine.problem() == ""


def test_it_is_renewed_and_deleted_at_the_end(cluster: FakeCluster, mine: NamespaceLease) -> None:
    mine.take(lambda _: None)
    version = cluster.held[PATH]["metadata"]["resourceVersion"]
    eventually(
        lambda: cluster.held[PATH]["metadata"]["resourceVersion"] != version, "it is renewed"
    )
    mine.release(well=True)
    assert PATH not in cluster.held


def test_a_living_holder_is_refused_by_name_and_age_before_any_write(
    cluster: FakeCluster, quick: None
) -> None:
    held_by(cluster, OTHER)
    times = iter(range(1, 100))

    def renew(_: float) -> None:
        cluster.held[PATH]["spec"]["renewTime"] = f"t{next(times)}"

    told: list[str] = []
    late = NamespaceLease(lambda: cluster, "shop", ME, pause=renew)
    with pytest.raises(InvalidError, match="shop is in use: run b on there holds it") as refused:
        late.take(told.append)
    assert "by this machine's clock" in str(refused.value)
    assert refused.value.exit_code == 2
    assert "watching for up to" in told[0]
    assert cluster.deeds == []
    assert holder(cluster) == OTHER


GUARDIAN = cluster_lease.guardian_of(OTHER)


def renewing(cluster: FakeCluster) -> Callable[[float], None]:
    """A holder that renews whenever somebody waits."""
    times = iter(range(1, 100))

    def renew(_: float) -> None:
        cluster.held[PATH]["spec"]["renewTime"] = f"t{next(times)}"

    return renew


def test_a_guardian_that_cannot_finish_locks_nobody_out_who_recovers(
    cluster: FakeCluster, quick: None
) -> None:
    held_by(cluster, GUARDIAN)
    told: list[str] = []
    late = NamespaceLease(lambda: cluster, "shop", ME, pause=renewing(cluster))
    late.take(told.append, over_guardian=True)
    assert holder(cluster) == ME
    assert told == [f"taking the namespace shop over from {GUARDIAN}"]
    late.release(well=True)


def test_a_guardian_that_renews_at_this_very_moment_is_taken_over_at_the_next_look(
    cluster: FakeCluster, quick: None
) -> None:
    held_by(cluster, GUARDIAN)
    get, looks = cluster.get, iter(range(100))

    def overtaken(path: str) -> Any:
        found = get(path)
        if (look := next(looks)) < 2:
            cluster.patch(PATH, cluster_lease.renewed(LONG_AGO + look + 1, ""))
        return found

    cluster.get = overtaken  # type: ignore[method-assign]
    late = NamespaceLease(lambda: cluster, "shop", ME, pause=lambda _: None)
    late.take(lambda _: None, over_guardian=True)
    assert holder(cluster) == ME
    assert next(looks) == 3
    late.release(well=True)


REFUSED: dict[str, tuple[str, bool, str]] = {
    "a run that lives, also to who recovers": (OTHER, True, "stop it where it runs"),
    "a guardian, to a run": (GUARDIAN, False, "`harness recover --context fake -n shop` takes it"),
}


@pytest.mark.parametrize(("by", "over_guardian", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_held_is_refused_with_what_to_do(
    by: str, over_guardian: bool, words: str, cluster: FakeCluster, quick: None
) -> None:
    held_by(cluster, by)
    late = NamespaceLease(lambda: cluster, "shop", ME, pause=renewing(cluster))
    with pytest.raises(InvalidError, match="is in use") as refused:
        late.take(lambda _: None, over_guardian=over_guardian)
    assert words in str(refused.value)
    assert cluster.deeds == []


def test_of_two_who_take_a_free_one_one_wins(cluster: FakeCluster, quick: None) -> None:
    """Whoever lost the race finds a holder that it has to watch, and is refused."""
    first = NamespaceLease(lambda: cluster, "shop", OTHER)

    def renewed(_: float) -> None:
        cluster.held[PATH]["spec"]["renewTime"] += "x"

    second = NamespaceLease(lambda: cluster, "shop", ME, pause=renewed)
    slow = cluster.get

    def overtaken(path: str) -> Any:
        found = slow(path)
        if PATH not in cluster.held:
            held_by(cluster, OTHER)  # between the second one's look and its write
        return found

    cluster.get = overtaken  # type: ignore[method-assign]
    with pytest.raises(InvalidError, match="is in use"):
        second.take(lambda _: None)
    assert holder(cluster) == OTHER
    first.release(well=True)


def taken_by_another(cluster: FakeCluster) -> None:
    cluster.patch(PATH, cluster_lease.taken(OTHER, LONG_AGO))


def made_anew(cluster: FakeCluster) -> None:
    cluster.delete(PATH, cluster.held[PATH]["metadata"]["uid"])
    held_by(cluster, OTHER)
    cluster.held[PATH]["metadata"]["resourceVersion"] = "another"


LOST = {"somebody took it": taken_by_another, "somebody made it anew": made_anew}


@pytest.mark.parametrize("happens", LOST.values(), ids=LOST)
def test_that_it_is_lost_is_noticed_and_nobody_else_loses_it(
    happens: Callable[[FakeCluster], None], cluster: FakeCluster, mine: NamespaceLease
) -> None:
    mine.take(lambda _: None)
    happens(cluster)
    assert "run b on there took the Lease on shop" in eventually(mine.problem, "it is noticed")
    mine.release(well=True)
    assert holder(cluster) == OTHER


def test_a_note_on_it_does_not_lose_it(cluster: FakeCluster, mine: NamespaceLease) -> None:
    mine.take(lambda _: None)
    looks: list[int] = []
    mine.name_guardian("g1 stop", lambda _: looks.append(1))
    eventually(lambda: len(looks) > 2, "it is renewed after the note")
    assert mine.problem() == ""
    assert cluster_lease.parse(cluster.held[PATH]).guardian == "g1 stop"


def test_a_server_that_is_silent_loses_it_before_others_may_take_it(
    monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    down: list[str] = []

    def refuse(deed: str) -> None:
        if down:
            raise FaultError("no answer")

    cluster = FakeCluster(refuse)
    late = NamespaceLease(lambda: cluster, "shop", ME)
    late.take(lambda _: None)
    down.append("now")
    monkeypatch.setattr(namespace_lease, "LOST_AFTER_S", 0.05)
    assert "could not be renewed" in eventually(late.problem, "it is lost")
    down.clear()
    late.release(well=False)
    assert holder(cluster) == ""


def test_it_is_lost_before_anybody_else_may_think_it_stale() -> None:
    assert namespace_lease.LOST_AFTER_S < cluster_lease.DURATION_S
    assert namespace_lease.RENEW_EVERY_S * 3 <= namespace_lease.LOST_AFTER_S


def test_one_that_others_take_all_the_time_is_given_up(
    monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    def refuse(deed: str) -> None:
        raise namespace_lease.ConflictError("modified")

    monkeypatch.setattr(namespace_lease, "TAKE_WITHIN_S", 0.05)
    late = NamespaceLease(lambda: FakeCluster(refuse), "shop", ME)
    with pytest.raises(HarnessError, match="its holder may still live"):
        late.take(lambda _: None)
