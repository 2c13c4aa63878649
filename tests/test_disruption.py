"""PodDisruptionBudgets: which evictions they allow, read as the API server tells them."""

from __future__ import annotations

from typing import Any

import pytest

from harness import disruption
from harness.cluster import Pod
from harness.disruption import budgets_in, evict, evict_all, forbidding, refuse_if_forbidden
from harness.errors import FaultError
from harness.fakes.cluster import FakeCluster
from tests.clusters import BUDGETS, NAMESPACE, budget, forbidden, pods, shop


def one(name: str, **labels: str) -> Pod:
    return Pod(name=name, uid=f"uid-{name}", phase="Running", ready=True, labels=labels)


API = (one("api-1", app="api", tier="web"), one("api-2", app="api", tier="web"))


def selecting(allowed: Any, **selector: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "b"},
        "spec": {"selector": selector},
        "status": {"disruptionsAllowed": allowed},
    }


def told(key: str, operator: str, *values: str) -> list[dict[str, Any]]:
    return [{"key": key, "operator": operator, "values": list(values)}]


ROWS: dict[str, tuple[dict[str, Any], str]] = {
    "as many as are asked for": (selecting(2, matchLabels={"app": "api"}), ""),
    "one too few": (selecting(1, matchLabels={"app": "api"}), "b allows 1 of 2"),
    "none": (selecting(0, matchLabels={"app": "api"}), "b allows 0 of 2"),
    "less than none": (selecting(-1, matchLabels={"app": "api"}), "b allows 0 of 2"),
    "of other pods": (selecting(0, matchLabels={"app": "store"}), ""),
    "of every pod": (selecting(1), "b allows 1 of 2"),
    "one among the values": (
        selecting(0, matchExpressions=told("app", "In", "api", "web")),
        "b allows 0 of 2",
    ),
    "none of the values": (selecting(0, matchExpressions=told("app", "In", "web")), ""),
    "not among the values": (
        selecting(0, matchExpressions=told("app", "NotIn", "web")),
        "b allows 0 of 2",
    ),
    "among those that are left out": (
        selecting(0, matchExpressions=told("app", "NotIn", "api")),
        "",
    ),
    "the label is there": (selecting(0, matchExpressions=told("app", "Exists")), "b allows 0 of 2"),
    "the label is not there": (selecting(0, matchExpressions=told("zone", "Exists")), ""),
    "the label may not be there": (
        selecting(0, matchExpressions=told("zone", "DoesNotExist")),
        "b allows 0 of 2",
    ),
    "labels and more": (
        selecting(0, matchLabels={"app": "api"}, matchExpressions=told("tier", "In", "batch")),
        "",
    ),
    "nobody has said how many yet": (
        {"metadata": {"name": "b"}, "spec": {"selector": {"matchLabels": {"app": "api"}}}},
        "b allows 0 of 2",
    ),
}


@pytest.mark.parametrize(("raw", "against"), ROWS.values(), ids=ROWS)
def test_what_a_budget_allows(raw: dict[str, Any], against: str) -> None:
    cluster = FakeCluster()
    cluster.add(BUDGETS, raw)
    assert forbidding(budgets_in(cluster, NAMESPACE), API) == against


BROKEN: dict[str, dict[str, Any]] = {
    "without a name": {"metadata": {"uid": "x"}, "spec": {}},
    "whose number is a word": selecting("many"),
    "that is a list": {"metadata": {"name": "b"}, "spec": []},
}


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
def test_a_budget_that_cannot_be_read_is_said(
    raw: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = FakeCluster()
    monkeypatch.setattr(cluster, "list", lambda *_: (raw,))
    with pytest.raises(FaultError, match="described a budget in a way that cannot be read"):
        budgets_in(cluster, NAMESPACE)


def test_an_operator_that_is_not_understood_allows_nothing() -> None:
    cluster = FakeCluster()
    cluster.add(BUDGETS, selecting(9, matchExpressions=told("app", "Like", "a*")))
    with pytest.raises(FaultError, match="selects pods by 'Like', which is not understood"):
        forbidding(budgets_in(cluster, NAMESPACE), API)


def test_all_are_refused_where_not_all_are_allowed() -> None:
    cluster = shop()
    budget(cluster, 2)
    with pytest.raises(FaultError, match=r"allows 2 of 3.*nothing was hit"):
        refuse_if_forbidden(cluster, NAMESPACE, pods(cluster), disruption.WAIT)
    refuse_if_forbidden(cluster, NAMESPACE, pods(cluster)[:2], disruption.WAIT)
    assert cluster.deeds == []


def test_what_the_server_forbids_is_said_in_words() -> None:
    cluster = shop()
    budget(cluster, 0)
    first = pods(cluster)[0]
    with pytest.raises(FaultError, match="is not allowed now: It would violate"):
        evict(cluster, NAMESPACE, first)
    assert first in pods(cluster)


def test_a_failure_that_looks_like_a_success_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = shop()
    status = {"kind": "Status", "status": "Failure", "message": "more than one budget"}
    monkeypatch.setattr(cluster, "create", lambda *_, **__: status)
    with pytest.raises(FaultError, match="was not evicted: more than one budget"):
        evict(cluster, NAMESPACE, pods(cluster)[0])


def test_another_pod_of_the_same_name_is_not_evicted() -> None:
    cluster = shop()
    (store,) = pods(cluster, "store")
    stranger = Pod(name=store.name, uid="earlier", phase="Running", ready=True)
    with pytest.raises(FaultError, match="another one by now"):
        evict(cluster, NAMESPACE, stranger)
    assert pods(cluster, "store") == (store,)


def test_where_one_is_refused_none_is_hit() -> None:
    cluster = shop()
    before = pods(cluster)
    refused = f"dry evict /api/v1/namespaces/shop/pods/{before[2].name}"
    forbidden(refused)(cluster)
    with pytest.raises(FaultError, match="it is forbidden"):
        evict_all(cluster, NAMESPACE, before)
    assert pods(cluster) == before
    forbidden("nothing of the kind")(cluster)
    evict_all(cluster, NAMESPACE, before)
    assert not {pod.uid for pod in before} & {pod.uid for pod in pods(cluster)}


def test_a_trial_evicts_nobody() -> None:
    cluster = shop()
    before = pods(cluster)
    evict(cluster, NAMESPACE, before[0], dry_run=True)
    assert pods(cluster) == before
