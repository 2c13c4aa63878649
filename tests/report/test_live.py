"""The live picture on a recorded console, and the plain lines for everything else."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from harness.report.live import LiveView, make_view, sparkline
from harness.report.plain import PlainView

from .samples import HOSTILE


def _view(seconds: float, **changes: Any) -> dict[str, Any]:
    journey = {"p99_ms": 41.0, "errors": 0.0, "degraded": 0.0, "rate": 100.0, "limit_ms": 250.0}
    view = {
        "phase": "steady",
        "elapsed_s": seconds,
        "planned_s": 60.0,
        "journeys": {"orders": journey},
        "faults": [],
        "note": "",
    }
    return {**view, **changes}


def _console(width: int = 110, height: int = 24) -> Console:
    return Console(
        file=io.StringIO(),
        force_terminal=True,
        color_system="standard",
        width=width,
        height=height,
        markup=False,
        highlight=False,
    )


def _last_picture(view: LiveView, width: int = 110) -> str:
    plain = Console(file=io.StringIO(), record=True, width=width, color_system=None)
    plain.print(view._picture())
    return plain.export_text()


PICTURE = """\
  warm-up ████████  steady ████████  FAULT ████░░░░ 20/40 s  recovery ░░░░░░░░  after ░░░░░░░░
  FAULT ACTIVE  timeout on gateway->llm-gateway
  orders             p99    ▁▁█                               700 ms  limit 250 ms  over
                     errors ▁▁█                                 30 %  degraded 10 %  30/s
  Ctrl-C heals and stops   heals in 20 s
"""


def test_the_whole_picture() -> None:
    view = LiveView(_console(100))
    view.phase("warmup", 20)
    view.phase("steady", 60)
    view.tick(_view(30))
    view.tick(_view(60))
    view.phase("fault", 40)
    bad = {"p99_ms": 700.0, "errors": 0.3, "degraded": 0.1, "rate": 30.0, "limit_ms": 250.0}
    view.tick(
        _view(
            20,
            phase="fault",
            planned_s=40.0,
            journeys={"orders": bad},
            faults=["timeout on gateway->llm-gateway"],
            note="heals in 20 s",
        )
    )
    shown = _last_picture(view, 100)
    view.close()
    assert "\n".join(line.rstrip() for line in shown.splitlines()) + "\n" == PICTURE


@pytest.mark.parametrize(("width", "height"), [(40, 10), (80, 24), (200, 60)])
def test_the_way_out_is_always_on_the_screen(width: int, height: int) -> None:
    view = LiveView(_console(width, height))
    view.phase("steady", None)
    journeys = {f"journey-{n}": _view(1)["journeys"]["orders"] for n in range(30)}
    view.tick(_view(1, journeys=journeys, note="x" * 300))
    lines = _last_picture(view, width).splitlines()
    view.close()
    assert len(lines) < height
    assert all(len(line) <= width for line in lines)
    assert lines[-1].startswith("  Ctrl-C heals and stops")
    assert lines[-2].startswith("  and ")
    assert lines[-2].endswith(" more journeys")


def test_what_comes_before_the_first_phase_stands_alone() -> None:
    view = LiveView(_console())
    view.phase("starting the stack", None)
    assert _last_picture(view).splitlines()[0].strip() == "starting the stack"
    view.close()


def test_hostile_names_do_nothing_in_the_live_picture() -> None:
    console = _console()
    view = LiveView(console)
    view.phase("fault", 10)
    journeys = {HOSTILE: _view(1)["journeys"]["orders"]}
    view.tick(_view(1, phase="fault", journeys=journeys, faults=[HOSTILE], note=HOSTILE))
    view.close()
    assert isinstance(console.file, io.StringIO)
    written = console.file.getvalue()
    assert "\x1b[2J" not in written
    assert "\x1b]0;" not in written
    assert "\x00" not in written


def test_the_terminal_is_given_back() -> None:
    console = _console()
    view = LiveView(console)
    view.phase("steady", 60)
    view.close()
    view.close()
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().rstrip().endswith("\x1b[?25h")


@pytest.mark.parametrize(
    ("values", "limit", "shown"),
    [
        ([], None, ""),
        ([0.0, 0.0], None, "▁▁"),
        ([None, 0.0, None], None, " ▁ "),
        ([125.0, 250.0], 250.0, "▅█"),
        ([25.0, 1000.0], 250.0, "▁█"),
        ([40.0, 42.0], None, "▅▅"),
    ],
)
def test_sparkline(values: list[float | None], limit: float | None, shown: str) -> None:
    assert sparkline(values, limit) == shown


PLAIN = """\
2026-11-21T08:00:00Z Ctrl-C heals and stops
2026-11-21T08:00:00Z steady (60 s planned)
2026-11-21T08:00:11Z steady 11/60 s | orders p99 41 ms errors 0 %
2026-11-21T08:00:21Z steady 21/60 s | orders p99 41 ms errors 0 %
2026-11-21T08:00:25Z FAULT (40 s planned)
2026-11-21T08:00:25Z FAULT ACTIVE timeout on gateway->llm-gateway
2026-11-21T08:00:28Z fault over: timeout on gateway->llm-gateway
"""


def test_plain_lines() -> None:
    at = [datetime(2026, 11, 21, 8, tzinfo=UTC)]
    stream = io.StringIO()
    view = PlainView(stream, lambda: at[0])
    view.phase("steady", 60)
    for second in range(1, 29):
        at[0] += timedelta(seconds=1)
        if second == 25:
            view.phase("fault", 40)
        faults = ["timeout on gateway->llm-gateway"] if 25 <= second < 28 else []
        view.tick(_view(second, faults=faults, phase="fault" if second >= 25 else "steady"))
    view.close()
    assert stream.getvalue() == PLAIN


def test_hostile_names_do_nothing_in_plain_lines() -> None:
    stream = io.StringIO()
    view = PlainView(stream)
    view.tick(_view(1, faults=[HOSTILE]))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", stream.getvalue())


def test_plain_lines_survive_a_stream_that_knows_ascii_only() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    PlainView(stream).tick(_view(1, faults=["→ ✓"]))
    stream.seek(0)
    assert "FAULT ACTIVE ? ?" in stream.read()


class _Terminal(io.StringIO):
    encoding = "utf-8"  # type: ignore[assignment]

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("case", "stream", "color", "environ", "kind", "colored"),
    [
        ("a terminal", _Terminal(), None, {}, LiveView, True),
        ("no colour asked for", _Terminal(), False, {}, LiveView, False),
        ("NO_COLOR", _Terminal(), True, {"NO_COLOR": "1"}, LiveView, False),
        ("FORCE_COLOR", _Terminal(), False, {"FORCE_COLOR": "1"}, LiveView, True),
        ("a terminal that cannot draw", _Terminal(), True, {"TERM": "dumb"}, PlainView, False),
        ("a CI job", _Terminal(), True, {"CI": "true"}, PlainView, False),
        ("CI=false", _Terminal(), True, {"CI": "false"}, LiveView, True),
        ("a file", io.StringIO(), True, {"FORCE_COLOR": "1"}, PlainView, False),
    ],
)
def test_which_view(
    case: str, stream: io.StringIO, color: bool | None, environ: dict[str, str], kind: type,
    colored: bool,
) -> None:  # fmt: skip
    view = make_view(stream, color, environ)
    view.phase("fault", 10)
    view.tick(_view(1, phase="fault", faults=["timeout"]))
    view.close()
    assert type(view) is kind
    assert bool(re.search(r"\x1b\[[0-9;]*m", stream.getvalue())) is colored
    if kind is PlainView:
        assert "\x1b" not in stream.getvalue()


def test_only_the_modules_that_draw_import_rich() -> None:
    code = (
        "import sys, harness.report, harness.report.words, harness.report.junit,"
        " harness.report.markdown\n"
        "sys.exit(any(m.split('.')[0] in ('rich', 'jinja2') for m in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
