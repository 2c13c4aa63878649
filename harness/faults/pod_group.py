"""Several pods of one workload at once: how many are meant, and the steps of hitting them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import closing

from harness.cluster import Cluster, Pod
from harness.errors import FaultError, InvalidError
from harness.faults import injection, pods
from harness.faults.injection import Injection
from harness.faults.session import Session
from harness.undo import Entry

#: How the pods are hit, all of them within the time that a healer waits for the lock.
Deed = Callable[[Cluster, str, Sequence[Pod]], None]
AT_MOST = 20  #: at once: each is a call of its own to the API server, under one lock


def checked_count(count: int | str | None, percent: float | str | None) -> None:
    """See that the pods are counted in one way.

    Raises:
        InvalidError: In two ways, or not in numbers that can be meant.
    """
    if count is not None and percent is not None:
        raise InvalidError("count and percent both say how many pods; give one of them.")
    if count is not None and int(count) < 1:
        raise InvalidError(f"count {count} must be 1 or more.")
    if percent is not None and not 0 < float(percent) <= 100:
        raise InvalidError(f"percent {percent} must be above 0 and up to 100.")


def chosen(
    ready: Sequence[Pod], count: int | str | None, percent: float | str | None
) -> tuple[Pod, ...]:
    """The pods that are hit: the first by name; a share is rounded up.

    Raises:
        InvalidError: They are not counted in one way.
        FaultError: There are not as many, or too many to hit at once.
    """
    checked_count(count, percent)
    if percent is None:
        many = 1 if count is None else int(count)
    else:
        many = math.ceil(round(float(percent) / 100 * len(ready), 9))
    if many > len(ready):
        raise FaultError(f"{many} pods are asked for, and {len(ready)} are ready.")
    if many > AT_MOST:
        raise FaultError(f"{many} pods are more than the {AT_MOST} that can be hit at once.")
    return tuple(ready[:many])


def inject(
    session: Session,
    *,
    kind: str,
    target: str,
    choose: Callable[[Sequence[Pod]], tuple[Pod, ...]],
    deed: Deed,
    within_s: float = pods.PROVE_WITHIN_S,
) -> Entry:
    """Hit the chosen pods of a workload once, and see them gone.

    Raises:
        FaultError: There are none, the workload was not well, or one survived; nothing of it is
            left behind.
    """
    with closing(pods.open_cluster(session)) as cluster:
        found = pods.well(cluster, session, target)
        hit = choose(found.ready)
        fault = Injection(
            kind=kind,
            target=target,
            verb=pods.ENSURE_READY,
            arguments=pods.instance(session, cluster, found, hit),
            look=pods.GONE,
            before=f"{len(found.ready)} pods of {found.workload.name} were ready",
            held=False,
            prove_within_s=within_s,
        )

        def applied(entry: Entry) -> None:
            pods.refuse_if_gone(cluster, hit, entry.arguments)
            deed(cluster, session.stack.namespace, hit)

        return injection.inject(session, fault, applied)
