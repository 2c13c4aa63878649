"""Verbs on the embedded stack and on what it needs."""

from __future__ import annotations

import json

from harness.cli import words
from harness.errors import ExitCode, InvalidError, StackError
from harness.stacks.local import LocalStack
from harness.stacks.provision import locate, provide, python_for_services
from harness.stacks.reference import SERVERS

DRIVERS = {"local": LocalStack}


def up(driver: str, defects: tuple[str, ...], ports: tuple[str, ...], output: str) -> int:
    """Bring the stack up and say where everything answers."""
    stack = DRIVERS[driver]().up(defects=defects, ports=_ports(ports), progress=words.note)
    if output == "json":
        addresses = {name: service.url for name, service in stack.services.items()}
        words.say(json.dumps({"id": stack.id, "services": addresses}, indent=2))
        return ExitCode.PASS
    words.say(f"stack {stack.id} is up")
    for name, service in stack.services.items():
        words.say(f"  {name:<14} {service.url}")
    return ExitCode.PASS


def down() -> int:
    """Stop the stack."""
    words.say("stack stopped" if LocalStack().down() else "no stack was running")
    return ExitCode.PASS


def status(output: str) -> int:
    """Say how the services are; INVALID when there is no stack."""
    services = LocalStack().status()
    if services is None:
        raise InvalidError("The local stack is not up.", "Start it with `harness stack up`.")
    rows = {name: {"state": s.state, "identity": s.identity} for name, s in services.items()}
    if output == "json":
        words.say(json.dumps(rows, indent=2))
        return ExitCode.PASS
    for name, row in rows.items():
        words.say(f"  {name:<14} {row['state']:<10} {row['identity']}")
    return ExitCode.PASS


def doctor(*, fix: bool, quiet: bool) -> int:
    """Check, and with ``fix`` fetch, the servers and the services' own Python."""
    problems = []
    for name in SERVERS.values():
        try:
            server = provide(name, words.note) if fix else locate(name)
        except StackError as error:
            problems.append(str(error))
            continue
        if server is None:
            problems.append(f"{name} is missing. Get it with `harness doctor --fix`.")
        elif not quiet:
            words.say(f"✓ {name} {server.version}")
    try:
        python = python_for_services()
    except StackError as error:
        problems.append(str(error))
    else:
        if not quiet:
            words.say(f"✓ the services' Python: {python}")
    for problem in problems:
        words.note(f"✗ {problem}")
    return ExitCode.ERROR if problems else ExitCode.PASS


def _ports(texts: tuple[str, ...]) -> dict[str, int]:
    ports = {}
    for text in texts:
        name, equals, number = text.partition("=")
        if not equals or not number.isdigit() or not 0 < int(number) < 65536:
            raise InvalidError(f"--port {text!r} must read service=port, such as gateway=8080.")
        ports[name] = int(number)
    return ports
