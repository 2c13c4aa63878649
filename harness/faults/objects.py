"""Faults that change an object of a cluster: what their undo entries say, and the deed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from harness import cluster_mark
from harness.cluster import JSON, Cluster
from harness.cluster_merge import reverse
from harness.errors import FaultError, RefusedError
from harness.faults.session import Session

#: What an entry says of the mark of what it changes.
MARK = {"mark": "${id}"}


def where(session: Session, cluster: Cluster) -> dict[str, str]:
    """The cluster that an entry is about."""
    stack = session.stack
    return {"context": stack.context, "kubeconfig": stack.kubeconfig, "cluster": cluster.uid}


def labelled(session: Session, cluster: Cluster, collection: str) -> dict[str, str]:
    """What making an object, and finding it again by the label of its entry, takes."""
    return {**where(session, cluster), "collection": collection, "label": "${id}"}


def changed(
    session: Session, cluster: Cluster, path: str, raw: JSON, put: JSON, back: JSON
) -> dict[str, str]:
    """What changing an object and putting it back takes."""
    return {
        **where(session, cluster),
        "path": path,
        "uid": raw["metadata"]["uid"],
        "put": json.dumps(put),
        "back": json.dumps(back),
        **MARK,
    }


def put(cluster: Cluster, path: str, uid: str, arguments: Mapping[str, str]) -> None:
    """Change this very object as its entry says, and mark it.

    Args:
        cluster: Where it is.
        path: Of the object.
        uid: Of the object.
        arguments: Of the entry: the change, what puts it back, and the mark.

    Raises:
        RefusedError: It does not read as when the fault was planned, or has another fault.
        FaultError: Nobody knows whether it was changed.
    """
    change, back = json.loads(arguments["put"]), json.loads(arguments["back"])

    def as_planned(raw: JSON) -> JSON:
        if reverse(raw, change) != back:
            raise RefusedError(
                f"{path} was changed by somebody else since the fault was planned: putting it back "
                f"would not take {arguments['back']} any more."
            )
        return dict(change)

    cluster_mark.put(cluster, path, uid, arguments["mark"], as_planned)


def patch(cluster: Cluster, path: str, uid: str, change: JSON, version: str = "") -> JSON:
    """Change this very object, in the very version that was read where one is given.

    Raises:
        RefusedError: It is another one by now, or the server forbids it.
        FaultError: Nobody knows whether it was changed.
    """
    meant: dict[str, Any] = {"uid": uid}
    if version:
        meant["resourceVersion"] = version
    metadata = {**(change.get("metadata") or {}), **meant}
    with cluster_mark.refusals():
        return cluster.patch(path, {**change, "metadata": metadata})


def read(cluster: Cluster, path: str, what: str) -> JSON:
    """An object that has to be there.

    Raises:
        FaultError: It is not, or the server refuses.
    """
    found = cluster.get(path)
    if found is None:
        raise FaultError(f"There is no {what}.")
    return found
