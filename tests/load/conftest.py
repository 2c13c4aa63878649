"""A server and loads against it, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.load import locust
from harness.load.locust import LocustLoad
from tests.load.site import Site, served, spec


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A load that is slow to start, or silent for a while, on a machine that is busy is well."""
    monkeypatch.setattr(locust, "START_TIMEOUT_S", 180.0)
    monkeypatch.setattr(locust, "SILENT_S", 30.0)


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def url(site: Site) -> Iterator[str]:
    with served(site) as address:
        yield address


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., LocustLoad]]:
    """Makes loads, and sees that none outlives its test."""
    made: list[LocustLoad] = []

    def make(profile: str = "", **changes: Any) -> LocustLoad:
        offered = spec(tmp_path, profile, **changes)
        folder = tmp_path / f"run{len(made) or ''}" / "samples"
        load = LocustLoad(offered, tmp_path, folder, 1)
        made.append(load)
        return load

    yield make
    for load in made:
        load.stop()
