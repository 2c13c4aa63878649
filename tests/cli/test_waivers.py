"""`harness validate` and the waivers of a scenario, by the clock of whoever asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli import running
from harness.errors import ScenarioError

SCENARIO = """\
version: 1
name: shop
stack: {driver: local}
load: {http: [GET /items], service: gateway, arrivals: 50/s, timeout: 2s}
faults: []
metrics: none
objectives:
  - http.p99 < 300ms during steady
waivers:
  - {check: http.p99 < 300ms during steady, reason: SHOP-1, owner: team-x, expires: 2020-01-31}
"""


def test_a_waiver_that_is_over_is_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(SCENARIO)
    assert running.validate((file,), None, ()) == 0
    said = capsys.readouterr().err
    assert "by team-x expired on 2020-01-31, so it covers nothing; remove it" in said


def test_a_waiver_of_no_check_is_invalid(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(SCENARIO.replace("{check: http.p99", "{check: http.p90"))
    with pytest.raises(ScenarioError) as caught:
        running.validate((file,), None, ())
    assert int(caught.value.exit_code) == 2
    assert "did you mean 'http.p99 < 300ms during steady'?" in caught.value.problems[0]
