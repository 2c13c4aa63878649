"""What the guardian in a cluster must be allowed, for the faults that a run plans. Pure.

Only what its undo verbs need (:data:`harness.cluster_undo.UNDO`), and its own few objects by
their names: less than injecting takes, which is :mod:`harness.access`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.access import APPS, BASE, COORDINATION, CORE, NETWORKING, Rule

RBAC = "rbac.authorization.k8s.io"


def _changed(group: str, *resources: str, cluster_wide: bool = False) -> Rule:
    return Rule(
        groups=(group,), resources=resources, verbs=("get", "patch"), cluster_wide=cluster_wide
    )


def _made(group: str, resource: str) -> Rule:
    return Rule(groups=(group,), resources=(resource,), verbs=("delete", "list"))


_WORKLOADS = ("daemonsets", "deployments", "statefulsets")
_PODS = Rule(groups=(CORE,), resources=("pods",), verbs=("list",))  # seen ready again
_SCALED = (_changed(APPS, "deployments", "statefulsets"), _PODS)
_TEMPLATE = (_changed(APPS, "deployments"), _PODS)
_NODES = _changed(CORE, "nodes", cluster_wide=True)
_SEEN = Rule(groups=(APPS,), resources=_WORKLOADS, verbs=("get",))

#: What undoing each kind takes. A kind that is not here leaves nothing for a guardian in the
#: cluster to undo: its controller, its own end or a guardian outside does.
UNDOING: Mapping[str, tuple[Rule, ...]] = {
    "stop": _SCALED,
    "cordon": (_NODES,),
    "drain": (_NODES, _SEEN),
    "bad_image": _TEMPLATE,
    "dns": _TEMPLATE,
    "config": (
        _changed(CORE, "configmaps", "secrets"),
        _changed(APPS, "daemonsets", "deployments"),
    ),
    "quota": (_made(CORE, "resourcequotas"),),
    "isolate": (_made(NETWORKING, "networkpolicies"),),
    "node_pressure": (_made(CORE, "pods"),),
}


def undoing(kinds: Iterable[str]) -> tuple[Rule, ...]:
    """What undoing these kinds takes, each rule once; empty where nothing is to be undone."""
    asked = (rule for kind in kinds if kind in UNDOING for rule in UNDOING[kind])
    return tuple(dict.fromkeys(asked))


def own(name: str, lease: str, entries: str, namespace: str) -> tuple[Rule, ...]:
    """The guardian's own objects: its Lease, the run's, the entries, and the namespace itself."""
    return (
        Rule(
            groups=(COORDINATION,),
            resources=("leases",),
            verbs=("get", "patch"),
            names=(lease, name),
        ),
        Rule(
            groups=(CORE,),
            resources=("configmaps",),
            verbs=("delete", "get", "patch"),
            names=(entries,),
        ),
        Rule(groups=(CORE,), resources=("namespaces",), verbs=("get",), names=(namespace,)),
    )


def own_of_cluster(name: str) -> Rule:
    """That it may take away its ClusterRole when the run cannot; its binding goes with it."""
    return Rule(
        groups=(RBAC,),
        resources=("clusterroles",),
        verbs=("delete", "get"),
        cluster_wide=True,
        names=(name,),
    )


#: What every run needs in the namespace besides :data:`BASE`: to attach to it and to hold it.
HOLDING = (
    Rule(groups=(CORE,), resources=("namespaces",), verbs=("get",)),
    Rule(groups=(CORE,), resources=("services",), verbs=("list",)),
    Rule(groups=(COORDINATION,), resources=("leases",), verbs=("create", "delete", "get", "patch")),
    Rule(groups=("batch",), resources=("jobs",), verbs=("list",)),
    Rule(groups=(CORE,), resources=("configmaps",), verbs=("list",)),
)
_MADE = ("create", "delete", "get")
#: On top, where a guardian is posted; what it is granted comes with the faults (:func:`granting`).
POSTING = (
    Rule(groups=("batch",), resources=("jobs",), verbs=(*_MADE, "patch")),
    Rule(groups=(CORE,), resources=("configmaps",), verbs=(*_MADE, "patch")),
    Rule(groups=(CORE,), resources=("serviceaccounts",), verbs=_MADE),
    Rule(groups=(RBAC,), resources=("rolebindings", "roles"), verbs=_MADE),
)
#: On top, where a node is to be broken.
POSTING_WIDE = Rule(
    groups=(RBAC,),
    resources=("clusterrolebindings", "clusterroles"),
    verbs=_MADE,
    cluster_wide=True,
)
#: What a run of any kind needs besides its faults.
RUN = (*BASE, *HOLDING, *POSTING)


def holding(kinds: Iterable[str]) -> tuple[Rule, ...]:
    """What of :data:`RUN` a run with these kinds of faults needs."""
    return RUN if undoing(kinds) else (*BASE, *HOLDING)


def granting(kinds: Iterable[str]) -> tuple[Rule, ...]:
    """What it takes to grant a guardian the undo of these kinds.

    That is the undo itself: the API server lets nobody grant more than they have.
    """
    rules = undoing(kinds)
    wide = any(rule.cluster_wide for rule in rules)
    return (*rules, POSTING_WIDE) if wide else rules
