"""JUnit: the whole document, one table over all verdicts, and what XML forbids."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest

from harness.report import junit

from .samples import STORIES, changed, fixed, hostile, tell

WHOLE = """\
<?xml version='1.0' encoding='utf-8'?>
<testsuites name="quickstart" tests="2" failures="1" errors="0" skipped="0" time="60.000">
  <testsuite name="quickstart" tests="2" failures="1" errors="0" skipped="0" time="60.000">
    <properties>
      <property name="run_id" value="20261121T080000Z-quickstart-7f3a1c" />
      <property name="exit_code" value="1" />
      <property name="verdict" value="FAIL" />
      <property name="stack" value="local" />
    </properties>
    <testcase classname="quickstart" name="orders.p99 &lt; 250ms during steady, after [steady]" />
    <testcase classname="quickstart" name="orders.errors &lt; 1% during fault [fault]">
      <failure type="limit_violated" message="812 of 812 requests failed (812 http_5xx)">812 of 812 requests failed (812 http_5xx)</failure>
    </testcase>
  </testsuite>
</testsuites>
"""  # noqa: E501 - as it is written


def _parsed(document: bytes) -> ET.Element:
    return ET.fromstring(document)  # noqa: S314 - our own output, and that it parses is the test


def _red(suites: ET.Element) -> int:
    return len(suites.findall(".//failure")) + len(suites.findall(".//error"))


def test_the_whole_document() -> None:
    assert junit.xml(fixed()).decode() == WHOLE


@pytest.mark.parametrize("name", STORIES)
def test_green_exactly_when_the_exit_code_is_0(name: str) -> None:
    result, _ = tell(STORIES[name][0])
    suites = _parsed(junit.xml(result))
    assert (_red(suites) == 0) == (STORIES[name][1] == 0)
    suite = suites.find("testsuite")
    assert suite is not None
    counted = int(suite.attrib["failures"]) + int(suite.attrib["errors"])
    assert counted == _red(suites)
    assert int(suite.attrib["tests"]) == len(suites.findall(".//testcase"))


@pytest.mark.parametrize(
    ("name", "tag", "code"),
    [
        ("FAIL by abort condition", "failure", "abort_condition"),
        ("INCONCLUSIVE", "error", "metrics_lost"),
        ("INCONCLUSIVE, fault not proven", "error", "fault_not_applied"),
        ("ABORTED", "error", "aborted"),
        ("DIRTY", "error", "not_restored"),
        ("DIRTY, nobody looked", "error", "not_restored"),
        ("ERROR", "error", "error"),
    ],
)
def test_what_no_check_says_is_a_case_of_its_own(name: str, tag: str, code: str) -> None:
    suites = _parsed(junit.xml(tell(STORIES[name][0])[0]))
    case = suites.find(".//testcase[@name='verdict']")
    assert case is not None
    assert [child.tag for child in case] == [tag]
    assert case[0].attrib["type"] == code


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5, 6])
def test_red_even_without_any_check_or_reason(code: int) -> None:
    names = {1: "FAIL", 2: "INVALID", 3: "ERROR", 4: "INCONCLUSIVE", 5: "ABORTED", 6: "DIRTY"}

    def empty(result: dict[str, Any]) -> None:
        result["checks"] = []
        result["verdict"] |= {"exit_code": code, "name": names[code], "reasons": []}

    assert _red(_parsed(junit.xml(changed(empty)))) == 1


def test_a_failing_check_that_only_warns_is_skipped() -> None:
    def warn(result: dict[str, Any]) -> None:
        result["checks"][1]["gate"] = "warn"
        result["verdict"] |= {"exit_code": 0, "name": "PASS", "reasons": []}

    suites = _parsed(junit.xml(changed(warn)))
    skipped = suites.find(".//skipped")
    assert skipped is not None
    assert skipped.attrib["message"] == "WARN 812 of 812 requests failed (812 http_5xx)"
    assert _red(suites) == 0


def test_inconclusive_is_an_error_with_its_reason_code() -> None:
    def unsure(result: dict[str, Any]) -> None:
        result["checks"][1] |= {"outcome": "inconclusive", "code": "gap", "remedy": "Look."}

    error = _parsed(junit.xml(changed(unsure))).find(".//error")
    assert error is not None
    assert error.attrib["type"] == "gap"
    assert error.text == "812 of 812 requests failed (812 http_5xx)\nLook."


def test_hostile_names_give_well_formed_xml() -> None:
    document = junit.xml(hostile()[0])
    suites = _parsed(document)
    text = "".join(suites.itertext()) + "".join(
        value for element in suites.iter() for value in element.attrib.values()
    )
    assert "<script>" in text
    assert not set(text) & {"\x00", "\x1b", "\ufffe", "\x07"}
