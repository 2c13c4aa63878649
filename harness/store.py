"""The run's folder: every stage a file, none overwritten, all of it enough to judge again.

``manifest.json`` holds a digest of each file that judging reads; what does not match is
refused, never used.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from harness.alerting import AlertFacts, Delivery, RuleTiming
from harness.durability.reconciliation import Copy, Found, ReplicaRead
from harness.durability.stores import stored_ledger
from harness.errors import InvalidError, StoreError
from harness.evidence import BaselineRun, Evidence
from harness.files import private_folder, write_durably
from harness.model import Activity, Event, FaultRecord, Scenario
from harness.redaction import Redactor
from harness.result import Facts
from harness.samples import LoadSamples
from harness.slis import Series

PLAN = "plan.json"
SCENARIO = "scenario.resolved.yaml"
EVENTS = "events.jsonl"
SAMPLES = "samples"
SERIES = "samples/series.json"
FAULTS = "faults.json"
BASELINES = "baselines.json"
WRITES = "writes"
FOUND = "writes/found.json"
RESULT = "result.json"
MANIFEST = "manifest.json"
LATEST = "latest"
SEALED = (RESULT, PLAN, SCENARIO, EVENTS, SERIES, FAULTS, BASELINES)


class RunFolder:
    """One run's folder, opened for writing; no secret gets into it.

    Args:
        path: The folder.
        redactor: Knows the secrets.
    """

    def __init__(self, path: Path, redactor: Redactor | None = None) -> None:
        self.path = path
        self._redactor = redactor or Redactor()
        handle_flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._events = os.open(path / EVENTS, handle_flags, 0o600)

    @property
    def run_id(self) -> str:
        """The folder's name is the run's id."""
        return self.path.name

    def event(self, event: Event) -> None:
        """Append one event and force it to the disk.

        Raises:
            StoreError: The disk refused.
        """
        data = self._redactor.data(dict(event.data))
        line = json.dumps({"at": event.at, "kind": event.kind, "data": data})
        try:
            os.write(self._events, line.encode() + b"\n")
            os.fsync(self._events)
        except OSError as error:
            raise StoreError(
                f"Cannot append to {self.path / EVENTS}: {error.strerror}.",
                "Free some space; the evidence of this run is incomplete.",
            ) from error

    def write(self, name: str, data: bytes) -> None:
        """Write one file, whole and durably.

        Raises:
            StoreError: The disk refused.
        """
        path = self.path / name
        private_folder(path.parent)
        kept = self._redactor.raw(data)
        if kept != data and path.suffix == ".json":
            kept = _json(self._redactor.data(json.loads(data)))  # a secret may be a number there
        write_durably(path, kept)

    def close(self) -> None:
        """Close the event log."""
        os.close(self._events)


def create(
    out: Path, scenario_name: str, now: float, redactor: Redactor | None = None
) -> RunFolder:
    """Make a new run folder and point ``latest`` at it.

    Raises:
        InvalidError: The results folder cannot be made or written.
    """
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H%M%SZ")
    # Absolute, because the children of a run work in folders of their own.
    path = out.resolve() / f"{stamp}-{scenario_name}-{secrets.token_hex(3)}"
    try:
        private_folder(path)
        folder = RunFolder(path, redactor)
        pending = out / f".{LATEST}.{secrets.token_hex(4)}"
        pending.symlink_to(path.name)
        pending.replace(out / LATEST)
    except (StoreError, OSError) as error:
        raise InvalidError(
            f"The results folder {out} cannot be used: {error}.",
            "Name another one with --out.",
        ) from error
    return folder


def find(out: Path, name: str) -> Path:
    """A run's folder by path, id, unique part of its id, or ``latest``.

    Raises:
        InvalidError: There is none, or several match.
    """
    for candidate in (Path(name), out / name):
        if os.path.isfile(candidate / PLAN):  # noqa: PTH113 - False for names no file can have
            return candidate.resolve()
    known = sorted(p.parent.name for p in out.glob(f"*/{PLAN}") if name in p.parent.name)
    known = [run for run in known if run != LATEST]
    if len(known) == 1:
        return (out / known[0]).resolve()
    what = "no run" if not known else f"several runs ({', '.join(known[-5:])})"
    raise InvalidError(f"{name!r} names {what} in {out}.", "Give a run's folder, id, or `latest`.")


def scenario_text(document: Mapping[str, Any]) -> str:
    """Plain data as a YAML file."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    stream = io.StringIO()
    yaml.dump(dict(document), stream)
    return stream.getvalue()


def save_evidence(folder: RunFolder, evidence: Evidence) -> None:
    """Write what :func:`load_evidence` needs beside what the run has written already.

    Raises:
        StoreError: The disk refused.
    """
    series = {
        "slis": {name: _series_out(s) for name, s in evidence.series.items()},
        "alerts": {name: _series_out(s) for name, s in evidence.alerts.items()},
        "alerting": {name: asdict(facts) for name, facts in evidence.alerting.items()},
    }
    faults = {
        "records": [asdict(f) for f in evidence.faults],
        "unreadable": list(evidence.unreadable),
        "activities": [asdict(a) for a in evidence.activities],
        "load_intact": evidence.samples is not None and evidence.samples.intact,
    }
    if evidence.scenario.durability:
        folder.write(FOUND, _json({name: asdict(f) for name, f in evidence.found.items()}))
    baselines = [
        {"run_id": b.run_id, "values": [[o, p, v] for (o, p), v in sorted(b.values.items())]}
        for b in evidence.baselines
    ]
    compared = {"runs": baselines, "elsewhere": list(evidence.elsewhere)}
    found = compared if evidence.elsewhere else baselines
    for name, data in ((SERIES, series), (FAULTS, faults), (BASELINES, found)):
        folder.write(name, _json(data))


def load_evidence(
    path: Path, scenario: Scenario, samples: LoadSamples | None
) -> tuple[Evidence, Facts]:
    """The evidence of a stored run.

    Args:
        path: The run's folder.
        scenario: Parsed from its ``scenario.resolved.yaml``.
        samples: Read from its ``samples`` folder.

    Raises:
        InvalidError: A file is missing or damaged.
    """
    try:
        plan = _read(path / PLAN)
        compared = _read(path / BASELINES)
        compared = compared if isinstance(compared, dict) else {"runs": compared, "elsewhere": []}
        series, faults = _read(path / SERIES), _read(path / FAULTS)
        lines = (path / EVENTS).read_text().splitlines()
        events = tuple(Event(**json.loads(line)) for line in lines)
        evidence = Evidence(
            scenario=scenario,
            events=events,
            samples=samples,
            series={name: _series_in(name, s) for name, s in series["slis"].items()},
            alerts={name: _series_in(name, s) for name, s in series["alerts"].items()},
            alerting={n: _facts_in(f) for n, f in series.get("alerting", {}).items()},
            faults=tuple(FaultRecord(**f) for f in faults["records"]),
            unreadable=tuple(faults["unreadable"]),
            activities=tuple(Activity(**a) for a in faults["activities"]),
            baselines=tuple(_baseline_in(b) for b in compared["runs"]),
            elsewhere=tuple(compared["elsewhere"]),
            ledger=stored_ledger(path / WRITES),
            found=_found(path) if scenario.durability else {},
            repeats=int(plan.get("repeats", 1)),
        )
        return evidence, facts_of(plan)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(path, error) from error


def load_was_intact(path: Path) -> bool:
    """Whether the load generator of a stored run lived to its end."""
    try:
        return bool(_read(path / FAULTS)["load_intact"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(path, error) from error


def read_plan(path: Path) -> dict[str, Any]:
    """The plan of a stored run.

    Raises:
        InvalidError: It is missing or damaged.
    """
    try:
        plan: dict[str, Any] = _read(path / PLAN)
    except (OSError, ValueError) as error:
        raise damaged(path, error) from error
    return plan


def facts_of(plan: Mapping[str, Any]) -> Facts:
    """What surrounds a run, from its plan."""
    return Facts(
        run_id=plan["run_id"], environment=plan["environment"], candidate=plan["candidate"]
    )


def read_result(path: Path) -> dict[str, Any]:
    """The stored result of a run.

    Raises:
        InvalidError: It is missing, truncated, or not what was written.
    """
    try:
        verify(path)
        result: dict[str, Any] = _read(path / RESULT)
    except (OSError, ValueError) as error:
        raise damaged(path, error) from error
    return result


def seal(path: Path) -> None:
    """Write the digests of everything that judging and reporting read.

    Raises:
        StoreError: A file is missing or the disk refused.
    """
    try:
        digests = {name: _digest(path / name) for name in _to_seal(path)}
    except OSError as error:
        raise StoreError(f"Cannot read back {error.filename}: {error.strerror}.") from error
    write_durably(path / MANIFEST, _json(digests))


def _to_seal(path: Path) -> list[str]:
    found = (path / SAMPLES).glob("load.*")
    writes = (f"{WRITES}/{p.name}" for p in (path / WRITES).glob("*.json*"))
    return [*SEALED, *sorted(f"{SAMPLES}/{p.name}" for p in found), *sorted(writes)]


def verify(path: Path) -> None:
    """Compare every sealed file with its digest.

    Raises:
        InvalidError: The run was never sealed, or a file is not what was written.
    """
    try:
        digests = dict(_read(path / MANIFEST))
    except (OSError, ValueError, TypeError) as error:
        raise damaged(path, error) from error
    unsealed = [name for name in _to_seal(path) if name not in digests]
    if unsealed:
        raise damaged(path, ValueError(f"{MANIFEST} does not name {', '.join(unsealed)}"))
    for name, digest in digests.items():
        target = path / name
        if not target.is_file() or _digest(target) != digest:
            raise InvalidError(
                f"{target} is not what the run wrote; it may be truncated or edited.",
                "Restore it, or run the scenario again; it is not used as evidence.",
            )


def damaged(path: Path, error: Exception) -> InvalidError:
    """The error for a run folder that cannot be used as evidence."""
    return InvalidError(
        f"The run folder {path} is incomplete or damaged ({type(error).__name__}: {error}).",
        "Restore it, or run the scenario again; it is not used as evidence.",
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _json(data: Any) -> bytes:
    return (json.dumps(data, indent=1, allow_nan=False) + "\n").encode()


def _read(path: Path) -> Any:
    return json.loads(path.read_text())


#: Runs that were stored before recovery was judged by Prometheus do not have these.
_LATER = ("scraped", "reach_s")


def _series_out(series: Series) -> dict[str, Any]:
    points = [[t, _text(v)] for t, v in series.points]
    left_out = [[t, _text(v), code] for t, v, code in series.left_out]
    raw = {**asdict(series), "points": points, "left_out": left_out}
    return {key: value for key, value in raw.items() if key not in _LATER or value}


def _text(value: float) -> float | str:
    """JSON has no word for what is not a finite number."""
    return value if math.isfinite(value) else repr(value)


def _series_in(name: str, raw: Mapping[str, Any]) -> Series:
    return Series(
        name=name,
        points=tuple((t, float(v)) for t, v in raw["points"]),
        step_s=raw["step_s"],
        left_out=tuple((t, float(v), code) for t, v, code in raw["left_out"]),
        bounds=tuple((t, low, high) for t, low, high in raw["bounds"]),
        scraped=tuple((t, oldest, newest) for t, oldest, newest in raw.get("scraped", ())),
        reach_s=raw.get("reach_s", 0.0),
        warnings=tuple(raw["warnings"]),
        problem=raw["problem"],
        problem_code=raw["problem_code"],
    )


def _facts_in(raw: Mapping[str, Any]) -> AlertFacts:
    return AlertFacts(
        timing=None if raw["timing"] is None else RuleTiming(**raw["timing"]),
        pending=tuple(raw["pending"]),
        deliveries=tuple(Delivery(**one) for one in raw["deliveries"]),
        unreceived=raw["unreceived"],
    )


def _found(path: Path) -> dict[str, Found]:
    """What was read back of each series of writes."""
    return {
        name: Found(**f | {"copies": _copies_in(f), "replicas": _replicas_in(f)})
        for name, f in _read(path / FOUND).items()
    }


def _copies_in(raw: Mapping[str, Any]) -> tuple[Copy, ...]:
    return tuple(Copy(**copy) for copy in raw["copies"])


def _replicas_in(raw: Mapping[str, Any]) -> tuple[ReplicaRead, ...]:
    reads = raw.get("replicas", ())
    return tuple(ReplicaRead(**read | {"copies": _copies_in(read)}) for read in reads)


def _baseline_in(raw: Mapping[str, Any]) -> BaselineRun:
    values = {(objective, phase): value for objective, phase, value in raw["values"]}
    return BaselineRun(run_id=raw["run_id"], values=values)
