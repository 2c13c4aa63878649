"""The Lease by which one run has a namespace: whether it is free, ours, or somebody else's. Pure.

Of the standard library and a few modules like this one only: a guardian inside a cluster runs
this very text. Clocks of two machines differ, so that a lease is never judged by the times in it:
whoever wants to know watches it, and it is stale when it was not renewed for its whole length
by the watcher's own clock. That is what leader election in Kubernetes' client-go does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from harness.cluster import JSON
from harness.cluster_paths import grouped
from harness.errors import FaultError

GROUP = "coordination.k8s.io/v1"
NAME = "reliability-harness"
DURATION_S = 15
#: Where a run says which guardian watches over it, and after a space the kinds of faults that it
#: may undo, with commas: so that the run's children find it.
GUARDIAN = "reliability-harness/guardian"
_GUARDIAN_OF = "the guardian of "


class Standing(StrEnum):
    """What a lease is to somebody who wants it."""

    FREE = "free"
    OURS = "ours"
    LIVING = "living"  #: a foreign holder renewed it while we watched
    SILENT = "silent"  #: a foreign holder did not renew it yet; watch on
    STALE = "stale"  #: nobody has renewed it for its whole length


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A Lease as the API server tells it; ``holder`` is empty when it was given back."""

    holder: str
    acquired: str
    renewed: str
    version: str
    uid: str
    duration_s: float = DURATION_S
    guardian: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What a watcher knows of a lease: its last renewal, since when, and whether there was one.

    Args:
        seen: The holder and the renewal that stand in it.
        since: When the watcher first saw these, by a clock that only goes forward.
        renewals: How many came while it was watched.
    """

    seen: tuple[str, str]
    since: float
    renewals: int = 0

    def unchanged_for_s(self, at: float) -> float:
        """For how long nobody has renewed it."""
        return at - self.since


def holder_of(run_id: str, host: str) -> str:
    """What a run calls itself in a Lease."""
    return f"run {run_id} on {host}"


def guardian_of(holder: str) -> str:
    """What the guardian in the cluster calls itself when it has taken the Lease of a run."""
    return f"{_GUARDIAN_OF}{holder}"


def is_guardian(holder: str) -> bool:
    """Whether it is a guardian that undoes what its run has left, and no run or command."""
    return holder.startswith(_GUARDIAN_OF)


def path(namespace: str, name: str = NAME) -> str:
    """Where a Lease is."""
    return grouped(GROUP, namespace, "leases", name)


def watched(before: Watched | None, lease: Lease, at: float) -> Watched:
    """What is known after one more look."""
    seen = (lease.holder, lease.renewed)
    if before is None:
        return Watched(seen=seen, since=at)
    if before.seen == seen:
        return before
    return Watched(seen=seen, since=at, renewals=before.renewals + 1)


def standing(lease: Lease | None, me: str, known: Watched | None, at: float) -> Standing:
    """What the lease is to ``me`` at a moment of the watcher's clock."""
    if lease is None or not lease.holder:
        return Standing.FREE
    if lease.holder == me:
        return Standing.OURS
    if known is None:
        return Standing.SILENT
    if known.unchanged_for_s(at) >= lease.duration_s:
        return Standing.STALE
    return Standing.LIVING if known.renewals else Standing.SILENT


def parse(raw: JSON) -> Lease:
    """A Lease out of the API server's document.

    Raises:
        FaultError: It lacks what every server tells.
    """
    try:
        meta, spec = raw["metadata"], raw.get("spec") or {}
        return Lease(
            holder=spec.get("holderIdentity") or "",
            acquired=spec.get("acquireTime") or "",
            renewed=spec.get("renewTime") or "",
            version=str(meta.get("resourceVersion") or ""),
            uid=str(meta["uid"]),
            duration_s=float(spec.get("leaseDurationSeconds") or DURATION_S),
            guardian=(meta.get("annotations") or {}).get(GUARDIAN, ""),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FaultError(
            f"The API server described a Lease in a way that cannot be read ({error!r})."
        ) from error


def document(name: str, holder: str, now: float, labels: Mapping[str, str]) -> dict[str, Any]:
    """A new Lease that somebody holds from now on."""
    return {
        "apiVersion": GROUP,
        "kind": "Lease",
        "metadata": {"name": name, "labels": dict(labels)},
        "spec": taken(holder, now)["spec"],
    }


def taken(holder: str, now: float, version: str = "") -> dict[str, Any]:
    """The change by which somebody takes a Lease, if it still is of that version."""
    spec = {
        "holderIdentity": holder,
        "acquireTime": stamp(now),
        "renewTime": stamp(now),
        "leaseDurationSeconds": DURATION_S,
    }
    return {"metadata": _of_version(version), "spec": spec}


def renewed(now: float, version: str) -> dict[str, Any]:
    """The change by which its holder renews a Lease."""
    return {"metadata": _of_version(version), "spec": {"renewTime": stamp(now)}}


def given_back(version: str) -> dict[str, Any]:
    """The change by which its holder gives a Lease back."""
    return {"metadata": _of_version(version), "spec": {"holderIdentity": None}}


def _of_version(version: str) -> dict[str, str]:
    return {"resourceVersion": version} if version else {}


def stamp(now: float) -> str:
    """A time as Leases have it: UTC with microseconds."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def age_in_words(lease: Lease, now: float) -> str:
    """Since when it is held, as far as this machine's clock can tell."""
    try:
        began = datetime.fromisoformat(lease.acquired)
        seconds = now - began.timestamp()
    except (ValueError, TypeError):
        return "nobody knows since when"
    minutes = f"{seconds / 60:.0f} min" if seconds >= 90 else f"{max(0.0, seconds):.0f} s"
    return f"since {lease.acquired}, {minutes} by this machine's clock"
