"""Pairs of runs, old and new in turn: planned before the first, continued after a break."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import store
from harness.chaos import ChaosToolkit
from harness.cli import running, words
from harness.cli.comparing import Terms, asked_of, tell
from harness.cli.measured import StoredRun, read
from harness.cli.project import parse_all, permitted, root_of
from harness.comparison import compare_pairs
from harness.conclusion import Conclusion
from harness.errors import ExitCode, InvalidError, StoreError
from harness.files import private_folder, write_durably
from harness.findings import Comparison
from harness.measures import Measured
from harness.model import Scenario
from harness.pairing import Arm, Half, planned, without_fault
from harness.report.comparison import document

PLAN, PROGRESS, RESULT = "interleave.json", "progress.jsonl", "comparison.json"
FOLDER = "comparisons"  #: inside the folder of the run folders
FEWEST, MOST = 2, 1000
STOPPING = (ExitCode.DIRTY, ExitCode.ABORTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything decided before the first run; ``digests`` are of the files as they were then."""

    files: Mapping[Arm, str]
    settings: Mapping[Arm, tuple[str, ...]]
    digests: Mapping[Arm, str]
    control: bool
    halves: tuple[Half, ...]
    terms: Mapping[str, Any]


def start(
    files: Sequence[str],
    pairs: int,
    settings: tuple[tuple[str, ...], tuple[str, ...]],
    terms: Terms,
    *,
    control: bool,
) -> int:
    """Plan the pairs, write the plan down, run them, and compare.

    Args:
        files: The old scenario and the new one; with a control arm the one that breaks something.
        pairs: How many.
        settings: ``key.path=value`` over the old file, and over the new one.
        terms: What counts, where the runs go, and how to print.
        control: Whether the old side is the same scenario without its fault.

    Raises:
        InvalidError: Not two files (one with a control arm), or one is wrong.
    """
    wanted = 1 if control else 2
    if len(files) != wanted:
        option = "--control needs one scenario" if control else "--interleave needs two, old new"
        raise InvalidError(f"{option}, not {len(files)}.")
    if not FEWEST <= pairs <= MOST:
        raise InvalidError(f"--pairs {pairs} must be {FEWEST} to {MOST}.")
    by_arm = {Arm.OLD: files[0], Arm.NEW: files[-1]}
    plan = Plan(
        files=by_arm,
        settings=dict(zip(Arm, settings, strict=True)),
        digests={arm: _digest(Path(name)) for arm, name in by_arm.items()},
        control=control,
        halves=planned(
            [secrets.randbelow(2**31) for _ in range(pairs)],
            [secrets.randbelow(2) == 1 for _ in range(pairs)],
        ),
        terms={
            "margin": terms.margin,
            "points": terms.points,
            "metrics": list(terms.metrics),
            "out": str(terms.out.resolve()),
        },
    )
    _scenarios(plan)  # all that is wrong with them, before anything is written or touched
    folder = _new_folder(terms.out, by_arm)
    write_durably(folder / PLAN, (json.dumps(_written(plan), indent=2) + "\n").encode())
    words.note(f"{pairs} pairs are planned in {folder}")
    return _go_on(folder, plan, terms)


def resume(folder: Path, terms: Terms) -> int:
    """Go on with pairs that were interrupted: the plan is what it was.

    Raises:
        InvalidError: The folder holds no plan, or a scenario file is not what was planned.
    """
    plan = _read_plan(folder)
    for arm, name in plan.files.items():
        if _digest(Path(name)) != plan.digests[arm]:
            raise InvalidError(
                f"{name} is not what it was when the pairs in {folder} were planned.",
                "Restore it, or begin anew with --interleave.",
            )
    planned_terms = Terms(
        out=Path(plan.terms["out"]),
        output=terms.output,
        margin=plan.terms["margin"],
        points=plan.terms["points"],
        metrics=tuple(plan.terms["metrics"]),
        everything=terms.everything,
    )
    return _go_on(folder, plan, planned_terms)


def _go_on(folder: Path, plan: Plan, terms: Terms) -> int:
    """Run what is not run yet, pair by pair; nothing is compared before all are."""
    scenarios = _scenarios(plan)
    done = _progress(folder)
    last = max(half.pair for half in plan.halves)
    for number in range(1, last + 1):
        halves = [half for half in plan.halves if half.pair == number]
        if _whole(done, number):
            continue
        attempt = 1 + max((d["attempt"] for d in done if d["pair"] == number), default=0)
        for half in halves:  # a pair that was torn apart is run again, whole
            code, run_id = _run_half(half, scenarios[half.arm], plan, terms)
            entry = {
                "pair": number,
                "attempt": attempt,
                "arm": str(half.arm),
                "run_id": run_id,
                "exit_code": int(code),
            }
            _append(folder / PROGRESS, entry)
            done.append(entry)
            words.note(f"pair {number} of {last}, {half.arm}: {code.name}, run {run_id}")
            if code in STOPPING:
                words.note(f"Stopped; go on with `harness compare --resume {folder}`.")
                return code
    found, runs = _compared(done, plan, terms)
    asked = asked_of(runs, terms)
    told = document(found, asked) | {"control": plan.control}
    write_durably(folder / RESULT, (json.dumps(told, indent=2) + "\n").encode())
    code = ExitCode(tell(found, asked, terms))
    words.note(f"the comparison: {folder / RESULT}")
    if plan.control and code == ExitCode.FAIL:
        return ExitCode.PASS  # that a fault does harm is what was measured, not a regression
    return code


def _run_half(half: Half, scenario: Scenario, plan: Plan, terms: Terms) -> tuple[ExitCode, str]:
    """One run as `harness run` would do it, told in a line."""
    request = running.Request(
        files=(Path(plan.files[half.arm]),),
        overrides=plan.settings[half.arm],
        out=terms.out,
        seed=half.seed,
    )
    folder = store.create(terms.out, scenario.name, time.time(), words.kept())
    told: list[Conclusion] = []
    try:
        running.execute(scenario, request, folder, permitted(scenario), told.append)
    finally:
        folder.close()
    return ExitCode(told[0].result["verdict"]["exit_code"]), folder.run_id


def _compared(
    done: Sequence[Mapping[str, Any]], plan: Plan, terms: Terms
) -> tuple[Comparison, list[StoredRun]]:
    """The pairs as they were run last; halves of torn pairs are named as left out."""
    pairs: list[tuple[Measured, Measured]] = []
    news: list[StoredRun] = []
    used = set()
    for number in range(1, max(half.pair for half in plan.halves) + 1):
        ids = _latest(done, number)
        used |= set(ids.values())
        new = read(store.find(terms.out, ids[Arm.NEW]))
        old = read(store.find(terms.out, ids[Arm.OLD]), new if plan.control else None)
        pairs.append((new.measured, old.measured))
        news.append(new)
    torn = [(d["run_id"], "its pair was interrupted") for d in done if d["run_id"] not in used]
    terms_met = asked_of(news, terms)
    return compare_pairs(pairs, terms_met, also_left_out=tuple(torn)), news


def _whole(done: Sequence[Mapping[str, Any]], pair: int) -> bool:
    """Whether both halves of a pair were run in one go, however they ended by themselves."""
    mine = set(_latest(done, pair).values())
    stopped = [d for d in done if d["run_id"] in mine and d["exit_code"] in STOPPING]
    return len(mine) == len(Arm) and not stopped


def _latest(done: Sequence[Mapping[str, Any]], pair: int) -> dict[Arm, str]:
    """The runs of a pair's last attempt, by side."""
    mine = [d for d in done if d["pair"] == pair]
    last = max((d["attempt"] for d in mine), default=0)
    return {Arm(d["arm"]): d["run_id"] for d in mine if d["attempt"] == last}


def _scenarios(plan: Plan) -> dict[Arm, Scenario]:
    """Both sides, read and permitted.

    Raises:
        ScenarioError: A file has problems.
    """
    found = {}
    for arm in Arm:
        (scenario,) = parse_all((Path(plan.files[arm]),), None, plan.settings[arm])
        if plan.control and arm is Arm.OLD:
            chaos = ChaosToolkit(scenario, root_of(scenario), Path(), "not yet")
            held_s = sum((step.hold_s or 0.0) + step.pause_s for step in chaos.steps())
            scenario = without_fault(scenario, held_s)
        permitted(scenario)
        found[arm] = scenario
    return found


def _new_folder(out: Path, files: Mapping[Arm, str]) -> Path:
    stamp = datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%dT%H%M%SZ")
    names = "-".join(dict.fromkeys(Path(name).stem for name in files.values()))
    try:
        return private_folder(out.resolve() / FOLDER / f"{stamp}-{names}-{secrets.token_hex(3)}")
    except (StoreError, OSError) as error:
        raise InvalidError(
            f"The results folder {out} cannot be used: {error}.", "Name another one with --out."
        ) from error


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InvalidError(f"{path}: {error.strerror}.", "Name a scenario file.") from error


def _written(plan: Plan) -> dict[str, Any]:
    return {
        "version": 1,
        "files": dict(plan.files),
        "settings": {arm: list(given) for arm, given in plan.settings.items()},
        "digests": dict(plan.digests),
        "control": plan.control,
        "terms": dict(plan.terms),
        "halves": [{"pair": h.pair, "arm": str(h.arm), "seed": h.seed} for h in plan.halves],
    }


def _read_plan(folder: Path) -> Plan:
    try:
        raw = json.loads((folder / PLAN).read_text())
        return Plan(
            files={Arm(arm): str(name) for arm, name in raw["files"].items()},
            settings={Arm(arm): tuple(given) for arm, given in raw["settings"].items()},
            digests={Arm(arm): str(digest) for arm, digest in raw["digests"].items()},
            control=bool(raw["control"]),
            halves=tuple(
                Half(pair=int(h["pair"]), arm=Arm(h["arm"]), seed=int(h["seed"]))
                for h in raw["halves"]
            ),
            terms=raw["terms"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidError(
            f"{folder} holds no plan of pairs ({type(error).__name__}: {error}).",
            "Name a folder that --interleave printed.",
        ) from error


def _progress(folder: Path) -> list[dict[str, Any]]:
    """What was run; a torn last line is a run that nobody wrote down, so its pair is run again.

    Raises:
        InvalidError: Another line is damaged.
    """
    path = folder / PROGRESS
    try:
        text = path.read_text()
    except FileNotFoundError:
        return []
    whole, _, torn = text.rpartition("\n")
    if torn:
        write_durably(path, f"{whole}\n".encode() if whole else b"")  # or the next would join it
    try:
        return [json.loads(line) for line in whole.splitlines()]
    except ValueError as error:
        raise InvalidError(f"{path} is damaged: {error}.", "Begin anew.") from error


def _append(path: Path, entry: Mapping[str, Any]) -> None:
    """One line, forced to the disk.

    Raises:
        StoreError: The disk refused.
    """
    try:
        with path.open("ab") as stream:
            stream.write(json.dumps(entry).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise StoreError(f"Cannot append to {path}: {error.strerror}.") from error
