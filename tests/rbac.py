"""Access control before a cluster in memory: what the shipped Roles grant, and no more."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import yaml

from harness.cluster import ForbiddenError
from harness.fakes.cluster import FakeCluster
from harness.files import project_root
from harness.rights import REVIEWS, Right

VERBS = ("get", "list", "create", "patch", "delete")


def granted_by(files: Iterable[str], namespace: str) -> frozenset[Right]:
    """What somebody may do to whom the Roles and ClusterRoles of files are bound."""
    texts = ((project_root() / file).read_text() for file in files)
    documents = [document for text in texts for document in yaml.safe_load_all(text)]
    return frozenset(right for each in documents for right in _granted(each, namespace))


def _granted(role: Mapping[str, Any], namespace: str) -> Iterator[Right]:
    where = namespace if role["kind"] == "Role" else ""
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for verb in rule["verbs"]:
                    for name in rule.get("resourceNames", ("",)):
                        yield Right(
                            verb=verb, group=group, resource=resource, namespace=where, name=name
                        )


def covers(granted: Collection[Right], asked: Right) -> bool:
    """Whether a right is granted: for this object or any, in this namespace or everywhere."""
    return any(
        replace(asked, namespace=namespace, name=name) in granted
        for namespace in {asked.namespace, ""}
        for name in {asked.name, ""}
    )


def reviewed(attributes: Mapping[str, str]) -> Right:
    """The right that a review asks for, of its ``resourceAttributes``."""
    part = attributes.get("subresource", "")
    return Right(
        verb=attributes["verb"],
        group=attributes.get("group", ""),
        resource=f"{attributes['resource']}/{part}" if part else attributes["resource"],
        namespace=attributes.get("namespace", ""),
        name=attributes.get("name", ""),
    )


class Guarded:
    """A cluster that lets nothing pass that is not granted; ``used`` is what was asked for.

    As in a real one nobody makes a role that grants more than they have, nor binds one.

    Args:
        cluster: The one behind.
        granted: Rights.
    """

    def __init__(self, cluster: FakeCluster, granted: Collection[Right]) -> None:
        self._cluster = cluster
        self._granted = granted
        self.used: set[Right] = set()
        cluster.allows = lambda attributes: covers(granted, reviewed(attributes))

    def __getattr__(self, name: str) -> Any:
        own = getattr(self._cluster, name)
        if name not in VERBS:
            return own

        def call(path: str, *arguments: Any, **named: Any) -> Any:
            if path != REVIEWS:  # which everybody may make
                self._ask(name, path)
            if name == "create":
                self._refuse_escalation(path, arguments[0])
            return own(path, *arguments, **named)

        return call

    def execute(self, namespace: str, pod: str, *arguments: Any) -> Any:
        for verb in ("get", "create"):
            self._ask(verb, f"/api/v1/namespaces/{namespace}/pods/{pod}/exec")
        return self._cluster.execute(namespace, pod, *arguments)

    def ask(self, namespace: str, pod: str, *arguments: Any) -> Any:
        self._ask("create", f"/api/v1/namespaces/{namespace}/pods/{pod}/proxy")
        return self._cluster.ask(namespace, pod, *arguments)

    def _ask(self, verb: str, path: str) -> None:
        asked = _asked(verb, path)
        self.used.add(asked)
        self._refuse_unless_covered(asked)

    def _refuse_unless_covered(self, asked: Right) -> None:
        if not covers(self._granted, asked):
            raise ForbiddenError(f"The API server answered 403: nobody allows to {asked}.")

    def _refuse_escalation(self, path: str, body: Mapping[str, Any]) -> None:
        collection = path.rpartition("/")[2]
        role = body
        if collection.endswith("rolebindings"):
            role = self._cluster.held[f"{path.removesuffix('bindings')}s/{body['roleRef']['name']}"]
        elif collection not in ("roles", "clusterroles"):
            return
        for right in _granted(role, path.split("/")[5] if "/namespaces/" in path else ""):
            self._refuse_unless_covered(right)


def _asked(verb: str, path: str) -> Right:
    """What a call of the API asks for."""
    group, _, rest = path.removeprefix("/apis/").partition("/")
    if path.startswith("/api/"):
        group, rest = "", path.removeprefix("/api/")
    _, *parts = rest.split("/")
    namespace = parts[1] if parts[0] == "namespaces" and len(parts) > 1 else ""
    resource, *more = parts[2:] if namespace and len(parts) > 2 else parts
    return Right(
        verb=verb,
        group=group,
        resource="/".join([resource, *more[1:]]),
        namespace=namespace,
        # A name in the body of a creation is not seen.
        name=more[0] if more and (verb != "create" or more[1:]) else "",
    )
