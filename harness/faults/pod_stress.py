"""Processors or memory used up in the container of a pod, for as long as somebody holds it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import closing, suppress

from harness import pod_stressor
from harness.cluster_object import cluster_of
from harness.errors import FaultError, HarnessError
from harness.faults import injection, pods
from harness.faults.injection import Injection
from harness.faults.session import Session
from harness.undo import Entry, State, UndoLog

VERB, LOOK = "pod_stressor.end", "pod_stressor_works"
PROVE_WITHIN_S = 20.0
MOST_WORKERS = 64


def inject(session: Session, *, kind: str, target: str, amount: int, container: str = "") -> Entry:
    """Start it in the first ready pod of a workload and see it use up what it should.

    Raises:
        FaultError: There is no such pod, or no shell in it, or it does not bite; nothing is
            left behind.
    """
    with closing(pods.open_cluster(session)) as cluster:
        found = pods.well(cluster, session, target)
        pod = found.ready[0]
        name = container or pod.containers[0]
        if name not in pod.containers:
            raise FaultError(f"The pod {pod.name} has {', '.join(pod.containers)}, not {name!r}.")
        said = pods.instance(session, cluster, found, [pod])
        arguments = {key: said[key] for key in pod_stressor.ARGUMENTS if key in said}
        # Who cannot look inside could not see that it has ended either.
        pod_stressor.used(cluster, {**arguments, "container": name, "token": "nobody"})
        fault = Injection(
            kind=kind,
            target=target,
            verb=VERB,
            arguments={**arguments, "container": name, "token": "${id}"},
            look=LOOK,
            effect={kind: float(amount)},
            before="nothing of the kind ran",
            prove_within_s=PROVE_WITHIN_S,
        )

        def applied(entry: Entry) -> None:
            pods.refuse_if_gone(cluster, [pod], entry.arguments)
            pod_stressor.start(cluster, entry.arguments, kind, amount)
            keep_renewing(session.log, entry)

        return injection.inject(session, fault, applied)


def checked_workers(workers: int | str) -> int:
    """How many processors to keep busy.

    Raises:
        FaultError: Not from 1 to the bound.
    """
    amount = int(workers)
    if not 1 <= amount <= MOST_WORKERS:
        raise FaultError(f"{amount} workers must be from 1 to {MOST_WORKERS}.")
    return amount


def keep_renewing(log: UndoLog, entry: Entry) -> threading.Thread:
    """Renew the stressor's lease until its entry is healed, or this process ends.

    It makes nothing: where nothing of the stressor is left, there is nothing to renew.
    """
    thread = threading.Thread(target=_renew, args=(log, entry), daemon=True, name=entry.id)
    thread.start()
    return thread


def _renew(log: UndoLog, entry: Entry) -> None:
    pause = threading.Event()
    while _is_held(log, entry):
        # What could not be renewed is tried again; failing that the stressor ends by itself,
        # which the look of whoever holds it tells.
        with suppress(HarnessError):
            _renew_once(entry.arguments)
        pause.wait(pod_stressor.RENEW_S)


def _renew_once(arguments: Mapping[str, str]) -> None:
    with cluster_of(arguments) as cluster:
        if pod_stressor.is_same(cluster, arguments):
            pod_stressor.renew(cluster, arguments)


def _is_held(log: UndoLog, entry: Entry) -> bool:
    try:
        return log.read(entry).state not in (State.HEALING, State.HEALED)
    except FaultError:
        return False  # nobody can tell any more: let it end
