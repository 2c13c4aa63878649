"""What the guards say of a stack that is touched outside of a run. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness import experiment
from harness.descriptor import StackDescriptor
from harness.errors import InvalidError
from harness.experiment import Step
from harness.guards import (
    FILE,
    REQUIRED,
    Guards,
    Ruling,
    blast_rulings,
    driver_rulings,
    host_rulings,
)


def refuse_namespace(guards: Guards, context: str, namespace: str) -> None:
    """Let a namespace of a cluster be deployed or attached to, or refuse it.

    Raises:
        InvalidError: The driver, the context or the namespace is beyond a guard.
    """
    options = {"context": context, "namespace": namespace}
    found = driver_rulings(guards, "kubernetes", options)
    _refuse(f"{namespace} of {context}", found)


def refuse_injection(guards: Guards, stack: StackDescriptor, faults: Sequence[Step]) -> None:
    """Let faults be injected by a process that is no part of a run, or refuse them.

    Args:
        guards: Those of the folder that it was started in.
        stack: What it would break.
        faults: All that it has injected so far, and what it would inject next.

    Raises:
        InvalidError: The stack is beyond a guard, or so many faults are.
    """
    options = {name: getattr(stack, name) for name in REQUIRED.get(stack.driver, ())}
    targets = experiment.targets(tuple(faults))
    widths = experiment.widths(tuple(faults), stack.pods())
    # It sends no load and asks for no metrics.
    called = replace(stack, base_url="", prometheus="", alertmanager="")
    found = [
        *driver_rulings(guards, stack.driver, options),
        *host_rulings(guards, stack.driver, called, targets),
        *blast_rulings(guards, stack, targets, widths, experiment.everywhere(tuple(faults))),
    ]
    _refuse(f"the stack {stack.id}", found)


def _refuse(what: str, found: Sequence[Ruling]) -> None:
    against = [ruling.against for ruling in found if ruling.against]
    if against:
        raise InvalidError(
            f"The guards refuse to touch {what}: {'; '.join(against)}.",
            f"Change the [guards] of {FILE}.",
        )
