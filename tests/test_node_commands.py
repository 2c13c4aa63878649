"""The commands of harness.toml that cut and give the power of nodes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from harness import node_commands
from harness.cli.project import permitted
from harness.errors import FaultError, InvalidError
from harness.node_commands import NodeCommands
from harness.scenario import parse as parse_scenario

STOP, START = ["docker", "stop", "{node}"], ["docker", "start", "{node}"]


def read(**table: Any) -> NodeCommands | None:
    return node_commands.parse({"nodes": table}, "harness.toml")


def test_both_are_read_as_they_stand() -> None:
    assert read(stop=STOP, start=START) == NodeCommands(stop=tuple(STOP), start=tuple(START))


def test_without_the_table_there_are_none() -> None:
    assert node_commands.parse({"guards": {}}, "harness.toml") is None


ODD: dict[str, tuple[Any, str]] = {
    "no table": ({"nodes": "docker"}, "nodes must be a table"),
    "an empty table": ({"nodes": {}}, "nodes.stop is missing; the table is empty"),
    "no way back": ({"nodes": {"stop": STOP}}, "nodes.start is missing; there is only nodes.stop"),
    "no way there": ({"nodes": {"start": START}}, "nodes.stop is missing; there is only nodes."),
    "a third command": (
        {"nodes": {"stop": STOP, "start": START, "reboot": START}},
        "unknown key 'nodes.reboot'",
    ),
    "a shell line": ({"nodes": {"stop": "docker stop {node}", "start": START}}, "as a list"),
    "no program": ({"nodes": {"stop": [], "start": START}}, "nodes.stop must be a program"),
    "an empty program": ({"nodes": {"stop": ["", "{node}"], "start": START}}, "nodes.stop must be"),
    "a number among the words": (
        {"nodes": {"stop": STOP, "start": ["power", 3, "{node}"]}},
        "nodes.start must be a program and its arguments",
    ),
    "a command that hits no node": (
        {"nodes": {"stop": STOP, "start": ["docker", "start", "all"]}},
        "nodes.start does not say which node is meant",
    ),
    "a placeholder that is none": (
        {"nodes": {"stop": ["power", "{node}", "{zone}"], "start": START}},
        "nodes.stop has {zone}, which nothing is put in place of",
    ),
    "an empty placeholder": (
        {"nodes": {"stop": ["power", "{}"], "start": START}},
        "nodes.stop has {}, which nothing is put in place of",
    ),
}


@pytest.mark.parametrize(("document", "words"), ODD.values(), ids=ODD)
def test_what_is_no_pair_of_commands_is_refused(document: Any, words: str) -> None:
    with pytest.raises(InvalidError, match=re.escape(words)):
        node_commands.parse(document, "harness.toml")


ON = {
    "the name": (("stop", "{node}"), "kind-worker2", ("stop", "kind-worker2")),
    "the number": (("stop", "{number}"), "node12", ("stop", "12")),
    "both, in one word": (("x", "{node}@{number}"), "a-7", ("x", "a-7@7")),
    "a name that looks like a placeholder": (("x", "{node}"), "{number}", ("x", "{number}")),
}


@pytest.mark.parametrize(("command", "node", "argv"), ON.values(), ids=ON)
def test_what_is_put_in_place(command: tuple[str, ...], node: str, argv: tuple[str, ...]) -> None:
    assert node_commands.on(command, node) == argv


def test_a_node_without_a_number_has_none() -> None:
    with pytest.raises(FaultError, match="name of the node worker-a does not end in a number"):
        node_commands.on(("stop", "{number}"), "worker-a")


SCENARIO = """
version: 1
name: x
stack: {driver: kubernetes, context: test, namespace: shop}
load: {http: [GET /], service: api:80, arrivals: 1/s, timeout: 1s}
faults: [{kind: KIND, target: node/n1, hold: 20s}]
objectives: [http.errors < 1% during steady]
metrics: none
"""
GUARDS = """[guards]
stacks = ["kubernetes"]
contexts = ["test"]
namespaces = ["shop"]
"""
KUBECONFIG = """\
contexts: [{name: test, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {}}]
"""
PAIR = '[nodes]\nstop = ["power", "off", "{node}"]\nstart = ["power", "on", "{node}"]\n'
REFUSED = {
    "a power cut that nobody knows how to make": ("node_stop", "", "does not say how the power"),
    "half a pair, whatever the fault": (
        "cordon",
        '[nodes]\nstop = ["power", "{node}"]\n',
        "nodes.start is missing",
    ),
}


def scenario(kind: str, nodes: str, folder: Path, patch: pytest.MonkeyPatch) -> Any:
    (folder / "experiments").mkdir()
    (folder / "harness.toml").write_text(GUARDS + nodes)
    (folder / "kubeconfig").write_text(KUBECONFIG)
    patch.setenv("KUBECONFIG", str(folder / "kubeconfig"))
    text = SCENARIO.replace("KIND", kind)
    path = str(folder / "s.yaml")
    return parse_scenario(text, path=path, environment={}, exists=lambda _: True)


@pytest.mark.parametrize(("kind", "nodes", "words"), REFUSED.values(), ids=REFUSED)
def test_a_run_is_refused_before_it_begins(
    kind: str,
    nodes: str,
    words: str,
    tmp_path: Path,
    own_state: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(InvalidError, match=words):
        permitted(scenario(kind, nodes, tmp_path, monkeypatch))


@pytest.mark.parametrize(("kind", "nodes"), [("node_stop", PAIR), ("cordon", "")], ids=str)
def test_a_run_that_has_what_it_needs_is_not(
    kind: str, nodes: str, tmp_path: Path, own_state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert permitted(scenario(kind, nodes, tmp_path, monkeypatch)).targets == ("node/n1",)
