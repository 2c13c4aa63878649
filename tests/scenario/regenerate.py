"""Writes what is generated from the scenario's models; run it after a wanted change.

.venv/bin/python tests/scenario/regenerate.py
"""

from __future__ import annotations

import json
from pathlib import Path

from harness.scenario import json_schema
from harness.scenario.reference import reference_markdown

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "harness" / "scenario" / "scenario.schema.json"
REFERENCE = ROOT / "docs" / "reference" / "scenario.md"
BEGIN, END = "<!-- keys: generated -->\n", "<!-- end of keys -->\n"


def schema_text() -> str:
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def reference_text(current: str) -> str:
    before, _, rest = current.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{reference_markdown()}\n{END}{after}"


if __name__ == "__main__":
    SCHEMA.write_text(schema_text())
    REFERENCE.write_text(reference_text(REFERENCE.read_text()))
