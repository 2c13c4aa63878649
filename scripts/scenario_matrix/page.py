"""The generated part of ``docs/scenarios.md``. Pure: the same records give the same text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.errors import InvalidError
from scripts.scenario_matrix.cells import NOT_RUN, Record, latest
from scripts.scenario_matrix.planning import History
from scripts.scenario_matrix.score import lines, score
from scripts.scenario_matrix.table import HEALTHY, Cell

BEGIN = "<!-- made by `make scenario-matrix`; do not edit by hand -->"
END = "<!-- end of what is made -->"
HEAD = (
    "| scenario | driver | platform | verdict | what was found | when and where |",
    "| --- | --- | --- | --- | --- | --- |",
)


def embedded(page: str, cells: Sequence[Cell], history: History) -> str:
    """The whole page with its generated part made anew.

    Raises:
        InvalidError: The page does not have the two markers, once and in order.
    """
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise InvalidError(f"docs/scenarios.md must have {BEGIN!r} and then {END!r}, once each.")
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n\n{rendered(cells, history)}\n{END}{after}"


def rendered(cells: Sequence[Cell], history: History) -> str:
    """The score, what is not as it should be, and one row a cell."""
    parts = [
        "### Detection\n",
        *(f"- {line}" for line in lines(score(cells, history))),
        "\n### Not as it should be\n",
        *(list(_unmet(cells, history)) or ["Every cell that was run is as it should be."]),
        "\n### Cells\n",
        *HEAD,
        *(_row(cell, history.get(cell.id, ())) for cell in cells),
    ]
    return "\n".join(parts) + "\n"


def met(cell: Cell, record: Record) -> bool:
    """Whether the cell shows what it should."""
    return record.verdict == cell.wanted


def _unmet(cells: Sequence[Cell], history: History) -> Iterator[str]:
    for cell in cells:
        last = latest(history.get(cell.id, ()))
        if last is None or last.verdict == NOT_RUN or cell.not_run or met(cell, last):
            continue
        reasons = f" ({', '.join(last.reasons)})" if last.reasons else ""
        yield f"- {cell.id}: {last.verdict}{reasons}, should be {cell.wanted}."


def _row(cell: Cell, records: Sequence[Record]) -> str:
    name = f"[{cell.scenario}](../scenarios/{cell.scenario}.yaml)"
    name += f" ({cell.catalogue})" if cell.catalogue else ""
    driver = cell.driver + (f", `--profile {cell.profile}`" if cell.profile else "")
    platform = HEALTHY if cell.defect == HEALTHY else f"`{cell.defect}`"
    last = None if cell.not_run else latest(records)
    columns = [name, driver, platform, *_found(cell, last)]
    return "| " + " | ".join(_safe(column) for column in columns) + " |"


def _found(cell: Cell, last: Record | None) -> tuple[str, str, str]:
    if last is None:
        return (NOT_RUN, cell.not_run or "nobody has run it yet", "–")
    if last.verdict == NOT_RUN:
        return (NOT_RUN, "; ".join(last.reasons), last.date)
    verdict = last.verdict if met(cell, last) else f"{last.verdict}, **should be {cell.wanted}**"
    machine = last.machine
    where = (
        f"{last.date}, commit `{last.commit}`, {machine.cores} cores at a load of "
        f"{machine.load_average:.1f}, Python {machine.python}"
    )
    if last.profile != cell.profile:
        where += f", as it was with profile {last.profile or 'none'}"
    return (verdict, "; ".join(last.figures), where)


def _safe(text: str) -> str:
    """In a cell of a table: on one line, and no bar that would end it."""
    return " ".join(text.split()).replace("|", "\\|")
