"""What each fault kind needs to be allowed: one table."""

from __future__ import annotations

import pytest

from harness.access import BASE, INSIDE, NEEDS, Rule, joined
from harness.role_files import rules_of

Allowed = set[tuple[str, str, str, bool]]


def each(rules: tuple[Rule, ...]) -> Allowed:
    return {
        (group, resource, verb, rule.cluster_wide)
        for rule in rules
        for group in rule.groups
        for resource in rule.resources
        for verb in rule.verbs
    }


def test_of_the_cluster_a_run_reads_only_which_one_it_is() -> None:
    (wide,) = [rule for rule in BASE if rule.cluster_wide]
    assert (wide.resources, wide.names, wide.verbs) == (("namespaces",), ("kube-system",), ("get",))


@pytest.mark.parametrize("kind", NEEDS)
def test_only_nodes_are_touched_outside_of_the_namespace(kind: str) -> None:
    wide = [rule for rule in NEEDS[kind] if rule.cluster_wide]
    changed = [r for rule in wide if set(rule.verbs) - {"get", "list"} for r in rule.resources]
    assert set(changed) <= {"nodes"}
    read = {"leases", "pods"} if kind == "node_stop" else set()
    assert {r for rule in wide for r in rule.resources} <= {"nodes"} | read


@pytest.mark.parametrize("rules", [*NEEDS.values(), INSIDE], ids=[*NEEDS, "load from inside"])
def test_nobody_is_allowed_everything(rules: tuple[Rule, ...]) -> None:
    assert "*" not in {word for found in each(rules) for word in found[:3]}


def test_rules_that_are_joined_say_each_resource_once_and_nothing_else() -> None:
    rules = (*NEEDS["stop"], *NEEDS["drain"], *NEEDS["quota"])
    together = joined(rules)
    assert each(together) == each(rules)
    resources = [(r.cluster_wide, r.groups, name) for r in together for name in r.resources]
    assert len(resources) == len(set(resources))


@pytest.mark.parametrize("kind", ["latency", "http_error", "pool_exhaustion"])
def test_who_asks_nothing_of_the_api_server_needs_nothing(kind: str) -> None:
    assert rules_of(kind) == ()
