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
