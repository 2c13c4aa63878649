"""The scenario file: YAML text in, a checked scenario or all of its problems out. Pure."""

from harness.scenario.jsonschema import json_schema
from harness.scenario.parse import parse
from harness.scenario.planned import undecidable

__all__ = ["json_schema", "parse", "undecidable"]
