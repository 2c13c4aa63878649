"""What a repository allows, and how it says no."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.descriptor import Edge, Service, StackDescriptor
from harness.errors import InvalidError
from harness.guard_file import parse
from harness.guards import Guards, allows, refuse, refuse_stack
from harness.model import Scenario, StackSpec
from harness.scenario import parse as parse_scenario
from harness.stack_guards import refuse_namespace

TEXT = """
version: 1
name: x
stack: {driver: local}
load: {profile: loadtests/shop.py, arrivals: 200/s, timeout: 2s}
experiment: experiments/llm-timeout.json
objectives: [a.errors < 1% during steady]
"""


def scenario(driver: str = "local") -> Scenario:
    found = parse_scenario(TEXT, path="x.yaml", environment={}, exists=lambda _name: True)
    return replace(found, stack=StackSpec(driver=driver))


READ = {
    "no file at all": ({}, Guards()),
    "an empty table": ({"guards": {}}, Guards()),
    "everything said": (
        {"guards": {"stacks": ["local", "compose"], "max_targets": 3, "max_rate": "500/s"}},
        Guards(stacks=("local", "compose"), max_targets=3, max_rate_per_s=500),
    ),
    "every list of names": (
        {
            "guards": {
                "projects": ["shop-*"],
                "contexts": ["staging"],
                "namespaces": ["team-?"],
                "clusters": ["0b1f7a9c-4e0d"],
                "hosts": ["*.test.example", "::1"],
                "max_share": "34%",
            }
        },
        Guards(
            projects=("shop-*",),
            contexts=("staging",),
            namespaces=("team-?",),
            clusters=("0b1f7a9c-4e0d",),
            hosts=("*.test.example", "::1"),
            max_share=0.34,
        ),
    ),
    "no stack allowed": ({"guards": {"stacks": []}}, Guards(stacks=())),
    "no cluster allowed": ({"guards": {"clusters": []}}, Guards(clusters=())),
    "other tables are others' business": ({"tool": {"x": 1}}, Guards()),
}


@pytest.mark.parametrize("row", READ.values(), ids=READ.keys())
def test_guards_are_read(row: tuple[dict[str, Any], Guards]) -> None:
    document, guards = row
    assert parse(document, "harness.toml") == guards


UNREADABLE = {
    "a misspelt key": (
        {"max_target": 1},
        "harness.toml: unknown key 'guards.max_target'. Did you mean 'max_targets'?",
    ),
    "an unknown key": (
        {"zzz": 1},
        "harness.toml: unknown key 'guards.zzz'. Known: stacks, projects, contexts, namespaces, "
        "clusters, hosts, max_targets, max_share, max_rate.",
    ),
    "stacks as text": (
        {"stacks": "local"},
        "harness.toml: guards.stacks must be a list of drivers, such as ['local'].",
    ),
    "no targets at all": (
        {"max_targets": 0},
        "harness.toml: guards.max_targets must be a whole number, 1 or more.",
    ),
    "true as a number": (
        {"max_targets": True},
        "harness.toml: guards.max_targets must be a whole number, 1 or more.",
    ),
    "projects as text": (
        {"projects": "shop"},
        "harness.toml: guards.projects must be a list of names, such as ['shop-test'].",
    ),
    "a pattern that allows everything": (
        {"contexts": ["*"]},
        "harness.toml: guards.contexts has '*', which would allow everything or nothing. "
        "Write a name, or a pattern with a part that says what is meant: 'shop-test-*'.",
    ),
    "a name of nothing": (
        {"namespaces": [""]},
        "harness.toml: guards.namespaces has '', which would allow everything or nothing. "
        "Write a name, or a pattern with a part that says what is meant: 'shop-test-*'.",
    ),
    "clusters as text": (
        {"clusters": "0b1f7a9c"},
        "harness.toml: guards.clusters must be a list of uids; `kubectl get namespace kube-system "
        "-o jsonpath={.metadata.uid}` says that of a cluster.",
    ),
    "clusters by a pattern": (
        {"clusters": ["0b1f*"]},
        "harness.toml: guards.clusters has '0b1f*', which is no uid. Write the whole uid; `kubectl "
        "get namespace kube-system -o jsonpath={.metadata.uid}` says that of a cluster.",
    ),
    "a URL as a host": (
        {"hosts": ["http://a.example"]},
        "harness.toml: guards.hosts has 'http://a.example', which is not the name of a host. "
        "Leave out scheme, credentials, port and path: 'shop.test.example'.",
    ),
    "a host with a port": (
        {"hosts": ["a.example:80"]},
        "harness.toml: guards.hosts has 'a.example:80', which is not the name of a host. "
        "Leave out scheme, credentials, port and path: 'shop.test.example'.",
    ),
    "a share without a unit": (
        {"max_share": 0.34},
        "harness.toml: guards.max_share 0.34 must be a percentage above 0% and up to 100%, "
        "such as '34%'.",
    ),
    "a share of nothing": (
        {"max_share": "0%"},
        "harness.toml: guards.max_share '0%' must be a percentage above 0% and up to 100%, "
        "such as '34%'.",
    ),
    "a share of more than all": (
        {"max_share": "101%"},
        "harness.toml: guards.max_share '101%' must be a percentage above 0% and up to 100%, "
        "such as '34%'.",
    ),
    "a share that is no number": (
        {"max_share": "a third"},
        "harness.toml: guards.max_share: 'a third' is not a limit; write a number with its unit: "
        "250ms, 0.1%, 100/s, 512MB or 100.",
    ),
    "a rate without a unit": (
        {"max_rate": 500},
        "harness.toml: guards.max_rate: '500' is not a rate; "
        "write a positive number per time, such as 200/s.",
    ),
}


@pytest.mark.parametrize("row", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_guards_that_cannot_be_read_forbid_everything(row: tuple[dict[str, Any], str]) -> None:
    table, message = row
    with pytest.raises(InvalidError) as caught:
        parse({"guards": table}, "harness.toml")
    assert str(caught.value) == message


def test_guards_that_are_no_table_are_refused() -> None:
    with pytest.raises(InvalidError, match="guards must be a table"):
        parse({"guards": 3}, "harness.toml")


REFUSED = {
    "a stack that is not allowed": (
        Guards(),
        "kubernetes",
        ("a",),
        "stack 'kubernetes' is not allowed (allowed: local)",
    ),
    "no stack allowed": (Guards(stacks=()), "local", ("a",), "(allowed: none)"),
    "too many targets": (Guards(), "local", ("a", "b"), "2 targets (a, b) are more than 1"),
    "too high a rate": (
        Guards(max_rate_per_s=100),
        "local",
        ("a",),
        "200/s are more than 100/s",
    ),
}


@pytest.mark.parametrize("row", REFUSED.values(), ids=REFUSED.keys())
def test_a_run_beyond_a_guard_is_refused(row: tuple[Guards, str, tuple[str, ...], str]) -> None:
    guards, driver, targets, words = row
    with pytest.raises(InvalidError) as caught:
        refuse(guards, scenario(driver), targets)
    assert words in str(caught.value)


LOADS = {
    "a peak that is too high, however short": (
        "arrivals: 10/s spike to 101/s at 60s for 1s",
        "101/s are more than 100/s",
    ),
    "a closed loop, whose rate nobody knows": (
        "users: 20",
        "the rate of a closed loop has no limit, and 100/s is one",
    ),
}


@pytest.mark.parametrize("row", LOADS.values(), ids=LOADS.keys())
def test_a_load_beyond_the_guard_is_refused(row: tuple[str, str]) -> None:
    text = TEXT.replace("arrivals: 200/s", row[0])
    found = parse_scenario(text, path="x.yaml", environment={}, exists=lambda _name: True)
    with pytest.raises(InvalidError) as caught:
        refuse(Guards(max_rate_per_s=100), found, ("a",))
    assert row[1] in str(caught.value)


def test_everything_that_stands_against_a_run_is_said_at_once() -> None:
    guards = Guards(stacks=(), max_rate_per_s=1)
    with pytest.raises(InvalidError) as caught:
        refuse(guards, scenario(), ("a", "b"))
    assert str(caught.value).count(";") == 2


@pytest.mark.parametrize("targets", [(), ("a",)], ids=["nothing to break", "one target"])
def test_a_run_within_the_guards_passes(targets: tuple[str, ...]) -> None:
    refuse(Guards(max_rate_per_s=200), scenario(), targets)


ALLOWED = {
    "the name itself": (["shop"], "shop"),
    "a pattern with an end": (["shop-*"], "shop-test-2"),
    "a pattern with a beginning, over dots": (["*.test.example"], "a.b.test.example"),
    "one unknown character": (["team-?"], "team-a"),
    "upper and lower case are one": (["Shop"], "sHOP"),
    "production by its full name": (["shop-prod"], "shop-prod"),
    "a product is not production": (["shop-*"], "shop-product"),
}
NOT_ALLOWED = {
    "an empty list": ([], "shop"),
    "another name": (["shop"], "shop2"),
    "the beginning of a name": (["shop"], "shop-test"),
    "a host below one that is named": (["test.example"], "a.test.example"),
    "a host that only ends alike": (["*.test.example"], "eviltest.example"),
    "production by a pattern": (["shop-*"], "shop-prod"),
    "production by a pattern that says production": (["*-prod"], "shop-prod"),
    "live by a pattern": (["*.example"], "live.example"),
    "a dot is a dot": (["a.example"], "axexample"),
    "brackets are no pattern": (["team-[ab]"], "team-a"),
}


@pytest.mark.parametrize("row", ALLOWED.values(), ids=ALLOWED.keys())
def test_a_name_is_allowed(row: tuple[list[str], str]) -> None:
    assert allows(*row)


@pytest.mark.parametrize("row", NOT_ALLOWED.values(), ids=NOT_ALLOWED.keys())
def test_a_name_is_not_allowed(row: tuple[list[str], str]) -> None:
    assert not allows(*row)


COMPOSE, KUBERNETES, EXTERNAL = "compose", "kubernetes", "external"
ANYWHERE = Guards(
    stacks=("local", COMPOSE, KUBERNETES, EXTERNAL),
    projects=("shop-*",),
    contexts=("staging", "prod-eu"),
    namespaces=("shop",),
    hosts=("*.test.example",),
)
URL = "http://a.test.example/x"

PASSES = {
    "a compose project by a pattern": (COMPOSE, {"project": "shop-1"}, {}),
    "a context and a namespace": (KUBERNETES, {"context": "staging", "namespace": "shop"}, {}),
    "production by its name": (KUBERNETES, {"context": "prod-eu", "namespace": "shop"}, {}),
    "an external host": (EXTERNAL, {}, {"stack.url": URL}),
    "credentials and port say nothing about the host": (
        EXTERNAL,
        {},
        {"stack.url": "https://prod:live@a.test.example:8443/prod"},
    ),
    "loopback of a local stack": ("local", {}, {"x": "http://127.0.0.9:1", "y": "[::1]:80"}),
}
REFUSED_FILES = {
    "a project that is not allowed": (
        COMPOSE,
        {"project": "bank"},
        {},
        "project 'bank' is not allowed (allowed: shop-*)",
    ),
    "a project that is not named": (
        COMPOSE,
        {},
        {},
        "stack.project is not given, so nobody can allow it (allowed: shop-*)",
    ),
    "a project that looks like production": (
        COMPOSE,
        {"project": "shop-live"},
        {},
        "project 'shop-live' looks like production, and only its full name allows it, "
        "never a pattern (allowed: shop-*)",
    ),
    "a namespace that is not allowed": (
        KUBERNETES,
        {"context": "staging", "namespace": "bank"},
        {},
        "namespace 'bank' is not allowed (allowed: shop)",
    ),
    "a context that is not named": (
        KUBERNETES,
        {"namespace": "shop"},
        {},
        "stack.context is not given, so nobody can allow it",
    ),
    "a host that is not allowed": (
        EXTERNAL,
        {},
        {"stack.url": "http://b.example"},
        "stack.url on host 'b.example' is not allowed (allowed: *.test.example)",
    ),
    "loopback of an external stack, where a tunnel may begin": (
        EXTERNAL,
        {},
        {"stack.url": "http://127.0.0.1:8080"},
        "stack.url on host '127.0.0.1' is not allowed",
    ),
    "another host of a local stack": (
        "local",
        {},
        {"experiment method[0]": "http://b.example"},
        "experiment method[0] on host 'b.example' is not allowed "
        "(allowed: loopback, *.test.example)",
    ),
    "a host that two readers would read differently": (
        EXTERNAL,
        {},
        {"stack.url": "http://a.test.example\\@b.example/"},
        "the host of stack.url cannot be told from its URL",
    ),
    "a host that a variable decides": (
        EXTERNAL,
        {},
        {"stack.url": "http://${host}/"},
        "the host of stack.url cannot be told from its URL",
    ),
}


@pytest.mark.parametrize("row", PASSES.values(), ids=PASSES.keys())
def test_what_is_allowed_passes(row: tuple[str, dict[str, str], dict[str, str]]) -> None:
    driver, options, urls = row
    asked = replace(scenario(), stack=StackSpec(driver=driver, options=options))
    refuse(ANYWHERE, asked, ("a",), urls)


@pytest.mark.parametrize("row", REFUSED_FILES.values(), ids=REFUSED_FILES.keys())
def test_what_is_not_allowed_is_refused(
    row: tuple[str, dict[str, str], dict[str, str], str],
) -> None:
    driver, options, urls, words = row
    asked = replace(scenario(), stack=StackSpec(driver=driver, options=options))
    with pytest.raises(InvalidError) as caught:
        refuse(ANYWHERE, asked, ("a",), urls)
    assert words in str(caught.value)


def test_a_refusal_never_repeats_the_credentials_of_a_url() -> None:
    with pytest.raises(InvalidError) as caught:
        refuse(ANYWHERE, scenario(), (), {"stack.url": "http://me:hunter22@b.example/?token=abc"})
    assert "b.example" in str(caught.value)
    assert "hunter22" not in str(caught.value)
    assert "abc" not in str(caught.value)


def stack(base_url: str = "http://127.0.0.1:1", services: int = 3) -> StackDescriptor:
    """A stack with some services of its own and the three that watch or break it."""
    tools = {"prometheus": "http://127.0.0.1:2", "toxiproxy": "http://127.0.0.1:3"}
    urls = {f"s{n}": f"http://127.0.0.1:{n + 10}" for n in range(services)} | tools
    return StackDescriptor(
        id="x",
        driver="local",
        base_url=base_url,
        **tools,
        services={n: Service(name=n, url=u, health_path="/") for n, u in urls.items()},
        edges={
            "a->b": Edge(
                name="a->b", proxy="p", listen="b.example:4", upstream="x:5", health_path="/"
            )
        },
    )


WIDE = Guards(max_targets=9)
SHARES = {
    "one of three within a third and a little": (0.34, None, ("s0",), 3, ""),
    "one of three beyond a third less a little": (0.33, None, ("s0",), 3, "1 of 3 services"),
    "the same target twice is one": (0.34, None, ("s0", "s0"), 3, ""),
    "two of three": (0.34, None, ("s0", "s1"), 3, "2 of 3 services (66.7%) are more than 34%"),
    "all of them, where that is allowed": (1.0, None, ("s0", "s1", "s2"), 3, ""),
    "the scenario is stricter": (1.0, 0.5, ("s0", "s1"), 3, "are more than 50%"),
    "the repository is stricter": (0.5, 1.0, ("s0", "s1"), 3, "are more than 50%"),
    "only the scenario says something": (None, 0.5, ("s0", "s1"), 3, "are more than 50%"),
    "29 of 100 are 29%": (0.29, None, tuple(f"s{n}" for n in range(29)), 100, ""),
    "a stack without services": (0.5, None, ("s0",), 0, "an unknown share"),
    "nothing to break": (0.01, None, (), 3, ""),
    "nobody asks for a share": (None, None, ("s0", "s1"), 3, ""),
}


#: The limit, the targets, which of them stand for every service, and what is said against it.
WIDE_SHARES: dict[str, tuple[float, tuple[str, ...], tuple[str, ...], str]] = {
    "a drained node is all of them": (
        0.99,
        ("node/n1",),
        ("node/n1",),
        "3 of 3 services (100.0%) are more than 99%",
    ),
    "all and one more are all": (0.99, ("s0", "s1"), ("s1",), "3 of 3 services (100.0%)"),
    "all of them are allowed": (1.0, ("s0", "node/n1"), ("node/n1",), ""),
}


@pytest.mark.parametrize("row", WIDE_SHARES.values(), ids=WIDE_SHARES.keys())
def test_the_share_of_a_fault_that_may_hit_any_service(
    row: tuple[float, tuple[str, ...], tuple[str, ...], str],
) -> None:
    most, targets, everywhere, words = row
    guards = replace(WIDE, max_share=most)
    if not words:
        refuse_stack(guards, scenario(), targets, stack(), {}, everywhere)
        return
    with pytest.raises(InvalidError) as caught:
        refuse_stack(guards, scenario(), targets, stack(), {}, everywhere)
    assert words in str(caught.value)


@pytest.mark.parametrize("row", SHARES.values(), ids=SHARES.keys())
def test_the_share_of_the_stack(
    row: tuple[float | None, float | None, tuple[str, ...], int, str],
) -> None:
    most, own, targets, services, words = row
    guards, asked = replace(WIDE, max_share=most), replace(scenario(), max_share=own)
    if not words:
        refuse_stack(guards, asked, targets, stack(services=services))
        return
    with pytest.raises(InvalidError) as caught:
        refuse_stack(guards, asked, targets, stack(services=services))
    assert words in str(caught.value)


COUNTS = {
    "the scenario is stricter": (3, 1, ("a", "b"), "2 targets (a, b) are more than 1"),
    "the repository is stricter": (1, 3, ("a", "b"), "2 targets (a, b) are more than 1"),
    "the same target twice is one": (1, None, ("a", "a"), ""),
    "both allow it": (2, 2, ("a", "b"), ""),
}


@pytest.mark.parametrize("row", COUNTS.values(), ids=COUNTS.keys())
def test_the_count_of_targets(row: tuple[int, int | None, tuple[str, ...], str]) -> None:
    most, own, targets, words = row
    guards, asked = Guards(max_targets=most), replace(scenario(), max_targets=own)
    if not words:
        refuse(guards, asked, targets)
        return
    with pytest.raises(InvalidError) as caught:
        refuse(guards, asked, targets)
    assert words in str(caught.value)


WIDTHS: dict[str, tuple[int, tuple[str, ...], dict[str, int], str]] = {
    "two pods of one service are two": (1, ("a",), {"a": 2}, "2 targets (a × 2) are more than 1"),
    "two pods and another service": (
        2,
        ("a", "b"),
        {"a": 2},
        "3 targets (a × 2, b) are more than 2",
    ),
    "two pods are allowed": (2, ("a",), {"a": 2}, ""),
}


@pytest.mark.parametrize("row", WIDTHS.values(), ids=WIDTHS.keys())
def test_pods_that_are_hit_at_once_count(
    row: tuple[int, tuple[str, ...], dict[str, int], str],
) -> None:
    most, targets, widths, words = row
    guards = replace(WIDE, max_targets=most)
    if not words:
        refuse(guards, scenario(), targets, {}, widths)
        refuse_stack(guards, scenario(), targets, stack(), widths)
        return
    with pytest.raises(InvalidError) as caught:
        refuse(guards, scenario(), targets, {}, widths)
    assert words in str(caught.value)
    with pytest.raises(InvalidError) as caught:
        refuse_stack(guards, scenario(), targets, stack(), widths)
    assert words in str(caught.value)


PARTS = ("base_url", "prometheus", "alertmanager", "toxiproxy")


@pytest.mark.parametrize("part", PARTS)
def test_no_part_of_a_stack_may_be_elsewhere(part: str) -> None:
    elsewhere = replace(stack(), **{part: "http://b.example:1"})
    with pytest.raises(InvalidError, match=f"{part} on host 'b.example' is not allowed"):
        refuse_stack(Guards(), scenario(), ("s0",), elsewhere)


def test_an_edge_is_called_only_when_it_is_a_target() -> None:
    refuse_stack(Guards(), scenario(), ("s0",), stack())
    with pytest.raises(InvalidError, match=r"edge a->b on host 'b.example' is not allowed"):
        refuse_stack(Guards(), scenario(), ("a->b",), stack())


OWN = "172.20.0.10"
INSIDE = {
    "its own container": ("compose", (OWN,), ""),
    "a container of somebody else": ("compose", ("172.20.0.11",), "is not allowed"),
    "an address that another driver calls its own": ("local", (OWN,), "is not allowed"),
}


@pytest.mark.parametrize("row", INSIDE.values(), ids=INSIDE.keys())
def test_who_allows_a_project_allows_its_containers(row: tuple[str, tuple[str, ...], str]) -> None:
    driver, addresses, words = row
    asked = replace(scenario(), stack=replace(scenario().stack, driver=driver))
    edge = Edge(name="a->b", proxy="p", listen=f"{OWN}:22", upstream="b:1", health_path="/")
    found = replace(stack(), addresses=addresses, edges={"a->b": edge})
    if not words:
        refuse_stack(Guards(), asked, ("a->b",), found)
        return
    with pytest.raises(InvalidError, match=f"edge a->b on host '{OWN}' {words}"):
        refuse_stack(Guards(), asked, ("a->b",), found)


DEPLOYED: dict[str, tuple[Guards, str, str, str]] = {
    "both are allowed": (ANYWHERE, "staging", "shop", ""),
    "production by its full name": (ANYWHERE, "prod-eu", "shop", ""),
    "another context": (ANYWHERE, "other", "shop", "context 'other' is not allowed"),
    "another namespace": (ANYWHERE, "staging", "bank", "namespace 'bank' is not allowed"),
    "production by a pattern": (
        replace(ANYWHERE, contexts=("*-eu",)),
        "prod-eu",
        "shop",
        "context 'prod-eu' looks like production, and only its full name allows it",
    ),
    "live by a pattern": (
        replace(ANYWHERE, namespaces=("shop-*",)),
        "staging",
        "shop-live",
        "namespace 'shop-live' looks like production",
    ),
    "the driver is not": (
        replace(ANYWHERE, stacks=("local",)),
        "staging",
        "shop",
        "stack 'kubernetes' is not allowed (allowed: local)",
    ),
    "nothing is": (Guards(), "staging", "shop", "context 'staging' is not allowed (allowed: none)"),
}


@pytest.mark.parametrize(
    ("guards", "context", "namespace", "words"), DEPLOYED.values(), ids=DEPLOYED
)
def test_what_may_be_deployed_to(guards: Guards, context: str, namespace: str, words: str) -> None:
    if not words:
        refuse_namespace(guards, context, namespace)
        return
    with pytest.raises(InvalidError) as refused:
        refuse_namespace(guards, context, namespace)
    assert words in str(refused.value)
