"""The guardian in a namespace: posted, seen alive, and taken away again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from harness import cluster_lease, guardian_manifests
from harness.cluster import JSON, Cluster, ForbiddenError
from harness.cluster_guardian import open_in
from harness.cluster_lease import Watched
from harness.cluster_paths import grouped, namespaced
from harness.errors import FaultError, HarnessError, InfrastructureError
from harness.guardian_manifests import (
    CLUSTER_WIDE,
    ENTRIES,
    JOBS,
    LABELS,
    MODULES,
    Guard,
    entries_path,
)
from harness.guardian_rights import own_of_cluster

ALIVE_WITHIN_S = 120.0  # its image may have to be pulled first
LOOK_EVERY_S = 0.5
#: It says so every two seconds; but when its node is gone it takes the cluster a minute to see
#: that and to start it on another one, and the run itself heals meanwhile.
SILENT_FOR_S = 90.0

Tell = Callable[[str], None]


def texts() -> Mapping[str, str]:
    """The text of each module that the guardian consists of."""
    here = Path(__file__).parent
    return {module: (here / f"{module}.py").read_text() for module in MODULES}


class Heartbeat:
    """Whether a guardian says that it is alive, watched from outside."""

    def __init__(self, guard: Guard) -> None:
        self._path = cluster_lease.path(guard.namespace, guard.name)
        self._known: Watched | None = None

    def look(self, cluster: Cluster, at: float) -> bool:
        """Look once; whether it has been heard at all.

        Raises:
            FaultError: It is gone, or the API server does not answer.
        """
        raw = cluster.get(self._path)
        if raw is None:
            raise FaultError(f"{self._path} is gone, by which the guardian is seen alive.")
        lease = cluster_lease.parse(raw)
        self._known = cluster_lease.watched(self._known, lease, at)
        return bool(lease.holder)

    def silent_for_s(self, at: float) -> float:
        """For how long it has not said that it is alive."""
        return 0.0 if self._known is None else self._known.unchanged_for_s(at)


def post(cluster: Cluster, guard: Guard, tell: Tell) -> Heartbeat:
    """Make a guardian, and see it alive.

    Raises:
        FaultError: The API server refuses something; what was made is taken away.
        InfrastructureError: It did not come alive; what was made is taken away.
    """
    tell(f"posting a guardian in the namespace {guard.namespace} ({guard.image})")
    try:
        path, body = guardian_manifests.job(guard)
        uid = _made(cluster, path, body)
        for path, body in guardian_manifests.belongings(guard, uid, texts()):
            _made(cluster, path, body)
        if guard.cluster_wide:
            role = _made(cluster, *guardian_manifests.cluster_role(guard))
            _made(cluster, *guardian_manifests.cluster_role_binding(guard, role))
        cluster.patch(_job(guard), {"spec": {"suspend": False}})
        return _seen_alive(cluster, guard)
    except BaseException:
        remove(cluster, guard)
        raise


def remove(cluster: Cluster, guard: Guard) -> None:
    """Take away everything of it.

    What it has of the whole cluster goes first: by that a guardian which is told to end, and has
    lost its rights in the namespace, knows that it was taken away. Then the Job, so that nobody is
    left who would miss the rest. Undo entries of which one is open stay, for whoever heals it.

    Raises:
        FaultError: The API server refuses or does not answer.
    """
    made = [guardian_manifests.job(guard), *guardian_manifests.belongings(guard, "", {})]
    if guard.cluster_wide:
        role = guardian_manifests.cluster_role(guard)
        made = [role, guardian_manifests.cluster_role_binding(guard, ""), *made]
    for collection, body in made:
        path = f"{collection}/{body['metadata']['name']}"
        found = cluster.get(path)
        labels = (found or {}).get("metadata", {}).get("labels") or {}
        # Names can be made up by whoever may make Jobs here: only what is ours is deleted.
        if found is None or not labels.items() >= LABELS.items():
            continue
        if path == entries_path(guard.namespace, guard.name) and open_in(found):
            continue
        cluster.delete(path, found["metadata"]["uid"])


def remove_others(cluster: Cluster, namespace: str, tell: Tell) -> None:
    """Take away the guardians that runs which are gone have left in a namespace.

    One with a ClusterRole is left to itself by whoever may do nothing with those: it deletes its
    own when it ends, and nobody would once its Job is gone.

    Raises:
        FaultError: The API server refuses or does not answer.
    """
    jobs = cluster.list(grouped(JOBS, namespace, "jobs"), LABELS)
    kept = cluster.list(namespaced(namespace, "configmaps"), LABELS)
    records = [c for c in kept if str(c["metadata"]["name"]).endswith(ENTRIES)]
    wide: dict[str, bool] = {}
    for left in (*jobs, *records):  # the Job may have gone first
        name, notes = str(left["metadata"]["name"]), left["metadata"].get("annotations") or {}
        name = name.removesuffix(ENTRIES)
        wide[name] = wide.get(name, False) or notes.get(CLUSTER_WIDE) == "true"
    for name, has_role in wide.items():
        rules = (own_of_cluster(name),) if has_role else ()
        guard = Guard(name=name, namespace=namespace, holder="", undoing=rules)
        if not rules or _may_see_cluster_role(cluster, guard):
            remove(cluster, guard)
        else:
            tell(f"the guardian {name} of an earlier run takes itself away when it ends")


def _may_see_cluster_role(cluster: Cluster, guard: Guard) -> bool:
    collection, _ = guardian_manifests.cluster_role(guard)
    try:
        cluster.get(f"{collection}/{guard.cluster_name}")
    except ForbiddenError:
        return False
    return True


def is_ready(cluster: Cluster, namespace: str, name: str) -> bool:
    """Whether the guardian's Job has a pod that is ready."""
    found = cluster.get(grouped(JOBS, namespace, "jobs", name))
    return found is not None and int((found.get("status") or {}).get("ready") or 0) > 0


def _made(cluster: Cluster, path: str, body: JSON) -> str:
    return str(cluster.create(path, body)["metadata"]["uid"])


def _job(guard: Guard) -> str:
    return grouped(JOBS, guard.namespace, "jobs", guard.name)


def _seen_alive(cluster: Cluster, guard: Guard) -> Heartbeat:
    heartbeat = Heartbeat(guard)
    give_up_at = time.monotonic() + ALIVE_WITHIN_S
    while True:
        heard = heartbeat.look(cluster, time.monotonic())
        if heard and is_ready(cluster, guard.namespace, guard.name):
            return heartbeat
        if time.monotonic() >= give_up_at:
            raise InfrastructureError(
                f"The guardian {guard.name} in the namespace {guard.namespace} did not come alive "
                f"within {ALIVE_WITHIN_S:g} s{_why(cluster, guard)}.",
                "Nothing was injected. Its image has to have Python 3.11 or newer and be within "
                "the cluster's reach: set `stack.guardian_image`.",
            )
        time.sleep(LOOK_EVERY_S)


def _why(cluster: Cluster, guard: Guard) -> str:
    """What its pod waits for, as far as the cluster says so."""
    labels = {"batch.kubernetes.io/job-name": guard.name}
    try:
        pods = cluster.list(namespaced(guard.namespace, "pods"), labels)
    except HarnessError as error:
        return f" ({error})"
    states = [
        state
        for pod in pods
        for container in (pod.get("status") or {}).get("containerStatuses") or ()
        for state in [container.get("state") or {}]
        if state
    ]
    return f" ({json.dumps(states)[:300]})" if states else " (it has no pod that has begun)"
