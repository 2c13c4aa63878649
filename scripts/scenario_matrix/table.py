"""The table of rows, ``scenarios/matrix.toml``, and the cells that it makes. Pure."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.errors import InvalidError

DRIVERS = ("local", "compose", "kubernetes")
HEALTHY = "healthy"
#: Keys of a row, and of what it says about a driver: kind, and whether it must be there.
ROW_KEYS: Mapping[str, tuple[type, bool]] = {
    "scenario": (str, True),
    "catalogue": (str, False),
    "defects": (list, True),
    "drivers": (dict, True),
}
DRIVER_KEYS: Mapping[str, tuple[type, bool]] = {
    "profile": (str, False),
    "parts": (str, False),
    "defects": (list, False),
    "not_run": (str, False),
}
KINDS: Mapping[type, str] = {str: "a text", list: "a list", dict: "a table"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One scenario on one driver, healthy or with one defect.

    Args:
        scenario: Path under ``scenarios/``, without its ending.
        driver: One of :data:`DRIVERS`.
        defect: The planted defect; :data:`HEALTHY` for none.
        catalogue: Row of the catalogue, or empty.
        profile: Overlay of the scenario, or empty.
        parts: Part of the platform, or empty for its default: a profile of the local stack, a
            folder of ``stack/kubernetes``.
        not_run: Why it cannot be run at all, or empty.
    """

    scenario: str
    driver: str
    defect: str = HEALTHY
    catalogue: str = ""
    profile: str = ""
    parts: str = ""
    not_run: str = ""

    @property
    def id(self) -> str:
        """Such as ``ecommerce/llm-pause/compose/no-fallback``."""
        return f"{self.scenario}/{self.driver}/{self.defect}"

    @property
    def defects(self) -> tuple[str, ...]:
        """What has to be planted."""
        return () if self.defect == HEALTHY else (self.defect,)

    @property
    def wanted(self) -> str:
        """The verdict that shows that the scenario tells well from broken."""
        return "PASS" if self.defect == HEALTHY else "FAIL"


def parse(text: str, scenarios: Collection[str], defects: Collection[str]) -> tuple[Cell, ...]:
    """The cells of the table, row by row; of each driver the healthy one first.

    Args:
        text: TOML.
        scenarios: Those that exist, as paths under ``scenarios/`` without their ending.
        defects: Those that exist.

    Raises:
        InvalidError: The table has problems; the message lists them all.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidError(f"scenarios/matrix.toml is no TOML: {error}.") from error
    rows = document.get("row", [])
    problems = [f"{key!r} is not known; allowed is [[row]]" for key in document.keys() - {"row"}]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InvalidError("scenarios/matrix.toml: rows are written as [[row]].")
    for number, row in enumerate(rows, 1):
        name = f"row {number} ({row.get('scenario', 'without a scenario')})"
        problems += [f"{name}: {problem}" for problem in _of_row(row, scenarios, set(defects))]
    names = [row.get("scenario") for row in rows]
    twice = sorted({str(name) for name in names if names.count(name) > 1})
    problems += [f"{name} has more than one row" for name in twice]
    missing = sorted(set(scenarios) - {str(name) for name in names})
    problems += [f"scenarios/{name}.yaml has no row" for name in missing]
    if problems:
        raise InvalidError("scenarios/matrix.toml:\n  " + "\n  ".join(problems))
    return tuple(cell for row in rows for cell in _cells(row))


def _of_row(
    row: Mapping[str, Any], scenarios: Collection[str], known: Collection[str]
) -> Iterator[str]:
    shape = list(_shape(row, ROW_KEYS))
    yield from shape
    if shape:
        return
    if row["scenario"] not in scenarios:
        yield f"there is no scenarios/{row['scenario']}.yaml"
    if not row["drivers"]:
        yield f"it names no driver; allowed are {', '.join(DRIVERS)}"
    yield from _unknown_defects(row["defects"], known)
    for driver, said in row["drivers"].items():
        if driver not in DRIVERS:
            yield f"driver {driver!r} is not one of {', '.join(DRIVERS)}"
            continue
        if not isinstance(said, dict):
            yield f"{driver}: is no table, such as {{}} or {{profile = 'small'}}"
            continue
        yield from (f"{driver}: {problem}" for problem in _shape(said, DRIVER_KEYS))
        if isinstance(said.get("defects", []), list):
            yield from _unknown_defects(said.get("defects", []), known)
        if "parts" in said and driver == "compose":
            yield f"{driver}: it brings up the whole file, and has no 'parts'"


def _shape(found: Mapping[str, Any], keys: Mapping[str, tuple[type, bool]]) -> Iterator[str]:
    for key in sorted(found.keys() - keys.keys()):
        yield f"{key!r} is not known; allowed are {', '.join(keys)}"
    for key, (kind, required) in keys.items():
        if key not in found:
            if required:
                yield f"{key!r} is missing"
        elif not isinstance(found[key], kind):
            yield f"{key!r} must be {KINDS[kind]}"
        elif kind is str and not found[key].strip():
            yield f"{key!r} is empty; leave it out"


def _unknown_defects(names: Collection[Any], known: Collection[str]) -> Iterator[str]:
    for name in names:
        if name not in known:
            yield f"defect {name!r} is not in stack/services/defects.py"


def _cells(row: Mapping[str, Any]) -> Iterator[Cell]:
    for driver in DRIVERS:  # in this order on the page, however the row writes them
        if (said := row["drivers"].get(driver)) is None:
            continue
        for defect in (HEALTHY, *said.get("defects", row["defects"])):
            yield Cell(
                scenario=row["scenario"],
                driver=driver,
                defect=defect,
                catalogue=row.get("catalogue", ""),
                profile=said.get("profile", ""),
                parts=said.get("parts", ""),
                not_run=said.get("not_run", ""),
            )
