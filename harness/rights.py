"""What whoever is signed in to a cluster may do there: enough for a run, or far too much.

Each right is asked for by a ``SelfSubjectAccessReview``, which changes nothing: the answer is that
of every authorizer together, and the same that a call would get.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from harness import role_files
from harness.access import APPS, CORE, Rule
from harness.cluster import JSON, Cluster
from harness.errors import FaultError, InvalidError
from harness.guardian_rights import RBAC

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
EVERYTHING = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """One verb on one resource; ``namespace`` is empty for the whole cluster."""

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        what = f"{self.resource}.{self.group}" if self.group else self.resource
        what = "everything" if self.resource == EVERYTHING else what
        verb = "do" if self.verb == EVERYTHING else self.verb
        named = f" {self.name}" if self.name else ""
        where = f"in the namespace {self.namespace}" if self.namespace else "in the whole cluster"
        return f"{verb} {what}{named} {where}"


def rights(rules: Iterable[Rule], namespace: str) -> Iterator[Right]:
    """Each right that rules ask for."""
    for rule in rules:
        for group in rule.groups:
            for resource in rule.resources:
                for verb in rule.verbs:
                    for name in rule.names or ("",):
                        yield Right(
                            verb=verb,
                            group=group,
                            resource=resource,
                            namespace="" if rule.cluster_wide else namespace,
                            name=name,
                        )


def excessive(namespace: str) -> tuple[Right, ...]:
    """Rights that a run seldom needs, and that do great harm in the wrong hands."""
    return (
        Right(verb=EVERYTHING, group=EVERYTHING, resource=EVERYTHING),
        Right(verb="get", group=CORE, resource="secrets", namespace=namespace),
        Right(verb="list", group=CORE, resource="secrets"),
        Right(verb="patch", group=CORE, resource="nodes"),
        Right(verb="delete", group=CORE, resource="nodes"),
        Right(verb="delete", group=CORE, resource="pods"),
        Right(verb="delete", group=APPS, resource="deployments"),
        Right(verb="delete", group=CORE, resource="namespaces"),
        Right(verb="delete", group=RBAC, resource="clusterroles"),
    )


def review(
    cluster: Cluster, namespace: str, kinds: Collection[str], *, load_inside: bool = False
) -> tuple[str, ...]:
    """See that a run may do what it needs, and say what it may do far beyond that.

    Args:
        cluster: Whom to ask.
        namespace: Where the run happens.
        kinds: The kinds of its faults.
        load_inside: Whether its load comes from pods there.

    Returns:
        Warnings.

    Raises:
        InvalidError: Something is missing; the message names each right, and what grants it.
        FaultError: The API server does not answer.
    """
    rules = role_files.needed(kinds, load_inside=load_inside)
    needed: dict[Right, str] = {}
    for file, granted in rules.items():
        for right in rights(granted, namespace):
            needed.setdefault(right, file)
    missing = {right: file for right, file in needed.items() if not _allowed(cluster, right)}
    if missing:
        raise InvalidError(
            f"The context {cluster.context!r} may not "
            f"{'; nor '.join(str(right) for right in missing)}: the run needs that.",
            f"Let somebody apply {' and '.join(sorted(set(missing.values())))} and bind what is in "
            "it to you; nothing was touched.",
        )
    beyond = [r for r in excessive(namespace) if r not in needed and _allowed(cluster, r)]
    if not beyond:
        return ()
    if beyond[0].resource == EVERYTHING:
        beyond = beyond[:1]
    return (
        f"the context {cluster.context!r} may do more than this run needs: "
        f"{'; '.join(str(right) for right in beyond)}. Use an account with what is in "
        f"{' and '.join(rules)} only",
    )


def _allowed(cluster: Cluster, right: Right) -> bool:
    resource, _, part = right.resource.partition("/")
    asked: JSON = {
        "verb": right.verb,
        "group": right.group,
        "resource": resource,
        "subresource": part,
        "namespace": right.namespace,
        "name": right.name,
    }
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "metadata": {},
        "spec": {"resourceAttributes": {key: value for key, value in asked.items() if value}},
    }
    answer = cluster.create(REVIEWS, body)
    try:
        return bool(answer["status"]["allowed"])
    except (KeyError, TypeError) as error:
        raise FaultError(
            f"The API server answered a SelfSubjectAccessReview in a way that cannot be read "
            f"({error!r})."
        ) from error
