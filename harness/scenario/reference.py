"""The keys of the scenario file as Markdown tables, generated so that they cannot drift."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.scenario.fields import (
    DURATION_PATTERN,
    RATE_PATTERN,
    REQUEST_PATTERN,
    SHARE_PATTERN,
)
from harness.scenario.jsonschema import json_schema
from harness.scenario.notyet import NOT_YET

Schema = dict[str, Any]
_KINDS = {
    DURATION_PATTERN: "duration",
    RATE_PATTERN: "rate",
    REQUEST_PATTERN: "request",
    SHARE_PATTERN: "percentage",
}
_PLAIN = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "array": "list",
    "object": "mapping",
}


def reference_markdown() -> str:
    """One table for the file and one for each of its sections, then what is not available."""
    schema = json_schema()
    parts = ["### The file", "", *_table(schema)]
    for name, definition in schema["$defs"].items():
        if not name.endswith("Overlay"):
            parts += ["", f"### {name}", "", definition["description"], "", *_table(definition)]
    parts += ["", "### Not available in this version", ""]
    parts += ["Refused with a message at their place, never ignored:", ""]
    parts += [f"- {what}" for what in NOT_YET]
    return "\n".join(parts) + "\n"


def _table(definition: Schema) -> Iterator[str]:
    yield "| key | type | default | meaning | example |"
    yield "| --- | --- | --- | --- | --- |"
    required = definition.get("required", [])
    for name, field in definition["properties"].items():
        default = "required" if name in required else _default(field)
        cells = (f"`{name}`", _kind(field), default, field["description"], _example(field))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(field: Schema) -> str:
    default = field.get("default")
    return f"`{default}`" if default not in (None, {}, []) else ""


def _example(field: Schema) -> str:
    example = field.get("examples", [None])[0]
    return f"`{example}`" if isinstance(example, str | int) else ""


def _kind(field: Schema) -> str:
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        # An overlay has the keys of the file itself; it has no table of its own.
        return "any keys of the file" if name.endswith("Overlay") else f"[{name}](#{name.lower()})"
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    for several in ("anyOf", "oneOf"):
        if several in field:
            return " or ".join(_kind(branch) for branch in field[several])
    if "items" in field:
        return f"list of {_kind(field['items'])}"
    values = [*field.get("patternProperties", {}).values(), field.get("additionalProperties")]
    if isinstance(values[0], dict):
        return f"mapping of names to {_kind(values[0])}"
    if field.get("pattern") in _KINDS:
        return _KINDS[field["pattern"]]
    kinds = field["type"] if isinstance(field["type"], list) else [field["type"]]
    text = " or ".join(_PLAIN[kind] for kind in kinds)
    if "minimum" in field:
        text += f" from {field['minimum']:,} to {field['maximum']:,}"
    return text
