"""What is deployed: an overlay, in one namespace, with the defects that are asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import InvalidError
from harness.stacks import kustomization


@pytest.fixture
def platform(tmp_path: Path) -> Path:
    """A platform of two parts, with a defect that is a component."""
    for folder in ("control", "defects/one-replica"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / kustomization.FILE).write_text("{}")
    return tmp_path


def made(platform: Path, *defects: str) -> dict[str, object]:
    folder = platform / "state"
    folder.mkdir()
    text = kustomization.text(platform / "control", defects, "shop", folder)
    document: dict[str, object] = json.loads(text)
    return document


def test_all_of_it_goes_to_the_namespace_by_relative_paths(platform: Path) -> None:
    document = made(platform)
    assert (document["namespace"], document["resources"]) == ("shop", ["../control"])
    assert document["components"] == []
    assert document["configMapGenerator"] == [{"name": "planted", "literals": ["DEFECTS="]}]


def test_a_defect_of_a_manifest_is_a_component_and_one_of_a_program_a_word(platform: Path) -> None:
    document = made(platform, "one-replica", "claim-without-lock", "acks-early")
    assert document["components"] == ["../defects/one-replica"]
    assert document["configMapGenerator"] == [
        {"name": "planted", "literals": ["DEFECTS=claim-without-lock,acks-early"]}
    ]


def test_what_is_no_kustomization_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match=r"There is no kustomization\.yaml in"):
        kustomization.text(tmp_path, (), "shop", tmp_path)
