"""Accepted runs on disk: one reviewable file each, by scenario and environment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.accepted_run import VERSION as VERSION  # noqa: PLC0414 - of these files
from harness.accepted_run import Acceptance, AcceptedRun, differs_in, document, read
from harness.accepted_run import key_of as key_of  # noqa: PLC0414 - names of their values
from harness.errors import ExitCode, InvalidError
from harness.evidence import BaselineRun
from harness.files import write_durably

#: Verdicts of runs that somebody may accept by saying why; of any other, too much is unknown.
WITH_REASON = (ExitCode.FAIL, ExitCode.INCONCLUSIVE)


def accept(
    root: Path,
    result: Mapping[str, Any],
    accepted: Acceptance | None = None,
    measured: Mapping[str, Any] | None = None,
) -> Path:
    """Make a run part of the baseline and return the file to be committed.

    Args:
        root: The folder of accepted runs.
        result: The run's result.
        accepted: By whom, when, and why, which a run that is no PASS needs.
        measured: Its histograms and SLIs.

    Raises:
        InvalidError: The run is no PASS and there is no reason, or it is accepted already.
    """
    accepted = accepted or Acceptance()
    _refuse(result, accepted.reason)
    path = _folder(root, result["scenario"]["name"], result["environment"]["key"])
    path = path / f"{result['run_id']}.json"
    if path.exists():
        raise InvalidError(f"Run {result['run_id']} is part of the baseline already: {path}.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidError(
            f"The baseline folder {path.parent} cannot be made: {error.strerror}.",
            "Name another one with --baselines.",
        ) from error
    text = json.dumps(document(result, accepted, measured), indent=1, ensure_ascii=False)
    write_durably(path, f"{text}\n".encode(), mode=0o644)
    return path


def _refuse(result: Mapping[str, Any], reason: str) -> None:
    """Only a PASS is accepted without a word; a run that was not whole, never."""
    verdict = result["verdict"]
    code = verdict["exit_code"]
    if code == ExitCode.PASS or (code in WITH_REASON and reason.strip()):
        return
    run = f"Run {result['run_id']} is {verdict['name']}"
    if code in WITH_REASON:
        raise InvalidError(
            f"{run}; only a PASS is accepted without a reason.",
            "Run the scenario again until it passes and accept that run, or say why this one is "
            "what later runs should be held against: --reason TEXT.",
        )
    raise InvalidError(
        f"{run}; only a PASS, or with --reason a FAIL or an INCONCLUSIVE run, may be accepted.",
        "Run the scenario again until it passes, then accept that run.",
    )


def accepted(root: Path, scenario: str, environment_key: str) -> tuple[BaselineRun, ...]:
    """All accepted runs of a scenario in an environment as judging reads them, oldest first.

    Raises:
        InvalidError: A baseline file is damaged.
    """
    return tuple(run.compared() for run in runs(root, scenario, environment_key))


def runs(root: Path, scenario: str, environment_key: str) -> tuple[AcceptedRun, ...]:
    """The same with what was kept beside their values.

    Raises:
        InvalidError: A baseline file is damaged.
    """
    return tuple(
        _read(path) for path in sorted(_folder(root, scenario, environment_key).glob("*.json"))
    )


def elsewhere(root: Path, scenario: str, environment: Mapping[str, Any]) -> tuple[str, ...]:
    """What the accepted runs of a scenario in other environments differ in, one sentence each.

    Raises:
        InvalidError: A baseline file is damaged.
    """
    found = []
    for key in environments(root, scenario):
        paths = sorted(_folder(root, scenario, key).glob("*.json"))
        if key != environment["key"] and paths:
            there = _document(paths[-1])["environment"]
            count = f"{len(paths)} accepted {'run has' if len(paths) == 1 else 'runs have'}"
            found.append(f"{count} {differs_in(environment, there)}")
    return tuple(found)


def scenarios(root: Path) -> tuple[str, ...]:
    """Names of the scenarios of which runs were accepted."""
    return tuple(sorted(p.name for p in root.iterdir() if p.is_dir())) if root.is_dir() else ()


def drop(root: Path, run_id: str) -> Path:
    """Remove an accepted run and return the file that is gone.

    Raises:
        InvalidError: No accepted run has this id, or its file cannot be removed.
    """
    found = [path for path in root.glob("*/*/*.json") if path.stem == run_id]
    if not found:
        raise InvalidError(
            f"No accepted run in {root} is called {run_id!r}.", "See `harness baseline list`."
        )
    try:
        found[0].unlink()
    except OSError as error:
        raise InvalidError(f"{found[0]} cannot be removed: {error.strerror}.") from error
    return found[0]


def environments(root: Path, scenario: str) -> tuple[str, ...]:
    """Keys of the environments in which runs of a scenario were accepted."""
    folder = root / scenario
    return tuple(sorted(p.name for p in folder.iterdir())) if folder.is_dir() else ()


def _folder(root: Path, scenario: str, environment_key: str) -> Path:
    return root / scenario / environment_key


def _read(path: Path) -> AcceptedRun:
    try:
        return read(_document(path))
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from error


def _document(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> InvalidError:
    return InvalidError(
        f"The baseline {path} is damaged ({type(error).__name__}: {error}).",
        "Restore it from version control, or remove it.",
    )
