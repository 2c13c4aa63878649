"""What an experiment's file tells about what it would do."""

from __future__ import annotations

from typing import Any

import pytest

from harness import experiment
from harness.errors import InvalidError


def python(module: str, func: str, **arguments: Any) -> dict[str, Any]:
    provider = {"type": "python", "module": module, "func": func, "arguments": arguments}
    return {"type": "action", "name": f"{func} it", "provider": provider}


def inject(target: Any, kind: str = "latency") -> dict[str, Any]:
    return python(f"harness.faults.{kind}", "inject", target=target)


HTTP = {"type": "probe", "name": "ask", "provider": {"type": "http", "url": "http://${host}/x"}}

#: The document, what is set from outside, and the targets.
TARGETS: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = {
    "nothing": ({"method": []}, {}, ()),
    "one": ({"method": [inject("a->b")]}, {}, ("a->b",)),
    "the same one twice": ({"method": [inject("a"), inject("a", "kill")]}, {}, ("a",)),
    "two": ({"method": [inject("a"), inject("b")]}, {}, ("a", "b")),
    "one in the rollbacks": ({"method": [], "rollbacks": [inject("a")]}, {}, ("a",)),
    "one where the steady state is probed": (
        {"steady-state-hypothesis": {"probes": [inject("a")]}, "method": []},
        {},
        ("a",),
    ),
    "a variable of the configuration": (
        {"configuration": {"where": "a"}, "method": [inject("${where}")]},
        {},
        ("a",),
    ),
    "a variable that is set from outside": (
        {"configuration": {"where": "a"}, "method": [inject("${where}")]},
        {"where": "b"},
        ("b",),
    ),
    "a variable of the environment": (
        {"configuration": {"w": {"type": "env", "key": "WHERE"}}, "method": [inject("${w}")]},
        {},
        ("from the environment",),
    ),
    "a variable that nobody sets": ({"method": [inject("${where}")]}, {}, ("${where}",)),
    "both sides of a partition": (
        {"method": [python("harness.faults.partition", "inject", target="a", peer="${b}")]},
        {"b": "c"},
        ("a", "c"),
    ),
    "what is made anew with another value": (
        {
            "method": [
                python("harness.faults.config", "inject", target="configmap/a", restart="api")
            ]
        },
        {},
        ("configmap/a", "api"),
    ),
    "nothing is made anew": (
        {"method": [python("harness.faults.config", "inject", target="secret/a", restart="")]},
        {},
        ("secret/a",),
    ),
    "an argument of that name of another kind": (
        {"method": [python("harness.faults.kill", "inject", target="a", peer="b")]},
        {},
        ("a",),
    ),
    "somebody else's function": ({"method": [python("mine", "inject", target="a")]}, {}, ()),
    "a module whose name begins alike": (
        {"method": [python("harness.faultsy", "inject", target="a")]},
        {},
        (),
    ),
}


def steps(document: dict[str, Any], given: dict[str, Any]) -> tuple[experiment.Step, ...]:
    values = experiment.variables(document, given, {"WHERE": "from the environment"})
    return experiment.steps(document, values)


@pytest.mark.parametrize("row", TARGETS.values(), ids=TARGETS.keys())
def test_targets(row: tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]) -> None:
    document, given, targets = row
    assert experiment.targets(steps(document, given)) == targets


@pytest.mark.parametrize("target", [None, 3, ["a"]], ids=["none", "a number", "a list"])
def test_a_fault_that_does_not_say_its_target_is_refused(target: Any) -> None:
    document = {"method": [inject(target)]}
    with pytest.raises(InvalidError, match="injects latency without saying into what"):
        experiment.targets(steps(document, {}))


def test_every_http_provider_is_found_wherever_it_stands() -> None:
    document = {
        "configuration": {
            "host": "a.example",
            "x": {"type": "probe", **{"provider": HTTP["provider"]}},
        },
        "steady-state-hypothesis": {
            "probes": [{**HTTP, "tolerance": {"type": "probe", "provider": HTTP["provider"]}}]
        },
        "method": [{**HTTP, "controls": [{"provider": HTTP["provider"]}]}, inject("a")],
        "rollbacks": [HTTP],
    }
    found = experiment.urls(document, {"host": "a.example"})
    assert set(found.values()) == {"http://a.example/x"}
    assert len(found) == 6
    assert "experiment method[0]" in found


HOLDS = {
    "text": ("40s", 40.0),
    "a number of seconds": (3, 3.0),
    "no duration": ("soon", None),
    "nothing": (None, None),
}


@pytest.mark.parametrize("row", HOLDS.values(), ids=HOLDS.keys())
def test_how_long_a_fault_is_held(row: tuple[Any, float | None]) -> None:
    given, expected = row
    (step,) = steps({"method": [python("harness.faults", "hold", for_s=given)]}, {})
    assert step.hold_s == expected


def paused(before: Any, **pause: Any) -> dict[str, Any]:
    declared = {"type": "env", "key": "PAUSE", **pause}
    activity = {**inject("a"), "pauses": {"before": before, "after": 2}}
    return {"configuration": {"pause_s": declared}, "method": [activity]}


NUMBER = {"env_var_type": "float"}
#: The document, what a scenario sets, and the seconds of both pauses.
PAUSES: dict[str, tuple[dict[str, Any], dict[str, Any], float]] = {
    "a number": (paused(3), {}, 5.0),
    "a variable at its default": (paused("${pause_s}", **NUMBER, default="300"), {}, 302.0),
    "a variable that a scenario sets": (
        paused("${pause_s}", **NUMBER, default="300"),
        {"pause_s": 100},
        102.0,
    ),
    "a whole number": (paused("${pause_s}", env_var_type="int", default="3"), {}, 5.0),
    "a variable without a value": (paused("${pause_s}"), {}, 2.0),
    "a variable that only the run will know": (paused("${secret}"), {}, 2.0),
    "none": (paused(None), {}, 2.0),
}


@pytest.mark.parametrize("row", PAUSES.values(), ids=PAUSES.keys())
def test_how_long_an_activity_pauses(row: tuple[dict[str, Any], dict[str, Any], float]) -> None:
    document, given, expected = row
    (step,) = steps(document, given)
    assert step.pause_s == expected


NO_PAUSES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a duration with a unit": (
        paused("${pause_s}", **NUMBER),
        {"pause_s": "100s"},
        "pause_s: '100s' is no number, and the experiment declares it as one",
    ),
    "a default that is none": (
        paused("${pause_s}", env_var_type="int", default="soon"),
        {},
        "pause_s: 'soon' is no number",
    ),
    "a variable that is not declared to be a number": (
        paused("${pause_s}", default="300"),
        {},
        "'inject it' of the experiment pauses for '300', which is no number of seconds",
    ),
    "text": (paused("300"), {}, "pauses for '300'"),
    "less than nothing": (paused("${pause_s}", **NUMBER), {"pause_s": -1}, "pauses for -1.0"),
    "for ever": (paused("${pause_s}", **NUMBER), {"pause_s": "inf"}, "pauses for inf"),
}


@pytest.mark.parametrize("row", NO_PAUSES.values(), ids=NO_PAUSES.keys())
def test_what_would_break_the_run_at_its_pause_is_refused_before_it(
    row: tuple[dict[str, Any], dict[str, Any], str],
) -> None:
    document, given, words = row
    with pytest.raises(InvalidError, match=words):
        steps(document, given)


def test_only_what_is_declared_a_number_is_handed_over_as_one() -> None:
    document = paused("${pause_s}", **NUMBER)
    given = {"pause_s": 100, "count": 3, "hold": "5s"}
    assert experiment.set_by_scenario(document, given) == {
        "pause_s": 100.0,
        "count": "3",
        "hold": "5s",
    }


def test_the_environment_variables_that_it_names() -> None:
    env = {"type": "env", "key": "A"}
    document = {
        "configuration": {"x": env, "y": "text"},
        "secrets": {"shop": {"token": {"type": "env", "key": "B"}, "literal": "z"}, "odd": 3},
    }
    assert experiment.environment_names(document) == ("A", "B")


@pytest.mark.parametrize(
    "document",
    [
        {"method": ["x"]},
        {"method": [{"provider": 3}]},
        {"method": [{"ref": "y"}]},
        {"rollbacks": 3},
    ],
    ids=["a text", "a number", "a reference", "no list"],
)
def test_odd_documents_have_no_targets(document: dict[str, Any]) -> None:
    assert experiment.targets(steps(document, {})) == ()


PODS = {"api": 4, "store": 1}
WIDTHS: dict[str, tuple[dict[str, Any], dict[str, int], dict[str, int]]] = {
    "one pod": (python("harness.faults.pod_kill", "inject", target="api"), PODS, {}),
    "three pods": (
        python("harness.faults.pod_kill", "inject", target="api", count=3),
        PODS,
        {"api": 3},
    ),
    "three pods, said in text": (
        python("harness.faults.evict", "inject", target="api", count="3"),
        {},
        {"api": 3},
    ),
    "a share of the pods": (
        python("harness.faults.pod_kill", "inject", target="api", percent=60),
        PODS,
        {"api": 3},
    ),
    "a share of nobody knows how many": (
        python("harness.faults.pod_kill", "inject", target="api", percent=60),
        {},
        {},
    ),
    "a share of labels is of the largest": (
        python("harness.faults.pod_kill", "inject", target="app=x", percent=50),
        PODS,
        {"app=x": 2},
    ),
    "a node stands for every service": (
        python("harness.faults.drain", "inject", target="node/n1"),
        PODS,
        {"node/n1": 2},
    ),
    "a node without power stands for every service": (
        python("harness.faults.node_stop", "inject", target="node/n1"),
        PODS,
        {"node/n1": 2},
    ),
    "a namespace stands for every service": (
        python("harness.faults.quota", "inject", target="namespace/shop"),
        PODS,
        {"namespace/shop": 2},
    ),
    "a heal hits nobody": (
        python("harness.faults.pod_kill", "heal", target="api", count=3),
        PODS,
        {},
    ),
    "what is no number is for the fault to refuse": (
        python("harness.faults.pod_kill", "inject", target="api", count="many"),
        PODS,
        {},
    ),
}


@pytest.mark.parametrize("row", WIDTHS.values(), ids=WIDTHS.keys())
def test_how_much_a_target_stands_for(
    row: tuple[dict[str, Any], dict[str, int], dict[str, int]],
) -> None:
    activity, pods, widths = row
    found = steps({"method": [activity]}, {})
    assert experiment.widths(found, pods) == widths


EVERYWHERE: dict[str, tuple[list[dict[str, Any]], tuple[str, ...]]] = {
    "a drain": ([inject("jobs", "drain")], ("jobs",)),
    "a quota": ([inject("namespace/shop", "quota")], ("namespace/shop",)),
    "the pressure of a node": ([inject("api", "node_pressure")], ("api",)),
    "a node that only takes no new pods": ([inject("node/n1", "cordon")], ()),
    "many pods of one service": (
        [python("harness.faults.pod_kill", "inject", target="api", count=9)],
        (),
    ),
    "a heal": ([python("harness.faults.drain", "heal", target="jobs")], ()),
}


@pytest.mark.parametrize(("activities", "targets"), EVERYWHERE.values(), ids=EVERYWHERE)
def test_which_targets_stand_for_every_service(
    activities: list[dict[str, Any]], targets: tuple[str, ...]
) -> None:
    assert experiment.everywhere(steps({"method": activities}, {})) == targets
