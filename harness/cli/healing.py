"""Verbs on faults: list what is open, heal it, say which kinds there are."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness import scratch
from harness.cli import words
from harness.control import identity_of
from harness.errors import ExitCode, InfrastructureError, InvalidError
from harness.faults.kinds import KINDS
from harness.files import LockHeldError, holder_of, locked, run_lock
from harness.recover import recover
from harness.undo import Entry, UndoLog, Unreadable, stacks_with_logs

_PROCESS = re.compile(r"process (\d+):\S+")
STOP_TIMEOUT_S = 30.0


def list_faults(output: str) -> int:
    """Print every entry that is not proven healed, and every one that cannot be read."""
    rows = []
    for stack in stacks_with_logs():
        found = UndoLog(stack).snapshot()
        rows += rows_of(stack, found.open, found.unreadable)
    return tell_faults(rows, output)


def rows_of(
    stack: str, entries: Sequence[Entry], unreadable: Sequence[Unreadable]
) -> list[dict[str, Any]]:
    """What is told of each entry of a stack."""
    rows = [{"stack": stack, **asdict(e), "state": str(e.state)} for e in entries]
    rows += [
        {"stack": stack, "state": "unreadable", "id": u.path.name, "problem": u.problem}
        for u in unreadable
    ]
    return rows


def tell_faults(rows: Sequence[Mapping[str, Any]], output: str) -> int:
    """Print open faults."""
    if output == "json":
        words.say(json.dumps(list(rows), indent=2))
    elif not rows:
        words.say("no open faults")
    for row in rows if output == "text" else ():
        what = row.get("problem") or f"{row['kind']} on {row['target']}"
        words.say(f"{row['state']:<10} {row['id']}  {what}  (stack {row['stack']})")
    return ExitCode.PASS


def list_kinds() -> int:
    """Print the fault kinds with their parameters."""
    width = max(map(len, KINDS))
    for kind in KINDS.values():
        words.say(f"{kind.name:<{width}} {kind.summary}")
        for name, text in kind.parameters.items():
            words.say(f"{'':<{width}}   {name}: {text}")
    return ExitCode.PASS


def recover_all(stack: str | None, output: str) -> int:
    """Heal every open fault of one or of all stacks.

    Returns:
        PASS when everything is proven clean, DIRTY when something is left.

    Raises:
        InvalidError: There is no undo log for that stack.
        LockHeldError: A run is going on there; it heals its own faults.
    """
    known = stacks_with_logs()
    if stack is not None and stack not in known:
        raise InvalidError(
            f"There is no undo log of a stack {stack!r}; there are {', '.join(known) or 'none'}."
        )
    rows = []
    busy: LockHeldError | None = None
    for stack_id in (stack,) if stack else known:
        try:
            with locked(run_lock(stack_id), timeout_s=0, owner="`harness recover`"):
                found = recover(UndoLog(stack_id))
        except LockHeldError as error:
            busy = error  # a run heals its own faults; the other stacks have nobody else
            continue
        rows += [_row(stack_id, "healed", h.entry.id, h.entry.heal_proof) for h in found.healed]
        rows += [_row(stack_id, "LEFT", x.entry.id, x.problem) for x in found.left]
        rows += [_row(stack_id, "UNREADABLE", u.path.name, u.problem) for u in found.unreadable]
        rows += [_row(stack_id, "UNFENCED", "-", found.unfenced)] if found.unfenced else []
    if output == "json":
        words.say(json.dumps(rows, indent=2))
    else:
        for row in rows:
            words.say(f"{row['state']:<10} {row['id']}  {row['what']}  (stack {row['stack']})")
        clean = busy is None and all(r["state"] == "healed" for r in rows)
        words.say("clean" if clean else "NOT clean")
    for folder in scratch.remove_abandoned():
        words.note(f"removed {folder}, which a killed run had left")
    if any(r["state"] != "healed" for r in rows):
        return ExitCode.DIRTY
    if busy is not None:
        raise busy
    return ExitCode.PASS


def _row(stack: str, state: str, name: str, what: str) -> dict[str, str]:
    return {"stack": stack, "state": state, "id": name, "what": what}


def stop_runs(stack: str | None) -> int:
    """Ask every run that holds a stack of this machine to stop, and wait until it has healed.

    Raises:
        InvalidError: A run does not say which process it is.
        InfrastructureError: A run did not end in time.
    """
    folder = run_lock("x").parent
    stopped = 0
    for path in sorted(folder.glob("*.lock")):
        if stack is not None and path.stem != stack:
            continue
        holder = holder_of(path)
        if holder is None:
            continue
        match = _PROCESS.search(holder)
        if match is None or identity_of(int(match[1])) != match[0].removeprefix("process "):
            raise InvalidError(f"{path.stem} is held by {holder}, which cannot be asked to stop.")
        os.kill(int(match[1]), signal.SIGTERM)
        _await_release(path, holder)
        words.say(f"stopped: {holder}, on {path.stem}")
        stopped += 1
    if not stopped:
        words.say("no run goes on")
    return ExitCode.PASS


def _await_release(path: Path, holder: str) -> None:
    give_up_at = time.monotonic() + STOP_TIMEOUT_S
    while holder_of(path) == holder:
        if time.monotonic() > give_up_at:
            raise InfrastructureError(
                f"{holder} did not end within {STOP_TIMEOUT_S:g} s.",
                "Kill it; its guardian heals. Then run `harness recover`.",
            )
        time.sleep(0.05)
