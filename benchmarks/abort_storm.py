"""Promise 6: after an abort every fault is off, and proven so, within 5 s (p95).

Each abort is one run of the real lifecycle: real undo log, guardian and lock, a real Chaos
Toolkit child that injects into a real Toxiproxy; load, metrics and stack are stand-ins. At a
random moment of it a stop is asked for, as Ctrl-C would. The clock stops when the run's own
healing has come back clean after the Chaos Toolkit child is gone and injectors are fenced
off; an independent reader then compares the proxy with how it was before, and again at the
end of the run.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from _proxied import EDGE, STACK, Target, quantile, target

from harness.arrivals import constant
from harness.chaos import ChaosToolkit
from harness.descriptor import StackDescriptor
from harness.fakes import World, lab
from harness.model import FaultSpec, LoadSpec, PhasePlan, Scenario, StackSpec
from harness.ports import Restoration
from harness.run import run
from harness.safety import Safety

P95_S, MAX_S = 5.0, 10.0
HOLD_S = 1.0
KIND = FaultSpec(kind="latency", target=EDGE, hold_s=HOLD_S, parameters={"latency_ms": 100})


class LiveWorld(World):
    """A world of stand-ins in real time."""

    @property
    def time(self) -> float:
        return time.time()

    @time.setter
    def time(self, _value: float) -> None:
        """Time passes by itself."""


class Operator:
    """The clock, and somebody who asks to stop at a moment."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self.asked_at: float | None = None
        self._timer: threading.Timer | None = None

    def stop_after(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._ask)
        self._timer.daemon = True
        self._timer.start()

    def _ask(self) -> None:
        self.asked_at = time.time()
        self._asked.set()

    def done(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def asked_by(self) -> str | None:
        return "SIGTERM" if self._asked.is_set() else None

    def now(self) -> float:
        return time.time()

    def wait(self, seconds: float) -> None:
        self._asked.wait(seconds)


@dataclass
class Attached:
    """The target as a stack that is up already."""

    on: Target

    def up(self) -> StackDescriptor:
        return self.on.descriptor()

    def down(self) -> None:
        """It stays."""


@dataclass
class Watched(Safety):
    """The real safety, and when its healing first came back clean after an abort."""

    operator: Operator
    on: Target
    before: Any
    off_at: float | None = field(default=None)
    off_seen: bool = field(default=False)

    def __init__(self, operator: Operator, on: Target, run_id: str, folder: Path) -> None:
        super().__init__(STACK, run_id, folder)
        self.operator, self.on, self.before = operator, on, on.seen()
        self.off_at, self.off_seen = None, False

    def heal(self) -> Restoration:
        done = super().heal()
        if done.clean and self.operator.asked_at is not None and self.off_at is None:
            self.off_at = time.time()
            self.off_seen = bool(self.on.seen() == self.before) and self.on.traffic_passes()
        return done


def scenario() -> Scenario:
    return Scenario(
        name="storm",
        path="storm.yaml",
        stack=StackSpec(driver="local"),
        load=LoadSpec(
            profile="-",
            http=(),
            service=None,
            arrivals=constant(50),
            timeout_s=0.2,
            max_in_flight=50,
        ),
        experiment=None,
        arguments={},
        faults=(KIND,),
        phases=PhasePlan(warmup_s=0.2, steady_s=0.3, recovery_s=0.3, after_s=0.2),
        slis={},
        objectives=(),
        abort=(),
        only_affects=(),
        client_side_only=True,
    )


@dataclass(frozen=True)
class Aborted:
    """One abort: how long until off and proven, in which phase, and what went wrong."""

    seconds: float
    phase: str
    injected: bool
    problem: str = ""


def one(on: Target, number: int, moment_s: float | None) -> tuple[float, Aborted | None]:
    """One lifecycle, aborted at a moment after its set-up; its length, and the abort."""
    with tempfile.TemporaryDirectory(prefix="harness-storm-") as name, _state(Path(name)):
        on.register(Path(name))
        folder = Path(name) / "run"
        folder.mkdir()
        plan = scenario()
        operator = Operator()
        safety = Watched(operator, on, f"storm-{number}", folder)
        chaos = ChaosToolkit(plan, folder, folder, f"storm-{number}")
        parts = lab(LiveWorld(rate_per_s=50.0), plan)
        changed = {
            "clock": operator, "stop": operator, "stack": Attached(on), "chaos": chaos,
            "faults": safety, "metrics": None,
        }  # fmt: skip
        for part, value in changed.items():
            object.__setattr__(parts, part, value)
        began = time.time()
        if moment_s is not None:
            operator.stop_after(moment_s)
        evidence = run(parts)
        length_s = time.time() - began
        operator.done()
        if operator.asked_at is None:
            return length_s, None
        at = operator.asked_at
        entered = [e for e in evidence.events if e.kind == "phase" and e.at <= at]
        injected = [f for f in evidence.faults if f.injected_at and f.injected_at <= at]
        problem = ""
        if safety.off_at is None:
            problem = "no clean healing"
        elif not safety.off_seen or on.seen() != safety.before:
            problem = f"the proxy differs: {on.seen()}"
        errors = [e.data["message"] for e in evidence.events if e.kind == "error"]
        return length_s, Aborted(
            seconds=(safety.off_at or time.time()) - at,
            phase=str(entered[-1].data["phase"]) if entered else "-",
            injected=bool(injected) and any((f.heal_proven_at or at) >= at for f in injected),
            problem="; ".join([problem, *map(str, errors)]).strip("; "),
        )


@contextmanager
def _state(folder: Path) -> Iterator[None]:
    before = dict(os.environ)
    os.environ["XDG_STATE_HOME"] = str(folder)
    os.environ["HARNESS_STACK"] = STACK
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def show(aborts: list[Aborted]) -> None:
    print(f"{'asked to stop in':<18}{'aborts':>8}{'fault on':>10}     p50    p95    max s")
    for phase in [*dict.fromkeys(sorted(a.phase for a in aborts)), ""]:
        rows = [a for a in aborts if phase in ("", a.phase)]
        times = [a.seconds for a in rows]
        print(
            f"{phase or 'all':<18}{len(rows):>8}{sum(a.injected for a in rows):>10}"
            f"  {quantile(times, 0.5):>6.2f} {quantile(times, 0.95):>6.2f} {max(times):>6.2f}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=60, help="stop earlier than --count")
    asked = parser.parse_args()
    give_up_at = time.monotonic() + 60 * asked.minutes
    rng = random.Random(asked.seed)
    aborts: list[Aborted] = []
    with target() as on:
        length_s, _ = one(on, 0, None)
        print(f"a lifecycle that nobody stops takes {length_s:.1f} s", flush=True)
        for number in range(1, 2 * asked.count + 1):
            if len(aborts) >= asked.count or time.monotonic() > give_up_at:
                break
            took_s, abort = one(on, number, rng.uniform(0, length_s))
            if abort is None:
                length_s = min(length_s, took_s)  # it was over before: draw earlier moments
                continue
            aborts.append(abort)
            if abort.problem:
                print(f"abort {number} in {abort.phase}: {abort.problem}", flush=True)
                on.reset()
    if not aborts:
        return 1
    show(aborts)
    times = [a.seconds for a in aborts]
    kept = (
        quantile(times, 0.95) <= P95_S
        and max(times) <= MAX_S
        and not any(a.problem for a in aborts)
    )
    print(f"promised: p95 {P95_S:g} s, max {MAX_S:g} s; {'kept' if kept else 'BROKEN'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
