"""One key of a ConfigMap or Secret, with another value for a while.

The value from before is kept in the object itself, under a key of the fault's own: it is nowhere
else, neither in an entry nor in a proof. What the fault put there is known by its digest. The
pods that read it are made anew, then and when it is put back: that the key has the value says
nothing of who has read it, but a pod that was made since has. Everything here takes plain text
(:data:`ARGUMENTS`), so that whoever holds an undo entry can look and undo.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from harness import cluster_mark, cluster_object, workload_pods
from harness.cluster import JSON, Cluster, parse_pod, parse_workload
from harness.cluster_object import cluster_of
from harness.errors import FaultError, HarnessError

Arguments = Mapping[str, str]

#: On top of the object: the namespace; its key, the key that keeps the value from before, the
#: digest of the fault's value; the workload whose pods are made anew, by path, uid and kind; and
#: the id of the entry, by which its template and the pods made of it tell so.
ARGUMENTS = (
    *cluster_object.OBJECT,
    "namespace",
    "key",
    "backup",
    "digest",
    "restart_path",
    "restart_uid",
    "restart_kind",
    "token",
)
ANNOTATION = "reliability-harness/config-fault"


def digest(value: str) -> str:
    """What tells a value without saying it."""
    return hashlib.sha256(value.encode()).hexdigest()


def restart(token: str | None) -> dict[str, object]:
    """The change of a template that makes all pods anew."""
    return {"spec": {"template": {"metadata": {"annotations": {ANNOTATION: token}}}}}


def look_changed(arguments: Arguments) -> tuple[bool, str]:
    """The key has the fault's value, and a pod runs that was made since.

    It need not be ready: that it does not become so may be the very point.
    """
    with cluster_of(arguments) as cluster:
        data = _data(cluster_object.present(cluster, arguments))
        workload = _restarted(cluster, arguments)
        pods = () if workload is None else _pods(cluster, arguments, workload)
    key, path = arguments["key"], arguments["path"]
    if not _is_ours(data, arguments):
        return False, f"the key {key} of {path} does not have the fault's value"
    if workload is None or not _carries(workload["spec"]["template"], arguments):
        return False, f"{arguments['restart_path']} was not restarted"
    since = [raw for raw in pods if _carries(raw, arguments) and parse_pod(raw).up]
    return bool(since), (
        f"the key {key} of {path} has the fault's value; {len(since)} of {len(pods)} pods of "
        f"{workload['metadata']['name']} were made since and run"
    )


def restore(arguments: Arguments) -> None:
    """The value from before, unless somebody else has put another one there."""
    with cluster_of(arguments) as cluster:
        found = cluster_object.present(cluster, arguments)
        data, backup = _data(found), arguments["backup"]
        if found is not None and backup in data:
            back: dict[str, str | None] = {backup: None}
            if _is_ours(data, arguments):
                back[arguments["key"]] = data[backup]
            meta = found["metadata"]
            version = {name: meta[name] for name in ("uid", "resourceVersion") if name in meta}
            cluster.patch(arguments["path"], {"metadata": version, "data": back})
        workload = _restarted(cluster, arguments)
        if workload is not None and _carries(workload["spec"]["template"], arguments):
            anew = {**restart(None), "metadata": {"uid": arguments["restart_uid"]}}
            cluster.patch(arguments["restart_path"], anew)


def call_off(arguments: Arguments) -> None:
    """See that changes which may still be on their way are refused when they arrive."""
    token, reader = arguments["token"], arguments["restart_path"]
    with cluster_of(arguments) as cluster:
        cluster_mark.call_off(cluster, arguments["path"], arguments["uid"], token)
        cluster_mark.call_off(cluster, reader, arguments["restart_uid"], token)


def prove_restored(arguments: Arguments) -> str:
    """The key does not have the fault's value any more, and who read it has all pods ready.

    Raises:
        FaultError: It does, or they are not yet.
    """
    path, key = arguments["path"], arguments["key"]
    with cluster_of(arguments) as cluster:
        found = cluster_object.present(cluster, arguments)
        workload = _restarted(cluster, arguments)
    if found is None:
        proof = f"{path} was deleted or made anew: the fault went with it"
    elif _is_ours(_data(found), arguments) or arguments["backup"] in _data(found):
        raise FaultError(f"The key {key} of {path} still has the fault's value.")
    else:
        proof = f"the key {key} of {path} does not have the fault's value"
    if workload is None:
        return proof
    now = parse_workload(arguments["restart_kind"], workload)
    if _carries(workload["spec"]["template"], arguments):
        raise FaultError(f"The pods of {now.name} still run with the fault's value.")
    if not now.settled:
        raise FaultError(f"{now.name} has {now.progress}.")
    return f"{proof}; {now.name} has all {now.replicas} pods ready, made since"


def is_starting(arguments: Arguments) -> bool:
    """Whether an entry is about pods that are made anew with the value from before."""
    if not set(ARGUMENTS) <= arguments.keys():
        return False
    try:
        with cluster_of(arguments) as cluster:
            workload = _restarted(cluster, arguments)
    except HarnessError:
        return False
    return workload is not None and not _carries(workload["spec"]["template"], arguments)


def _data(raw: JSON | None) -> Mapping[str, str]:
    return (raw or {}).get("data") or {}


def _is_ours(data: Mapping[str, str], arguments: Arguments) -> bool:
    value = data.get(arguments["key"])
    return value is not None and digest(value) == arguments["digest"]


def _restarted(cluster: Cluster, arguments: Arguments) -> JSON | None:
    """The workload that was restarted, None where it is another one by now."""
    return cluster_mark.found(cluster, arguments["restart_path"], arguments["restart_uid"])


def _pods(cluster: Cluster, arguments: Arguments, workload: JSON) -> tuple[JSON, ...]:
    """The pods of the workload, without those that were told to end."""
    meant = parse_workload(arguments["restart_kind"], workload)
    found = workload_pods.documents_of(cluster, arguments["namespace"], meant)
    return tuple(raw for raw in found if not parse_pod(raw).deleting)


def _carries(document: JSON, arguments: Arguments) -> bool:
    """Whether a template, or a pod that was made of it, is of this restart."""
    notes = document.get("metadata", {}).get("annotations") or {}
    return bool(notes.get(ANNOTATION) == arguments["token"])
