"""One container of a pod: which start of it runs, and whether another one has come.

A container is meant by its id, which changes with each start of it. Everything here takes plain
text (:data:`ARGUMENTS`), so that whoever holds an undo entry can look and undo.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness import service_pod
from harness.cluster import JSON, Cluster
from harness.cluster_object import cluster_of
from harness.cluster_paths import namespaced
from harness.errors import FaultError

Arguments = Mapping[str, str]

#: On top of what is said of its pod: its name, the id of its start, and its restarts till then.
ARGUMENTS = (*service_pod.ARGUMENTS, "container", "container_id", "restarts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """One start of a container; ``waiting`` says why it does not run, empty when it does.

    ``ended`` says that this very start is over, whether or not another will come.
    """

    name: str
    id: str
    restarts: int
    waiting: str = ""
    ended: bool = False


def started_in(raw: JSON) -> tuple[Started, ...]:
    """The containers of a pod out of the API server's document.

    Raises:
        FaultError: It lacks what every server tells.
    """
    try:
        return tuple(
            Started(
                name=state["name"],
                id=state.get("containerID") or "",
                restarts=int(state.get("restartCount", 0)),
                waiting=((state.get("state") or {}).get("waiting") or {}).get("reason", ""),
                ended=_has_ended(state),
            )
            for state in (raw.get("status") or {}).get("containerStatuses") or ()
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FaultError(
            f"The API server described a container in a way that cannot be read ({error!r})."
        ) from error


def _has_ended(state: JSON) -> bool:
    ends = ((state.get(name) or {}).get("terminated") or {} for name in ("state", "lastState"))
    this = state.get("containerID")
    return bool(this) and any(end.get("containerID") == this for end in ends)


def started(cluster: Cluster, namespace: str, pod: str, container: str) -> Started | None:
    """The start of a container that runs now, None when pod or container are not there."""
    raw = cluster.get(namespaced(namespace, "pods", pod))
    found = () if raw is None else started_in(raw)
    return next((c for c in found if c.name == container), None)


def look_restarted(arguments: Arguments) -> tuple[bool, str]:
    """Another start of the container has come in this very pod."""
    pod, name = arguments["pod"], arguments["container"]
    with cluster_of(arguments) as cluster:
        raw = cluster.get(namespaced(arguments["namespace"], "pods", pod))
    uid = arguments["identity"].partition(":")[0]
    if raw is None or raw["metadata"]["uid"] != uid:
        return False, f"the pod {pod} itself is gone, not only its container {name}"
    now = next((c for c in started_in(raw) if c.name == name), None)
    if now is None:
        return False, f"the pod {pod} does not tell of its container {name}"
    before = int(arguments["restarts"])
    words = f"container {name} of {pod} has {now.restarts} restarts, {before} before"
    if now.restarts <= before:
        return False, f"{words}: its program ignores the signal, or has not ended yet"
    if now.id in ("", arguments["container_id"]):
        return False, f"{words}, and has ended"
    return True, f"{words}, and is another one now"
