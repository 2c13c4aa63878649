"""A process that is no part of a run is held to the guards of its folder and to the lever."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.descriptor import Edge, Service, StackDescriptor
from harness.errors import InvalidError
from harness.faults import holding, injection
from harness.faults import session as sessions
from harness.faults.injection import Injection
from harness.faults.session import Session
from harness.files import lever
from harness.guards import Guards
from harness.undo import Entry, State, UndoLog

LOCAL = StackDescriptor(
    id="local-1",
    driver="local",
    base_url="http://shop.example",
    toxiproxy="http://127.0.0.1:1",
    services={
        name: Service(name=name, url="http://127.0.0.1:2", health_path="/") for name in "abc"
    },
    edges={
        "a->b": Edge(name="a->b", proxy="p", listen="127.0.0.1:3", upstream="x:1", health_path="/"),
        "a->far": Edge(
            name="a->far", proxy="q", listen="far.example:3", upstream="x:1", health_path="/"
        ),
    },
)
COMPOSE = replace(LOCAL, id="compose-1", driver="compose", project="shop")
KUBERNETES = replace(
    LOCAL, id="k-1", driver="kubernetes", context="staging", namespace="shop", cluster="u-1"
)
ALLOWED = 'stacks = ["kubernetes"]\ncontexts = ["staging"]\nnamespaces = ["shop"]\n'


@pytest.fixture
def folder(tmp_path: Path, own_state: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where somebody types ``chaos run``, with a kubeconfig that leads to ``shop-prod``."""
    made = tmp_path / "here"
    made.mkdir()
    monkeypatch.chdir(made)
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "contexts": [{"name": "staging", "context": {"cluster": "shop-prod", "user": "u"}}],
        "clusters": [{"name": "shop-prod", "cluster": {"server": "https://127.0.0.1:9"}}],
        "users": [],
    }
    (made / "kubeconfig").write_text(json.dumps(kubeconfig))
    sessions.session.cache_clear()
    yield made
    sessions.session.cache_clear()


#: The stack, the guards of the folder (None: no file), and what is said against it.
REFUSED: dict[str, tuple[StackDescriptor, str | None, str]] = {
    "a driver that is not allowed": (
        LOCAL,
        'stacks = ["compose"]\n',
        "stack 'local' is not allowed (allowed: compose)",
    ),
    "a project, without guards": (
        COMPOSE,
        None,
        "stack 'compose' is not allowed (allowed: local); project 'shop' is not allowed",
    ),
    "a project that looks like production, by a pattern": (
        replace(COMPOSE, project="shop-prod"),
        'stacks = ["compose"]\nprojects = ["shop-*"]\n',
        "project 'shop-prod' looks like production",
    ),
    "a Toxiproxy elsewhere": (
        replace(LOCAL, toxiproxy="http://b.example:1"),
        "",
        "toxiproxy on host 'b.example' is not allowed",
    ),
    "a context": (
        KUBERNETES,
        'stacks = ["kubernetes"]\nnamespaces = ["shop"]\n',
        "context 'staging' is not allowed",
    ),
    "a namespace that looks like production, by a pattern": (
        replace(KUBERNETES, namespace="shop-live"),
        ALLOWED.replace('"shop"', '"shop-*"'),
        "namespace 'shop-live' looks like production",
    ),
    "a cluster whose name looks like production": (
        KUBERNETES,
        ALLOWED,
        "the cluster entry 'shop-prod' looks like production",
    ),
    "a cluster of another uid": (
        KUBERNETES,
        ALLOWED.replace('["staging"', '["staging", "shop-prod"') + 'clusters = ["u-2"]\n',
        "leads to the cluster u-1, which is not allowed (allowed: u-2)",
    ),
    "guards that cannot be read": (LOCAL, "stacks = 3\n", "guards.stacks must be a list"),
}


@pytest.mark.parametrize(("stack", "guards", "words"), REFUSED.values(), ids=REFUSED)
def test_what_the_guards_do_not_allow_is_refused_before_anything_is_touched(
    stack: StackDescriptor,
    guards: str | None,
    words: str,
    folder: Path,
    own_state: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stack = replace(stack, kubeconfig=str(folder / "kubeconfig"))
    monkeypatch.setattr(sessions, "select", lambda _choice: stack)
    if guards is not None:
        (folder / "harness.toml").write_text(f"[guards]\n{guards}")
    with pytest.raises(InvalidError) as refused:
        sessions.session()
    assert words in str(refused.value)
    assert not own_state.exists()


def test_nobody_is_asked_for_a_stack_while_the_lever_is_pulled(
    folder: Path, own_state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull()
    monkeypatch.setattr(sessions, "select", lambda _choice: pytest.fail("a stack was asked for"))
    with pytest.raises(InvalidError, match=r"lever .* is pulled: all hands"):
        sessions.session()
    assert [path.name for path in own_state.iterdir()] == ["lever"]


def pull() -> None:
    lever().parent.mkdir(parents=True, exist_ok=True)
    lever().write_text("all hands\n")


def alone(guards: Guards | None, *earlier: str) -> Session:
    """A session that has broken some targets and healed them."""
    log = UndoLog(LOCAL.id)
    for target in earlier:
        log.write(
            Entry(
                id=f"pause-{target.encode().hex()}",
                run_id="chaos-1",
                kind="pause",
                target=target,
                verb="process.resume",
                arguments={},
                epoch=0,
                intended_at=1.0,
                lease_until=2.0,
                state=State.HEALED,
            )
        )
    return Session(stack=LOCAL, log=log, run_id="chaos-1", epoch=0, guards=guards)


#: The guards, what was broken before, the kind and the target, and what is said against it.
ONE_MORE: dict[str, tuple[Guards | None, tuple[str, ...], str, str, str]] = {
    "the first one": (Guards(), (), "pause", "a", ""),
    "the same one again": (Guards(), ("a",), "kill", "a", ""),
    "a second one": (Guards(), ("a",), "pause", "b", "2 targets (a, b) are more than 1"),
    "a second one that is allowed": (Guards(max_targets=2), ("a",), "pause", "b", ""),
    "more than a share": (
        Guards(max_targets=9, max_share=0.5),
        ("a",),
        "pause",
        "b",
        "2 of 3 services (66.7%) are more than 50%",
    ),
    "a kind that may hit every service": (
        Guards(max_targets=2),
        (),
        "drain",
        "a",
        "3 targets (a × 3) are more than 2",
    ),
    "an edge that is called elsewhere": (
        Guards(),
        (),
        "latency",
        "a->far",
        "edge a->far on host 'far.example' is not allowed",
    ),
    "where a run has seen to it": (None, ("a",), "pause", "b", ""),
}


@pytest.mark.parametrize(
    ("guards", "earlier", "kind", "target", "words"), ONE_MORE.values(), ids=ONE_MORE
)
def test_each_fault_counts_with_those_before_it(
    guards: Guards | None,
    earlier: tuple[str, ...],
    kind: str,
    target: str,
    words: str,
    folder: Path,
) -> None:
    current = alone(guards, *earlier)
    if not words:
        current.require_allowed(kind, target)
        return
    with pytest.raises(InvalidError) as refused:
        current.require_allowed(kind, target)
    assert words in str(refused.value)


def test_a_lever_that_is_pulled_meanwhile_lets_nothing_more_in(folder: Path) -> None:
    current = alone(Guards())
    current.require_unpulled()
    pull()
    for refused in (current.require_unpulled, lambda: current.require_allowed("pause", "a")):
        with pytest.raises(InvalidError, match="is pulled: all hands"):
            refused()
    alone(None).require_unpulled()


def test_a_fault_that_is_not_allowed_is_not_even_meant(folder: Path) -> None:
    current = alone(Guards(), "a")
    fault = Injection(
        kind="pause", target="b", verb="process.resume", arguments={}, look="", before=""
    )
    with pytest.raises(InvalidError, match=r"2 targets \(a, b\) are more than 1"):
        injection.inject(current, fault, lambda _entry: pytest.fail("it was injected"))
    assert [entry.target for entry in current.log.snapshot().entries] == ["a"]


def test_a_hold_ends_when_the_lever_is_pulled(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    current = alone(Guards(), "a")
    (entry,) = current.log.snapshot().entries
    with current.log.locked():
        current.log.change(entry, state=State.PROVEN)
    monkeypatch.setattr(holding, "session", lambda: current)
    pull()
    with pytest.raises(InvalidError, match="is pulled: all hands"):
        holding.hold("600s")
