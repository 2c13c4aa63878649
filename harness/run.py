"""One scenario from plan to verdict: the only module that decides what happens next."""

from __future__ import annotations

import traceback
from contextlib import ExitStack
from dataclasses import dataclass, field

from harness import evidence as kinds
from harness.checks import steady_checks
from harness.descriptor import StackDescriptor, entry, require_targets
from harness.errors import DirtyError, HarnessError, InvalidError, LoadError, StoreError
from harness.evidence import BaselineRun, Evidence
from harness.guards import refuse_stack
from harness.live import figures, tripped
from harness.model import Event, Outcome, Phase, RecoveryLimit, worst
from harness.objectives import show
from harness.ports import Lab, Progress, Restoration
from harness.reading_back import ReadBack
from harness.recovery_checks import recovered
from harness.scraping import Scraping
from harness.timeline import LOAD_STARTED, LOAD_STOPPING, RECOVERY_ENDED, phases

TICK_S = 0.25
SETTLE_S = 1.0  # one scrape and one flush, so that what is judged has arrived
CHAOS_PATIENCE_S = 6 * 3600.0  # an experiment may hold for hours; `--deadline` asks for less


class Stopped(Exception):  # noqa: N818 - control flow, not an error
    """The run goes no further; the event that says why is written."""


def run(lab: Lab, baselines: tuple[BaselineRun, ...] = ()) -> Evidence:
    """Run one scenario and return its evidence; judging it is somebody else's work.

    1. Somebody parsed the scenario and wrote the plan down; nothing is touched yet.
    2. Heal what an earlier run left, start the guardian and see it alive.
    3. Bring the stack up; see that every query can be asked and every target exists.
    4. Start the load, warm up, watch the steady phase; stop here if it does not hold.
    5. Run the experiment.
    6. Sample all along, and at each tick look at aborts, guardian, load and Prometheus.
    7. Watch the recovery until it is sustained, then the after phase.
    8. Fetch every series and alert, stop the load, read acknowledged writes back.
    9. Heal again, read back that nothing is active, take the stack down.
    10. Hand over the evidence.

    However 2 to 8 end, 9 and 10 happen.

    Raises:
        InvalidError: The request was wrong; nothing was started.
    """
    asked = (lab.scenario, lab.clock, lab.stop)
    scraping = Scraping(lab.metrics, *asked, receiver=lab.receiver)
    return _Run(lab, baselines, ReadBack(lab.writes, *asked), scraping).go()


@dataclass(slots=True)
class _Run:
    lab: Lab
    baselines: tuple[BaselineRun, ...]
    writes: ReadBack
    scraping: Scraping
    events: list[Event] = field(default_factory=list)
    load_url: str = ""
    restoration: Restoration = field(default_factory=Restoration)
    load_started: bool = False
    prepared: bool = False
    unwritten: bool = False
    phase: str = "setup"
    phase_started: float = 0.0
    phase_planned_s: float | None = None

    def go(self) -> Evidence:
        """The lifecycle; see :func:`run`."""
        refused: InvalidError | None = None
        with ExitStack() as cleanup:
            try:
                stack = self._set_up(cleanup)
                self._load_and_warm_up()
                self._steady()
                self._fault(stack)
                self._recovery()
                self._after()
            except Stopped:
                pass
            except InvalidError as error:
                refused = error
            except Exception as error:  # noqa: BLE001 - whatever broke, the verdict is ERROR
                self._event(kinds.ERROR, message=_words(error), trace=traceback.format_exc())
            finally:
                self._wind_up()
        if refused is not None and self.restoration.clean:
            raise refused
        if refused is not None:
            raise DirtyError(f"{refused} And a fault is left: {'; '.join(self._left())}.")
        return self._evidence()

    # -- 2 and 3

    def _set_up(self, cleanup: ExitStack) -> StackDescriptor:
        self._enter("setup", None)
        healed = self.lab.faults.prepare()
        self.prepared = True
        if healed.healed:
            self._event("healed_earlier", healed=list(healed.healed))
        if not healed.clean:
            self.restoration = healed
            self._stop(kinds.ERROR, message="faults of an earlier run could not be healed")
        cleanup.callback(self.lab.stack.down)
        stack = self.lab.stack.up()
        self._event(
            "stack_up", id=stack.id, versions=dict(stack.versions), defects=list(stack.defects)
        )
        chaos = self.lab.chaos
        refuse_stack(
            self.lab.guards,
            self.lab.scenario,
            chaos.targets(),
            stack,
            chaos.widths(stack.pods()),
            chaos.everywhere(),
        )
        self._preflight(stack)
        return stack

    def _preflight(self, stack: StackDescriptor) -> None:
        require_targets(stack, self.lab.chaos.targets())
        load = self.lab.scenario.load
        self.load_url = entry(stack, load.service, inside=load.inside is not None)
        self.writes.mark(stack)
        self.scraping.attach(stack)
        if self.scraping.limits:
            self._event(kinds.ALERTS_LIMITED, said=list(self.scraping.limits))
            for text in self.scraping.limits:
                shown = Progress(phase=self.phase, elapsed_s=0.0, planned_s=None, note=text)
                self.lab.watcher.show(shown)

    # -- 4

    def _load_and_warm_up(self) -> None:
        plan = self.lab.scenario.phases
        self._enter(Phase.WARMUP, plan.warmup_s)
        self._guard()
        self.load_started = True
        try:
            zero = self.lab.load.start(self.load_url)
        except LoadError:
            by = self.lab.stop.asked_by()  # workers of other hosts may be waited for in vain
            if by is not None:
                self._stop(kinds.ABORTED, by=by)
            raise
        self._event(LOAD_STARTED, zero=zero)
        self.scraping.expect_answers()
        self._watch_until(zero + plan.warmup_s)

    def _steady(self) -> None:
        plan = self.lab.scenario.phases
        self._enter(Phase.STEADY, plan.steady_s)
        self._watch_until(self.lab.clock.now() + plan.steady_s)
        self._event("steady_ended")
        if not self.lab.scenario.injects:
            return
        now = self.lab.clock.now()
        self.scraping.read(self._load_began(now), now)
        so_far = self._evidence((*self.events, Event(at=now, kind=LOAD_STOPPING)))
        windows = phases(so_far.events, so_far.faults, plan)
        for name, series in self.scraping.series.items():
            if series.problem:
                self._stop(
                    kinds.STEADY_STOPPED,
                    outcome=Outcome.INCONCLUSIVE,
                    code=series.problem_code or "no_data",
                    message=f"SLI {name} gave nothing to go by in steady: {series.problem}",
                )
        outcomes = tuple(c.outcome for c in steady_checks(so_far, windows) if c.gates)
        if outcomes and worst(outcomes) is not Outcome.PASS:
            self._stop(kinds.STEADY_STOPPED, outcome=worst(outcomes))

    # -- 5

    def _fault(self, stack: StackDescriptor) -> None:
        if not self.lab.scenario.injects:
            return
        self._enter(Phase.FAULT, None)
        self._guard()  # the last look before anything is broken
        self.lab.chaos.start(stack, self.lab.faults.epoch())
        give_up_at = self.lab.clock.now() + CHAOS_PATIENCE_S
        while self.lab.chaos.running():
            if self.lab.clock.now() > give_up_at:
                self._stop(kinds.ERROR, message=f"the experiment ran over {CHAOS_PATIENCE_S:g} s")
            self._tick()
        records = self.lab.faults.records()
        if not records or any(f.proven_at is None for f in records):
            # Without a fault there is nothing to watch recover: save everybody's time.
            self._stop("fault_not_applied")
        if any(f.heal_proven_at is None for f in records):
            self._heal()

    # -- 7

    def _recovery(self) -> None:
        plan = self.lab.scenario.phases
        if not self.lab.scenario.injects:
            return
        self._enter(Phase.RECOVERY, plan.recovery_s)
        started = self.lab.clock.now()
        wanted_s = self._sustained_s()
        while self.lab.clock.now() < started + plan.recovery_s:
            self._tick()
            if self.lab.clock.now() >= started + wanted_s and self._recovered():
                break
        self._event(RECOVERY_ENDED)

    def _sustained_s(self) -> float:
        conditions = (o.condition for o in self.lab.scenario.objectives)
        asked = [c.sustained_s or 5.0 for c in conditions if isinstance(c, RecoveryLimit)]
        return max(asked, default=self.lab.scenario.phases.recovery_s)

    def _recovered(self) -> bool:
        now = self.lab.clock.now()
        self.scraping.read_recovery(self._load_began(now), now)
        # What was sent within the last timeout may still be on its way, and may still fail.
        known_until = now - self.lab.scenario.load.timeout_s
        so_far = self._evidence((*self.events, Event(at=known_until, kind=LOAD_STOPPING)))
        windows = phases(so_far.events, so_far.faults, self.lab.scenario.phases)
        return recovered(so_far, windows)

    def _after(self) -> None:
        plan = self.lab.scenario.phases
        if not self.lab.scenario.injects:
            return
        self._enter(Phase.AFTER, plan.after_s)
        self._watch_until(self.lab.clock.now() + plan.after_s)

    # -- 6

    def _watch_until(self, end: float) -> None:
        while self.lab.clock.now() < end:
            self._tick(min(TICK_S, end - self.lab.clock.now()))

    def _tick(self, seconds: float = TICK_S) -> None:
        self.lab.clock.wait(max(0.0, seconds))
        self._guard()
        now = self.lab.clock.now()
        samples = self.lab.load.samples()
        for condition in self.lab.scenario.abort:
            if tripped(condition, samples, now):
                self._stop(kinds.CONDITION_TRIPPED, text=show(condition))
        active = [f for f in self.lab.faults.records() if f.injected_at and not f.heal_proven_at]
        self.lab.watcher.show(
            Progress(
                phase=self.phase,
                elapsed_s=now - self.phase_started,
                planned_s=self.phase_planned_s,
                journeys=figures(self.lab.scenario, samples, now),
                faults=[f"{f.kind} on {f.target}" for f in active],
            )
        )

    def _guard(self) -> None:
        """Everything that must be true for the run to go on."""
        by = self.lab.stop.asked_by()
        if by is not None:
            self._stop(kinds.ABORTED, by=by)
        if self.unwritten:
            raise Stopped
        if not self.lab.faults.guarded():
            self._stop(kinds.ERROR, message="the guardian died")
        problem = self.lab.load.problem()
        if problem is not None:
            self._stop(kinds.LOAD_LOST, message=problem)
        silent = self.scraping.problem()
        if silent is not None:
            self._stop(kinds.METRICS_LOST, message=silent)

    # -- 8 and 9

    def _wind_up(self) -> None:
        """Make the target whole before anything else is done, then collect.

        No step may keep a later one from being taken, whatever it raises.
        """
        self._enter("wind-up", None)
        for step in (
            self.lab.chaos.kill,
            self._heal,
            self._collect,
            self._stop_load,
            self._restored,
        ):
            try:
                step()
            except Exception as error:  # noqa: BLE001 - see above; it is on record as an error
                self._event(kinds.ERROR, message=_words(error), trace=traceback.format_exc())

    def _heal(self) -> None:
        if self.prepared:
            self.restoration = self.lab.faults.heal()

    def _collect(self) -> None:
        if not self.load_started:
            return
        self.lab.clock.wait(SETTLE_S)
        self._event(LOAD_STOPPING)
        now = self.lab.clock.now()
        self.scraping.read(self._load_began(now), now)

    def _stop_load(self) -> None:
        if self.load_started:
            self.lab.load.stop()
            self.writes.collect()

    def _restored(self) -> None:
        """The last look: heal whatever is still open, and say what is left."""
        if self.prepared:
            self._heal()
            self.lab.faults.dismiss()
        self._event(kinds.RESTORED, clean=self.restoration.clean, left=self._left())

    def _left(self) -> list[str]:
        return [*self.restoration.left, *self.restoration.unreadable]

    def _load_began(self, else_at: float) -> float:
        return next((e.at for e in self.events if e.kind == LOAD_STARTED), else_at)

    # -- the run's own story

    def _enter(self, phase: str, planned_s: float | None) -> None:
        self.phase, self.phase_planned_s = phase, planned_s
        self.phase_started = self.lab.clock.now()
        self._event("phase", phase=phase)

    def _event(self, kind: str, **data: object) -> None:
        event = Event(at=self.lab.clock.now(), kind=kind, data=data)
        self.events.append(event)
        if self.unwritten:
            return
        try:
            self.lab.store.event(event)
        except StoreError as error:
            # A full disk must not keep a fault from being healed: the run stops at its next
            # look, and says why from memory.
            self.unwritten = True
            self.events.append(Event(at=event.at, kind=kinds.ERROR, data={"message": str(error)}))

    def _stop(self, kind: str, **data: object) -> None:
        self._event(kind, **data)
        raise Stopped

    def _evidence(self, events: tuple[Event, ...] | None = None) -> Evidence:
        return Evidence(
            scenario=self.lab.scenario,
            events=tuple(self.events) if events is None else events,
            samples=self.lab.load.samples() if self.load_started else None,
            series=dict(self.scraping.series),
            alerts=dict(self.scraping.alerts),
            alerting=dict(self.scraping.alerting),
            faults=self.lab.faults.records() if self.prepared else (),
            unreadable=self.restoration.unreadable,
            activities=self.lab.chaos.activities(),
            baselines=self.baselines,
            ledger=self.writes.ledger,
            found=dict(self.writes.found),
        )


def _words(error: Exception) -> str:
    """Errors raised on purpose speak for themselves; the others need their type."""
    return str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
