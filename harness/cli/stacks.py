"""Verbs on the embedded stack and on what it needs."""

from __future__ import annotations

import json
import shutil
from importlib import metadata
from pathlib import Path

from harness.cli import words
from harness.descriptor import StackDescriptor
from harness.errors import ExitCode, InvalidError, StackError
from harness.stacks.compose import ComposeStack
from harness.stacks.fetch import OPTIONAL
from harness.stacks.local import LocalStack
from harness.stacks.plan import BASE
from harness.stacks.provision import locate, provide, python_for_services
from harness.stacks.reference import assembly

#: Programs of the Kubernetes driver: what would need each, and how to get it.
KUBERNETES_PROGRAMS = {
    "kubectl": ("deploying to Kubernetes", "see https://kubernetes.io/docs/tasks/tools"),
    "kind": ("`harness stack up --stack kubernetes --kind`", "see https://kind.sigs.k8s.io"),
}
KUBERNETES_PACKAGE = "kubernetes"


def up(profile: str, defects: tuple[str, ...], ports: tuple[str, ...], output: str) -> int:
    """Bring a profile of the embedded stack up and say where everything answers."""
    stack = LocalStack().up(
        profile=profile, defects=defects, ports=_ports(ports), progress=words.note
    )
    return told(stack, f"stack {stack.id} is up", output)


def up_compose(
    project: str | None, file: Path | None, defects: tuple[str, ...], output: str
) -> int:
    """Bring a compose project up, or attach to it, and say where everything answers."""
    compose = ComposeStack(named(project), file or Path("docker-compose.yml"))
    stack = compose.up_with(defects, words.note) if defects else compose.up(words.note)
    return told(stack, f"stack {stack.id} is up", output)


def attach(project: str | None, output: str) -> int:
    """Attach to a running compose project and say where everything answers."""
    stack = ComposeStack(named(project)).up(words.note)
    return told(stack, f"attached to {project}: stack {stack.id}", output)


def down(project: str | None, *, volumes: bool) -> int:
    """Stop the embedded stack, or forget a compose project that was not brought up here."""
    if project is None and volumes:
        raise InvalidError(
            "--volumes needs --project: the data of the embedded stack go with it anyway.",
            "Leave --volumes out, or say which compose project is meant: -p NAME.",
        )
    if project is None:
        words.say("stack stopped" if LocalStack().down() else "no stack was running")
        return ExitCode.PASS
    known = ComposeStack(project).down(volumes=volumes)
    words.say(f"{project} is let go" if known else f"{project} was not attached to")
    return ExitCode.PASS


def named(project: str | None) -> str:
    """The compose project that was asked for.

    Raises:
        InvalidError: None was.
    """
    if project is None:
        raise InvalidError(
            "--stack compose needs --project.", "Say which project is meant: -p NAME."
        )
    return project


def told(stack: StackDescriptor, headline: str, output: str) -> int:
    """Say where the parts of a stack answer."""
    if output == "json":
        addresses = {name: service.url for name, service in stack.services.items()}
        words.say(json.dumps({"id": stack.id, "services": addresses}, indent=2))
        return ExitCode.PASS
    words.say(headline)
    for name, service in stack.services.items():
        words.say(f"  {name:<14} {service.url or '-'}")
    for name in stack.edges:
        words.say(f"  {name}")
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


def doctor(*, profile: str, fix: bool, quiet: bool) -> int:
    """Check, and with ``fix`` fetch, the servers of a profile and the services' own Python."""
    problems = []
    needed = assembly.programs_of(profile)
    for name in needed:
        try:
            server = provide(name, words.note) if fix else locate(name)
        except StackError as error:
            problems.append(str(error))
            continue
        if server is None:
            problems.append(f"{name} is missing. Get it with `{_fixing(profile)}`.")
        elif not quiet:
            words.say(f"✓ {name} {server.version}")
    try:
        python = python_for_services()
    except StackError as error:
        problems.append(str(error))
    else:
        if not quiet:
            words.say(f"✓ the services' Python: {python}")
    if not quiet:  # the set-up asks quietly, each time: it need not try what one can do without
        for name, needed_by in OPTIONAL.items():
            if name in needed:
                continue
            _mention(name, needed_by, fix=fix)
        _mention_kubernetes()
    for problem in problems:
        words.note(f"✗ {problem}")
    return ExitCode.ERROR if problems else ExitCode.PASS


def _fixing(profile: str) -> str:
    return "harness doctor --fix" + ("" if profile == BASE else f" --profile {profile}")


def _mention(name: str, needed_by: str, *, fix: bool) -> None:
    """Say whether a server is there that one can do without."""
    try:
        server = provide(name, words.note) if fix else locate(name)
        missing = "get it with `harness doctor --fix`"
    except StackError as error:
        server, missing = None, str(error)
    if server is None:
        _without(name, needed_by, missing)
    else:
        words.say(f"✓ {name} {server.version}")


def _mention_kubernetes() -> None:
    """Say whether what the Kubernetes driver needs is there; nobody else does."""
    name = f"the Python package {KUBERNETES_PACKAGE}"
    try:
        words.say(f"✓ {name} {metadata.version(KUBERNETES_PACKAGE)}")
    except metadata.PackageNotFoundError:
        install = "get it with `pip install 'reliability-harness[kubernetes]'`"
        _without(name, "the driver kubernetes", install)
    for program, (needed_by, how) in KUBERNETES_PROGRAMS.items():
        path = shutil.which(program)
        if path is None:
            _without(program, needed_by, how)
        else:
            words.say(f"✓ {program}: {path}")


def _without(name: str, needed_by: str, how: str) -> None:
    words.say(f"– {name} is not there; only {needed_by} would need it: {how}")


def _ports(texts: tuple[str, ...]) -> dict[str, int]:
    ports = {}
    for text in texts:
        name, equals, number = text.partition("=")
        if not equals or not number.isdigit() or not 0 < int(number) < 65536:
            raise InvalidError(f"--port {text!r} must read service=port, such as gateway=8080.")
        ports[name] = int(number)
    return ports
