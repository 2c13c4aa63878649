"""`make scenario-matrix`: run what is stale, keep what was found, write ``docs/scenarios.md``.

    make scenario-matrix MATRIX_ARGS="--budget 60 --driver local"

Exit codes: 0 every cell that was run is as it should be, 1 one is not, 2 the table or a record
has problems, 4 nothing could be run of what was asked for, 5 stopped.
"""

from __future__ import annotations

import argparse
import runpy
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import ExitCode, HarnessError, ScenarioError
from harness.files import project_root
from scripts.scenario_matrix import history, page, planning, score
from scripts.scenario_matrix.cells import NOT_RUN, Record, latest
from scripts.scenario_matrix.digests import digests, scenario_of
from scripts.scenario_matrix.planning import Due
from scripts.scenario_matrix.platforms import Places
from scripts.scenario_matrix.playing import Interrupted, play
from scripts.scenario_matrix.table import DRIVERS, Cell, parse

TABLE, CELLS, PAGE = "scenarios/matrix.toml", "docs/scenarios/cells", "docs/scenarios.md"
PROJECT = "shop-matrix"
#: A run may take this many times what is expected of it, and so much more.
PATIENCE, PATIENCE_S = 3.0, 600.0


def cells_of(root: Path) -> tuple[Cell, ...]:
    """The cells of a checkout's table.

    Raises:
        InvalidError: The table has problems.
    """
    folder = root / "scenarios"
    scenarios = [
        p.relative_to(folder).as_posix().removesuffix(".yaml") for p in folder.rglob("*.yaml")
    ]
    known = runpy.run_path(str(root / "stack" / "services" / "defects.py"))["DEFECTS"]
    return parse((root / TABLE).read_text(), scenarios, tuple(known))


def write_page(root: Path, cells: Sequence[Cell]) -> None:
    """Make the generated part of the page anew."""
    path = root / PAGE
    path.write_text(page.embedded(path.read_text(), cells, history.read(root / CELLS)))


class Session:
    """The cells that were asked for, one after the other, until the budget is spent."""

    def __init__(self, root: Path, cells: Sequence[Cell], asked: argparse.Namespace) -> None:
        self.root, self.cells, self.asked = root, cells, asked
        self._places = Places(project=asked.project, context=asked.context)
        self._end = None if asked.budget is None else time.monotonic() + asked.budget * 60
        self.met, self.unmet, self.not_run = 0, 0, 0

    def run(self, rows: Sequence[Due]) -> None:
        """Run them; a page is written after each, so that stopping costs the running one only."""
        for number, row in enumerate(rows, 1):
            cell = row.cell
            _say(f"[{number}/{len(rows)}] {cell.id}: {row.why or 'once more'}")
            if cell.not_run:
                self._skip(cell.not_run)
                continue
            before = history.read(self.root / CELLS).get(cell.id, ())
            expected_s = planning.expected_s(cell, before, _planned_s(self.root, cell))
            left_s = self._left_s()
            if left_s is not None and left_s < expected_s:
                _say(f"  not in this budget: it takes about {expected_s:.0f} s")
                continue
            deadline_s = PATIENCE * expected_s + PATIENCE_S
            if left_s is not None:
                deadline_s = min(deadline_s, left_s)
            self._keep(cell, before, deadline_s)

    def _keep(self, cell: Cell, before: Sequence[Record], deadline_s: float) -> None:
        now = digests(self.root, cell)
        try:
            record = play(self.root, cell, now, places=self._places, deadline_s=deadline_s)
        except Interrupted as stopped:
            _say(f"  interrupted, and not kept: {stopped}")
            return
        if history.is_news(record, before):
            history.append(self.root / CELLS, record)
            write_page(self.root, self.cells)
        if record.verdict == NOT_RUN:
            self._skip("; ".join(record.reasons))
            return
        good = page.met(cell, record)
        self.met, self.unmet = self.met + good, self.unmet + (not good)
        should = "as it should be" if good else f"SHOULD BE {cell.wanted}"
        _say(f"  {record.verdict}, {should} ({record.seconds:.0f} s)")
        for figure in record.figures:
            _say(f"    {figure}")

    def _skip(self, why: str) -> None:
        self.not_run += 1
        _say(f"  not run: {why}")

    def _left_s(self) -> float | None:
        return None if self._end is None else self._end - time.monotonic()


def _planned_s(root: Path, cell: Cell) -> float:
    phases = scenario_of(root, cell).phases
    return phases.warmup_s + phases.steady_s + phases.recovery_s + phases.after_s


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - progress of a command


def _print(text: str) -> None:
    print(text)  # noqa: T201 - what was asked for


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make scenario-matrix MATRIX_ARGS=...", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--budget", type=float, metavar="MINUTES", help="start no cell beyond it")
    parser.add_argument("--only", default="", metavar="PATTERN", help="part of an id, or with *")
    parser.add_argument("--driver", default="", choices=DRIVERS, help="only this one")
    parser.add_argument("--profile", default="", help="of the scenarios that have it, this overlay")
    parser.add_argument("--again", action="store_true", help="also what is not stale, oldest first")
    parser.add_argument("--project", default=PROJECT, help="name for the compose project")
    parser.add_argument("--context", default="", help="context of a kubeconfig, for Kubernetes")
    parser.add_argument("--list", action="store_true", help="say what would be run, and why")
    parser.add_argument("--page", action="store_true", help="write the page only")
    parser.add_argument("--score", action="store_true", help="say the detection score only")
    return parser.parse_args()


def _listed(root: Path, rows: Sequence[Due]) -> None:
    records = history.read(root / CELLS)
    for row in rows:
        last = latest(records.get(row.cell.id, ()))
        why = f"not run: {row.cell.not_run}" if row.cell.not_run else row.why or "it still holds"
        _print(f"{row.cell.id:<60} {last.verdict if last else '-':<13} {why}")


def _asked_for(root: Path, cells: Sequence[Cell], asked: argparse.Namespace) -> list[Due]:
    if asked.profile:
        cells = [_overlaid(root, cell, asked.profile) for cell in cells]
    found = {cell.id: digests(root, cell) for cell in cells}
    rows = planning.due(cells, history.read(root / CELLS), found)
    again = asked.again or asked.list
    return planning.chosen(rows, only=asked.only, driver=asked.driver, again=again)


def _overlaid(root: Path, cell: Cell, profile: str) -> Cell:
    other = replace(cell, profile=profile)
    try:
        scenario_of(root, other)
    except ScenarioError:  # it has no such profile, and is run as the table says
        return cell
    return other


def main() -> int:
    """Do what was asked for; the exit code."""
    asked = _arguments()
    root = project_root()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        cells = cells_of(root)
        if asked.score:
            for line in score.lines(score.score(cells, history.read(root / CELLS))):
                _print(line)
            return ExitCode.PASS
        if asked.page:
            write_page(root, cells)
            return ExitCode.PASS
        rows = _asked_for(root, cells, asked)
        if asked.list:
            _listed(root, rows)
            return ExitCode.PASS
        session = Session(root, cells, asked)
        session.run(rows)
    except KeyboardInterrupt:
        _say("stopped; the cell that ran is not kept")
        return ExitCode.ABORTED
    except HarnessError as error:
        _say(str(error))
        return ExitCode.INVALID
    _say(f"{session.met} as they should be, {session.unmet} not, {session.not_run} not run")
    if session.unmet:
        return ExitCode.FAIL
    return ExitCode.INCONCLUSIVE if rows and not session.met else ExitCode.PASS


if __name__ == "__main__":
    sys.exit(main())
