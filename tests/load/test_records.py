"""What load processes write about themselves, read while it grows."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import StoreError
from harness.load.records import read_watch

LINE = b'{"at": 1700000001.5, "lag_p99_ms": 3.0, "cpu_percent": 42.5, "arrived": 100}\n'
LATER = LINE.replace(b"1700000001.5", b"1700000002.5")


def written(folder: Path, data: bytes, worker: int = 0) -> Path:
    path = folder / ("load.self.jsonl" if not worker else f"load.{worker}.self.jsonl")
    path.write_bytes(data)
    return path


def test_only_what_is_new_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, LINE)
    seen, at = read_watch(tmp_path)
    assert [tuple(line) for line in seen.tolist()] == [(1700000001.5, 42.5)]
    path.write_bytes(LINE + LATER)
    seen, at = read_watch(tmp_path, at)
    assert (seen["at"].tolist(), at) == ([1700000002.5], len(LINE + LATER))
    assert len(read_watch(tmp_path, at)[0]) == 0


def test_an_unfinished_line_is_left_for_the_next_time(tmp_path: Path) -> None:
    path = written(tmp_path, LINE + LATER[:20])
    seen, at = read_watch(tmp_path)
    assert (len(seen), at) == (1, len(LINE))
    path.write_bytes(LINE + LATER)
    assert read_watch(tmp_path, at)[0]["at"].tolist() == [1700000002.5]


def test_each_worker_has_a_file_of_its_own(tmp_path: Path) -> None:
    written(tmp_path, LINE)
    written(tmp_path, LINE + LATER, worker=1)
    assert [len(read_watch(tmp_path, 0, worker)[0]) for worker in (0, 1)] == [1, 2]


def test_without_a_file_nobody_watched(tmp_path: Path) -> None:
    seen, at = read_watch(tmp_path)
    assert (len(seen), at) == (0, 0)


@pytest.mark.parametrize(
    "damaged",
    [b"no json\n", b"{}\n", b'{"at": "soon", "cpu_percent": 1}\n', b"[1, 2]\n", b"\xff\xfe\n"],
    ids=["no JSON", "nothing in it", "a time in words", "a list", "no text"],
)
def test_a_damaged_line_is_said_to_be_one(damaged: bytes, tmp_path: Path) -> None:
    path = written(tmp_path, LINE + damaged)
    with pytest.raises(StoreError, match=str(path)):
        read_watch(tmp_path)
