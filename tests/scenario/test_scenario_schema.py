"""The JSON Schema, its committed copy, and the reference page that follows it."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import jsonschema
import pytest
from goodtext import GOOD, INLINE, changed, problems
from regenerate import REFERENCE, SCHEMA, reference_text, schema_text
from ruamel.yaml import YAML

from harness.scenario import json_schema, parse
from harness.scenario.document import read
from harness.scenario.tree import plain

AGAIN = "run .venv/bin/python tests/scenario/regenerate.py"


def data(text: str) -> Any:
    node, found = read(text)
    assert node is not None
    assert not found
    return plain(node)


def refused_by_schema(text: str) -> bool:
    return not jsonschema.Draft202012Validator(json_schema()).is_valid(data(text))


def test_it_is_json_schema_2020_12() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == "urn:harness:scenario:1"


def test_the_committed_copy_is_current() -> None:
    assert json.loads(SCHEMA.read_text()) == json_schema(), AGAIN
    assert SCHEMA.read_text() == schema_text(), AGAIN


def test_building_it_twice_gives_the_same() -> None:
    first = copy.deepcopy(json_schema())
    assert json_schema() == first


def test_every_key_is_described_and_every_reference_leads_somewhere() -> None:
    schema = json_schema()
    for where, definition in [("", schema), *schema["$defs"].items()]:
        assert definition["title"], where
        assert definition["description"], where
        assert definition["additionalProperties"] is False, where
        for name, field in definition["properties"].items():
            assert field["description"], f"{where}.{name}"
    names = re.findall(r'"#/\$defs/(\w+)"', json.dumps(schema))
    assert set(names) == set(schema["$defs"])


@pytest.mark.parametrize("text", [GOOD, INLINE])
def test_it_accepts_what_is_accepted(text: str) -> None:
    jsonschema.Draft202012Validator(json_schema()).validate(data(text))
    assert problems(text) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("arrivals: 100/s", "arrivals: ${RATE:-100/s}"),
        ("arrivals: 100/s", "arrivals: 1.5 / m"),
        ("timeout: 2s", "timeout: .5 s"),
        ("load: {arrivals: 20/s}", "{}"),
        ("load: {arrivals: 20/s}", "slis: {lag: {query: up}}"),
    ],
)
def test_it_accepts_these_as_well(old: str, new: str) -> None:
    assert not refused_by_schema(changed(GOOD, old, new))
    assert problems(changed(GOOD, old, new)) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version: 1", "version: 2"),
        ("  timeout: 2s\n", ""),
        ("timeout: 2s", "timeout: 2"),
        ("arrivals: 100/s", "arrivals: 100"),
        ("driver: local", "driver: compse"),
        ("driver: local", "dirver: local"),
        ("{query: sum(kafka_consumer_lag)}", "{query: a, good: b}"),
        ("lag: {query", "a b: {query"),
        ("with: {hold: 20s}", "faults: []"),
        ("  profile: loadtests/orders.py\n", ""),
        ("lag < 100 at end", "{check: lag < 100 at end, gate: wran}"),
        ("load: {arrivals: 20/s}", "load: {arivals: 20/s}"),
        ("load: {arrivals: 20/s}", "name: other"),
    ],
)
def test_it_refuses_what_is_refused(old: str, new: str) -> None:
    assert refused_by_schema(changed(GOOD, old, new))
    assert problems(changed(GOOD, old, new)) != []


def test_the_examples_of_the_schema_fit_it() -> None:
    schema = json_schema()
    for definition in [schema, *schema["$defs"].values()]:
        for field in definition["properties"].values():
            checked = {"$defs": schema["$defs"], **field}
            for example in field.get("examples", ()):
                jsonschema.Draft202012Validator(checked).validate(example)


def test_the_reference_page_is_current() -> None:
    page = REFERENCE.read_text()
    assert page == reference_text(page), AGAIN


def examples() -> list[str]:
    return re.findall(r"<!-- example: \w+ -->\n```yaml\n(.*?)```", REFERENCE.read_text(), re.DOTALL)


@pytest.mark.parametrize("text", examples())
def test_the_examples_of_the_page_are_scenarios(text: str) -> None:
    for profile in (None, *YAML(typ="safe").load(text).get("profiles", {})):
        parse(text, path="x.yaml", environment={}, exists=lambda _: True, profile=profile)
    jsonschema.Draft202012Validator(json_schema()).validate(data(text))


def test_the_examples_of_the_page_show_every_key_that_is_available() -> None:
    shown = set().union(*(data(text) for text in examples()))
    assert set(json_schema()["properties"]) <= shown
