"""Faults on the container of a named service, for the compose driver.

A service is resolved to its container by labels at the moment of the injection, and the
labels and the start of that container are read again under the lock.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass

from harness import container_host, docker_engine, service_container, service_process
from harness.containers import Container, Engine, sole
from harness.errors import FaultError
from harness.faults import injection
from harness.faults.injection import Injection
from harness.faults.session import Session
from harness.undo import Entry

DRIVER = "compose"
ENSURE_RUNNING, RESUME = "container.ensure_running", "container.resume"
GONE, PAUSED, DOWN = "container_gone", "container_paused", "container_down"

PROVE_WITHIN_S = 4.0
GRACE_S = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """The container of a service as it was just before the fault; all that undoing it takes."""

    engine_url: str
    engine: str
    project: str
    service: str
    container: str
    started_at: str
    process: str
    address: str
    health_path: str
    restart_policy: str


def kill(session: Session, target: str, number: signal.Signals) -> Entry:
    """Signal the container's first process from outside, so that its restart policy applies.

    Where that process cannot be signalled (the engine runs elsewhere, or we are not root)
    the engine signals it: then no policy applies, and healing starts the container.
    """

    def apply(engine: Engine, instance: Instance) -> None:
        if os.geteuid() != 0 or not instance.process:
            engine.kill(instance.container, number.name)
        elif not service_process.send(instance.process, number):
            raise FaultError(
                f"{number.name} hit nobody: process {instance.process} of {instance.service} "
                "is gone already, and not by our doing."
            )

    return _inject(session, "kill", target, apply, ENSURE_RUNNING, GONE, held=False)


def restart(session: Session, target: str) -> Entry:
    """Have the engine end and start the container; SIGKILL after a grace of two seconds."""

    def apply(engine: Engine, instance: Instance) -> None:
        engine.restart(instance.container, GRACE_S)

    return _inject(session, "restart", target, apply, ENSURE_RUNNING, GONE, held=False)


def pause(session: Session, target: str) -> Entry:
    """Have the engine freeze all processes of the container."""

    def apply(engine: Engine, instance: Instance) -> None:
        if not instance.address:
            raise FaultError(
                f"{target} has no port to ask, so nobody could see that it is silent.",
                'Label its service `harness.health_port: "<port>"`.',
            )
        engine.pause(instance.container)

    return _inject(session, "pause", target, apply, RESUME, PAUSED, held=True)


def stop(session: Session, target: str, number: signal.Signals) -> Entry:
    """Take the restart policy away and end the container; TERM is followed by KILL."""

    def apply(engine: Engine, instance: Instance) -> None:
        engine.set_restart_policy(instance.container, "no")
        if number is signal.SIGTERM:
            engine.stop(instance.container, GRACE_S)
        else:
            engine.kill(instance.container, number.name)

    return _inject(session, "stop", target, apply, ENSURE_RUNNING, DOWN, held=True)


def open_engine(session: Session) -> Engine:
    """The engine of the session's stack.

    Raises:
        FaultError: The stack is not of this driver, or its engine does not answer.
    """
    stack = session.stack
    if stack.driver != DRIVER or not stack.project:
        raise FaultError(
            f"The stack {stack.id} runs on the driver {stack.driver}, not on {DRIVER}."
        )
    return docker_engine.connect(stack.engine_url, stack.engine)


def well(engine: Engine, session: Session, target: str) -> tuple[Container, str, str]:
    """The container that a target means, its health path, and that it is well, in words.

    Raises:
        FaultError: There is none, or a fault on it could not be told from what is wrong.
    """
    stack = session.stack
    container = sole(engine.containers(stack.project), target)
    if container.state != "running":
        raise FaultError(f"{target} is {container.state} before the fault: there is nobody to hit.")
    service = stack.services.get(target)
    path = service.health_path if service else ""
    met = service_container.meet(container, path, injection.BEFORE_TIMEOUT_S)
    if met is not None and not met.answered:
        raise FaultError(
            f"{target} is not well before the fault ({met} from {container.name}); a fault on it "
            "could not be told from what is already wrong."
        )
    return container, path, f"{container.name} {f'got {met}' if met else 'ran, no port to ask'}"


def _inject(
    session: Session,
    kind: str,
    target: str,
    apply: Callable[[Engine, Instance], None],
    verb: str,
    look: str,
    *,
    held: bool,
) -> Entry:
    with closing(open_engine(session)) as engine:
        container, path, before = well(engine, session, target)
        instance = Instance(
            engine_url=engine.url,
            engine=engine.id,
            project=container.project,
            service=container.service,
            container=container.id,
            started_at=container.started_at,
            process=container_host.process_of(container),
            address=container.address(container.health_port),
            health_path=path,
            restart_policy=container.restart_policy,
        )
        fault = Injection(
            kind=kind,
            target=target,
            verb=verb,
            arguments=asdict(instance),
            look=look,
            before=before,
            held=held,
            prove_within_s=PROVE_WITHIN_S,
        )

        def applied(entry: Entry) -> None:
            now = service_container.present(engine, entry.arguments)
            if now is None or not service_container.is_same(now, entry.arguments):
                raise FaultError(f"{container.name} is gone already, and not by our doing.")
            apply(engine, instance)

        return injection.inject(session, fault, applied)
