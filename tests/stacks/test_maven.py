"""Servers that come as jars: what Maven is told, and what becomes of what it brings."""

from __future__ import annotations

import io
import subprocess
import tarfile
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

from harness.errors import StackError
from harness.stacks import maven
from harness.stacks.fetch import SPECS

FROM_MAVEN = [spec for spec in SPECS.values() if spec.maven]


def jar_with(path: Path, *archives: str) -> None:
    """A jar that holds these archives, each with one program in it."""
    path.parent.mkdir()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as archive:
        program = tarfile.TarInfo("bin/postgres")
        program.size, program.mode = 3, 0o755
        archive.addfile(program, io.BytesIO(b"run"))
    with zipfile.ZipFile(path, "w") as jar:
        jar.writestr("META-INF/MANIFEST.MF", "")
        for name in archives:
            jar.writestr(name, packed.getvalue())


@pytest.mark.parametrize("spec", FROM_MAVEN, ids=lambda spec: spec.name)
def test_a_server_names_whole_artifacts_and_a_known_way_to_unpack_them(spec: object) -> None:
    assert spec.unpack in maven.UNPACK  # type: ignore[attr-defined]
    root = ElementTree.fromstring(maven.pom(spec.maven))  # type: ignore[attr-defined]  # noqa: S314
    versions = [e.text for e in root.iter() if e.tag.endswith("version")]
    assert all(versions)
    assert len(versions) == 1 + len(spec.maven)  # type: ignore[attr-defined]


def test_the_one_archive_of_a_jar_is_unpacked_and_the_jar_goes(tmp_path: Path) -> None:
    jar_with(tmp_path / "jars" / "binaries.jar", "linux.txz")
    maven.UNPACK["archive"](tmp_path / "jars", tmp_path, "postgres")
    assert (tmp_path / "bin" / "postgres").read_text() == "run"
    assert not (tmp_path / "jars").exists()


@pytest.mark.parametrize("archives", [(), ("a.txz", "b.txz")], ids=["none", "two"])
def test_a_jar_with_another_number_of_archives_is_refused(
    tmp_path: Path, archives: tuple[str, ...]
) -> None:
    jar_with(tmp_path / "jars" / "binaries.jar", *archives)
    with pytest.raises(StackError, match=rf"holds {len(archives)} archives instead of one"):
        maven.UNPACK["archive"](tmp_path / "jars", tmp_path, "postgres")


def fake_java(path: Path, name: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(f'#!/bin/sh\necho {name} "$@"\n')
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("home", "on_path", "taken"),
    [(True, True, "home"), (False, True, "path"), (False, False, "cache")],
    ids=["of JAVA_HOME", "on PATH", "beside it in the cache"],
)
def test_a_class_is_run_by_the_java(tmp_path: Path, home: bool, on_path: bool, taken: str) -> None:
    servers = tmp_path / "servers"
    for name, place in (
        ("home", tmp_path / "home" / "bin"),
        ("path", tmp_path / "path"),
        ("cache", servers / "java" / "bin"),
    ):
        fake_java(place / "java", name)
    folder = servers / "kafka"
    (folder / "bin").mkdir(parents=True)
    (folder / "jars").mkdir()
    maven.UNPACK["classpath"](folder / "jars", folder, "kafka")
    environment = {"PATH": str(tmp_path / "path") if on_path else "/nowhere"}
    if home:
        environment["JAVA_HOME"] = str(tmp_path / "home")
    done = subprocess.run(
        ["/bin/sh", str(folder / "bin" / "kafka"), "kafka.Kafka", "a b"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    said = done.stdout.split()
    assert (said[0], said[1]) == (taken, "-Xmx256m")
    assert said[-3:] == ["kafka.Kafka", "a", "b"]
