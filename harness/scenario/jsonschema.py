"""The JSON Schema of the scenario file, for completion and checking in editors."""

from __future__ import annotations

import copy
from typing import Any

from harness.scenario.overlay import FIXED
from harness.scenario.schema import ScenarioFile
from harness.scenario.sections import OBJECTIVE_EXAMPLES, OBJECTIVE_HELP

Schema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"
IDENTIFIER = "urn:harness:scenario:1"


def json_schema() -> Schema:
    """The schema as JSON Schema 2020-12, built from the models."""
    schema = ScenarioFile.model_json_schema(by_alias=True)
    definitions: Schema = schema.pop("$defs")
    _allow_bare_lines(schema)
    _exclusive(schema, "experiment", "faults")
    _exclusive(definitions["Load"], "profile", "http")
    for definition in [schema, *definitions.values()]:
        _drop_null(definition)
    _tidy(schema)
    partial = {f"{name}Overlay": _partial(d) for name, d in definitions.items()}
    overlay = _partial({"type": "object", "additionalProperties": False, **schema})
    for name in FIXED:
        overlay["properties"].pop(name)
    overlay["title"] = "ProfileOverlay"
    overlay["description"] = "What a profile changes."
    schema["properties"]["profiles"]["additionalProperties"] = {"$ref": "#/$defs/ProfileOverlay"}
    definitions = {**definitions, **_reachable(overlay, partial), "ProfileOverlay": overlay}
    return {"$schema": DIALECT, "$id": IDENTIFIER, **schema, "$defs": definitions}


def _allow_bare_lines(schema: Schema) -> None:
    """An objective is a line, or a line with its gate."""
    line = {"type": "string", "minLength": 1}
    line |= {"description": OBJECTIVE_HELP, "examples": OBJECTIVE_EXAMPLES}
    objectives = schema["properties"]["objectives"]
    objectives["items"] = {"anyOf": [line, {"$ref": "#/$defs/GatedObjective"}]}


def _exclusive(schema: Schema, a: str, b: str) -> None:
    schema["oneOf"] = [{"required": [a]}, {"required": [b]}]


def _drop_null(definition: Schema) -> None:
    """A key is left out or has a value; pydantic's ``null`` only stands for left out."""
    for name, field in definition.get("properties", {}).items():
        branches = [b for b in field.get("anyOf", ()) if b != {"type": "null"}]
        if len(branches) == 1 and len(field["anyOf"]) == 2:
            del field["anyOf"]
            definition["properties"][name] = {**branches[0], **field}
        if definition["properties"][name].get("default", 0) is None:
            del definition["properties"][name]["default"]


def _tidy(schema: Schema) -> None:
    """Names that fit no pattern are unknown, and OpenAPI's ``discriminator`` means nothing here."""
    for field in schema["properties"].values():
        if "patternProperties" in field:
            field["additionalProperties"] = False
        field.get("items", {}).pop("discriminator", None)


def _partial(definition: Schema) -> Schema:
    """The same keys, none of them needed; mappings are merged, so they are partial as well."""
    found = copy.deepcopy(definition)
    found.pop("required", None)
    found.pop("oneOf", None)
    for field in found.get("properties", {}).values():
        field.pop("default", None)
        for holder in (field, *field.get("patternProperties", {}).values()):
            if isinstance(holder, dict) and "$ref" in holder:
                holder["$ref"] += "Overlay"
    return found


def _reachable(overlay: Schema, partial: Schema) -> Schema:
    """Definitions that the overlay refers to, itself or by way of another one."""
    found: Schema = {}
    waiting = [overlay]
    while waiting:
        text = str(waiting.pop())
        fresh = {name: d for name, d in partial.items() if f"'#/$defs/{name}'" in text}
        waiting += [d for name, d in fresh.items() if name not in found]
        found |= fresh
    return {name: d for name, d in partial.items() if name in found}
