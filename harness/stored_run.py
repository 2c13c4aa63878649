"""A run's folder read again: its evidence, and the conclusion that follows from it."""

from __future__ import annotations

from pathlib import Path

from harness import store
from harness.conclusion import Conclusion, conclude
from harness.evidence import Evidence
from harness.load.locust import stored_samples
from harness.result import Facts
from harness.scenario import parse


def evidence_again(path: Path) -> tuple[Evidence, Facts]:
    """What a run left behind, and what surrounded it.

    Raises:
        InvalidError: A file is missing, or not what the run wrote.
    """
    store.verify(path)
    return evidence_of(path)


def evidence_of(path: Path) -> tuple[Evidence, Facts]:
    """The same of a folder whose digests were compared already.

    Raises:
        InvalidError: A file is missing, or not what the run wrote.
    """
    plan = store.read_plan(path)
    try:
        text = (path / store.SCENARIO).read_text()
    except OSError as error:
        raise store.damaged(path, error) from error
    scenario = parse(text, path=plan["scenario_path"], environment={}, exists=lambda _name: True)
    samples = stored_samples(path / store.SAMPLES, intact=store.load_was_intact(path))
    return store.load_evidence(path, scenario, samples)


def conclude_again(path: Path) -> Conclusion:
    """The conclusion from a run's stored evidence.

    Raises:
        InvalidError: A file is missing, or not what the run wrote.
    """
    return conclude(*evidence_again(path))
