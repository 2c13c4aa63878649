"""What each fault kind, and load from inside, needs to be allowed on a cluster. Pure.

One table; the roles under ``stack/kubernetes/roles`` and every check of rights are made from it.
Kinds that go through a proxy or a database ask nothing of the API server but to list and read pods,
which every run may (:mod:`harness.role_files`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

CORE, APPS, POLICY, NETWORKING = "", "apps", "policy", "networking.k8s.io"
COORDINATION = "coordination.k8s.io"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What may be done with which resources, in the words of RBAC.

    Args:
        groups: API groups; ``""`` is the core group.
        resources: Collections, or their subresources such as ``pods/eviction``.
        verbs: Such as ``get`` or ``delete``.
        cluster_wide: Whether a role of one namespace is not enough.
        names: The only objects that are meant; empty means any.
    """

    groups: tuple[str, ...]
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    cluster_wide: bool = False
    names: tuple[str, ...] = ()


#: Every run on a cluster: which cluster it is, and what runs in the namespace.
BASE = (
    Rule(
        groups=(CORE,),
        resources=("namespaces",),
        verbs=("get",),
        cluster_wide=True,
        names=("kube-system",),
    ),
    Rule(groups=(CORE,), resources=("pods",), verbs=("get", "list")),
    Rule(
        groups=(APPS,),
        resources=("daemonsets", "deployments", "statefulsets"),
        verbs=("get", "list"),
    ),
)
_DELETE_PODS = Rule(groups=(CORE,), resources=("pods",), verbs=("delete",))
_EVICT = (
    Rule(groups=(CORE,), resources=("pods/eviction",), verbs=("create",)),
    Rule(groups=(POLICY,), resources=("poddisruptionbudgets",), verbs=("list",)),
)
#: A run in a container is a GET that is upgraded; newer servers ask for ``create`` as well.
_EXECUTE = Rule(groups=(CORE,), resources=("pods/exec",), verbs=("create", "get"))
_CHANGE_NODES = Rule(
    groups=(CORE,), resources=("nodes",), verbs=("get", "patch"), cluster_wide=True
)
_SCALED = ("deployments", "statefulsets")
_CHANGE_SCALED = Rule(groups=(APPS,), resources=_SCALED, verbs=("patch",))
_CHANGE_TEMPLATE = Rule(groups=(APPS,), resources=("daemonsets", *_SCALED), verbs=("patch",))
_CHANGE_DEPLOYMENTS = Rule(groups=(APPS,), resources=("deployments",), verbs=("patch",))
_MADE = ("create", "delete", "list")

#: On top of :data:`BASE`.
NEEDS: Mapping[str, tuple[Rule, ...]] = {
    "kill": (_DELETE_PODS,),
    "restart": (_DELETE_PODS,),
    "stop": (_DELETE_PODS, _CHANGE_SCALED),
    "pod_kill": (_DELETE_PODS,),
    "evict": _EVICT,
    "container_kill": (_EXECUTE,),
    "cordon": (_CHANGE_NODES,),
    "drain": (_CHANGE_NODES, *_EVICT, _DELETE_PODS),
    "node_stop": (
        Rule(groups=(CORE,), resources=("nodes",), verbs=("get", "list"), cluster_wide=True),
        Rule(groups=(CORE,), resources=("pods",), verbs=("list",), cluster_wide=True),
        Rule(groups=(COORDINATION,), resources=("leases",), verbs=("get",), cluster_wide=True),
    ),
    "rollout_restart": (_CHANGE_TEMPLATE,),
    "bad_image": (_CHANGE_DEPLOYMENTS,),
    "dns": (_CHANGE_DEPLOYMENTS,),
    "config": (
        Rule(groups=(CORE,), resources=("configmaps", "secrets"), verbs=("get", "patch")),
        Rule(groups=(APPS,), resources=("daemonsets", "deployments"), verbs=("patch",)),
    ),
    "quota": (
        Rule(groups=(CORE,), resources=("resourcequotas",), verbs=_MADE),
        Rule(groups=(CORE,), resources=("pods",), verbs=("create",)),  # asked for, never made
    ),
    "isolate": (
        Rule(groups=(NETWORKING,), resources=("networkpolicies",), verbs=_MADE),
        _EXECUTE,
    ),
    "cpu": (_EXECUTE,),
    "memory": (_EXECUTE,),
    "node_pressure": (
        Rule(groups=(CORE,), resources=("pods",), verbs=("create", "delete")),
        _EXECUTE,
    ),
}


#: Load from pods of the namespace, on top of :data:`BASE`: they are made, asked through the API
#: server, and deleted by their label.
INSIDE = (
    Rule(groups=("batch",), resources=("jobs",), verbs=_MADE),
    Rule(groups=(NETWORKING,), resources=("networkpolicies",), verbs=_MADE),
    Rule(groups=(CORE,), resources=("pods",), verbs=("list",)),
    Rule(groups=(CORE,), resources=("pods/proxy",), verbs=("create",)),
)


def joined(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """One rule for each set of verbs, those of a namespace before those of the cluster."""
    verbs: defaultdict[tuple[bool, tuple[str, ...], str, str], set[str]] = defaultdict(set)
    for rule in rules:
        for group in rule.groups:
            for resource in rule.resources:
                verbs[rule.cluster_wide, rule.names, group, resource].update(rule.verbs)
    resources: defaultdict[tuple[bool, tuple[str, ...], str, tuple[str, ...]], list[str]]
    resources = defaultdict(list)
    for (wide, names, group, resource), allowed in sorted(verbs.items()):
        resources[wide, names, group, tuple(sorted(allowed))].append(resource)
    return tuple(
        Rule(
            groups=(group,),
            resources=tuple(found),
            verbs=allowed,
            cluster_wide=wide,
            names=names,
        )
        for (wide, names, group, allowed), found in resources.items()
    )


def role_file(name: str, comment: str, rules: Iterable[Rule]) -> str:
    """The text of a file for ``kubectl apply``: a Role, a ClusterRole, whichever is needed."""
    given = tuple(rules)
    split = {
        "Role": [rule for rule in given if not rule.cluster_wide],
        "ClusterRole": [rule for rule in given if rule.cluster_wide],
    }
    documents = (_role(kind, name, found) for kind, found in split.items() if found)
    return f"# {comment}\n" + "---\n".join(documents)


def _role(kind: str, name: str, rules: Iterable[Rule]) -> str:
    lines = [
        "apiVersion: rbac.authorization.k8s.io/v1",
        f"kind: {kind}",
        "metadata:",
        f"  name: {name}",
        "rules:",
    ]
    for rule in rules:
        lines.append(f"  - apiGroups: {_listed(rule.groups)}")
        lines.append(f"    resources: {_listed(rule.resources)}")
        lines += [f"    resourceNames: {_listed(rule.names)}"] if rule.names else []
        lines.append(f"    verbs: {_listed(rule.verbs)}")
    return "\n".join(lines) + "\n"


def _listed(words: Iterable[str]) -> str:
    return "[" + ", ".join(f'"{word}"' for word in words) + "]"
