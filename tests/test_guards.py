"""What a repository allows, and how it says no."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.errors import InvalidError
from harness.guards import Guards, parse, refuse
from harness.model import Scenario, StackSpec
from harness.scenario import parse as parse_scenario

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
    "no stack allowed": ({"guards": {"stacks": []}}, Guards(stacks=())),
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
        "harness.toml: unknown key 'guards.zzz'. Known: stacks, max_targets, max_rate.",
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


def test_everything_that_stands_against_a_run_is_said_at_once() -> None:
    guards = Guards(stacks=(), max_rate_per_s=1)
    with pytest.raises(InvalidError) as caught:
        refuse(guards, scenario(), ("a", "b"))
    assert str(caught.value).count(";") == 2


@pytest.mark.parametrize("targets", [(), ("a",)], ids=["nothing to break", "one target"])
def test_a_run_within_the_guards_passes(targets: tuple[str, ...]) -> None:
    refuse(Guards(max_rate_per_s=200), scenario(), targets)
