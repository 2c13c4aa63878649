"""Promise 1: SIGKILL of anything of ours at any moment; every fault undone and proven so.

Every local kind of fault on a real embedded stack. Most cases are one injecting process (as
under plain ``chaos run``: inject, hold, heal, with a guardian of its own) that is killed, at a
named crash point or at a seeded random time; or its guardian; or both at once, and then
`harness recover` is run. The others are whole runs of ``harness run`` (`_whole_runs.py`). An
independent reader compares the stack with how it was before. Left is whatever differs, whatever
carries the case's mark, whatever the undo log has not proven healed; late is whatever took
longer than promised.

Cases are appended to ``--state`` as they end, and those that are there are not run again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
from _proxied import quantile
from _whole_runs import VICTIMS as RUN_VICTIMS
from _whole_runs import MissedError, WholeRun
from _witnessed import EDGE, SERVICE, Surroundings, Witnessed, witnessed

from harness.crashpoints import ENVIRONMENT, POINTS
from harness.faults.kinds import KINDS
from harness.undo import Entry, UndoLog

GUARDIAN_PROMISE_S, RECOVER_PROMISE_S = 15.0, 5.0
LATE = "late"  # everything undone and proven, though not in the time promised
MISSED = "missed"  # the case could not be played: an injector that sees no proof ends by itself
HOLD_S = 0.4
POLL_S = 0.02
AT_ONCE = ("kill", "restart")  # kinds without a hold
GLANCE_EVERY_S = 0.1
GONE_WITHIN_S, CLEAN_WITHIN_S = 120.0, 5.0  # for what is late, which is no less said


@dataclass(frozen=True)
class Sample:
    """What a kind of fault is injected with.

    ``lasts_s`` is about how long it takes from the injection to the proven heal, with a short
    hold: random kills are spread over it.
    """

    target: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    lasts_s: float = 1.5


#: One sample a kind that the local driver offers; a test holds that none is missing.
SAMPLES: Mapping[str, Sample] = {
    "timeout": Sample(EDGE, lasts_s=2.1),
    "latency": Sample(EDGE, {"latency_ms": 100}),
    "bandwidth": Sample(EDGE, {"rate_kb_s": 5}, lasts_s=2.5),
    "reset_peer": Sample(EDGE),
    "slicer": Sample(EDGE, {"average_bytes": 16}),
    "limit_data": Sample(EDGE, {"limit_bytes": 500}),
    "slow_close": Sample(EDGE, {"delay_ms": 200}),
    "down": Sample(EDGE),
    "http_error": Sample(EDGE, {"share": 0.5}, lasts_s=3.0),
    "http_429": Sample(EDGE, lasts_s=3.0),
    "slow_first_byte": Sample(EDGE, {"delay_ms": 200}, lasts_s=3.0),
    "stall_stream": Sample(EDGE, {"after_bytes": 1}, lasts_s=3.0),
    "truncate_stream": Sample(EDGE, {"after_bytes": 1}, lasts_s=3.0),
    "kill": Sample(SERVICE, lasts_s=3.5),
    "restart": Sample(SERVICE, lasts_s=3.5),
    "pause": Sample(SERVICE, lasts_s=2.0),
    "stop": Sample(SERVICE, lasts_s=3.0),
    "cpu": Sample(SERVICE, {"workers": 1}, lasts_s=2.5),
    "memory": Sample(SERVICE, {"megabytes": 64}),
    "disk": Sample(SERVICE, {"megabytes": 8}),
    "disk_latency": Sample(SERVICE, {"latency_ms": 20}, lasts_s=4.0),
    "descriptors": Sample(SERVICE, lasts_s=2.5),
    "clock": Sample(SERVICE, {"offset_s": 3600}, lasts_s=6.0),
    "partition": Sample("gateway", {"peer": SERVICE}, lasts_s=2.5),
}

#: What is offered and yet not swept, and why.
NOT_SWEPT: Mapping[str, str] = {"pool_exhaustion": "the local stack has no database"}

INJECTOR = """
import importlib, json, os, sys
asked = json.loads(sys.argv[1])
from harness import faults
from harness.faults.session import session
kind = importlib.import_module("harness.faults." + asked["kind"])
if asked["both"]:  # the guardian inherits the crash point
    os.environ[asked["variable"]] = asked["point"]
print(session().guardian.pid, flush=True)
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
    """What is killed, when, under which fault; ``whole`` is a whole ``harness run``."""

    kind: str
    victim: str
    point: str = ""
    seed: int = 0
    whole: bool = False

    @property
    def id(self) -> str:
        when = self.point or f"random-{self.seed}"
        return f"{'run:' if self.whole else ''}{self.kind}:{self.victim}:{when}"

    @property
    def group(self) -> str:
        when = "a point" if self.point else "a random time"
        whole = "whole run, " if self.whole else ""
        return f"{whole}{self.victim} at {when}, {family(self.kind)}"


def family(kind: str) -> str:
    """Which part of the stack a kind works on."""
    if SAMPLES[kind].target == EDGE:
        return "network"
    return "machine" if "machine" in KINDS[kind].summary else "process"


def all_cases(randoms: int, kinds: list[str], points: list[str], whole: int = 0) -> list[Case]:
    """Every point × kind, then random times, victims and kinds in turn, ``whole`` runs of them."""
    found = [Case(kind, "injector", point) for point in points for kind in kinds]
    # A guardian gets to the points of healing only, and takes its turn when the injector died.
    healing = [point for point in points if point.startswith("heal")]
    found += [Case(kind, "both", point) for point in healing for kind in kinds]
    found += [_drawn(kinds, RUN_VICTIMS, n, whole=True) for n in range(min(whole, randoms))]
    victims = ("injector", "guardian", "both")
    return found + [_drawn(kinds, victims, n) for n in range(whole, randoms)]


def _drawn(kinds: list[str], victims: tuple[str, ...], n: int, *, whole: bool = False) -> Case:
    kind = kinds[(n // len(victims) + n) % len(kinds)]
    return Case(kind, victims[n % len(victims)], seed=n, whole=whole)


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


class Judged:
    """The stack before a case, and whether it is the same afterwards."""

    def __init__(self, on: Witnessed, around: Surroundings) -> None:
        self.on, self.around = on, around
        self.log = UndoLog(on.stack.id)
        self.earlier = {e.id for e in self.log.snapshot().entries}
        self.before, self.at_a_glance = on.seen(), on.glance()

    def entries(self) -> list[Entry]:
        return [e for e in self.log.snapshot().entries if e.id not in self.earlier]

    def active(self) -> bool:
        """Whether a fault is on, by what is seen from outside."""
        return self.on.glance() != self.at_a_glance or bool(self.around.helpers())

    def seconds_after(self, killed_at: float) -> float:
        """Until the last fault that was open at the kill was proven gone, by the log's own time.

        The proof is a look of the healer's; that it is true is for the reader to say.
        """
        proven = [e.heal_proven_at or killed_at for e in self.entries()]
        return max([killed_at, *proven]) - killed_at

    def wrong(self, seconds: float, recover_s: float | None) -> str:
        found = self.log.snapshot()
        if found.open or found.unreadable:
            return f"still open: {[e.id for e in found.open]} {found.unreadable}"
        now = self.on.seen()
        if now != self.before:
            differs = {k: (v, now[k]) for k, v in self.before.items() if v != now[k]}
            return f"the stack differs: {differs}"
        if left := self.around.left(CLEAN_WITHIN_S):
            return left
        promised = RECOVER_PROMISE_S if recover_s is not None else GUARDIAN_PROMISE_S
        took = seconds if recover_s is None else recover_s
        if took > promised:
            return f"{LATE}: took {took:.1f} s, promised {promised:g} s"
        return ""


class Played:
    """One injecting process on the stack, and what is killed of it."""

    def __init__(self, case: Case, on: Witnessed) -> None:
        self.case = case
        self.around = Surroundings(case.id)
        self.judged = Judged(on, self.around)
        self.environment = self.around.environment() | {"HARNESS_STACK": on.stack.id}
        self.guardian: psutil.Process | None = None

    def play(self) -> Ended:
        injector = self._start()
        try:
            killed_at, active = self._kill(injector)
            by, recover_s, problem = self._wait_for_healing(injector)
            seconds = self.judged.seconds_after(killed_at)
        finally:
            injector.kill()
            injector.communicate()
            self._end_guardian()
        problem = problem or self.judged.wrong(seconds, recover_s)
        return Ended(self.case.id, self.case.group, by, seconds, active, recover_s, problem)

    def _start(self) -> subprocess.Popen[str]:
        sample = SAMPLES[self.case.kind]
        asked = {
            "kind": self.case.kind,
            "point": self.case.point,
            "both": self.case.victim == "both" and bool(self.case.point),
            "variable": ENVIRONMENT,
            "parameters": dict(sample.parameters),
            "target": sample.target,
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
        guardian = process.stdout.readline().strip()
        if not guardian:
            process.wait()
            raise SystemExit(f"{self.case.id}: the injector did not start")
        self.guardian = psutil.Process(int(guardian))
        return process

    def _kill(self, injector: subprocess.Popen[str]) -> tuple[float, bool]:
        """When, by the wall clock, and whether the fault was on at that moment."""
        if self.case.point:
            active = self._watch(injector, 180)
            at = time.time()
            if injector.returncode != -signal.SIGKILL:
                raise MissedError(f"ended with {injector.returncode} before it was killed")
            return at, active or self.judged.active()
        rng = random.Random(f"{self.case.seed}:{self.case.kind}")
        active = self._watch(injector, rng.uniform(0, SAMPLES[self.case.kind].lasts_s))
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
        end, active, next_look = time.monotonic() + seconds, False, 0.0
        while injector.poll() is None and (left_s := end - time.monotonic()) > 0:
            if time.monotonic() >= next_look:
                active, next_look = self.judged.active(), time.monotonic() + GLANCE_EVERY_S
            time.sleep(max(0.0, min(POLL_S, left_s)))
        return active

    def _wait_for_healing(self, injector: subprocess.Popen[str]) -> tuple[str, float | None, str]:
        """Who healed, how long `harness recover` took, and what went wrong."""
        injector.wait(180)
        if self.case.victim == "guardian":
            return "injector", None, ""
        if not self._guardian_gone(GONE_WITHIN_S):
            return "guardian", None, "the guardian did not end"
        if self.case.victim == "injector":
            return "guardian", None, ""
        return "recover", *recovered(self.environment)

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

    def _end_guardian(self) -> None:
        if self.guardian is not None and not self._guardian_gone(0.5):
            with contextlib.suppress(psutil.NoSuchProcess):
                self.guardian.kill()


def recovered(environment: Mapping[str, str]) -> tuple[float, str]:
    """How long the whole command took, and what went wrong."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "harness", "recover"],
        env={k: v for k, v in environment.items() if k != ENVIRONMENT},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    took = time.monotonic() - started
    return took, "" if done.returncode == 0 else f"recover: {done.returncode} {done.stdout.strip()}"


def played_whole(case: Case, on: Witnessed) -> Ended:
    """One ``harness run`` of which something is killed."""
    around = Surroundings(case.id)
    judged = Judged(on, around)
    sample = SAMPLES[case.kind]
    fault = {"kind": case.kind, "target": sample.target, **sample.parameters}
    if case.kind not in AT_ONCE:
        fault["hold"] = "2s"
    run = WholeRun(fault, around, seed=case.seed)
    try:
        killed_at, active = run.kill(case.victim, judged.active)
        by, recover_s, problem = run.who_heals(case.victim), None, run.await_end()
        if by == "recover":
            recover_s, problem = recovered(run.environment)
        seconds = judged.seconds_after(killed_at)
        problem = problem or judged.wrong(seconds, recover_s)
    finally:
        run.end()
        around.clear()
    return Ended(case.id, case.group, by, seconds, active, recover_s, problem)


def done_before(path: Path) -> list[Ended]:
    """Cases on record; half a last line is from a sweep that was stopped."""
    found = []
    for line in path.read_text().splitlines() if path.exists() else ():
        with contextlib.suppress(ValueError, TypeError):
            found.append(Ended(**json.loads(line)))
    return found


def sweep(cases: list[Case], path: Path) -> Iterator[Ended]:
    """Play the cases; one that went wrong spoils its stack, and the next gets a new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    waiting = list(cases)
    with path.open("a") as record:
        while waiting:
            with witnessed() as on:
                while waiting:
                    ended = _played(waiting.pop(0), on)
                    record.write(json.dumps(asdict(ended)) + "\n")
                    record.flush()
                    yield ended
                    if _left(ended):
                        break


def _played(case: Case, on: Witnessed, tries: int = 3) -> Ended:
    """On a busy machine an injector may see no proof, and end before its point."""
    problem = ""
    for _ in range(tries):
        try:
            if case.whole:
                return played_whole(case, on)
            played = Played(case, on)
            try:
                return played.play()
            finally:
                played.around.clear()
        except MissedError as error:
            problem = str(error)
            # What a case that was given up has left is not the next one's.
            subprocess.run(
                [sys.executable, "-m", "harness", "recover"],
                stdout=subprocess.DEVNULL,
                timeout=180,
                check=True,
            )
    return Ended(case.id, case.group, "", 0.0, active=False, problem=f"{MISSED}: {problem}")


def _left(ended: Ended) -> bool:
    return bool(ended.problem) and not ended.problem.startswith((LATE, MISSED))


def show(ended: list[Ended]) -> None:
    head = (
        "killed",
        "cases",
        "fault on",
        "guardian",
        "recover",
        "itself",
        "late",
        "missed",
        "left",
    )
    print(f"{head[0]:<44}" + "".join(f"{h:>9}" for h in head[1:]) + "     p50    p95    max s")
    for group in [*sorted({e.group for e in ended}), ""]:
        rows = [e for e in ended if group in ("", e.group)]
        # Times are of those cases in which there was something to heal at the kill.
        times = [e.seconds for e in rows if e.seconds > 0]
        good = [e for e in rows if not _left(e)]
        by = [sum(e.by == who for e in good) for who in ("guardian", "recover")]
        missed = sum(e.problem.startswith(MISSED) for e in rows)
        by.append(len(good) - sum(by) - missed)
        counts = [len(rows), sum(e.active for e in rows), *by]
        counts += [sum(e.problem.startswith(LATE) for e in rows), missed]
        counts.append(sum(_left(e) for e in rows))
        print(
            f"{group or 'all':<44}"
            + "".join(f"{c:>9}" for c in counts)
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
    parser.add_argument("--whole", type=int, default=40, help="how many of these are whole runs")
    parser.add_argument("--kinds", help="comma-separated; default: all")
    parser.add_argument("--points", help="comma-separated crash points; default: all")
    parser.add_argument("--victims", help="comma-separated: injector, guardian, both, run, ...")
    asked = parser.parse_args()
    for name, reason in NOT_SWEPT.items():
        print(f"not swept: {name}, {reason}", file=sys.stderr)
    kinds = asked.kinds.split(",") if asked.kinds else list(SAMPLES)
    points = asked.points.split(",") if asked.points else list(POINTS)
    number, _, of = asked.shard.partition("/")
    with tempfile.TemporaryDirectory(prefix="harness-sweep-") as folder:
        path = asked.state or Path(folder) / "state.jsonl"
        before = done_before(path)
        ids = {e.id for e in before}
        todo = all_cases(asked.random, kinds, points, asked.whole)[int(number) - 1 :: int(of)]
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
    print(f"promised: nothing left, nothing late, nothing missed; {'BROKEN' if broken else 'kept'}")
    return 1 if broken or not ended else 0


if __name__ == "__main__":
    sys.exit(main())
