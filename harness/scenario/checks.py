"""What depends on two places of the file at once.

Works on the tree rather than on the validated models, so that these problems are reported
together with those of the shape. A value of the wrong kind is the shape's business and is
passed over here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from harness.arrival_text import parse as parse_arrivals
from harness.scenario.fields import inside_project
from harness.scenario.overlay import PODS
from harness.scenario.problems import Problem, did_you_mean, quoted
from harness.scenario.sections import STACK_OPTIONS
from harness.scenario.tree import Node, at, key_mark
from harness.units import parse_duration_s, parse_rate_per_s

Exists = Callable[[str], bool]
RESERVED = ("alert", "recovery")


def check(root: Node, exists: Exists) -> Iterator[Problem]:
    """Every problem between the sections, except those of objectives."""
    yield from _one_of(root, (), "experiment", "faults", "faults: [] is a load test without any")
    load = at(root, "load")
    if load is not None and isinstance(load.value, dict):
        yield from _one_of(root, ("load",), "profile", "http", "")
        yield from _one_of(root, ("load",), "arrivals", "users", "")
        yield from _closed_loop(root)
    if at(root, "with") is not None and at(root, "experiment") is None:
        yield Problem(key_mark(root, "with"), "with is only for experiment; faults say it directly")
    yield from _stack_options(root)
    yield from _load_inside(root)
    yield from _files(root, exists)
    yield from _rates(root)
    yield from _metrics(root)
    bystanders = at(root, "only_affects")
    if bystanders is not None and bystanders.value and not injects(root):
        mark = key_mark(root, "only_affects")
        yield Problem(mark, "only_affects needs a fault, and faults is empty")
    for name in RESERVED:
        if at(root, "slis", name) is not None:
            message = f"an SLI cannot be called {name!r}: objectives begin with that word"
            yield Problem(key_mark(root, "slis", name), message)


def _one_of(root: Node, path: tuple[str, ...], a: str, b: str, also: str) -> Iterator[Problem]:
    found = [name for name in (a, b) if at(root, *path, name) is not None]
    prefix = "".join(f"{part}." for part in path)
    if len(found) == 2:
        mark = max(key_mark(root, *path, name) for name in found)
        yield Problem(mark, f"both {prefix}{a} and {prefix}{b} are given; keep exactly one")
    elif not found:
        tail = f" ({also})" if also else ""
        message = f"neither {prefix}{a} nor {prefix}{b} is given; one is needed{tail}"
        yield Problem(key_mark(root, *path), message)


def _closed_loop(root: Node) -> Iterator[Problem]:
    """With users, what speaks of arrivals would be silently without effect."""
    if at(root, "load", "users") is None:
        return
    for path in (("load", "max_in_flight"), ("max_rate",)):
        if at(root, *path) is not None:
            message = f"{'.'.join(path)} is only for load.arrivals; a closed loop has neither"
            yield Problem(key_mark(root, *path), message)


#: The options without which nobody knows what a driver would touch.
NEEDED = {
    "compose": {"project": "the project's name"},
    "kubernetes": {
        "context": "the kubeconfig's name for the cluster",
        "namespace": "the namespace's name",
    },
}


def _stack_options(root: Node) -> Iterator[Problem]:
    """An option of another driver would be silently without effect."""
    stack, driver = at(root, "stack"), at(root, "stack", "driver")
    if stack is None or driver is None or str(driver.value) not in STACK_OPTIONS:
        return
    for option, what in NEEDED.get(str(driver.value), {}).items():
        if at(stack, option) is None:
            # It touches what it was told to touch, and guesses nothing.
            message = f"the driver {driver.value} needs stack.{option}, {what}"
            yield Problem(driver.mark, message)
    for name in stack.keys:
        fitting = [d for d, options in STACK_OPTIONS.items() if name in options]
        if fitting and driver.value not in fitting:
            message = (
                f"stack.{name} means nothing to the driver {driver.value}; "
                f"it is for {', '.join(fitting)}"
            )
            yield Problem(key_mark(stack, name), message)


def _load_inside(root: Node) -> Iterator[Problem]:
    """Pods need a cluster, and one master is enough."""
    if at(root, "load", "inside") is None:
        return
    mark, driver = key_mark(root, "load", "inside"), at(root, "stack", "driver")
    name = PODS if driver is None else str(driver.value)
    if name in STACK_OPTIONS and name != PODS:
        message = f"load.inside needs the driver kubernetes; {name} has no pods"
        yield Problem(mark, message)
    if at(root, "load", "master") is not None:
        yield Problem(mark, "both load.master and load.inside are given; keep one")


def _files(root: Node, exists: Exists) -> Iterator[Problem]:
    for path in (("load", "profile"), ("experiment",)):
        node = at(root, *path)
        if node is None or not isinstance(node.value, str) or not inside_project(node.value):
            continue
        if "\0" in node.value or not exists(node.value):
            message = f"{'.'.join(path)}: there is no file {quoted(node.value)} in the project"
            yield Problem(node.mark, message)


def _rates(root: Node) -> Iterator[Problem]:
    arrivals, most = at(root, "load", "arrivals"), at(root, "max_rate")
    if arrivals is None or most is None:
        return
    try:
        over = parse_arrivals(str(arrivals.value)).peak_per_s > parse_rate_per_s(str(most.value))
    except (ValueError, OverflowError):
        return
    if over:
        message = f"load.arrivals {arrivals.value} is above max_rate {most.value}"
        yield Problem(arrivals.mark, message)


def _metrics(root: Node) -> Iterator[Problem]:
    metrics = at(root, "metrics")
    if metrics is None or metrics.value != "none":
        return
    slis = at(root, "slis")
    if slis is not None and slis.value:
        message = "slis need Prometheus, but `metrics: none` says that there is none"
        yield Problem(key_mark(root, "slis"), message)


def seconds(root: Node, phase: str) -> float | None:
    """The planned length of a phase where the file gives one that can be read."""
    node = at(root, "phases", phase)
    try:
        return None if node is None else parse_duration_s(str(node.value))
    except (ValueError, OverflowError):
        return None


def injects(root: Node) -> bool:
    """Whether anything is to be broken; unknown counts as yes, so that one slip is one problem."""
    faults = at(root, "faults")
    return at(root, "experiment") is not None or faults is None or faults.value != []


def sli_names(root: Node) -> tuple[str, ...]:
    """The names of the SLIs."""
    slis = at(root, "slis")
    return tuple(slis.value) if slis is not None and isinstance(slis.value, dict) else ()


def unknown_sli(name: str, known: tuple[str, ...]) -> str:
    """That there is no such SLI, and which one may be meant."""
    if not known:
        return f"there is no SLI {quoted(name)}; define it under slis"
    return f"there is no SLI {quoted(name)}{did_you_mean(name, known)}"
