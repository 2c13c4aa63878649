"""Calls of chaostoolkit-kubernetes in an experiment are refused, with what does it instead."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from harness.chaosk8s_calls import KIND_OF, calls, refuse_calls
from harness.errors import InvalidError
from harness.faults.kinds import UNDONE_BY


def activity(module: str, func: str, kind: str = "action") -> dict[str, Any]:
    provider = {"type": "python", "module": module, "func": func, "arguments": {"name": "x"}}
    return {"type": kind, "name": f"{func} it", "provider": provider}


OURS = activity("harness.faults.pod_kill", "inject")
TERMINATE = activity("chaosk8s.pod.actions", "terminate_pods")
FOUND: dict[str, tuple[dict[str, Any], list[str]]] = {
    "nothing": ({"method": []}, []),
    "faults of the harness": ({"method": [OURS]}, []),
    "an action beside them": ({"method": [OURS, TERMINATE]}, ["chaosk8s.pod.actions"]),
    "one in the rollbacks": ({"method": [], "rollbacks": [TERMINATE]}, ["chaosk8s.pod.actions"]),
    "a probe of the hypothesis": (
        {
            "steady-state-hypothesis": {
                "probes": [activity("chaosk8s.probes", "all_microservices_healthy", "probe")]
            },
            "method": [],
        },
        ["chaosk8s.probes"],
    ),
    "a tolerance, a control and a setting": (
        {
            "configuration": {"x": {"type": "probe", "provider": TERMINATE["provider"]}},
            "controls": [{"name": "c", "provider": {"type": "python", "module": "chaosk8s"}}],
            "method": [{**OURS, "tolerance": TERMINATE}],
        },
        ["chaosk8s.pod.actions", "chaosk8s", "chaosk8s.pod.actions"],
    ),
    "a module whose name begins alike": ({"method": [activity("chaosk8sy", "f")]}, []),
    "a module of another package": ({"method": [activity("mine.chaosk8s", "f")]}, []),
    "odd documents": ({"method": ["x", 3, {"provider": {"module": ["chaosk8s"]}}]}, []),
}


@pytest.mark.parametrize(("document", "modules"), FOUND.values(), ids=FOUND)
def test_they_are_found_wherever_they_stand(document: dict[str, Any], modules: list[str]) -> None:
    assert [module for module, _ in calls(document)] == modules


REFUSED: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "an action that a kind stands for": (
        TERMINATE,
        (
            "x.yaml: the experiment calls chaosk8s.pod.actions.terminate_pods",
            "the current context",
            "nobody would undo",
            "Use the fault kind `pod_kill` instead",
        ),
    ),
    "an action that none stands for": (
        activity("chaosk8s.crd.actions", "create_custom_object"),
        ("chaosk8s.crd.actions.create_custom_object", "No fault kind does it"),
    ),
    "a probe": (
        activity("chaosk8s.pod.probes", "pods_in_phase", "probe"),
        ("chaosk8s.pod.probes.pods_in_phase", "State it as an objective instead"),
    ),
}


@pytest.mark.parametrize(("found", "words"), REFUSED.values(), ids=REFUSED)
def test_a_run_of_them_is_refused_with_what_does_it(
    found: dict[str, Any], words: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidError) as refused:
        refuse_calls("x.yaml", {"method": [OURS, found]})
    for word in (*words, "docs/reference/faults.md"):
        assert word in str(refused.value)


def test_all_of_them_are_said_at_once() -> None:
    document = {"method": [TERMINATE, activity("chaosk8s.node.actions", "drain_nodes"), TERMINATE]}
    with pytest.raises(InvalidError) as refused:
        refuse_calls("x.yaml", document)
    said = str(refused.value)
    assert said.count("pod.actions.terminate_pods") == said.count("`pod_kill`") == 1
    assert "`drain`" in said


def test_what_has_none_of_them_passes() -> None:
    refuse_calls("x.yaml", {"method": [OURS]})


def test_the_kinds_that_are_named_are_there_on_kubernetes() -> None:
    assert set(KIND_OF.values()) <= UNDONE_BY["kubernetes"].keys()


@pytest.mark.parametrize("call", KIND_OF)
def test_the_actions_that_are_named_are_those_of_the_package(call: str) -> None:
    module, _, func = call.rpartition(".")
    assert callable(getattr(importlib.import_module(f"chaosk8s.{module}"), func))
