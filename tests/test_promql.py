"""What a query reads, found without a parser of the language."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.promql import Selector, duration_s, expanded, fills_in, selectors, window_s

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
    assert fills_in(text) in (True, False)
