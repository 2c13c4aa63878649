"""The published schema of result.json: complete, described, and the same as its page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from harness.errors import ExitCode
from harness.model import Gate, Outcome, Phase, RecoveryFrom, Restoration, Termination, Unit
from harness.result import SCHEMA_VERSION

from .samples import STORIES, changed, fixed, tell

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "harness/schemas/result.schema.json").read_text())
PAGE = (ROOT / "docs/reference/result.md").read_text()
VALIDATOR = Draft202012Validator(SCHEMA)


def _fields(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, inner in schema.get("properties", {}).items():
        yield f"{path}{name}", inner
        yield from _fields(inner, f"{path}{name}.")
        if "items" in inner:
            yield from _fields(inner["items"], f"{path}{name}[].")


FIELDS = dict(_fields(SCHEMA))


def test_it_is_a_schema_of_this_version() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$id"] == f"urn:harness:result:{SCHEMA_VERSION}"


@pytest.mark.parametrize("name", STORIES)
def test_judged_results_are_valid(name: str) -> None:
    result, _ = tell(STORIES[name][0])
    assert [e.message for e in VALIDATOR.iter_errors(json.loads(json.dumps(result)))] == []


def test_the_fixed_sample_is_valid() -> None:
    assert list(VALIDATOR.iter_errors(fixed())) == []


def _add(path: str) -> Any:
    def change(result: dict[str, Any]) -> None:
        at: Any = result
        for key in path.split("."):
            at = at[0] if isinstance(at, list) else at
            at = at if key == "" else at[key]
        (at[0] if isinstance(at, list) else at)["surprise"] = 1

    return change


@pytest.mark.parametrize(
    "path", ["", "scenario", "verdict", "checks", "phases", "faults", "recovery", "alerts"]
)
def test_an_unknown_field_is_refused(path: str) -> None:
    (error,) = VALIDATOR.iter_errors(changed(_add(path)))
    assert "surprise" in error.message


@pytest.mark.parametrize("key", sorted(fixed()))
def test_a_missing_block_is_refused(key: str) -> None:
    def drop(result: dict[str, Any]) -> None:
        del result[key]

    (error,) = VALIDATOR.iter_errors(changed(drop))
    assert f"'{key}' is a required property" in error.message


def test_every_field_is_described_and_every_object_is_closed() -> None:
    for path, field in FIELDS.items():
        assert field.get("description", "").endswith("."), path
        if "properties" in field:
            assert field["additionalProperties"] is False, path
            assert field["required"] == list(field["properties"]), path


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("verdict.evidence", Outcome),
        ("verdict.termination", Termination),
        ("verdict.restoration", Restoration),
        ("checks[].outcome", Outcome),
        ("checks[].gate", Gate),
        ("checks[].unit", Unit),
        ("phases[].phase", Phase),
        ("recovery[].from", RecoveryFrom),
    ],
)
def test_words_are_those_of_the_model(path: str, words: type) -> None:
    assert set(FIELDS[path]["enum"]) == {str(word) for word in words}  # type: ignore[attr-defined]


def test_exit_codes_are_those_of_the_command() -> None:
    assert FIELDS["verdict.exit_code"]["enum"] == [int(code) for code in ExitCode]
    assert FIELDS["verdict.name"]["enum"] == [code.name for code in ExitCode]


def test_the_page_says_what_the_schema_says() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| .* \| (.*) \|$", PAGE, re.MULTILINE)
    assert dict(rows) == {path: field["description"] for path, field in FIELDS.items()}
    assert len(rows) == len(FIELDS)
