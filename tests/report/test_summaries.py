"""The terminal summary and the Markdown summary: whole outputs, hostile names, limits."""

from __future__ import annotations

import re

import pytest

from harness.report import markdown, terminal
from harness.report.markdown import MAX_BYTES, escape

from .samples import STORIES, fixed, hostile, tell

TERMINAL = """\
quickstart  local  20261121T080000Z-quickstart-7f3a1c

CHECKS
outcome   objective                                        phase    observed    limit
─────────────────────────────────────────────────────────────────────────────────────
✓ pass    orders.p99 < 250ms                               steady      41 ms   250 ms
          0 of 1,200 requests took 250ms or more; 12 may
✗ FAIL    orders.errors < 1%                               FAULT       100 %      1 %
          812 of 812 requests failed (812 http_5xx)

PHASES
phase    length   endpoint       requests   failed   degraded     p50     p99     max
─────────────────────────────────────────────────────────────────────────────────────
steady     60 s   POST /orders      1,200        0          3   12 ms   41 ms   2.3 s

FAULTS
fault     target                                  proven after           held   healed after
────────────────────────────────────────────────────────────────────────────────────────────
timeout   gateway->orders                               300 ms   20 s of 20 s         200 ms
          no byte in 250 ms → answered in 38 ms

RECOVERY
subject   time to recover   sustained   in words
─────────────────────────────────────────────────────────────────────────────────────────
orders       0.4 to 1.1 s        10 s   orders was well again 0.4 to 1.1 s after the heal

ALERTS
alert        expectation   what it did   after the fault   resolved
───────────────────────────────────────────────────────────────────
OrdersDown   must fire     fired                     9 s   not seen

TIME TO DETECT
alert        fault                     outcome         pending         firing   received   by
────────────────────────────────────────────────────────────────────────────────────────────────────
OrdersDown   timeout on                detected   6.0 to 7.0 s   8.0 to 9.0 s      9.1 s   pagerduty
             gateway->orders

VERDICT  FAIL (exit 1: a valid negative verdict)
FAIL: orders.errors < 1% during fault: 812 of 812 requests failed (812 http_5xx).
"""

MARKDOWN = r"""## ✗ FAIL · quickstart

FAIL: orders.errors &lt; 1% during fault: 812 of 812 requests failed (812 http_5xx).

Exit code 1: a valid negative verdict. Evidence fail, termination completed, restoration clean. Run 20261121T080000Z-quickstart-7f3a1c on local.

| outcome | objective | phase | observed | limit | because |
| --- | --- | --- | --: | --: | --- |
| ✓ pass | orders.p99 &lt; 250ms | steady | 41 ms | 250 ms | 0 of 1,200 requests took 250ms or more; 12 may |
| ✗ FAIL | orders.errors &lt; 1% | FAULT | 100 % | 1 % | 812 of 812 requests failed (812 http_5xx) |

<details><summary>Phases</summary>

| phase | length | endpoint | requests | failed | degraded | p50 | p99 | max |
| --- | --: | --- | --: | --: | --: | --: | --: | --: |
| steady | 60 s | POST /orders | 1,200 | 0 | 3 | 12 ms | 41 ms | 2.3 s |

</details>

<details><summary>Faults</summary>

| fault | target | proven after | held | healed after | proof |
| --- | --- | --: | --: | --: | --- |
| timeout | gateway-&gt;orders | 300 ms | 20 s of 20 s | 200 ms | no byte in 250 ms → answered in 38 ms |

</details>

<details><summary>Recovery</summary>

| subject | time to recover | sustained | in words |
| --- | --: | --: | --- |
| orders | 0.4 to 1.1 s | 10 s | orders was well again 0.4 to 1.1 s after the heal |

</details>

<details><summary>Alerts</summary>

| alert | expectation | what it did | after the fault | resolved |
| --- | --- | --- | --: | --- |
| OrdersDown | must fire | fired | 9 s | not seen |

</details>

<details><summary>Time to detect</summary>

| alert | fault | outcome | pending | firing | received | by |
| --- | --- | --- | --: | --: | --: | --- |
| OrdersDown | timeout on gateway-&gt;orders | detected | 6.0 to 7.0 s | 8.0 to 9.0 s | 9.1 s | pagerduty |

</details>
"""  # noqa: E501 - as it is written


def test_the_whole_terminal_summary() -> None:
    assert terminal.summary(fixed(), 100, color=False) == TERMINAL


def test_colour_changes_no_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    colored = terminal.summary(fixed(), 100, color=True)
    assert "\x1b[1;31m✗ FAIL" in colored
    lines = re.sub(r"\x1b\[[0-9;]*m", "", colored).splitlines()
    assert [line.rstrip() for line in lines] == TERMINAL.splitlines()


@pytest.mark.parametrize("width", [40, 80, 100, 160])
@pytest.mark.parametrize("name", STORIES)
def test_every_summary_fits_its_width(name: str, width: int) -> None:
    result, _ = tell(STORIES[name][0])
    *lines, verdict, headline = _tail(terminal.summary(result, width, color=False))
    assert all(len(line) <= width for line in lines)
    assert verdict.startswith(f"VERDICT  {result['verdict']['name']} (exit")
    assert headline.startswith(f"{result['verdict']['name']}: ")


def _tail(text: str) -> list[str]:
    """The lines, with the wrapped ones of the last block put together again."""
    lines = text.splitlines()
    start = max(n for n, line in enumerate(lines) if line.startswith("VERDICT"))
    block = "\n".join(lines[start:])
    block = re.sub(r"\n(?!report|[A-Z]+: )", " ", block)
    return [*lines[:start], *block.splitlines()]


def test_hostile_names_do_nothing_on_a_terminal() -> None:
    result, _ = hostile()
    text = terminal.summary(result, 100, color=False)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    assert "[bold red]no[/]" in text
    assert "\\x1b[2J" in text
    text.encode()


def test_the_whole_markdown_summary() -> None:
    assert markdown.summary(fixed()) == MARKDOWN


def test_reasons_that_belong_to_no_check_are_unfolded() -> None:
    result, _ = tell(STORIES["INCONCLUSIVE"][0])
    text = markdown.summary(result)
    assert "<details open><summary>Reasons</summary>" in text
    assert "| metrics_lost | Prometheus is gone |" in text


def test_hostile_names_stay_text_in_markdown() -> None:
    result, _ = hostile()
    text = markdown.summary(result)
    without_ours = re.sub(r"</?(details|summary)( open)?>", "", text)
    assert "<" not in without_ours
    assert not re.search(r"(?<!\\)`", text)
    assert "@someone" not in text
    assert "https://" not in text
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    text.encode()


def test_hostile_names_add_no_cell_to_a_table() -> None:
    result, _ = hostile()
    columns = 0
    for line in markdown.summary(result).splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line))
        if line.startswith("|"):
            columns = columns or cells
            assert cells == columns, line
        else:
            columns = 0


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a_b", "a_b"),
        ("_a_", "\\_a\\_"),
        ("a | b", "a \\| b"),
        ("\\|", "\\\\\\|"),
        ("`x`", "\\`x\\`"),
        ("<b>", "&lt;b&gt;"),
        ("a\n# b", "a \\# b"),
        ("[x](y)", "\\[x\\](y)"),
    ],
)
def test_markdown_escape(text: str, shown: str) -> None:
    assert escape(text) == shown


def test_markdown_stays_below_what_github_accepts() -> None:
    result = fixed()
    result["checks"] = [{**result["checks"][1], "because": "x" * 500} for _ in range(5000)]
    text = markdown.summary(result)
    assert MAX_BYTES - 2000 < len(text.encode()) <= MAX_BYTES
    assert "more checks and all details were left out" in text
    result["checks"] = result["checks"][:10]
    result["faults"] = [{**result["faults"][0], "proof": "y" * 500} for _ in range(5000)]
    text = markdown.summary(result)
    assert len(text.encode()) <= MAX_BYTES
    assert "\nThe details were left out" in text
    assert text.count("✗ FAIL |") == 10


def _writes(**changes: object) -> str:
    """The terminal's rows of one series of acknowledged writes."""
    counts = {"acknowledged": 12000, "present": 11986, "lost": 14, "duplicated": 0, "unknown": 9}
    counts |= {"unknown_present": 4, "refused": 0, "refused_present": 0}
    series = {
        "name": "orders",
        "store": "postgres.orders",
        **counts,
        "corrupted": 0,
        "reordered": None,
        "stale": None,
        "rpo_low_s": 1.4,
        "rpo_high_s": 1.62,
        "settled": True,
        "problem": "",
        "lost_keys": ["o-1"],
        "duplicated_keys": [],
        "stale_keys": [],
    }
    text = terminal.summary({**fixed(), "durability": [{**series, **changes}]}, color=False)
    return text.partition("ACKNOWLEDGED WRITES\n")[2].partition("\n\n")[0]


def test_acknowledged_writes_have_a_row_with_their_recovery_point() -> None:
    header, _, row = _writes().splitlines()
    assert header.split()[:3] == ["series", "acknowledged", "lost"]
    assert row.split() == [
        "orders",
        "12,000",
        "14",
        "0",
        "0",
        "–",
        "–",
        "9",
        "1.4",
        "to",
        "1.6",
        "s",
    ]


def test_a_store_that_nobody_could_read_has_no_counts() -> None:
    nothing = dict.fromkeys(("acknowledged", "lost", "duplicated", "corrupted", "unknown"))
    row = _writes(**nothing, rpo_low_s=None, rpo_high_s=None, problem="it is gone").splitlines()[2]
    assert row.split() == ["orders", *["–"] * 8]


def test_nothing_lost_is_a_recovery_point_of_zero() -> None:
    assert _writes(lost=0, rpo_low_s=0.0, rpo_high_s=0.0).splitlines()[2].endswith(" 0 s")
