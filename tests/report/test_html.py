"""The report page: offline, small, well-formed, and deaf to what names try to do."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.report import charts, html, recovery_bar, scales, svg
from harness.report.axis import Axis, Band, Marker
from harness.report.svg import Line, Scale

from .samples import STORIES, Story, fixed, hostile, long_run, tell

NO_TIMELINE: dict[str, Any] = {"start": None, "seconds": 0, "journeys": {}, "slis": {}}
CONTENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
NAMESPACE = "{http://www.w3.org/2000/svg}"


class _Page(HTMLParser):
    """Tags, attributes and text of a page; the stack shows that all of it is closed."""

    VOID = frozenset({"meta", "br", "rect", "line", "path"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str]] = []
        self.stack: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += ((tag, name, found or "") for name, found in attrs)
        if tag not in self.VOID or tag == "rect":  # a band has a title inside
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += ((tag, name, found or "") for name, found in attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def _drawings(page: str) -> list[ET.Element]:
    found = re.findall(r"<svg .*?</svg>", page, re.DOTALL)
    return [ET.fromstring(drawn) for drawn in found]  # noqa: S314 - our own output


@pytest.mark.parametrize("name", STORIES)
def test_every_verdict_gives_a_closed_page_with_its_headline(name: str) -> None:
    result, timeline = tell(STORIES[name][0])
    page = _Page(html.page(result, timeline))
    assert page.stack == []
    assert result["verdict"]["name"] in page.text
    assert f"Exit code {STORIES[name][1]}:" in page.text
    for check in result["checks"]:
        assert check["because"] in page.text
    for reason in result["verdict"]["reasons"]:
        assert reason["message"].rpartition(": ")[2] in page.text


def test_nothing_is_fetched_and_nothing_runs() -> None:
    result, timeline = tell(STORIES["FAIL"][0])
    text = html.page(result, timeline)
    page = _Page(text)
    assert ("meta", "content", CONTENT_POLICY) in page.attributes
    assert not page.tags & {"script", "link", "img", "iframe", "object", "embed", "form", "base"}
    assert not [a for a in page.attributes if a[1] in ("src", "href", "srcset", "action", "style")]
    assert not [a for a in page.attributes if a[1].startswith("on")]
    assert "url(" not in text
    assert "@import" not in text
    addresses = re.findall(r"https?://[^\"'\s<]+", text)
    assert set(addresses) == {"http://www.w3.org/2000/svg"}  # a name, never fetched


def test_hostile_names_are_only_text() -> None:
    result, timeline = hostile()
    text = html.page(result, timeline)
    page = _Page(text)
    harmless = [_Page(html.page(*tell(STORIES[name][0]))) for name in ("FAIL", "INCONCLUSIVE")]
    assert page.tags <= {tag for known in harmless for tag in known.tags}
    known_pairs = {(t, n) for known in harmless for t, n, _ in known.attributes}
    assert {(t, n) for t, n, _ in page.attributes} <= known_pairs
    assert page.stack == []
    assert "<script>alert(1)</script>" in page.text
    assert "{{ 7*7 }}" in page.text
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ufffe]", text)
    text.encode()
    assert len(_drawings(text)) == 5


def test_the_same_result_gives_the_same_bytes_also_after_json() -> None:
    result, timeline = tell(STORIES["FAIL"][0])
    again = json.loads(json.dumps([result, timeline]))
    assert html.page(result, timeline) == html.page(*again)


def test_fifteen_minutes_of_six_journeys_stay_small() -> None:
    result, timeline = long_run()
    assert timeline["seconds"] == 900
    assert len(timeline["journeys"]) == 6
    page = html.page(result, timeline)
    assert len(page.encode()) < 300_000
    assert "a point stands for 3 s" in page


def test_noise_of_fifteen_minutes_stays_small_too() -> None:
    result, timeline = long_run()
    for number, columns in enumerate(timeline["journeys"].values()):
        for key in columns:
            columns[key] = [(n * 7919 + number) % 977 + 1 for n in range(900)]
    assert len(html.page(result, timeline).encode()) < 300_000


def test_drawings_speak_to_a_screen_reader_and_stay_inside_their_box() -> None:
    result, timeline = tell(STORIES["FAIL"][0])
    drawings = _drawings(html.page(result, timeline))
    assert len(drawings) == 5  # two journeys, two SLIs, one recovery
    identities = []
    for drawing in drawings:
        assert drawing.attrib["role"] == "img"
        title, description = drawing.find(f"{NAMESPACE}title"), drawing.find(f"{NAMESPACE}desc")
        assert title is not None
        assert description is not None
        assert title.text
        assert description.text
        identities += [title.attrib["id"], description.attrib["id"]]
        assert drawing.attrib["aria-labelledby"].split() == identities[-2:]
        width = float(drawing.attrib["viewBox"].split()[2])
        for label in drawing.iter(f"{NAMESPACE}text"):
            assert 0 <= float(label.attrib["x"]) <= width
    assert len(set(identities)) == len(identities)
    assert "FAULT: p99 up to" in html.page(result, timeline)


def test_phases_markers_and_limits_are_drawn_with_words() -> None:
    result, timeline = tell(STORIES["FAIL"][0])
    labels = [t.text for t in _drawings(html.page(result, timeline))[0].iter(f"{NAMESPACE}text")]
    for wanted in ("warm-up", "steady", "FAULT", "recovery", "after", "p99 < 800 ms"):
        assert wanted in labels
    assert "inject called, fault proven 1:10" in labels
    assert "heal called, heal proven 1:50" in labels


def test_a_result_without_anything_is_still_a_page() -> None:
    result = fixed()
    for key in ("checks", "phases", "faults", "recovery", "alerts"):
        result[key] = []
    page = _Page(html.page(result, NO_TIMELINE))
    assert page.stack == []
    assert "No objective was judged." in page.text
    assert "svg" not in page.tags


def test_a_gap_in_the_load_is_a_gap_in_the_drawing() -> None:
    whole = _lines(Story())
    broken = _lines(Story(gap=(30.0, 40.0)))
    assert whole["line p99"].count("M") == 1
    assert broken["line p99"].count("M") == 2
    assert broken["line failed"].count("M") == 2


def _lines(story: Story) -> dict[str, str]:
    result, timeline = tell(story)
    first = _drawings(html.page(result, timeline))[0]
    return {p.attrib["class"]: p.attrib["d"] for p in first.iter(f"{NAMESPACE}path")}


def test_a_sample_that_is_not_a_number_is_a_gap() -> None:
    result, timeline = tell(Story())
    shared = charts.axis(result, timeline)
    drawn = charts.sli(0, "llm_latency", timeline["slis"]["llm_latency"], shared, result, 1)
    (line,) = ET.fromstring(drawn).iter(f"{NAMESPACE}path")  # noqa: S314 - our own output
    assert line.attrib["d"].count("M") == 2


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        ([1, 1, 1, 1], "M56 100l890 0"),
        ([0, None, 1], "M56 200h0M946 100h0"),
        ([None, None, None], ""),
        ([0, 1, None], "M56 200l445-100"),
    ],
)
def test_paths(values: list[float | None], drawn: str) -> None:
    axis = Axis(len(values) - 1, (), ())
    line = Line("p99", list(range(len(values))), values)
    path = svg.path(line, axis.x, Scale(0, 1, 100, 100))
    assert path == (f'<path class="line p99" d="{drawn}"/>' if drawn else "")


def test_latencies_are_drawn_on_a_logarithmic_scale() -> None:
    scale = Scale(1, 1000, 0, 300, log=True)
    assert [scale.y(v) for v in (1, 10, 100, 1000)] == pytest.approx([300, 200, 100, 0])
    assert scale.y(0.001) == 300


def test_the_name_of_a_short_fault_wins_over_its_neighbours() -> None:
    bands = [
        Band("steady", "steady", 0, 400),
        Band("fault", "FAULT", 400, 401),
        Band("recovery", "recovery", 401, 404),
        Band("after", "after", 404, 900),
    ]
    shown = "".join(Axis(900, bands, ()).background(100))
    assert ">FAULT</text>" in shown
    assert ">recovery</text>" not in shown


def test_markers_too_close_to_tell_apart_share_their_words() -> None:
    markers = [Marker(10, "inject called"), Marker(10.2, "fault proven"), Marker(50, "heal called")]
    groups = Axis(100, (), markers).groups()
    assert [words for _, words, _ in groups] == [
        "inject called, fault proven 0:10",
        "heal called 0:50",
    ]


@pytest.mark.parametrize(
    ("state", "low", "high", "words"),
    [
        ("recovered", 0.4, 1.1, "0.4 to 1.1 s"),
        ("not_recovered", 30.0, None, "&gt; 30 s"),
    ],
)
def test_recovery_bar(state: str, low: float, high: float | None, words: str) -> None:
    result = fixed()
    recovery = {**result["recovery"][0], "state": state, "low": low, "high": high}
    drawn = recovery_bar.draw(0, result, recovery)
    assert f">{words}</text>" in drawn
    assert f"interval {'good' if high else 'bad'}" in drawn


COLUMN = st.lists(
    st.none() | st.floats(-1e12, 1e12, allow_subnormal=False) | st.integers(0, 3), max_size=40
)


@settings(max_examples=150, deadline=None)
@given(COLUMN, COLUMN, st.integers(1, 7))
def test_any_numbers_give_a_drawing(
    values: list[float | None], latencies: list[float | None], bucket: int
) -> None:
    result = fixed()
    shared = Axis(max(1, len(values)), (Band("fault", "FAULT", 1, 2),), (Marker(1, "called"),))
    columns = {"at_s": list(range(len(values))), "value": values}
    drawings = [charts.sli(0, "lag", columns, shared, result, bucket)]
    size = len(latencies)
    took = [None if v is None else abs(v) for v in latencies]
    load = {"p50_ms": took, "p99_ms": took, "requests": [2] * size, "bad": [1] * size}
    drawings.append(
        charts.journey(0, "orders", {**load, "degraded": [0] * size}, shared, result, bucket)
    )
    for drawn in drawings:
        ET.fromstring(drawn)  # noqa: S314 - our own output
        assert "nan" not in drawn
        assert "inf" not in drawn


@pytest.mark.parametrize(
    ("values", "bounds"),
    [
        ([], (0, 1)),
        ([0.0, 0.0], (0, 1)),
        ([0.02], (0, 0.05)),
        ([31.0], (0, 50)),
        ([100.0], (0, 100)),
        ([1234.0], (0, 1500)),
        ([-5.0, -2.0], (-5, 0)),
        ([-5.0, 3.0], (-5, 5)),
    ],
)
def test_bounds_of_an_axis(values: list[float], bounds: tuple[float, float]) -> None:
    assert scales.around(values)[:2] == pytest.approx(bounds)
