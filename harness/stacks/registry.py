"""Which stacks there are: one folder each under ``<state>/stacks``, found and checked here."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from harness import control, docker_engine
from harness.descriptor import StackDescriptor
from harness.descriptor import load as parse
from harness.errors import HarnessError, InvalidError, StackError
from harness.files import state_home

ENVIRONMENT = "HARNESS_STACK"
FILE = "stack.json"
PING_TIMEOUT_S = 1.0

START_HINT = "Start one with `harness stack up`."


def stack_id_local(root: Path) -> str:
    """The id of the local stack of a checkout: the same for each path that leads to it."""
    digest = hashlib.sha256(str(root.resolve()).encode()).hexdigest()
    return f"local-{digest[:12]}"


def stack_id_compose(engine_id: str, project: str) -> str:
    """The id of a compose project on one engine; project names are safe in paths."""
    return f"compose-{hashlib.sha256(engine_id.encode()).hexdigest()[:8]}-{project}"


def folder(stack_id: str) -> Path:
    """Where a stack keeps its files."""
    return state_home() / "stacks" / stack_id


def is_running(stack: StackDescriptor) -> bool:
    """Whether the stack's supervisor answers, or its engine has containers of its project.

    A stack with neither is another driver's; that its descriptor is there is all that can
    be said here.
    """
    if stack.project:
        return _has_containers(stack)
    if not stack.control:
        return True
    try:
        control.ping(stack.control, PING_TIMEOUT_S)
    except StackError:
        return False
    return True


def _has_containers(stack: StackDescriptor) -> bool:
    """In whatever state: a fault may have stopped them all."""
    try:
        with contextlib.closing(docker_engine.connect(stack.engine_url, stack.engine)) as engine:
            return bool(engine.containers(stack.project))
    except HarnessError:
        return False


def load(stack_id: str) -> StackDescriptor:
    """The descriptor of a running stack.

    Raises:
        InvalidError: There is none, or what it describes is not running any more.
    """
    return _load_file(folder(stack_id) / FILE, f"The stack {stack_id!r}")


def described(stack_id: str) -> StackDescriptor | None:
    """How a stack was last described; nobody is asked whether it still runs.

    None when it is not, or not in a way that can be read: who brings it up starts anew then.
    """
    path = folder(stack_id) / FILE
    try:
        return parse(path.read_text(), str(path))
    except (OSError, UnicodeDecodeError, InvalidError):
        return None


def running() -> list[StackDescriptor]:
    """All running stacks, by id; descriptors that are stale or unreadable are left out."""
    found = []
    for path in sorted((state_home() / "stacks").glob(f"*/{FILE}")):
        try:
            found.append(_load_file(path, str(path)))
        except InvalidError:
            continue  # a listing of what runs: `load` says what is wrong with the others
    return found


def select(choice: str | None = None) -> StackDescriptor:
    """The stack that is meant.

    Args:
        choice: Its id or the path of its descriptor; None takes ``HARNESS_STACK``, and
            without that the only running stack.

    Raises:
        InvalidError: Nothing runs, several run and none was chosen, or the chosen one
            is not running; the message names the choices.
    """
    chosen = choice or os.environ.get(ENVIRONMENT)
    if chosen:
        if "/" in chosen or chosen.endswith(".json"):
            return _load_file(Path(chosen), f"The stack at {chosen}")
        return load(chosen)
    stacks = running()
    if len(stacks) == 1:
        return stacks[0]
    if not stacks:
        raise InvalidError("No stack is running.", START_HINT)
    names = ", ".join(stack.id for stack in stacks)
    raise InvalidError(f"Several stacks are running: {names}.", f"Choose one with {ENVIRONMENT}.")


def _load_file(path: Path, name: str) -> StackDescriptor:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        if not isinstance(error, FileNotFoundError):
            raise InvalidError(f"{name} has a descriptor that cannot be read: {error}.") from error
        raise InvalidError(f"{name} is not running{_choices()}.", START_HINT) from error
    stack = parse(text, str(path))
    if not is_running(stack):
        raise InvalidError(
            f"{name} is not running: its descriptor {path} is stale, and nobody answers.",
            START_HINT,
        )
    return stack


def _choices() -> str:
    names = [path.parent.name for path in sorted((state_home() / "stacks").glob(f"*/{FILE}"))]
    return f"; known are {', '.join(names)}" if names else ""
