"""OpenSLO documents: what a scenario says of them, and that nothing is dropped silently."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from harness.cli import exchange
from harness.errors import InvalidError
from harness.openslo import imported
from harness.scenario import parse
from tests import builders  # noqa: F401 - the profile of hypothesis

# ruff: noqa: E501 - queries and messages stand on one line

GOOD = 'sum(rate(http_requests_total{code!~"5.."}[10s]))'
TOTAL = "sum(rate(http_requests_total[10s]))"
LATENCY = "histogram_quantile(0.99, sum by (le) (rate(latency_bucket[10s])))"


def source(query: str, **changes: Any) -> dict[str, Any]:
    return {"metricSource": {"type": "Prometheus", "spec": {"query": query}} | changes}


def ratio(**changes: Any) -> dict[str, Any]:
    return {"ratioMetric": {"good": source(GOOD), "total": source(TOTAL)} | changes}


def document(kind: str, name: str, spec: dict[str, Any], **changes: Any) -> dict[str, Any]:
    found = {"apiVersion": "openslo/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    return found | changes


def slo(metric: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "service": "shop",
        "indicator": {"metadata": {"name": "served"}, "spec": metric or ratio()},
        "budgetingMethod": "RatioTimeslices",
        "objectives": [{"target": 0.999}],
    }
    return document("SLO", "checkout", {k: v for k, v in (spec | changes).items() if v is not None})


def text(*documents: dict[str, Any]) -> str:
    return "\n---\n".join(json.dumps(d) for d in documents)  # JSON is YAML


THRESHOLD = {"thresholdMetric": source(LATENCY)}
BELOW = [{"op": "lt", "value": 0.5, "target": 0.99}]

SAID: dict[str, tuple[tuple[dict[str, Any], ...], dict[str, dict[str, str]], list[str], list[str]]] = {
    "good over total": (
        (slo(),),
        {"served": {"good": GOOD, "total": TOTAL}},
        ["served.mean >= 99.9% during steady, after"],
        [],
    ),
    "bad over total turns the target around": (
        (slo({"ratioMetric": {"bad": source(GOOD), "total": source(TOTAL)}}),),
        {"served": {"bad": GOOD, "total": TOTAL}},
        ["served.mean <= 0.1% during steady, after"],
        [],
    ),
    "targetPercent is a hundred times target": (
        (slo(objectives=[{"targetPercent": 99.95}]),),
        {"served": {"good": GOOD, "total": TOTAL}},
        ["served.mean >= 99.95% during steady, after"],
        [],
    ),
    "several targets of one ratio are several objectives of one SLI": (
        (slo(objectives=[{"target": 0.9}, {"target": 0.99}]),),
        {"served": {"good": GOOD, "total": TOTAL}},
        ["served.mean >= 90% during steady, after", "served.mean >= 99% during steady, after"],
        [],
    ),
    "a stored ratio of successes": (
        (slo({"ratioMetric": {"raw": source("ok:ratio"), "rawType": "success"}}),),
        {"served": {"query": "ok:ratio"}},
        ["served.mean >= 99.9% during steady, after"],
        [],
    ),
    "a stored ratio of failures": (
        (slo({"ratioMetric": {"raw": source("bad:ratio"), "rawType": "failure"}}),),
        {"served": {"query": "bad:ratio"}},
        ["served.mean <= 0.1% during steady, after"],
        [],
    ),
    "a threshold is the share of samples on its right side": (
        (slo(THRESHOLD, objectives=BELOW),),
        {"served": {"query": f"(({LATENCY}) == ({LATENCY})) < bool 0.5"}},
        ["served.mean >= 99% during steady, after"],
        [],
    ),
    "raw counters get the rate that OpenSLO leaves to the reader": (
        (slo(ratio(counter=True, good=source("sum(a_total{x='1'})"), total=source("a_total"))),),
        {"served": {"good": "sum(rate(a_total{x='1'}[10s]))", "total": "sum(rate(a_total[10s]))"}},
        ["served.mean >= 99.9% during steady, after"],
        [],
    ),
    "a window that is left open is filled in": (
        (slo(ratio(good=source("sum(rate(a[{{.window}}]))"))),),
        {"served": {"good": "sum(rate(a[10s]))", "total": TOTAL}},
        ["served.mean >= 99.9% during steady, after"],
        [],
    ),
    "an SLI and a DataSource by name": (
        (
            slo(indicator=None, indicatorRef="served"),
            document("SLI", "served", ratio(good=source(GOOD, type=None, metricSourceRef="prom"))),
            document("DataSource", "prom", {"type": "prometheus"}),
        ),
        {"served": {"good": GOOD, "total": TOTAL}},
        ["served.mean >= 99.9% during steady, after"],
        ["DataSource prom: where Prometheus is, says the stack"],
    ),
    "a name that no SLI can have": (
        (slo(indicator={"metadata": {"name": "4.xx served"}, "spec": ratio()}),),
        {"sli-4-xx-served": {"good": GOOD, "total": TOTAL}},
        ["sli-4-xx-served.mean >= 99.9% during steady, after"],
        [],
    ),
    "a name that objectives begin with": (
        (slo(indicator={"metadata": {"name": "recovery"}, "spec": ratio()}),),
        {"recovery-sli": {"good": GOOD, "total": TOTAL}},
        ["recovery-sli.mean >= 99.9% during steady, after"],
        [],
    ),
    "a composite is one objective an indicator": (
        (
            slo(
                indicator=None,
                objectives=[
                    {"target": 0.9, "indicator": {"metadata": {"name": "a"}, "spec": ratio()}},
                    {"target": 0.99, "indicatorRef": "b", "compositeWeight": 2},
                ],
            ),
            document("SLI", "b", ratio(total=source("sum(rate(b[10s]))"))),
        ),
        {
            "a": {"good": GOOD, "total": TOTAL},
            "b": {"good": GOOD, "total": "sum(rate(b[10s]))"},
        },
        ["a.mean >= 90% during steady, after", "b.mean >= 99% during steady, after"],
        ["SLO checkout: objectives[1].compositeWeight: every objective of a scenario must hold"],
    ),
    "the window of the SLO, its alerts and whatever is unknown are named": (
        (
            slo(timeWindow=[{"duration": "4w"}], alertPolicies=[{}], colour="red"),
            document("AlertPolicy", "p", {}),
            document("Service", "shop", {}),
            document("SLI", "spare", ratio()),
        ),
        {"served": {"good": GOOD, "total": TOTAL}},
        ["served.mean >= 99.9% during steady, after"],
        [
            "SLO checkout: timeWindow: a run judges its own phases, not a window of weeks",
            "SLO checkout: alertPolicies: ask for an alert with `alert NAME fires within 60s`",
            "SLO checkout: colour: a scenario has no such key",
            "AlertPolicy p: a scenario has no such thing; ask for its alert with `alert NAME fires within 60s`",
            "Service shop: a scenario has no such thing",
            "SLI spare: no SLO speaks of it",
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", SAID.values(), ids=SAID.keys())
def test_what_a_scenario_says_of_it(row: Any) -> None:
    documents, slis, objectives, left_out = row
    found = imported(text(*documents))
    assert (found.slis, found.objectives, found.left_out) == (slis, objectives, left_out)


@pytest.mark.parametrize("row", SAID.values(), ids=SAID.keys())
def test_the_fragment_is_a_part_of_a_scenario(row: Any) -> None:
    head = (
        "version: 1\nname: imported\nstack: {driver: local}\nfaults: []\n"
        "load: {http: [GET /items], service: gateway, arrivals: 50/s, timeout: 2s}\n"
    )
    found = imported(text(*row[0]))
    scenario = parse(
        head + exchange.fragment(found), path="x.yaml", environment={}, exists=lambda _: True
    )
    assert [o.text for o in scenario.objectives] == found.objectives
    for name, sli in found.slis.items():
        assert {k: getattr(scenario.slis[name], k) for k in sli} == sli


LEFT: dict[str, tuple[dict[str, Any], str]] = {
    "another source": (
        slo(ratio(good=source("q", type="Datadog"))),
        "objectives[0]: good comes from Datadog, not from Prometheus",
    ),
    "a source without a type": (
        slo(ratio(good=source("q", type=None))),
        "objectives[0]: good comes from an unknown source, not from Prometheus",
    ),
    "a DataSource that is not there": (
        slo(ratio(good=source("q", type=None, metricSourceRef="nowhere"))),
        "objectives[0]: good: there is no DataSource 'nowhere' and no type",
    ),
    "an SLI that is not there": (
        slo(indicator=None, indicatorRef="nowhere"),
        "objectives[0]: there is no SLI 'nowhere' in these documents",
    ),
    "two indicators": (
        slo(indicatorRef="other"),
        "objectives[0]: exactly one of indicator and indicatorRef is needed",
    ),
    "good and bad": (
        slo(ratio(bad=source("q"))),
        "objectives[0]: a ratioMetric needs total and exactly one of good and bad",
    ),
    "no total": (
        slo({"ratioMetric": {"good": source(GOOD)}}),
        "objectives[0]: a ratioMetric needs total and exactly one of good and bad",
    ),
    "neither metric": (
        slo({"otherMetric": {}}),
        "objectives[0]: the indicator has neither thresholdMetric nor ratioMetric",
    ),
    "no query": (slo(ratio(good=source(" "))), "objectives[0]: good has no spec.query"),
    "a template in a query": (
        slo(ratio(good=source("rate(a{x='{{.env}}'}[5m])"))),
        "objectives[0]: good has a template in its query: rate(a{x='{{.env}}'}[5m])",
    ),
    "a counter inside arithmetic": (
        slo(ratio(counter=True, good=source("a_total - b_total"))),
        "objectives[0]: good is a counter whose rate is not plain; write its query with rate()",
    ),
    "an unknown rawType": (
        slo({"ratioMetric": {"raw": source("q"), "rawType": "both"}}),
        "objectives[0]: rawType 'both' is neither success nor failure",
    ),
    "two targets": (
        slo(objectives=[{"target": 0.9, "targetPercent": 90}]),
        "objectives[0]: exactly one of target and targetPercent is needed",
    ),
    "no target": (
        slo(objectives=[{}]),
        "objectives[0]: exactly one of target and targetPercent is needed",
    ),
    "a target of everything": (
        slo(objectives=[{"target": 1.0}]),
        "objectives[0]: target 1.0 is no target from 0 up to, without, 1 (100 %)",
    ),
    "a target in the wrong unit": (
        slo(objectives=[{"target": 99.9}]),
        "objectives[0]: target 99.9 is no target from 0 up to, without, 1 (100 %)",
    ),
    "a target that is true": (
        slo(objectives=[{"target": True}]), "objectives[0]: target True is no number",
    ),
    "an unknown operator": (
        slo(THRESHOLD, objectives=[{"op": "eq", "value": 1, "target": 0.9}]),
        "objectives[0]: op 'eq' is none of lt, lte, gt, gte",
    ),
    "a value that is text": (
        slo(THRESHOLD, objectives=[{"op": "lt", "value": "1", "target": 0.9}]),
        "objectives[0]: value '1' is no number",
    ),
    "an unknown budgeting method": (
        slo(budgetingMethod="Daily"),
        "objectives[0]: the budgetingMethod 'Daily' is none of OpenSLO's",
    ),
    "no objectives": (slo(objectives=[]), "objectives: there are none"),
    "an objective that is text": (slo(objectives=["x"]), "objectives[0]: it is no mapping"),
}  # fmt: skip


@pytest.mark.parametrize("row", LEFT.values(), ids=LEFT.keys())
def test_what_cannot_be_said_is_named(row: tuple[dict[str, Any], str]) -> None:
    broken, why = row
    broken = {**broken, "metadata": {"name": "broken"}}
    found = imported(text(slo(), broken))
    assert f"SLO broken: {why}" in found.left_out
    assert found.objectives == ["served.mean >= 99.9% during steady, after"]
    with pytest.raises(InvalidError) as caught:
        imported(text(broken))
    assert why in caught.value.message


def test_timeslices_of_a_ratio_have_no_objective() -> None:
    with pytest.raises(InvalidError, match="Timeslices of a ratio count slices"):
        imported(text(slo(budgetingMethod="Timeslices")))


def test_occurrences_are_weighed_otherwise_and_that_is_said() -> None:
    (note,) = imported(text(slo(budgetingMethod="Occurrences"))).notes
    assert "weighs every second alike" in note


REFUSED: dict[str, tuple[str, str]] = {
    "no YAML": ("a: [", "Document 1, at its line 1, cannot be read: this is not YAML"),
    "a tag that runs code": ("!!python/object/apply:os.system ['x']", "tags such as"),
    "text": ("hello", "Document 1 is not OpenSLO: it has no kind"),
    "nothing": ("", "there is no SLO"),
    "an unknown second document": (text(slo()) + "\n---\n- 1\n", "Document 2 is not OpenSLO"),
    "a key twice": ("kind: SLO\nkind: SLI\n", "is there twice"),
    "another version": (
        text(slo() | {"apiVersion": "openslo/v2alpha"}),
        "is of 'openslo/v2alpha'; read is openslo/v1",
    ),
    "no version": ("kind: SLO", "is of None; read is openslo/v1"),
    "no name": (text(slo() | {"metadata": {}}), "has no metadata.name or no spec"),
    "no spec": (text(slo() | {"spec": None}), "has no metadata.name or no spec"),
    "two of a name": (text(slo(), slo()), "There are two documents SLO checkout"),
    "a file of a mebibyte": ("#" * (1024 * 1024 + 1), "the file is larger than 1 MiB"),
    "too deep": ("[" * 500, "nested deeper than 32 levels"),
}


@pytest.mark.parametrize("row", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_openslo_is_refused(row: tuple[str, str]) -> None:
    bad, message = row
    with pytest.raises(InvalidError) as caught:
        imported(bad)
    assert message in caught.value.message


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from([*slo()["spec"], "spec", "metricSource", "ratioMetric", "good", "total",
                         "target", "indicatorRef", "name", "x"]), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=40)
@given(JSON)
def test_no_document_crashes_the_reader(spec: Any) -> None:
    for bad in (document("SLO", "s", spec), slo(spec), slo(objectives=spec), slo(indicator=spec)):
        try:
            found = imported(text(bad))
        except InvalidError as error:
            assert error.next_step
        else:
            assert len(found.slis) >= 1


def test_the_command_prints_a_fragment_and_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "slo.yaml"
    file.write_text(text(slo(ratio(good=source('sum(rate(a{x="$1"}[10s]))')), timeWindow=[{}])))
    assert exchange.import_openslo(file, "10s", "text") == 0
    said = capsys.readouterr()
    document = YAML(typ="safe", pure=True).load(said.out)
    assert document["slis"]["served"]["good"] == 'sum(rate(a{x="$$1"}[10s]))'
    assert "not imported: SLO checkout: timeWindow" in said.err
    assert "# not imported: SLO checkout: timeWindow" in said.out
    exchange.import_openslo(file, "10s", "json")
    assert list(json.loads(capsys.readouterr().out)) == ["slis", "objectives", "notes", "left_out"]


@pytest.mark.parametrize(
    ("file", "window", "message"),
    [("nowhere.yaml", "10s", "cannot be read"), ("slo.yaml", "0s", "must be above 0"),
     ("slo.yaml", "soon", "--window")],
    ids=["no file", "no window", "a window that is no duration"],
)  # fmt: skip
def test_the_command_refuses(tmp_path: Path, file: str, window: str, message: str) -> None:
    (tmp_path / "slo.yaml").write_text(text(slo()))
    with pytest.raises(InvalidError) as caught:
        exchange.import_openslo(tmp_path / file, window, "text")
    assert message in caught.value.message
