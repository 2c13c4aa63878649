"""Stored runs as they enter a comparison: found by name or folder, verified, measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import baselines, store
from harness.errors import ExitCode, InvalidError
from harness.judge import Windows
from harness.measures import Measured, measures, of_baseline
from harness.model import Scenario
from harness.pairing import carried_over
from harness.stored_run import evidence_of
from harness.timeline import phases

BASELINE = "baseline"
#: Ends after which a run's numbers are no evidence, whatever they are.
VOID_ENDS = (ExitCode.ABORTED, ExitCode.ERROR, ExitCode.DIRTY, ExitCode.INVALID)
#: Reasons for which they are none. That a run failed, or could not decide, is none of these:
#: leaving such runs out would leave out the worse ones.
VOID_REASONS = frozenset(
    {
        "fault_not_applied",
        "fault_not_held",
        "impossible_times",
        "load_lost",
        "load_saturated",
        "metrics_lost",
        "no_load",
        "nothing_ran",
        "offered_load_low",
        "samples_missing",
        "worker_lost",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """A run read back: what it is compared by, the scenario it was of, and when it was what.

    ``zero`` is when its load began; None when it never did.
    """

    measured: Measured
    scenario: Scenario
    windows: Windows
    zero: float | None


def find_all(out: Path, names: Iterable[str]) -> tuple[Path, ...]:
    """The folders of runs named one by one, or by a folder that holds some; in order of time.

    Raises:
        InvalidError: A name fits no run, or a folder holds none.
    """
    found: dict[Path, None] = {}
    for name in names:
        folder = Path(name)
        if is_group(folder):
            inside = [p.parent for p in folder.glob(f"*/{store.PLAN}") if not p.parent.is_symlink()]
            if not inside:
                raise InvalidError(
                    f"The folder {folder} holds no run.", "Name a folder given with `run --out`."
                )
            found |= {path.resolve(): None for path in inside}
        else:
            found[store.find(out, name)] = None
    return tuple(sorted(found, key=lambda path: path.name))


def is_group(folder: Path) -> bool:
    """Whether this is a folder that is no run itself, and so may hold some."""
    try:
        return folder.is_dir() and not (folder / store.PLAN).is_file()
    except OSError:
        return False  # a name that no file can have


def read(path: Path, partner: StoredRun | None = None) -> StoredRun:
    """One stored run, measured; its samples are let go of again.

    Args:
        path: The run's folder.
        partner: The run whose phases, by time since the start of the load, are to be measured
            here; None for the run's own.

    Raises:
        InvalidError: It is damaged.
    """
    result = store.read_result(path)  # also compares every file with its digest
    evidence, _ = evidence_of(path)
    scenario, samples = evidence.scenario, evidence.samples
    windows = phases(evidence.events, evidence.faults, scenario.phases)
    zero = None if samples is None else samples.zero
    end = max((w.end for w in windows.values()), default=None)
    if partner is not None and partner.zero is not None and zero is not None and end is not None:
        windows = carried_over(partner.windows, partner.zero, zero, end)
    measured = Measured(
        run_id=result["run_id"],
        scenario=scenario.name,
        values=measures(evidence, windows),
        environment=result["environment"],
        candidate=result["candidate"],
        unusable=_unusable(result["verdict"]),
    )
    return StoredRun(measured=measured, scenario=scenario, windows=windows, zero=zero)


def _unusable(verdict: dict[str, Any]) -> str:
    """Why a run's numbers are no evidence; empty when they are."""
    code = ExitCode(verdict["exit_code"])
    void = [r["code"] for r in verdict["reasons"] if r["code"] in VOID_REASONS]
    if code in VOID_ENDS or void:
        return f"{code.name} ({', '.join(dict.fromkeys(void))})" if void else code.name
    return ""


def of_accepted(root: Path, scenario: str, key: str, but: Iterable[str]) -> tuple[Measured, ...]:
    """The accepted runs of a scenario in an environment, except those that are compared.

    Raises:
        InvalidError: There are none, or one is damaged.
    """
    left = frozenset(but)
    known = [r for r in baselines.accepted(root, scenario, key) if r.run_id not in left]
    if not known:
        others = ", ".join(baselines.environments(root, scenario)) or "none"
        raise InvalidError(
            f"No other accepted run of {scenario} in the environment {key}; accepted in: {others}.",
            "Accept a good run of this machine with `harness baseline accept RUN`.",
        )
    return tuple(of_baseline(run) for run in known)
