"""Promise 1: SIGKILL of anything of ours at any moment; every fault undone and proven so.

A case is one injecting process (as under plain ``chaos run``: inject, hold, heal, with a
guardian of its own) that is killed, either at a named crash point or at a seeded random
time; or its guardian; or both at once, and then `harness recover` is run. An independent
reader compares the proxy with how it was before. Left is whatever differs, whatever the
undo log has not proven healed, and whatever took longer than promised.

Cases are appended to ``--state`` as they end, and those that are there are not run again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from _proxied import EDGE, STACK, Target, quantile, target

from harness.crashpoints import ENVIRONMENT, POINTS
from harness.faults.kinds import KINDS
from harness.undo import UndoLog

GUARDIAN_PROMISE_S, RECOVER_PROMISE_S = 15.0, 5.0
LATE = "late"  # everything undone and proven, though not in the time promised
HOLD_S = 0.4
POLL_S = 0.005

#: What each held kind that needs only an edge is given; one that is missing here is named.
PARAMETERS: dict[str, dict[str, Any]] = {
    "timeout": {},
    "latency": {"latency_ms": 100},
    "bandwidth": {"rate_kb_s": 5},
    "reset_peer": {},
    "slicer": {"average_bytes": 16},
    "limit_data": {"limit_bytes": 500},
    "slow_close": {"delay_ms": 200},
    "down": {},
}

INJECTOR = """
import importlib, json, os, sys
asked = json.loads(sys.argv[1])
from harness import faults
from harness.faults.session import session
kind = importlib.import_module("harness.faults." + asked["kind"])
if asked["both"]:  # the guardian inherits the crash point
    os.environ[asked["variable"]] = asked["point"]
session()
print("ready", flush=True)
if asked["point"]:
    os.environ[asked["variable"]] = asked["point"]
try:
    kind.inject(asked["target"], **asked["parameters"])
    faults.hold(asked["hold_s"])
finally:  # as Chaos Toolkit plays on, and its rollbacks
    kind.heal(asked["target"])
"""


@dataclass(frozen=True)
class Case:
    """What is killed (``injector``, ``guardian``, ``both``), when, under which fault."""

    kind: str
    victim: str
    point: str = ""
    seed: int = 0

    @property
    def id(self) -> str:
        return f"{self.kind}:{self.victim}:{self.point or f'random-{self.seed}'}"

    @property
    def group(self) -> str:
        return f"{self.victim} at a {'point' if self.point else 'random time'}"


def all_cases(randoms: int, kinds: list[str]) -> list[Case]:
    """Every point × kind, then random times, victims and kinds in turn."""
    points = [Case(kind, "injector", point) for point in POINTS for kind in kinds]
    # A guardian gets to the points of healing only, and takes its turn when the injector died.
    points += [
        Case(kind, "both", point) for point in POINTS if point.startswith("heal") for kind in kinds
    ]
    victims = ("injector", "guardian", "both")
    drawn = [
        Case(kinds[n // len(victims) % len(kinds)], victims[n % len(victims)], seed=n)
        for n in range(randoms)
    ]
    return points + drawn


@dataclass
class Ended:
    """How a case ended; ``seconds`` from the kill until the last of it was proven."""

    id: str
    group: str
    by: str
    seconds: float
    active: bool
    recover_s: float | None = None
    problem: str = ""


class MissedError(Exception):
    """The injector did not come to the point where it should have been killed."""


class Played:
    """One case on one target, with a state folder of its own."""

    def __init__(self, case: Case, on: Target, state: Path) -> None:
        self.case, self.on, self.state = case, on, state
        on.register(state)
        self.environment = {
            k: v for k, v in os.environ.items() if not k.startswith("HARNESS_RUN")
        } | {"XDG_STATE_HOME": str(state), "HARNESS_STACK": STACK}
        self.log = UndoLog(STACK, home=state / "harness")
        self.before = on.seen()
        self.guardian: psutil.Process | None = None

    def play(self) -> Ended:
        injector = self._start()
        try:
            killed_at, active = self._kill(injector)
            by, recover_s, problem = self._wait_for_healing(injector)
            seconds = self._proven_at(killed_at) - killed_at
        finally:
            injector.kill()
            injector.communicate()
            self._end_guardian()
        problem = problem or self._wrong(seconds, recover_s)
        case = self.case
        return Ended(case.id, case.group, by, max(0.0, seconds), active, recover_s, problem)

    def _start(self) -> subprocess.Popen[str]:
        asked = {
            "kind": self.case.kind,
            "point": self.case.point,
            "both": self.case.victim == "both" and bool(self.case.point),
            "variable": ENVIRONMENT,
            "parameters": PARAMETERS[self.case.kind],
            "target": EDGE,
            "hold_s": HOLD_S,
        }
        process = subprocess.Popen(
            [sys.executable, "-c", INJECTOR, json.dumps(asked)],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            process.wait()
            raise SystemExit(f"{self.case.id}: the injector did not start")
        (self.guardian,) = psutil.Process(process.pid).children()
        return process

    def _kill(self, injector: subprocess.Popen[str]) -> tuple[float, bool]:
        """When, by the wall clock, and whether the fault was on at that moment."""
        if self.case.point:
            active = self._watch(injector, 60)
            at = time.time()
            if injector.returncode != -signal.SIGKILL:
                raise MissedError(f"ended with {injector.returncode} before it was killed")
            return at, active or self._active()
        rng = random.Random(f"{self.case.seed}:{self.case.kind}")
        length_s = HOLD_S + (1.7 if self.case.kind == "timeout" else 0.8)
        active = self._watch(injector, rng.uniform(0, length_s))
        assert self.guardian is not None
        at = time.time()
        if self.case.victim in ("guardian", "both"):
            with contextlib.suppress(psutil.NoSuchProcess):
                self.guardian.kill()
        if self.case.victim in ("injector", "both"):
            injector.kill()
        return at, active

    def _watch(self, injector: subprocess.Popen[str], seconds: float) -> bool:
        """Until the process or the time is over; whether the fault was on at the last look."""
        end, active = time.monotonic() + seconds, False
        while injector.poll() is None and (left_s := end - time.monotonic()) > 0:
            active = self._active()
            time.sleep(min(POLL_S, left_s))
        return active

    def _active(self) -> bool:
        return bool(self.on.seen() != self.before)

    def _wait_for_healing(self, injector: subprocess.Popen[str]) -> tuple[str, float | None, str]:
        """Who healed, how long `harness recover` took, and what went wrong."""
        if self.case.victim == "guardian":
            injector.wait(60)
            return "injector", None, ""
        injector.wait(60)
        if not self._guardian_gone(GUARDIAN_PROMISE_S + 5):
            return "guardian", None, "the guardian did not end"
        if self.case.victim == "injector":
            return "guardian", None, ""
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "harness", "recover"],
            env={k: v for k, v in self.environment.items() if k != ENVIRONMENT},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        took = time.monotonic() - started
        wrong = "" if done.returncode == 0 else f"recover: {done.returncode} {done.stdout.strip()}"
        return "recover", took, wrong

    def _guardian_gone(self, patience_s: float) -> bool:
        give_up_at = time.monotonic() + patience_s
        assert self.guardian is not None
        while time.monotonic() < give_up_at:
            with contextlib.suppress(psutil.NoSuchProcess):
                if self.guardian.is_running() and self.guardian.status() != psutil.STATUS_ZOMBIE:
                    time.sleep(POLL_S)
                    continue
            return True
        return False

    def _proven_at(self, killed_at: float) -> float:
        """When the last fault that was open at the kill was proven gone, by the log's own time.

        The proof is a request of the healer's; that it is true is for the reader to say.
        """
        proven = [e.heal_proven_at or killed_at for e in self.log.snapshot().entries]
        return max([killed_at, *proven])

    def _wrong(self, seconds: float, recover_s: float | None) -> str:
        found = self.log.snapshot()
        promised = RECOVER_PROMISE_S if recover_s is not None else GUARDIAN_PROMISE_S
        if found.open or found.unreadable:
            return f"still open: {[e.id for e in found.open]} {found.unreadable}"
        if self.on.seen() != self.before:
            return f"the proxy differs: {self.on.seen()}"
        if not self.on.traffic_passes():
            return "traffic does not pass"
        took = seconds if recover_s is None else recover_s
        if took > promised:
            return f"{LATE}: took {took:.1f} s, promised {promised:g} s"
        return ""

    def _end_guardian(self) -> None:
        if self.guardian is not None and not self._guardian_gone(0.5):
            with contextlib.suppress(psutil.NoSuchProcess):
                self.guardian.kill()


def done_before(path: Path) -> list[Ended]:
    """Cases on record; half a last line is from a sweep that was stopped."""
    found = []
    for line in path.read_text().splitlines() if path.exists() else ():
        with contextlib.suppress(ValueError, TypeError):
            found.append(Ended(**json.loads(line)))
    return found


def sweep(cases: list[Case], path: Path) -> Iterator[Ended]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with target() as on, path.open("a") as record:
        for case in cases:
            ended = _played(case, on)
            if ended.problem:
                on.reset()
            record.write(json.dumps(asdict(ended)) + "\n")
            record.flush()
            yield ended


def _played(case: Case, on: Target, tries: int = 3) -> Ended:
    """On a busy machine an injector may see no proof, and end before its point."""
    problem = ""
    for _ in range(tries):
        with tempfile.TemporaryDirectory(prefix="harness-sweep-") as state:
            try:
                return Played(case, on, Path(state)).play()
            except MissedError as error:
                problem = str(error)
    return Ended(case.id, case.group, "", 0.0, active=False, problem=problem)


def _left(ended: Ended) -> bool:
    return bool(ended.problem) and not ended.problem.startswith(LATE)


def show(ended: list[Ended]) -> None:
    head = ("killed", "cases", "fault on", "guardian", "recover", "injector", "late", "left")
    print(f"{head[0]:<26}" + "".join(f"{h:>10}" for h in head[1:]) + "     p50    p95    max s")
    for group in [*sorted({e.group for e in ended}), ""]:
        rows = [e for e in ended if group in ("", e.group)]
        # Times are of those cases in which there was something to heal at the kill.
        times = [e.seconds for e in rows if e.seconds > 0]
        by = {who: sum(e.by == who and not _left(e) for e in rows) for who in head[3:6]}
        counts = [len(rows), sum(e.active for e in rows), *by.values()]
        counts += [sum(e.problem.startswith(LATE) for e in rows), sum(_left(e) for e in rows)]
        print(
            f"{group or 'all':<26}"
            + "".join(f"{c:>10}" for c in counts)
            + f"  {quantile(times, 0.5):>6.2f} {quantile(times, 0.95):>6.2f}"
            + f" {max(times, default=0):>6.2f}"
        )
    took = [e.recover_s for e in ended if e.recover_s is not None]
    if took:
        print(
            f"`harness recover`, the whole command: p50 {quantile(took, 0.5):.2f} s, "
            f"p95 {quantile(took, 0.95):.2f} s, max {max(took):.2f} s of {len(took)}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--state", type=Path, help="JSON lines; cases in it are skipped")
    parser.add_argument("--shard", default="1/1", help="i/n: every n-th case from the i-th")
    parser.add_argument("--cases", type=int, help="at most this many new cases")
    parser.add_argument("--random", type=int, default=300, help="how many random times")
    parser.add_argument("--kinds", help="comma-separated; default: every one of the network")
    parser.add_argument("--victims", help="comma-separated: injector, guardian, both")
    asked = parser.parse_args()
    known = [k.name for k in KINDS.values() if "edge" in k.parameters.get("target", "")]
    for name in sorted(set(known) - set(PARAMETERS)):
        print(f"not swept, no parameters known here: {name}", file=sys.stderr)
    kinds = asked.kinds.split(",") if asked.kinds else [k for k in known if k in PARAMETERS]
    number, _, of = asked.shard.partition("/")
    with tempfile.TemporaryDirectory(prefix="harness-sweep-") as folder:
        path = asked.state or Path(folder) / "state.jsonl"
        before = done_before(path)
        ids = {e.id for e in before}
        todo = all_cases(asked.random, kinds)[int(number) - 1 :: int(of)]
        if asked.victims:
            todo = [c for c in todo if c.victim in asked.victims.split(",")]
        todo = [c for c in todo if c.id not in ids][: asked.cases]
        ended = list(before)
        for one in sweep(todo, path):
            ended.append(one)
            if one.problem:
                print(f"{one.id}: {one.problem}", flush=True)
    show(ended)
    broken = [e for e in ended if e.problem]
    print(f"promised: nothing left, nothing late; {'BROKEN' if broken else 'kept'}")
    return 1 if broken or not ended else 0


if __name__ == "__main__":
    sys.exit(main())
