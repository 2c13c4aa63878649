"""Verbs on faults: list what is open, heal it, say which kinds there are."""

from __future__ import annotations

import json
from dataclasses import asdict

from harness.cli import words
from harness.errors import ExitCode, InvalidError
from harness.faults.kinds import KINDS
from harness.files import LockHeldError, locked, run_lock
from harness.recover import recover
from harness.undo import UndoLog, stacks_with_logs


def list_faults(output: str) -> int:
    """Print every entry that is not proven healed, and every one that cannot be read."""
    rows = []
    for stack in stacks_with_logs():
        found = UndoLog(stack).snapshot()
        rows += [{"stack": stack, **asdict(e), "state": str(e.state)} for e in found.open]
        rows += [
            {"stack": stack, "state": "unreadable", "id": u.path.name, "problem": u.problem}
            for u in found.unreadable
        ]
    if output == "json":
        words.say(json.dumps(rows, indent=2))
    elif not rows:
        words.say("no open faults")
    for row in rows if output == "text" else ():
        what = row.get("problem") or f"{row['kind']} on {row['target']}"
        words.say(f"{row['state']:<10} {row['id']}  {what}  (stack {row['stack']})")
    return ExitCode.PASS


def list_kinds() -> int:
    """Print the fault kinds with their parameters."""
    for kind in KINDS.values():
        words.say(f"{kind.name:<10} {kind.summary}")
        for name, text in kind.parameters.items():
            words.say(f"{'':<10}   {name}: {text}")
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
    if any(r["state"] != "healed" for r in rows):
        return ExitCode.DIRTY
    if busy is not None:
        raise busy
    return ExitCode.PASS


def _row(stack: str, state: str, name: str, what: str) -> dict[str, str]:
    return {"stack": stack, "state": state, "id": name, "what": what}
