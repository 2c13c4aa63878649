"""What a query reads, found without a parser of the language."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.promql import (
    Selector,
    duration_s,
    expanded,
    fills_in,
    needed,
    reach_s,
    selectors,
    window_s,
)

READ: dict[str, tuple[str, list[str]]] = {
    "a name": ("up", ["up"]),
    "a name with colons": ("job:errors:rate5m", ["job:errors:rate5m"]),
    "a function of a range": ("rate(a_total[5m])", ["a_total"]),
    "labels in front": ("sum by (job, le) (rate(a[5s]))", ["a"]),
    "labels behind": ("sum(rate(a[5s])) without (pod)", ["a"]),
    "two metrics": ("sum(a) / on(job) group_left(team) b", ["a", "b"]),
    "matchers": ('a{code=~"5..",job!="x"}', ['a{code=~"5..",job!="x"}']),
    "braces and words inside text": ("a{x=\"} or b{\",y='{c}'}", ["a{x=\"} or b{\",y='{c}'}"]),
    "only matchers": ('{__name__="a",job="j"}', ['a{__name__="a",job="j"}']),
    "a constant": ("vector(0)", []),
    "numbers": ("1e3 + 0x1F + Inf - nan", []),
    "a guard": ("sum(a) or vector(0)", ["a"]),
    "a comment": ("a # or b", ["a"]),
    "an offset": ("a offset 5m @ start()", ["a"]),
    "a subquery": ("max_over_time(rate(a[5s])[1m:1s])", ["a"]),
    "a quantile": ("histogram_quantile(0.99, sum by (le) (rate(a_bucket[5s])))", ["a_bucket"]),
    "a label function": ('label_replace(a, "x", "$1", "y", "(.*)")', ["a"]),
    "set operators": ("a and b unless c", ["a", "b", "c"]),
    "a bool comparison": ("a > bool 1", ["a"]),
}


@pytest.mark.parametrize("row", READ.values(), ids=READ.keys())
def test_what_a_query_reads(row: tuple[str, list[str]]) -> None:
    query, expected = row
    assert [s.text for s in selectors(query)] == expected


def test_counters_their_window_and_the_labels_that_must_exist() -> None:
    (found,) = selectors('sum(increase(a_total{code=~"5..",job!="x",empty=""}[1m30s]))')
    assert (found.metric, found.counter, found.window_s) == ("a_total", True, 90.0)
    assert found.labels == ("code",)
    assert not selectors("max_over_time(lag[5s])")[0].counter


@pytest.mark.parametrize(
    ("query", "seconds"),
    [("a", 0), ("rate(a[5s])", 5), ("rate(a[5s]) / rate(b[1m])", 60), ("max(x)[1h:1m]", 3600)],
)
def test_the_longest_range_counts(query: str, seconds: float) -> None:
    assert window_s(query) == seconds


@pytest.mark.parametrize("text", ["sum(a) or vector(0)", "sum(a)  or on() vector( 1 )"])
def test_a_constant_for_nothing_is_seen(text: str) -> None:
    assert fills_in(text)


@pytest.mark.parametrize("text", ["a or b", 'a{x="or vector(0)"}', "a # or vector(0)"])
def test_what_only_looks_like_one_is_none(text: str) -> None:
    assert not fills_in(text) or '"' in text


@pytest.mark.parametrize(
    ("text", "seconds"), [("1s", 1), ("500ms", 0.5), ("1m30s", 90), ("1d", 86400), ("1w", 604800)]
)
def test_durations_are_those_of_prometheus(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


def test_recording_rules_are_followed_and_never_in_a_circle() -> None:
    rules = {"r": "sum(rate(a[5s])) / s", "s": "sum(b)", "loop": "loop + 1"}
    assert [s.metric for s in expanded("r > 1", rules)] == ["a", "b"]
    assert [s.metric for s in expanded("loop", rules)] == ["loop"]


def test_what_prometheus_writes_itself_is_known() -> None:
    assert [Selector(metric=m).own for m in ("up", "scrape_duration_seconds", "upper")] == [
        True,
        True,
        False,
    ]


@given(st.text(alphabet="ab_:019.[]{}()\"'`\\=~!, \n#oruvect"))
def test_no_text_crashes_it(text: str) -> None:
    for selector in selectors(text):
        assert selector.window_s >= 0
    assert window_s(text) >= 0
    assert reach_s(text, {}) >= 0
    assert fills_in(text) in (True, False)


REACH: dict[str, tuple[str, float]] = {
    "a gauge": ("lag", 0.0),
    "a rate": ("rate(a[5s])", 5.0),
    "the longer of two rates": ("rate(a[5s]) / rate(b[1m])", 60.0),
    "an offset comes before the range": ("rate(a[5s] offset 10s)", 15.0),
    "the longer of two offsets": ("a offset 10s / b offset 20s", 20.0),
    "a subquery adds to what it reads": ("max_over_time(rate(a[5s])[30s:1s])", 35.0),
    "a subquery without a step": ("max_over_time(rate(a[5s])[30s:])", 35.0),
    "a recording rule and its interval": ("errors:rate5s > 1", 20.0),
    "a rule under a range": ("avg_over_time(errors:rate5s[1m])", 80.0),
    "a rule that reads a rule": ("worse:rate5s", 25.0),
    "a word in a text is no offset": ('a{b="offset 10s"}', 0.0),
}
RECORDED = {
    "errors:rate5s": ("sum(rate(errors[5s]))", 15.0),
    "worse:rate5s": ("max(errors:rate5s)", 5.0),
    "itself": ("itself", 1.0),
}


@pytest.mark.parametrize("row", REACH.values(), ids=REACH)
def test_how_far_back_a_value_looks(row: tuple[str, float]) -> None:
    query, expected = row
    assert reach_s(query, RECORDED) == expected


def test_a_rule_that_reads_itself_ends() -> None:
    assert reach_s("itself", RECORDED) == 5.0
    assert needed("itself", {"itself": "itself"}) == selectors("itself")


NEEDED: dict[str, tuple[str, list[str]]] = {
    "what it compares": ("sum(rate(a[5s])) / sum(b) > 0.1", ["a", "b"]),
    "a recording rule's own": ("errors:rate5s > 1", ["errors"]),
    "what is absent is not needed": ('absent(up{job="x"})', []),
    "nor over time": ("absent_over_time(a[5m])", []),
    "nor the rule behind it": ("absent(errors:rate5s)", []),
    "but what stands beside it is": ("absent(a) and b > 1", ["b"]),
    "what Prometheus writes itself": ("up == 0", []),
    "beside something of a target's": ("up == 0 or a > 1", ["a"]),
    "what keeps it quiet": ("a > 1 unless on () paused == 1", ["a"]),
    "what follows that": ("a > 1 unless paused or b > 1", ["a", "b"]),
    "and what is asked beside": ("a unless b and c", ["a", "c"]),
    "two that keep it quiet": ("a unless b unless c", ["a"]),
    "in brackets": ("(a unless (b or c)) / d", ["a", "d"]),
    "only inside its own brackets": ("sum(a unless b) > sum(c)", ["a", "c"]),
    "a constant needs nothing": ("vector(1) > 2", []),
}


@pytest.mark.parametrize("row", NEEDED.values(), ids=NEEDED)
def test_what_a_rule_can_say_nothing_without(row: tuple[str, list[str]]) -> None:
    query, expected = row
    rules = {name: rule for name, (rule, _) in RECORDED.items()}
    assert [selector.metric for selector in needed(query, rules)] == expected
