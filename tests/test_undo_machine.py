"""Any sequence of injecting, crashing, healing and waking up late: no fault goes unlisted.

The target is a set of names in memory. A crash is an exception that no handler of ours
catches, after which the crashed process writes and touches nothing more. Crashes come at
the product's own crash points and inside the calls on the target; what others do at such a
moment (a guardian heals, somebody runs `harness recover`) happens there as well.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import tests.builders  # noqa: F401 - sets hypothesis up
from harness import recover, undo
from harness.crashpoints import POINTS
from harness.errors import FaultError
from harness.faults import injection
from harness.faults.injection import Injection
from harness.faults.session import Session
from harness.looks import LOOKS, Seen
from harness.undo import Entry, UndoLog
from harness.verbs import VERBS, Verb

STACK = "stack"
IN_THE_CALL = ("apply.before", "apply.after", "undo.before", "undo.after")
MOMENTS = (*(p for p in POINTS if not p.startswith("hold")), *IN_THE_CALL)


class Crash(BaseException):
    """SIGKILL: nothing of the process runs after it."""


class Target:
    """What faults are put on; it may be unwilling to be healed, or to show that it is."""

    def __init__(self) -> None:
        self.active: set[str] = set()
        self.heals = True
        self.shows = True


class OneByOne:
    """An executor whose threads take turns, so that the same plan always goes the same way."""

    def __init__(self, _threads: int) -> None:
        """There are none."""

    def __enter__(self) -> OneByOne:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to wait for."""

    def map(self, deed: Callable[[Any], Any], things: Any) -> list[Any]:
        return [deed(thing) for thing in things]


class Machine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.patch = pytest.MonkeyPatch()
        self.folder = tempfile.TemporaryDirectory()
        self.target = Target()
        self.dead = False
        self.moments: dict[str, Callable[[], None]] = {}
        self.ticks = 0.0
        self.sleeping: list[tuple[Session, Entry]] = []
        self.log = UndoLog(STACK, home=Path(self.folder.name))
        write = undo.write_durably

        def write_unless_dead(*arguments: Any) -> None:
            self._alive()
            write(*arguments)

        set_to = self.patch.setattr
        set_to(undo, "write_durably", write_unless_dead)
        set_to(undo.best_effort_lock.__wrapped__, "__defaults__", (0.0,))
        set_to(recover, "LOCK_PATIENCE_S", 0.0)
        set_to(recover, "ThreadPoolExecutor", OneByOne)
        set_to("os.fsync", lambda _handle: None)  # nobody pulls the plug here
        for module in (injection, recover):
            set_to(module, "reach", self._moment)
            set_to(module, "time", SimpleNamespace(monotonic=self._tick, sleep=lambda _s: None))
        verb = Verb(arguments=("name",), undo=self._undo, prove=self._prove)
        self.patch.setitem(VERBS, "test", verb)  # type: ignore[misc]
        look = lambda a, _effect: Seen(a["name"] in self.target.active, "x")  # noqa: E731
        self.patch.setitem(LOOKS, "test", look)  # type: ignore[misc]

    def teardown(self) -> None:
        if hasattr(self, "patch"):
            self.patch.undo()
            self.folder.cleanup()

    def _tick(self) -> float:
        self.ticks += 1.0  # so that waiting ends soon
        return self.ticks

    # -- the target

    def _alive(self) -> None:
        if self.dead:
            raise Crash

    def _moment(self, name: str) -> None:
        self._alive()
        self.moments.pop(name, lambda: None)()
        self._alive()

    def _apply(self, entry: Entry) -> None:
        self._moment("apply.before")
        self.target.active.add(entry.id)
        self._moment("apply.after")

    def _undo(self, arguments: Mapping[str, str]) -> None:
        self._moment("undo.before")
        if not self.target.heals:
            raise FaultError("the target does not answer")
        self.target.active.discard(arguments["name"])
        self._moment("undo.after")

    def _prove(self, arguments: Mapping[str, str]) -> str:
        self._alive()
        if not self.target.shows or arguments["name"] in self.target.active:
            raise FaultError("not clear yet")
        return "clear"

    # -- what may happen in the middle of something

    def _crash(self) -> None:
        self.dead = True
        raise Crash

    def _others(self, deed: Callable[[], object]) -> Callable[[], None]:
        """Another process acts meanwhile; it has no crash points of its own, and lives."""

        def act() -> None:
            kept, self.moments = self.moments, {}
            deed()
            self.moments = kept

        return act

    def _plan(self, plan: list[tuple[str, str]]) -> None:
        deeds: dict[str, Callable[[], None]] = {
            "crash": self._crash,
            "recover": self._others(lambda: recover.recover(self.log, deadline_s=0)),
            "guardian": self._others(self._heal_all),
            "unwilling": lambda: setattr(self.target, "heals", False),
        }
        self.moments = {moment: deeds[deed] for moment, deed in plan}

    def _heal_all(self) -> None:
        for entry in self.log.snapshot().open:
            recover.heal(self.log, entry, deadline_s=0)

    def _process(self, deed: Callable[[], object]) -> None:
        """Something that a process does, which may fail or crash; then the next one runs."""
        try:
            deed()
        except (FaultError, Crash):
            pass
        finally:
            self.dead, self.moments = False, {}

    plans = st.lists(
        st.tuples(
            st.sampled_from(MOMENTS),
            st.sampled_from(["crash", "recover", "guardian", "unwilling"]),
        ),
        max_size=3,
    )

    def _session(self) -> Session:
        return Session(stack=None, log=self.log, run_id="r", epoch=self.log.epoch())  # type: ignore[arg-type]

    FAULT = Injection(
        kind="k", target="t", verb="test", arguments={"name": "${id}"}, look="test", before="fine"
    )
    targets = st.sampled_from(["t", "u"])

    @rule(plan=plans, of=targets)
    def inject(self, plan: list[tuple[str, str]], of: str = "t") -> None:
        self._plan(plan)
        fault = replace(self.FAULT, target=of)
        self._process(lambda: injection.inject(self._session(), fault, self._apply))

    @rule(of=targets)
    def fall_asleep(self, of: str = "t") -> None:
        """An injector is stopped right after its intent."""
        session = self._session()
        fault = replace(self.FAULT, target=of)
        self.sleeping.append((session, injection._intend(session, fault)))

    @precondition(lambda self: getattr(self, "sleeping", None))
    @rule(plan=plans)
    def wake_up(self, plan: list[tuple[str, str]]) -> None:
        session, entry = self.sleeping.pop(0)
        self._plan(plan)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(injection, "_intend", lambda *_: entry)
            self._process(lambda: injection.inject(session, self.FAULT, self._apply))

    @rule(plan=plans)
    def heal(self, plan: list[tuple[str, str]]) -> None:
        self._plan(plan)
        self._process(lambda: injection.heal_target(self._session(), kind="k", target="t"))

    @rule(plan=plans)
    def recover(self, plan: list[tuple[str, str]]) -> None:
        self._plan(plan)
        self._process(lambda: recover.recover(self.log, deadline_s=0))

    @rule(heals=st.booleans(), shows=st.booleans())
    def the_target_changes(self, heals: bool, shows: bool) -> None:
        self.target.heals, self.target.shows = heals, shows

    @rule()
    def a_willing_target_is_made_whole(self) -> None:
        self.target.heals = self.target.shows = True
        found = recover.recover(self.log, deadline_s=0)
        assert found.clean
        assert self.target.active == set()
        assert self.log.snapshot().open == ()

    @invariant()
    def what_is_active_is_listed(self) -> None:
        if hasattr(self, "log"):
            found = self.log.snapshot()
            assert found.unreadable == ()
            assert self.target.active <= {e.id for e in found.open}


DEEDS = ("crash", "recover", "guardian", "unwilling")


@pytest.mark.parametrize("late", [False, True], ids=["awake", "woken up"])
@pytest.mark.parametrize("second", MOMENTS)
@pytest.mark.parametrize("first", MOMENTS)
def test_every_two_things_at_any_two_moments(first: str, second: str, late: bool) -> None:
    """Hypothesis looks far; this looks everywhere near."""
    for deed, other in product(DEEDS, DEEDS):
        machine = Machine()
        machine.start()
        try:
            plan = [(first, deed), (second, other)]
            if late:
                machine.fall_asleep()
                machine.recover([])
                machine.wake_up(plan)
            else:
                machine.inject(plan)
            machine.what_is_active_is_listed()
            machine.a_willing_target_is_made_whole()
            machine.what_is_active_is_listed()
        except AssertionError as error:
            raise AssertionError(f"{plan}") from error
        finally:
            machine.teardown()


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=100, stateful_step_count=12, deadline=None)
