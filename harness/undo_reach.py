"""How far an undo entry that was found in a namespace may reach. Pure.

An entry there is carried out with the rights of whoever recovers, which are often more than those
of whoever wrote it. So it may do what the guardian of that namespace might, and nothing else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from harness.cluster_paths import WORKLOADS
from harness.guardian_rights import UNDOING

Arguments = Mapping[str, str]

#: How each kind that is undone inside of a cluster is undone, and in no other way.
VERBS: Mapping[str, str] = {
    "bad_image": "workload.restore_image",
    "config": "config.restore",
    "cordon": "cluster.put_back",
    "dns": "workload.put_back",
    "drain": "node.give_back",
    "isolate": "policy.lift",
    "node_pressure": "cluster.delete_labelled",
    "quota": "cluster.delete_labelled",
    "stop": "workload.scale_back",
}

_ID = re.compile(r"[a-z][a-z0-9_]{0,40}-[0-9a-f]{1,32}")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_PATH = re.compile(
    r"/(?:api/v1|apis/(?P<group>[a-z0-9.-]+)/v[a-z0-9]+)"
    r"(?:/namespaces/(?P<namespace>[a-z0-9-]+))?/(?P<resource>[a-z]+)(?:/(?P<name>[^/]+))?"
)
_NODES = "nodes"
_OF_NODES = {"unschedulable"}


def check(
    entry_id: str, key: str, kind: str, verb: str, arguments: Arguments, namespace: str
) -> None:
    """See that an entry means nothing but what a fault of its kind changes in its namespace.

    Args:
        entry_id: The entry's id, which becomes the name of a file.
        key: Where it was found.
        kind: Its kind of fault.
        verb: Its undo verb.
        arguments: Of the verb.
        namespace: Where it was found.

    Raises:
        ValueError: It means something else.
    """
    if entry_id != key or not _ID.fullmatch(entry_id):
        raise ValueError(f"its id {entry_id!r} is none, or not that of its place")
    if VERBS.get(kind) != verb:
        raise ValueError(f"no fault of the kind {kind!r} is undone inside of a cluster by {verb!r}")
    if not all(isinstance(value, str) for value in arguments.values()):
        raise ValueError("one of its arguments is no text")
    for name in ("mark", "token"):  # by which it knows what is its own
        if arguments.get(name, entry_id) != entry_id:
            raise ValueError(f"it would take back what {arguments[name]!r} has done")
    if arguments.get("namespace", namespace) != namespace:
        raise ValueError(f"it is about the namespace {arguments['namespace']!r}")
    allowed = {
        (group, resource)
        for rule in UNDOING[kind]
        for group in rule.groups
        for resource in rule.resources
    }
    for path in _paths(arguments, namespace):
        _check_path(path, arguments, allowed, namespace)


def _paths(arguments: Arguments, namespace: str) -> Iterator[str]:
    """Every path that a verb would use."""
    for name in ("path", "collection", "restart_path"):
        if arguments.get(name):
            yield arguments[name]
    if "service" in arguments:
        kind, service = arguments.get("kind", ""), arguments["service"]
        yield f"/apis/apps/v1/namespaces/{namespace}/{WORKLOADS.get(kind, kind)}/{service}"


def _check_path(
    path: str, arguments: Arguments, allowed: set[tuple[str, str]], namespace: str
) -> None:
    met = _PATH.fullmatch(path)
    if met is None or (met["name"] is not None and not _NAME.fullmatch(met["name"])):
        raise ValueError(f"{path!r} is no path of an object")
    resource = met["resource"]
    if (met["group"] or "", resource) not in allowed:
        raise ValueError(f"no fault of its kind changes {path!r}")
    if resource == _NODES and met["namespace"] is None:
        _check_node(arguments)
    elif met["namespace"] != namespace:
        raise ValueError(f"{path!r} is not in the namespace {namespace!r}")


def _check_node(arguments: Arguments) -> None:
    """Of a node only whether it takes pods."""
    for name in ("put", "back"):
        change = json.loads(arguments[name])
        if set(change) != {"spec"} or set(change["spec"]) != _OF_NODES:
            raise ValueError(f"{arguments[name]} changes more of a node than whether it takes pods")
