"""What was found in a cell: a record that can be written, read back and judged. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from harness.errors import ExitCode, InvalidError

#: In place of a verdict, where there is none.
NOT_RUN = "not run"
VERDICTS = (*(code.name for code in ExitCode), NOT_RUN)
CHECKS_SHOWN = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where it was run; the load average is that of the last minute before the start."""

    cores: int
    load_average: float
    python: str
    system: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One run of one cell, or why there was none.

    Args:
        cell: Its id.
        date: When it was started: UTC, ISO 8601, seconds.
        commit: What was checked out; with ``+`` behind it where files were changed.
        machine: Where.
        verdict: One of :data:`VERDICTS`.
        exit_code: Of ``harness run``; None where it was not started.
        reasons: Codes of the verdict's reasons; the reason in words where it was not run.
        figures: The few numbers that matter, as texts, in the order to be shown.
        digests: What the cell depended on, by part: see ``digests``.
        seconds: How long all of it took, the platform's start included.
        profile: Overlay of the scenario, or empty.
    """

    cell: str
    date: str
    commit: str
    machine: Machine
    verdict: str
    exit_code: int | None
    reasons: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    profile: str = ""

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise InvalidError(f"{self.cell}: {self.verdict!r} is not one of {', '.join(VERDICTS)}")
        if (self.exit_code is None) != (self.verdict == NOT_RUN):
            raise InvalidError(
                f"{self.cell}: {self.verdict} cannot have exit code {self.exit_code}"
            )
        if self.exit_code is not None and ExitCode[self.verdict] != self.exit_code:
            raise InvalidError(f"{self.cell}: exit code {self.exit_code} is not {self.verdict}")
        if self.verdict == NOT_RUN and not self.reasons:
            raise InvalidError(f"{self.cell}: not run, and nothing says why")


def plain(record: Record) -> dict[str, Any]:
    """The record as JSON-ready data."""
    return asdict(record)


def from_plain(found: Any) -> Record:
    """The record that was written.

    Raises:
        InvalidError: It is none.
    """
    if not isinstance(found, dict):
        raise InvalidError("a record must be an object")
    known = {f.name for f in fields(Record)}
    try:
        if unknown := found.keys() - known:
            raise InvalidError(f"keys {', '.join(sorted(unknown))} are not known")
        lists = {key: tuple(found.get(key, ())) for key in ("reasons", "figures")}
        return Record(**{**found, **lists, "machine": Machine(**found["machine"])})
    except (TypeError, KeyError) as error:
        raise InvalidError(f"it is no record: {error}") from error


def latest(records: Sequence[Record]) -> Record | None:
    """What stands for the cell: its last verdict; why it was not run only if it never had one."""
    run = [record for record in records if record.verdict != NOT_RUN]
    known = run or list(records)
    return known[-1] if known else None


def figures(result: Mapping[str, Any]) -> tuple[str, ...]:
    """The figures that matter of a ``result.json``, as texts.

    First how many checks passed, and the first two that failed, or the first that is undecided;
    then recoveries, what was lost or doubled, and how long alerts took.
    """
    return (*_checks(result), *_recoveries(result), *_writes(result), *_alerts(result))


def _checks(result: Mapping[str, Any]) -> list[str]:
    checks = result.get("checks") or []
    failed = [c for c in checks if c["outcome"] == "fail"]
    open_ones = [c for c in checks if c["outcome"] == "inconclusive"]
    passed = sum(c["outcome"] == "pass" for c in checks)
    said = [f"{passed} of {len(checks)} checks pass"]
    said += [f"{_named(c)} fails: {c['because']}" for c in failed[:CHECKS_SHOWN]]
    if (more := len(failed) - CHECKS_SHOWN) > 0:
        said.append(f"{more} more fail")
    if open_ones and not failed:
        said.append(f"{_named(open_ones[0])} is undecided: {open_ones[0]['because']}")
    return said


def _named(check: Mapping[str, Any]) -> str:
    phase = check.get("phase")
    objective = str(check["objective"]).partition(" during ")[0]
    return f"`{objective}`" + (f" in {phase}" if phase else "")


def _recoveries(result: Mapping[str, Any]) -> list[str]:
    found = []
    for recovery in result.get("recovery") or ():
        low, high = recovery.get("low"), recovery.get("high")
        if recovery.get("state") == "not_recovered":
            found.append(f"{recovery['sli']} did not recover")
        elif low is not None and high is not None:
            found.append(
                f"{recovery['sli']} well {low:.1f} to {high:.1f} s from {recovery['from']}"
            )
        else:
            state = str(recovery.get("state", "unknown")).replace("_", " ")
            found.append(f"recovery of {recovery['sli']}: {state}")
    return found


def _writes(result: Mapping[str, Any]) -> list[str]:
    found = []
    for series in result.get("durability") or ():
        if series.get("acknowledged") is None:
            found.append(f"{series['name']}: not counted")
        else:
            found.append(
                f"{series['name']}: {series['acknowledged']} acknowledged, {series['lost']} lost, "
                f"{series['duplicated']} doubled"
            )
    return found


def _alerts(result: Mapping[str, Any]) -> list[str]:
    found = []
    for alert in result.get("alerts") or ():
        after = alert.get("seconds_to_fire")
        if after is not None:
            found.append(f"{alert['name']} fired after {after:.1f} s")
        elif alert.get("expected"):
            found.append(f"{alert['name']} did not fire")
    return found
