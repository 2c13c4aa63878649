"""What a PromQL query reads: its metrics, their matchers, and over how long. Pure.

No parser of the language: Prometheus itself says whether a query is one. This only finds
the vector selectors in a query that parses, so that what stands behind a number (targets,
scrapes, counters) can be looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from harness.units import parse_duration_s

_TOKEN = re.compile(
    r"""(?P<blank>\s+|\#[^\n]*)
    |(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)
    |(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)
    |(?P<number>\.?\d[\w.]*)
    |(?P<sign>=~|!~|!=|.)""",
    re.VERBOSE | re.DOTALL,
)
_DURATION = re.compile(r"\d+(?:ms|[smhdwy])")
_SECONDS = {"d": 86_400.0, "w": 604_800.0, "y": 31_536_000.0}

_LABEL_LISTS = frozenset(("by", "without", "on", "ignoring", "group_left", "group_right"))
_WORDS = frozenset(("and", "or", "unless", "bool", "offset", "atan2", "inf", "nan", "start", "end"))
_FOLDS = ("sum", "min", "max", "avg", "group", "stddev", "stdvar", "count", "quantile")
_AGGREGATIONS = frozenset((*_FOLDS, "count_values", "bottomk", "topk"))
#: These follow a counter through its restarts; what was counted before a crash is lost to them.
_OF_COUNTERS = frozenset(("rate", "irate", "increase"))
_OF_ABSENCE = frozenset(("absent", "absent_over_time"))
_OF_TARGETS = frozenset(("job", "instance"))
#: Metrics that Prometheus itself writes about its targets: a dead target is what they tell.
_OWN = re.compile(r"up|scrape_\w+|ALERTS(_FOR_STATE)?")

Token = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """One vector selector: ``metric{matchers}`` read over ``window_s`` (0: the last sample).

    ``of_target`` are the matchers that choose targets, ``labels`` the labels that must have a
    value; ``counter`` says that it is read by ``rate`` or ``increase``, ``absence`` that its
    being absent says something too: inside ``absent()``, or behind ``unless``.
    """

    metric: str
    matchers: str = ""
    of_target: str = ""
    labels: tuple[str, ...] = ()
    window_s: float = 0.0
    counter: bool = False
    absence: bool = False

    @property
    def text(self) -> str:
        """As PromQL, without its range."""
        return f"{self.metric}{{{self.matchers}}}" if self.matchers else self.metric

    @property
    def everything(self) -> str:
        """As PromQL, all that its targets have of this metric."""
        return f"{self.metric}{{{self.of_target}}}" if self.of_target else self.metric

    @property
    def own(self) -> bool:
        """Whether Prometheus writes this metric itself."""
        return _OWN.fullmatch(self.metric) is not None


def selectors(query: str) -> tuple[Selector, ...]:
    """Every vector selector of a query, in its order; none for ``vector(1)``."""
    tokens = [t for t in _tokens(query) if t[0] != "blank"]
    found: list[Selector] = []
    calls: list[str] = []
    unless: int | None = None  # how deep the `unless` stands whose right side is being read
    pending, place = "", 0
    while place < len(tokens):
        kind, text = tokens[place]
        following = tokens[place + 1][1] if place + 1 < len(tokens) else ""
        place += 1
        if text == "(":
            calls.append(pending)
            pending = ""
        elif text == ")":
            calls = calls[:-1]
            unless = None if unless is not None and len(calls) < unless else unless
        elif text.lower() in ("unless", "and", "or") and (unless is None or len(calls) == unless):
            unless = len(calls) if text.lower() == "unless" else None
        elif text == "[":
            place = _beyond(tokens, place, "[", "]")
        elif kind == "name" and text.lower() in _LABEL_LISTS:
            if following == "(":
                place = _beyond(tokens, place + 1, "(", ")")
        elif kind == "name" and (following == "(" or text.lower() in _AGGREGATIONS):
            pending = text.lower()
        elif text == "{" or (kind == "name" and text.lower() not in _WORDS):
            selector, place = _selector(tokens, place - 1, calls)
            absence = unless is not None or not _OF_ABSENCE.isdisjoint(calls)
            found.append(replace(selector, absence=absence))
    return tuple(found)


def alternatives(query: str) -> tuple[str, ...]:
    """The parts of a query any of which will do: what `or` joins outside of every bracket."""
    found, depth = [""], 0
    for kind, text in _tokens(query):
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(text, 0)
        if depth == 0 and kind == "name" and text.lower() == "or":
            found.append("")
        else:
            found[-1] += text
    return tuple(part.strip() for part in found)


def fills_in(query: str) -> bool:
    """Whether the query has a constant ready for where there is no data: ``or vector(0)``."""
    text = "".join(t if k != "blank" else " " for k, t in _tokens(query))
    return re.search(r"\bor\s+(on\s*\(\s*\)\s*)?vector\s*\(", text) is not None


def window_s(query: str) -> float:
    """The longest range that a query reads, subqueries included."""
    tokens = [t for t in _tokens(query) if t[0] != "blank"]
    starts = [i + 1 for i, (_, text) in enumerate(tokens) if text == "["]
    found = [duration_s(tokens[i][1]) for i in starts if i < len(tokens)]
    return max(found, default=0.0)


def expanded(query: str, rules: Mapping[str, str], depth: int = 5) -> tuple[Selector, ...]:
    """The selectors of a query, with each recording rule replaced by what it reads itself."""
    found: list[Selector] = []
    for selector in selectors(query):
        rule = rules.get(selector.metric)
        found += expanded(rule, rules, depth - 1) if rule and depth else (selector,)
    return tuple(found)


def needed(query: str, rules: Mapping[str, str], depth: int = 5) -> tuple[Selector, ...]:
    """The selectors that a query can say nothing without: of targets, and not of an absence.

    As for :func:`expanded`, recording rules are replaced by what they read.
    """
    found: list[Selector] = []
    for selector in selectors(query):
        if selector.absence or selector.own:
            continue
        rule = rules.get(selector.metric)
        found += needed(rule, rules, depth - 1) if rule and depth else (selector,)
    return tuple(found)


def reach_s(query: str, rules: Mapping[str, tuple[str, float]], depth: int = 5) -> float:
    """How far back from its time a value of the query may look, seconds.

    Ranges and offsets, and where one range is read inside another (a subquery) all of them;
    a recording rule (its query and interval, seconds) adds what it reads, and its own age.
    """
    tokens = [text for kind, text in _tokens(query) if kind != "blank"]
    ranges, offsets, nested = [0.0], [0.0], False
    for place, text in enumerate(tokens):
        if text == "[":
            inside = tokens[place + 1 : _closing(tokens, place)]
            ranges.append(duration_s("".join(inside).partition(":")[0]))
            nested = nested or ":" in "".join(inside)
        elif text.lower() == "offset" and place + 1 < len(tokens):
            offsets.append(duration_s(tokens[place + 1]))
    behind = [0.0]
    for selector in selectors(query):
        if depth and selector.metric in rules:
            rule, interval_s = rules[selector.metric]
            behind.append(interval_s + reach_s(rule, rules, depth - 1))
    return (sum(ranges) if nested else max(ranges)) + max(offsets) + max(behind)


def _closing(tokens: list[str], place: int) -> int:
    return next((k for k in range(place, len(tokens)) if tokens[k] == "]"), len(tokens))


def duration_s(text: str) -> float:
    """Prometheus's own way to write a duration, such as ``1m30s``, in seconds."""
    return sum(
        float(part[:-1]) * _SECONDS[part[-1]] if part[-1] in _SECONDS else parse_duration_s(part)
        for part in _DURATION.findall(text)
    )


def _tokens(query: str) -> Iterator[Token]:
    for match in _TOKEN.finditer(query):
        yield match.lastgroup or "", match[0]


def _beyond(tokens: list[Token], place: int, opening: str, closing: str) -> int:
    """The place after the bracket that closes the one just passed."""
    depth = 1
    while place < len(tokens) and depth:
        depth += {opening: 1, closing: -1}.get(tokens[place][1], 0)
        place += 1
    return place


def _selector(tokens: list[Token], place: int, calls: list[str]) -> tuple[Selector, int]:
    metric, matchers, of_target, window = "", "", "", 0.0
    labels: tuple[str, ...] = ()
    if tokens[place][0] == "name":
        metric, place = tokens[place][1], place + 1
    if place < len(tokens) and tokens[place][1] == "{":
        end = _beyond(tokens, place + 1, "{", "}")
        inside = tokens[place + 1 : end - 1]
        matchers = "".join(text for _, text in inside)
        named, of_target, labels = _matched(inside)
        metric, place = metric or named, end
    if place + 1 < len(tokens) and tokens[place][1] == "[":
        window = duration_s(tokens[place + 1][1])
        place = _beyond(tokens, place + 1, "[", "]")
    counter = bool(calls) and calls[-1] in _OF_COUNTERS
    found = Selector(
        metric=metric,
        matchers=matchers,
        of_target=of_target,
        labels=labels,
        window_s=window,
        counter=counter,
    )
    return found, place


def _matched(inside: list[Token]) -> tuple[str, str, tuple[str, ...]]:
    """The metric that ``__name__`` names, the targets' matchers, labels that need a value."""
    metric, of_target, labels = "", [], []
    for (kind, name), (_, sign), (_, text) in zip(inside, inside[1:], inside[2:], strict=False):
        if kind != "name":
            continue
        if name in _OF_TARGETS:
            of_target.append(f"{name}{sign}{text}")
        if sign not in ("=", "=~") or len(text) <= 2:
            continue
        if name == "__name__":
            metric = text[1:-1] if sign == "=" else metric
        else:
            labels.append(name)
    return metric, ",".join(of_target), tuple(labels)


def over(query: str, window: str) -> str:
    """The query with every range replaced by another: ``rate(a[10s])`` over ``1h``.

    Raises:
        ValueError: It has no range, or a subquery, whose range is another thing.
    """
    tokens, found, place, ranges = list(_tokens(query)), "", 0, 0
    while place < len(tokens):
        text = tokens[place][1]
        place += 1
        found += text
        if text == "[":
            end = _beyond(tokens, place, "[", "]")
            if any(inner == ":" or ":" in inner for _, inner in tokens[place:end]):
                raise ValueError("it has a subquery")
            found += f"{window}]"
            place, ranges = end, ranges + 1
    if not ranges:
        raise ValueError("it has no range such as [10s]")
    return found
