"""The ledger reads back what was written, and says what of it does not."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.durability.ledger import (
    Ledger,
    answer_line,
    checksum,
    end_line,
    header_line,
    read,
    sent_line,
    written,
)
from tests.durability.cases import ACKNOWLEDGED, REFUSED, UNKNOWN, attempt, ten

FILE = written(ten(), "run-1")
SENT, ANSWER = sent_line(attempt(0)), answer_line(0, ACKNOWLEDGED, 1.0)
HEADER = header_line("run-1", 0)


def test_what_was_written_reads_back() -> None:
    assert read({0: FILE}) == Ledger(attempts=ten())


def test_the_files_of_all_workers_are_one_ledger() -> None:
    other = attempt(0, worker=1, key="p-0")
    found = read({1: written([other], "run-1", worker=1), 0: FILE})
    assert found == Ledger(attempts=(*ten(), other))


def test_the_server_may_choose_the_key() -> None:
    lines = sent_line(attempt(0, key="")) + answer_line(0, ACKNOWLEDGED, 2.0, "chosen")
    (only,) = read({0: HEADER + lines + end_line(1)}).attempts
    assert (only.key, only.outcome, only.answered_at) == ("chosen", ACKNOWLEDGED, 2.0)


DAMAGE = {
    "no header": FILE.partition(b"\n")[2],
    "the header of another worker": header_line("run-1", 3) + SENT + end_line(1),
    "a header in the middle": HEADER + HEADER + end_line(0),
    "an answer to nothing": HEADER + ANSWER + end_line(0),
    "two answers": HEADER + SENT + ANSWER + ANSWER + end_line(1),
    "the same sequence twice": HEADER + SENT + SENT + end_line(1),
    "an end that counts other than there are": HEADER + SENT + end_line(2),
    "a line after the end": HEADER + end_line(0) + SENT,
    "a line that is no line of ours": HEADER + b"hello\n" + end_line(0),
    "a line of another kind, well summed": HEADER + b'cc2f1b4f ["x"]\n' + end_line(0),
    "an empty line": HEADER + b"\n" + end_line(0),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_does_not_fit_is_damage(name: str) -> None:
    assert read({0: DAMAGE[name]}).damaged > 0


def test_an_empty_file_has_no_end() -> None:
    assert read({0: b""}) == Ledger(open_ended=1)


def test_cut_anywhere_nothing_before_the_cut_is_lost_and_the_end_is_missed() -> None:
    for cut in range(len(FILE)):
        found = read({0: FILE[:cut]})
        whole = FILE[:cut].rpartition(b"\n")[0]
        assert (found.damaged, found.open_ended) == (0, 1)
        assert found.torn == (not FILE[:cut].endswith(b"\n") and cut > 0)
        assert len(found.attempts) == whole.count(b'["s"')
        assert [a.key for a in found.attempts] == [a.key for a in ten()[: len(found.attempts)]]


@given(st.integers(0, len(FILE) - 1), st.integers(1, 255))
def test_no_changed_byte_is_believed(place: int, change: int) -> None:
    changed = bytearray(FILE)
    changed[place] ^= change
    found = read({0: bytes(changed)})
    assert found.damaged or found.torn or found.open_ended
    assert set(found.attempts) <= set(ten()) | {
        attempt(n, UNKNOWN, sent_at=a.sent_at) for n, a in enumerate(ten())
    }


def test_every_outcome_is_kept() -> None:
    attempts = (attempt(0), attempt(1, REFUSED), attempt(2, UNKNOWN))
    assert read({0: written(attempts, "r")}).attempts == attempts


SAME: dict[str, tuple[Any, Any]] = {
    "a number and its text": (7, "7"),
    "a whole float": (7, 7.0),
    "a decimal with zeros": ("0.5", Decimal("0.500")),
    "a float and its text": (7.0, "7.0"),
    "a text of digits": ("1.50", 1.5),
    "a large number": (10**6, Decimal("1E+6")),
    "bytes and text": ("kettle", b"kettle"),
    "true": (True, "true"),
    "what is not there and null": (None, None),
    "an object, whatever the order of its keys": ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
}


@pytest.mark.parametrize("name", SAME)
def test_a_value_has_one_checksum_however_a_store_gives_it_back(name: str) -> None:
    sent, kept = SAME[name]
    assert checksum({"x": sent}, ["x"]) == checksum({"x": kept}, ["x"])


@pytest.mark.parametrize(
    ("sent", "kept"), [("a", "b"), (1, 2), (0, None), ("", None), (True, False), ("1", "01")]
)
def test_other_values_have_other_checksums(sent: Any, kept: Any) -> None:
    assert checksum({"x": sent}, ["x"]) != checksum({"x": kept}, ["x"])


def test_fields_do_not_run_into_each_other() -> None:
    fields = ["x", "y"]
    assert checksum({"x": "a", "y": ""}, fields) != checksum({"x": "", "y": "a"}, fields)


def test_without_fields_there_is_nothing_to_sum() -> None:
    assert checksum({"x": 1}, []) == ""
