"""OpenSLO v1 documents as `slis:` and `objectives:` of a scenario. Pure: text in, lines out.

Read are the kinds SLO, SLI and DataSource of https://github.com/OpenSLO/OpenSLO (README,
"Specification"), several documents to a text, with Prometheus as the source of every metric.
An SLO speaks of weeks and a run of minutes, so not all of it has a place in a scenario: what
has none is named in :attr:`Imported.left_out`, never dropped silently.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.errors import InvalidError
from harness.model import Quantity, Unit
from harness.promql import selectors
from harness.scenario.document import read
from harness.scenario.tree import plain
from harness.units import show_quantity

VERSION = "openslo/v1"
MAX_DOCUMENTS = 1000
PHASES = "steady, after"
#: Words that objectives begin with, which no SLI can be called.
RESERVED = ("alert", "recovery")
OPERATORS = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
SLO, SLI, SOURCE = "SLO", "SLI", "DataSource"

Tree = Mapping[str, Any]


@dataclass(slots=True, kw_only=True)
class Imported:
    """What a scenario can say of the documents.

    ``slis`` by name as the scenario writes them, ``objectives`` as lines; ``left_out`` names
    each thing that has no place there, ``notes`` what is said differently.
    """

    slis: dict[str, dict[str, str]] = field(default_factory=dict)
    objectives: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class _Unusable(Exception):  # noqa: N818 - a finding about the document
    """Why a part cannot be said in a scenario."""


def imported(text: str, window_s: float = 10.0) -> Imported:
    """The SLIs and objectives of a text of OpenSLO documents.

    Args:
        text: YAML, of one or more documents.
        window_s: Over how long rates of counters are taken, where a query does not say it.

    Raises:
        InvalidError: It is not YAML, not OpenSLO v1, or holds nothing that can be used.
    """
    documents = _documents(text)
    found = Imported()
    known = {kind: _named(documents, kind) for kind in (SLO, SLI, SOURCE)}
    for document in documents:
        kind, name = document["kind"], _name(document)
        if kind == SLO:
            _Slo(name, document, known, found, window_s).read()
        elif kind == SOURCE:
            found.left_out.append(f"DataSource {name}: where Prometheus is, says the stack")
        elif kind != SLI:
            found.left_out.append(
                f"{kind} {name}: a scenario has no such thing{_INSTEAD.get(kind, '')}"
            )
    used = {_reference(s) for slo in known[SLO].values() for s in _indicators(slo)}
    unused = [name for name in known[SLI] if name not in used]
    found.left_out += [f"SLI {name}: no SLO speaks of it" for name in unused]
    if not found.slis:
        raise InvalidError(
            "Nothing in these documents can be said in a scenario: "
            + ("; ".join(found.left_out) or "there is no SLO"),
            "An SLO needs a ratioMetric or thresholdMetric whose source is Prometheus.",
        )
    return found


_INSTEAD = {
    "AlertPolicy": "; ask for its alert with `alert NAME fires within 60s`",
    "AlertCondition": "; `harness slo rules` makes burn-rate alerts of an objective",
}


def _documents(text: str) -> list[Tree]:
    # A line that begins with --- ends a document whatever it stands in, text included.
    texts = re.split(r"^---(?=\s|$)", text, flags=re.MULTILINE)
    if len(texts) > MAX_DOCUMENTS:
        raise InvalidError(f"There are more than {MAX_DOCUMENTS} documents.", "Split the file.")
    documents: list[Any] = []
    for each in texts:
        root, problems = read(each)
        if problems:
            where = f"Document {len(documents) + 1}, at its line {problems[0].mark.line}"
            raise InvalidError(
                f"{where}, cannot be read: {problems[0].message}.",
                "Correct the file.",
            )
        if root is not None and root.value is not None:
            documents.append(plain(root))
    for number, document in enumerate(documents, 1):
        if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
            raise InvalidError(
                f"Document {number} is not OpenSLO: it has no kind.",
                "Every document needs apiVersion, kind, metadata and spec.",
            )
        version = document.get("apiVersion")
        if version != VERSION:
            raise InvalidError(
                f"Document {number} ({document['kind']}) is of {version!r}; read is {VERSION}.",
                "Convert it first; OpenSLO's own tool does it.",
            )
        if not isinstance(document.get("spec"), dict) or not _name(document):
            raise InvalidError(
                f"Document {number} ({document['kind']}) has no metadata.name or no spec.",
                "Every document needs apiVersion, kind, metadata and spec.",
            )
    return documents


def _name(document: Tree) -> str:
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) else ""


def _named(documents: list[Tree], kind: str) -> dict[str, Tree]:
    found: dict[str, Tree] = {}
    for document in documents:
        if document["kind"] == kind:
            if _name(document) in found:
                raise InvalidError(
                    f"There are two documents {kind} {_name(document)}.", "Keep one of them."
                )
            found[_name(document)] = document
    return found


def _indicators(slo: Tree) -> Iterator[Tree]:
    """What names an indicator: the SLO itself, or each objective of a composite one."""
    yield slo["spec"]
    for objective in _list(slo["spec"].get("objectives")):
        if isinstance(objective, dict):
            yield objective


def _reference(holder: Tree) -> str:
    reference = holder.get("indicatorRef")
    return reference if isinstance(reference, str) else ""


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


class _Slo:
    """One SLO being read."""

    def __init__(
        self,
        name: str,
        document: Tree,
        known: Mapping[str, Mapping[str, Tree]],
        found: Imported,
        window_s: float,
    ) -> None:
        self._name = name
        self._spec: Tree = document["spec"]
        self._known = known
        self._found = found
        self._window = f"{window_s * 1000:.0f}ms" if window_s % 1 else f"{window_s:.0f}s"

    def read(self) -> None:
        """Add what this SLO says."""
        spec = self._spec
        self._leave_rest(spec, ("indicator", "indicatorRef", "budgetingMethod", "objectives"), "")
        objectives = _list(spec.get("objectives"))
        if not objectives:
            self._leave("objectives", "there are none")
        for number, objective in enumerate(objectives):
            where = f"objectives[{number}]"
            if not isinstance(objective, dict):
                self._leave(where, "it is no mapping")
                continue
            try:
                self._objective(objective, where, number)
            except _Unusable as reason:
                self._leave(where, str(reason))

    def _leave(self, what: str, why: str) -> None:
        self._found.left_out.append(f"SLO {self._name}: {what}: {why}")

    def _leave_rest(self, tree: Tree, read: tuple[str, ...], prefix: str) -> None:
        for key in tree:
            if key in (*read, *_PROSE):
                continue
            why = _WHY.get(str(key), "a scenario has no such key")
            self._leave(f"{prefix}{key}", why)

    def _objective(self, objective: Tree, where: str, number: int) -> None:
        own = "indicator" in objective or "indicatorRef" in objective
        holder = objective if own else self._spec
        self._leave_rest(objective, _OF_OBJECTIVE, f"{where}.")
        if objective.get("compositeWeight", 1) != 1:
            self._leave(f"{where}.compositeWeight", "every objective of a scenario must hold")
        indicator, spec = self._indicator(holder)
        target, method = _target(objective), self._spec.get("budgetingMethod")
        if method not in ("Occurrences", "Timeslices", "RatioTimeslices"):
            raise _Unusable(f"the budgetingMethod {method!r} is none of OpenSLO's")
        if isinstance(spec.get("thresholdMetric"), dict):
            sli, higher = self._threshold(spec["thresholdMetric"], objective), True
        elif isinstance(spec.get("ratioMetric"), dict):
            if method == "Timeslices":
                raise _Unusable(
                    "Timeslices of a ratio count slices, which no objective does; write "
                    "`NAME.min >= …` for every sample, or `NAME.mean >= …`"
                )
            sli, higher = self._ratio(spec["ratioMetric"])
            if method == "Occurrences":
                self._note("the mean of a phase weighs every second alike, not every event")
        else:
            raise _Unusable("the indicator has neither thresholdMetric nor ratioMetric")
        # One SLI a metric, however many targets it has.
        name = self._register(indicator, sli, number)
        bound = target if higher else 1 - target
        line = f"{name}.mean {'>=' if higher else '<='} {_percent(bound)} during {PHASES}"
        if line not in self._found.objectives:
            self._found.objectives.append(line)

    def _note(self, text: str) -> None:
        note = f"SLO {self._name}: {text}"
        if note not in self._found.notes:
            self._found.notes.append(note)

    def _indicator(self, holder: Tree) -> tuple[str, Tree]:
        inline, reference = holder.get("indicator"), _reference(holder)
        if isinstance(inline, dict) == bool(reference):
            raise _Unusable("exactly one of indicator and indicatorRef is needed")
        if reference:
            if reference not in self._known[SLI]:
                raise _Unusable(f"there is no SLI {reference!r} in these documents")
            return reference, self._known[SLI][reference]["spec"]
        assert isinstance(inline, dict)
        spec = inline.get("spec")
        if not isinstance(spec, dict):
            raise _Unusable("its indicator has no spec")
        return _name(inline) or self._name, spec

    def _threshold(self, metric: Tree, objective: Tree) -> dict[str, str]:
        """The share of samples on the right side, which a target is a share of.

        NaN is no sample: the comparison with itself takes it out.
        """
        query = self._query(metric, "thresholdMetric")
        op, value = objective.get("op"), objective.get("value")
        if op not in OPERATORS:
            raise _Unusable(f"op {op!r} is none of {', '.join(OPERATORS)}")
        if not _is_number(value):
            raise _Unusable(f"value {value!r} is no number")
        return {"query": f"(({query}) == ({query})) {OPERATORS[op]} bool {value!r}"}

    def _ratio(self, metric: Tree) -> tuple[dict[str, str], bool]:
        if "raw" in metric:
            kind = metric.get("rawType")
            if kind not in ("success", "failure"):
                raise _Unusable(f"rawType {kind!r} is neither success nor failure")
            return {"query": self._query(metric["raw"], "raw")}, kind == "success"
        parts = [key for key in ("good", "bad") if key in metric]
        if len(parts) != 1 or "total" not in metric:
            raise _Unusable("a ratioMetric needs total and exactly one of good and bad")
        (part,) = parts
        counter = metric.get("counter") is True
        sli = {
            key: self._rate(self._query(metric[key], key), key)
            if counter
            else self._query(metric[key], key)
            for key in (part, "total")
        }
        return sli, part == "good"

    def _query(self, metric: object, what: str) -> str:
        source = metric.get("metricSource") if isinstance(metric, dict) else None
        if not isinstance(source, dict):
            raise _Unusable(f"{what} has no metricSource")
        kind, reference = source.get("type"), source.get("metricSourceRef")
        if kind is None and isinstance(reference, str):
            if reference not in self._known[SOURCE]:
                raise _Unusable(f"{what}: there is no DataSource {reference!r} and no type")
            kind = self._known[SOURCE][reference]["spec"].get("type")
        if str(kind).lower() != "prometheus":
            raise _Unusable(f"{what} comes from {kind or 'an unknown source'}, not from Prometheus")
        spec = source.get("spec")
        query = spec.get("query") if isinstance(spec, dict) else None
        if not isinstance(query, str) or not query.strip():
            raise _Unusable(f"{what} has no spec.query")
        query = _WINDOW.sub(self._window, " ".join(query.split()))
        if "{{" in query:
            raise _Unusable(f"{what} has a template in its query: {query}")
        return query

    def _rate(self, query: str, what: str) -> str:
        """A query of counters as one of rates; OpenSLO leaves that to whoever reads it."""
        read = selectors(query)
        if read and all(s.counter and s.window_s for s in read):
            return query
        summed = re.fullmatch(r"sum\s*\((.*)\)", query, re.DOTALL)
        inner = summed[1].strip() if summed else query
        alone = len(read) == 1 and not read[0].window_s
        if alone and _SELECTOR.fullmatch(inner):
            return f"sum(rate({inner}[{self._window}]))"
        raise _Unusable(f"{what} is a counter whose rate is not plain; write its query with rate()")

    def _register(self, indicator: str, sli: dict[str, str], number: int) -> str:
        wanted = _sli_name(indicator)
        for name in (wanted, f"{wanted}-{number}", f"{_sli_name(self._name)}-{wanted}-{number}"):
            if self._found.slis.setdefault(name, sli) == sli:
                return name
        raise _Unusable(f"the name {wanted!r} is taken by another SLI")


_PROSE = ("description", "service", "displayName")
_OF_OBJECTIVE = (
    "op", "value", "target", "targetPercent", "indicator", "indicatorRef", "compositeWeight",
)  # fmt: skip
_WHY = {
    "timeWindow": "a run judges its own phases, not a window of weeks",
    "alertPolicies": "ask for an alert with `alert NAME fires within 60s`",
    "timeSliceTarget": "a scenario has no time slices",
    "timeSliceWindow": "a scenario has no time slices; samples are a scrape apart",
}
_WINDOW = re.compile(r"\{\{\s*\.?\s*window\s*\}\}")
_SELECTOR = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\s*(\{(?:[^{}\"]|\"(?:[^\"\\]|\\.)*\")*\})?")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _target(objective: Tree) -> float:
    """The share that must be good, from 0 up to but without 1."""
    given = [key for key in ("target", "targetPercent") if key in objective]
    if len(given) != 1:
        raise _Unusable("exactly one of target and targetPercent is needed")
    value = objective[given[0]]
    if not _is_number(value):
        raise _Unusable(f"{given[0]} {value!r} is no number")
    share = value / 100 if given == ["targetPercent"] else float(value)
    if not 0 <= share < 1:
        raise _Unusable(f"{given[0]} {value!r} is no target from 0 up to, without, 1 (100 %)")
    return share


def _percent(share: float) -> str:
    return show_quantity(Quantity(value=round(share, 12), unit=Unit.RATIO))


def _sli_name(text: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_-]", "-", text)
    name = name if re.match(r"[A-Za-z_]", name) else f"sli-{name}"
    return f"{name}-sli" if name in RESERVED else name
