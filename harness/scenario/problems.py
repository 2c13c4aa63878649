"""What is wrong with a scenario, where, and how it is printed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

#: An excerpt longer than a terminal line hides the place that it should show.
WIDEST_EXCERPT = 120
LONGEST_VALUE = 60
#: The line breaks of YAML, so that line numbers agree with those of the parser.
LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place: line and column from 1, or the command line option that gave the value."""

    line: int
    column: int
    option: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong at one place."""

    mark: Mark
    message: str


def render(problems: Iterable[Problem], *, path: str, text: str) -> tuple[str, ...]:
    """Every problem once, in the order of the file, options last."""
    lines = LINE_BREAK.split(text)
    ordered = sorted(set(problems), key=lambda p: (bool(p.mark.option), p))
    return tuple(_render(problem, path, lines) for problem in ordered)


def _render(problem: Problem, path: str, lines: list[str]) -> str:
    mark = problem.mark
    message = printable(problem.message)
    if mark.option:
        return f"{printable(mark.option)}: error: {message}"
    line = lines[mark.line - 1] if mark.line <= len(lines) else ""
    start = max(0, mark.column - WIDEST_EXCERPT // 2) if len(line) > WIDEST_EXCERPT else 0
    excerpt = printable(line[start : start + WIDEST_EXCERPT]).rstrip()
    caret = " " * (mark.column - 1 - start) + "^"
    return (
        f"{path}:{mark.line}:{mark.column}: error: {message}\n"
        f"{mark.line:5} | {excerpt}\n"
        f"      | {caret}"
    )


def printable(text: str) -> str:
    """The text without anything that could move the cursor; one character stays one."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in text)


def did_you_mean(word: str, known: Iterable[str], *, label: str = "known") -> str:
    """``; did you mean 'x'?``, or what is known where nothing is close (no label: nothing)."""
    names = list(known)
    folded = {name.lower(): name for name in names}
    close = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{folded[close[0]]}'?"
    return f"; {label}: {', '.join(names)}" if names and label else ""


def quoted(value: object) -> str:
    """A value as a reader of the file knows it, shortened."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case dict():
            return "a mapping of keys"
        case list():
            return "a list"
        case str():
            return repr(shortened(value))
        case _:
            return shortened(str(value))


def shortened(text: str) -> str:
    """The text, cut where it would bury the message."""
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


def dotted(where: Iterable[str | int]) -> str:
    """``load.http[0]``."""
    text = ""
    for part in where:
        text += f"[{part}]" if isinstance(part, int) else f".{shortened(part)}" if text else part
    return text
