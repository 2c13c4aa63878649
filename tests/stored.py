"""A synthetic run as a real one is stored: judged, documented, sealed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import store
from harness.arrival_text import show as show_arrivals
from harness.cli.documents import render_all
from harness.conclusion import Conclusion, conclude
from harness.durability import ledger
from harness.evidence import Evidence
from harness.load.plan import LoadPlan
from harness.model import FaultSpec
from harness.scenario.resolve import resolved
from tests.builders import HOLD_S, ZERO, good_evidence, scenario

PLAN: dict[str, Any] = {
    "scenario_path": "scenarios/demo.yaml",
    "environment": {"key": "env-1", "driver": "local", "noted": {}},
    "candidate": {"commit": "c0ffee", "dirty": False, "packages": {}},
}


def evidence(**changes: Any) -> Evidence:
    asked = {"latency_ms": 500}
    fault = FaultSpec(kind="latency", target="gateway->db", hold_s=HOLD_S, parameters=asked)
    return good_evidence(**{"scenario": scenario(faults=(fault,))} | changes)


def write(
    out: Path,
    found: Evidence,
    folder: store.RunFolder | None = None,
    surroundings: Mapping[str, Any] = PLAN,
) -> tuple[store.RunFolder, Conclusion]:
    """The folder of one run, complete and closed."""
    folder = folder or store.create(out, "demo", ZERO)
    plan = {"run_id": folder.run_id, **surroundings}
    folder.write(store.PLAN, json.dumps(plan).encode())
    folder.write(store.SCENARIO, store.scenario_text(resolved(found.scenario)).encode())
    for event in found.events:
        folder.event(event)
    if found.samples is not None:
        load = LoadPlan(
            folder="x",
            arrivals=show_arrivals(found.samples.schedule.plan),
            timeout_s=2.0,
            users=500,
            seed=1,
        ).dump()
        header = {"zero": found.samples.zero, "mode": "open", "plan": load}
        names = [{"kind": int(s.kind), "name": s.name} for s in found.samples.series]
        folder.write("samples/load.json", json.dumps(header).encode())
        folder.write("samples/load.names", b"".join(json.dumps(n).encode() + b"\n" for n in names))
        folder.write("samples/load.bin", found.samples.records.tobytes())
    if found.ledger is not None:
        folder.write("writes/ledger.0.jsonl", ledger.written(found.ledger.attempts, "golden"))
    store.save_evidence(folder, found)
    conclusion = conclude(found, store.facts_of(plan))
    for name, data in render_all(conclusion).items():
        folder.write(name, data)
    store.seal(folder.path)
    folder.close()
    return folder, conclusion
