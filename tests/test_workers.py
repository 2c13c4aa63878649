"""Which tests stay together on one worker."""

from __future__ import annotations

import pytest

from tests.conftest import shared_by

TOGETHER = [
    ("a file", "tests/test_undo.py::test_a", "tests/test_undo.py"),
    ("a file in a folder", "tests/load/test_link.py::test_a[x::y/z]", "tests/load/test_link.py"),
    ("all that shares the stack of whole runs", "tests/e2e/test_alone.py::test_a", "tests/e2e"),
    ("all that shares the project", "tests/compose/test_run.py::test_a[a b]", "tests/compose"),
    ("not what only begins like that", "tests/composed/test_a.py::t", "tests/composed/test_a.py"),
]


@pytest.mark.parametrize(("test", "place"), [r[1:] for r in TOGETHER], ids=[r[0] for r in TOGETHER])
def test_one_worker_runs(test: str, place: str) -> None:
    assert shared_by(test) == place
