"""The table of rows: what it makes, and everything that is refused."""

from __future__ import annotations

import pytest

from harness.errors import InvalidError
from harness.files import project_root
from scripts.scenario_matrix.__main__ import cells_of
from scripts.scenario_matrix.table import parse

SCENARIOS = ("quickstart", "load/smoke")
DEFECTS = ("no-fallback", "stall")
GOOD = """
[[row]]
scenario = "quickstart"
catalogue = "A6"
defects = ["no-fallback", "stall"]
drivers = {compose = {profile = "small", defects = ["stall"]}, local = {parts = "orders"}}

[[row]]
scenario = "load/smoke"
defects = []
drivers = {kubernetes = {not_run = "it needs two nodes"}}
"""


def test_a_table_makes_a_healthy_cell_and_one_for_each_defect_of_each_driver() -> None:
    cells = parse(GOOD, SCENARIOS, DEFECTS)
    assert [cell.id for cell in cells] == [
        "quickstart/local/healthy",
        "quickstart/local/no-fallback",
        "quickstart/local/stall",
        "quickstart/compose/healthy",
        "quickstart/compose/stall",
        "load/smoke/kubernetes/healthy",
    ]
    assert {c.profile for c in cells if c.driver == "compose"} == {"small"}
    assert {c.parts for c in cells if c.driver == "local"} == {"orders"}
    assert [(c.wanted, c.defects) for c in cells[:2]] == [
        ("PASS", ()),
        ("FAIL", ("no-fallback",)),
    ]
    assert cells[-1].not_run == "it needs two nodes"


BROKEN = [
    ("no TOML", "[[row]", "is no TOML"),
    ("rows that are no tables", "row = ['quickstart']", "rows are written as [[row]]"),
    (
        "one row in single brackets",
        GOOD.replace('[[row]]\nscenario = "load', '[rows]\nscenario = "load'),
        "'rows' is not known",
    ),
    ("a misspelt key", GOOD.replace("catalogue", "catalog"), "'catalog' is not known; allowed are"),
    ("no defects", GOOD.replace("defects = []\n", ""), "row 2 (load/smoke): 'defects' is missing"),
    ("no scenario", GOOD.replace('scenario = "quickstart"', ""), "row 1 (without a scenario)"),
    ("an empty catalogue", GOOD.replace('"A6"', '" "'), "'catalogue' is empty; leave it out"),
    ("a defect as a text", GOOD.replace("= []", "= 'stall'"), "'defects' must be a list"),
    (
        "a defect that nobody knows",
        GOOD.replace("no-fallback", "no-falback"),
        "'no-falback' is not in",
    ),
    (
        "a driver's defect that nobody knows",
        GOOD.replace('["stall"]', '["leek"]'),
        "'leek' is not in",
    ),
    (
        "a file that is not there",
        GOOD.replace("quickstart", "quickstep"),
        "no scenarios/quickstep.yaml",
    ),
    ("a file without a row", GOOD.rpartition("[[row]]")[0], "load/smoke.yaml has no row"),
    ("a row twice", GOOD + GOOD, "quickstart has more than one row"),
    (
        "no driver",
        GOOD.replace('drivers = {kubernetes = {not_run = "it needs two nodes"}}', "drivers = {}"),
        "names no driver",
    ),
    (
        "a driver that nobody knows",
        GOOD.replace("kubernetes", "nomad"),
        "driver 'nomad' is not one of",
    ),
    (
        "a driver that is no table",
        GOOD.replace('{not_run = "it needs two nodes"}', "true"),
        "kubernetes: is no table",
    ),
    (
        "a misspelt key of a driver",
        GOOD.replace("not_run", "notrun"),
        "kubernetes: 'notrun' is not known",
    ),
    (
        "a profile that is a number",
        GOOD.replace('"small"', "3"),
        "compose: 'profile' must be a text",
    ),
    (
        "parts of a compose stack",
        GOOD.replace('profile = "small"', 'parts = "base"'),
        "has no 'parts'",
    ),
    (
        "a reason without words",
        GOOD.replace("it needs two nodes", ""),
        "kubernetes: 'not_run' is empty",
    ),
]


@pytest.mark.parametrize(("text", "words"), [r[1:] for r in BROKEN], ids=[r[0] for r in BROKEN])
def test_a_table_is_refused_with(text: str, words: str) -> None:
    with pytest.raises(InvalidError) as refused:
        parse(text, SCENARIOS, DEFECTS)
    assert words in str(refused.value)
    assert "scenarios/matrix.toml" in str(refused.value)


def test_all_problems_are_said_at_once() -> None:
    text = GOOD.replace("no-fallback", "no-falback").replace("not_run", "notrun")
    with pytest.raises(InvalidError) as refused:
        parse(text, SCENARIOS, DEFECTS)
    assert "no-falback" in str(refused.value)
    assert "notrun" in str(refused.value)


def test_every_scenario_of_the_checkout_has_a_row() -> None:
    cells = cells_of(project_root())
    files = {
        p.relative_to(project_root() / "scenarios").as_posix().removesuffix(".yaml")
        for p in (project_root() / "scenarios").rglob("*.yaml")
    }
    assert {cell.scenario for cell in cells} == files
    assert len({cell.id for cell in cells}) == len(cells)
