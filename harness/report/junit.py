"""JUnit XML for CI servers: one test case per check, never green when the run is not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

from harness.report.headline import headline, loose_reasons
from harness.report.words import clean, outcome_kind


def xml(result: Mapping[str, Any]) -> bytes:
    """The document; ``clean`` leaves no character in it that XML 1.0 forbids."""
    name = clean(result["scenario"]["name"])
    suite = ET.Element("testsuite", name=name)
    _properties(suite, result)
    for check in result["checks"]:
        _check(suite, name, check)
    _verdict(suite, name, result)
    _count(suite, result)
    root = ET.Element("testsuites", suite.attrib)
    root.append(suite)
    ET.indent(root)
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _properties(suite: ET.Element, result: Mapping[str, Any]) -> None:
    properties = ET.SubElement(suite, "properties")
    verdict = result["verdict"]
    pairs = {
        "run_id": result["run_id"],
        "exit_code": verdict["exit_code"],
        "verdict": verdict["name"],
        "stack": result["scenario"]["stack"],
    }
    for key, found in pairs.items():
        ET.SubElement(properties, "property", name=key, value=clean(found))


def _check(suite: ET.Element, name: str, check: Mapping[str, Any]) -> None:
    phase = f" [{clean(check['phase'])}]" if check["phase"] else ""
    title = f"{clean(check['objective'])}{phase}"
    case = ET.SubElement(suite, "testcase", classname=name, name=title)
    because, remedy = clean(check["because"]), clean(check["remedy"])
    kind = outcome_kind(check)
    if kind == "pass":
        return
    if kind == "waived":
        waiver = {key: clean(found) for key, found in check["waiver"].items()}
        told = f"WAIVED by {waiver['owner']} until {waiver['expires']}: {waiver['reason']}"
        ET.SubElement(case, "skipped", message=f"{told}; {because}")
        return
    if check["gate"] == "warn":
        word = "WARN" if kind == "warn" else "WARN inconclusive:"
        ET.SubElement(case, "skipped", message=f"{word} {because}")
        return
    tag, code = ("failure", "limit_violated") if kind == "fail" else ("error", "inconclusive")
    _problem(case, tag, clean(check["code"]) or code, because, remedy)


def _verdict(suite: ET.Element, name: str, result: Mapping[str, Any]) -> None:
    """What no check says, as a case of its own."""
    if result["verdict"]["exit_code"] == 0:
        return
    loose = loose_reasons(result)
    red = suite.find("testcase/failure") is not None or suite.find("testcase/error") is not None
    if not loose and red:
        return
    case = ET.SubElement(suite, "testcase", classname=name, name="verdict")
    told = clean(headline(result))
    if not loose:
        _problem(case, "error", clean(result["verdict"]["name"]).lower(), told, "")
        return
    # One problem a case is all that most readers of JUnit show, so the rest goes into its text.
    first = loose[0]
    tag = "failure" if first["code"] == "abort_condition" else "error"
    lines = [f"{r['code']}: {r['message']} {r['remedy']}".rstrip() for r in loose]
    problem = _problem(case, tag, clean(first["code"]), clean(first["message"]), "")
    problem.text = "\n".join([told, *(clean(line) for line in lines)])


def _problem(case: ET.Element, tag: str, code: str, message: str, remedy: str) -> ET.Element:
    problem = ET.SubElement(case, tag, type=code, message=message)
    problem.text = f"{message}\n{remedy}".rstrip()
    return problem


def _count(suite: ET.Element, result: Mapping[str, Any]) -> None:
    for attribute, path in (
        ("tests", "testcase"),
        ("failures", "testcase/failure"),
        ("errors", "testcase/error"),
        ("skipped", "testcase/skipped"),
    ):
        suite.set(attribute, str(len(suite.findall(path))))
    seconds = sum(phase["seconds"] or 0.0 for phase in result["phases"])
    suite.set("time", f"{seconds:.3f}")
