"""One key of a ConfigMap or Secret has another value for a while."""

from __future__ import annotations

import base64
import secrets
from contextlib import closing
from typing import Any

from harness import config_key
from harness.cluster import JSON, Cluster
from harness.cluster_paths import STATEFUL_SET, namespaced, workloads
from harness.config_key import digest
from harness.config_readers import reads
from harness.errors import FaultError, InvalidError
from harness.faults import injection, objects, pods, services, templates
from harness.faults.injection import Injection
from harness.faults.session import Session, session
from harness.undo import Entry

__all__ = ["heal", "inject"]

KIND = "config"
VERB, LOOK = "config.restore", "config_changed"
COLLECTIONS = {"configmap": "configmaps", "secret": "secrets"}
RANDOM_BYTES = 24


def inject(target: str, key: str, restart: str, value: str | None = None) -> dict[str, Any]:
    """Give the key another value until healed.

    Args:
        target: ``configmap/`` or ``secret/`` and the name of the object.
        key: Which of its keys; it has to be there.
        restart: A Deployment or DaemonSet whose pods read it: they are made anew with the
            fault's value, and again when it is put back. Without that nobody could tell whether
            anything has read it.
        value: Of a ConfigMap's key. That of a Secret's key is drawn at random, so that it is
            written down nowhere.

    Raises:
        InvalidError: No such kind of object, or a value too many or too few.
        FaultError: There is no such object or key, nobody reads it, or it could not be changed;
            nothing is left behind.
    """
    kind, name = _meant(target)
    if (kind == "secret") == (value is not None):
        raise InvalidError(
            "value: a key of a ConfigMap needs one, and that of a Secret is drawn at random."
        )
    new = _random() if value is None else value
    current = session()
    with closing(pods.open_cluster(current)) as cluster:
        path = namespaced(current.stack.namespace, COLLECTIONS[kind], name)
        raw = objects.read(cluster, path, f"{target} in {current.stack.namespace}")
        old = _value(raw, target, key, new)
        fault = Injection(
            kind=KIND,
            target=target,
            verb=VERB,
            arguments={
                **objects.where(current, cluster),
                "namespace": current.stack.namespace,
                "path": path,
                "uid": raw["metadata"]["uid"],
                "key": key,
                "backup": "harness-${id}",
                "digest": digest(new),
                **_reader(cluster, current, restart, (kind, name, key)),
                "token": "${id}",
            },
            look=LOOK,
            before="it had another value",
            prove_within_s=templates.PROVE_WITHIN_S,
        )

        def applied(entry: Entry) -> None:
            at = entry.arguments
            if at["backup"] not in (objects.read(cluster, path, target).get("data") or {}):
                change = {"data": {key: new, at["backup"]: old}}
                version = raw["metadata"].get("resourceVersion", "")
                objects.patch(cluster, path, at["uid"], change, version)
            reader, anew = at["restart_path"], config_key.restart(at["token"])
            now = objects.read(cluster, reader, reader)["metadata"].get("resourceVersion", "")
            objects.patch(cluster, reader, at["restart_uid"], anew, now)

        return injection.proven(injection.inject(current, fault, applied))


def heal(target: str) -> list[dict[str, str]]:
    """Put the value from before back; nothing to put back is success."""
    return services.heal(session(), kind=KIND, target=target)


def _meant(target: str) -> tuple[str, str]:
    kind, _, name = target.partition("/")
    if kind not in COLLECTIONS or not name:
        raise InvalidError(f"target: {target!r} must be configmap/NAME or secret/NAME.")
    return kind, name


def _value(raw: JSON, target: str, key: str, new: str) -> str:
    """The value from before."""
    data = raw.get("data") or {}
    if raw.get("immutable"):
        raise FaultError(f"{target} is immutable.")
    if key not in data:
        raise FaultError(f"{target} has no key {key!r}; it has {', '.join(data) or 'none'}.")
    old: str = data[key]
    if old == new:
        raise FaultError(f"The key {key} of {target} has that value already.")
    return old


def _random() -> str:
    """As the server keeps the values of a Secret."""
    return base64.b64encode(secrets.token_hex(RANDOM_BYTES).encode()).decode()


def _reader(
    cluster: Cluster, current: Session, restart: str, what: tuple[str, str, str]
) -> dict[str, str]:
    """The workload whose pods are made anew.

    Args:
        cluster: Where it is.
        current: The session of the fault.
        restart: Its name.
        what: Which key it reads: kind and name of the object, and the key.

    Raises:
        FaultError: It was not well, would not go back by itself, or gets no such key.
    """
    workload = pods.well(cluster, current, restart).workload
    if workload.kind == STATEFUL_SET:
        raise FaultError(
            f"{workload.name} is a StatefulSet: one whose pods cannot become ready with another "
            "value does not go back by itself when the old one is put back.",
            "Give a Deployment or DaemonSet that reads it.",
        )
    path = workloads(current.stack.namespace, workload.kind, workload.name)
    raw = objects.read(cluster, path, f"{workload.kind} {workload.name}")
    if not reads(raw["spec"]["template"]["spec"], *what):
        kind, name, key = what
        raise FaultError(
            f"No container of {workload.name} gets the key {key} of {kind}/{name}, neither as a "
            "variable nor as a file: another value would hit nobody.",
            "Give in `restart` the workload that reads it.",
        )
    return {"restart_path": path, "restart_uid": workload.uid, "restart_kind": workload.kind}
