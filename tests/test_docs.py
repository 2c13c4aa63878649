"""The documents are held to the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.cli.words import MEANINGS
from harness.errors import ExitCode
from harness.faults.kinds import KINDS
from harness.reasons import REASONS
from harness.scenario import parse

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "stack").glob("*.md")]
PAGES += (ROOT / "tests").glob("*.md")


@pytest.mark.parametrize("page", PAGES, ids=[str(p.relative_to(ROOT)) for p in PAGES])
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    missing = [
        link for link in links if "://" not in link and not (page.parent / link).resolve().exists()
    ]
    assert missing == []


def test_the_page_of_exit_codes_says_what_the_command_says() -> None:
    text = (ROOT / "docs" / "reference" / "exit-codes.md").read_text()
    for code in ExitCode:
        assert f"| {int(code)} | {code.name} | {MEANINGS[code]} |" in text
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", text, re.MULTILINE))
    assert rows == dict(REASONS)


def test_every_verb_in_the_documents_exists() -> None:
    from typer.main import get_command

    from harness.cli.app import app

    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    for page in PAGES:
        for block in re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL):
            for verb in re.findall(r"harness (\w+)", block):
                assert verb in known, f"{page.name}: harness {verb}"


def test_the_scenario_in_the_readme_is_one() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    scenario = parse(text, path="README.md", environment={}, exists=lambda n: (ROOT / n).is_file())
    assert scenario.name == "quickstart"


def test_every_experiment_and_locustfile_is_used_by_a_scenario() -> None:
    texts = "".join(p.read_text() for p in (ROOT / "scenarios").rglob("*.yaml"))
    unused = [
        str(p.relative_to(ROOT))
        for folder, pattern in (("experiments", "*.json"), ("loadtests", "*.py"))
        for p in (ROOT / folder).glob(pattern)
        if str(p.relative_to(ROOT)) not in texts
    ]
    assert unused == []


@pytest.mark.parametrize(
    "path", sorted((ROOT / "scenarios").rglob("*.yaml")), ids=lambda p: str(p.stem)
)
def test_every_shipped_scenario_is_valid(path: Path) -> None:
    parse(
        path.read_text(),
        path=str(path),
        environment={},
        exists=lambda name: (ROOT / name).is_file(),
    )


def test_every_fault_kind_is_in_the_changelog_or_the_reference() -> None:
    pages = (ROOT / "CHANGELOG.md").read_text()
    assert [kind for kind in KINDS if f"`{kind}`" not in pages] == []
