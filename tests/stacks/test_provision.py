"""Finding and fetching servers, with stand-ins for the programs and never the network."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import StackError
from harness.stacks import provision
from harness.stacks.fetch import SPECS, run
from harness.stacks.provision import Server, locate, provide

NEW_ENOUGH = "prometheus, version 2.45.1 (branch: HEAD)"
TOO_OLD = "prometheus, version 2.9.0 (branch: HEAD)"


@pytest.fixture
def path_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH; the cache is empty and private."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return folder


def program(path: Path, body: str) -> Path:
    """A shell script that notes each of its runs beside itself."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho run >> {path}.runs\nPATH=/usr/bin:/bin\n{body}\n")
    path.chmod(0o755)
    return path


def says(path: Path, text: str) -> Path:
    return program(path, f"echo '{text}'")


def runs(path: Path) -> int:
    record = path.with_name(f"{path.name}.runs")
    return len(record.read_text().splitlines()) if record.exists() else 0


def cached(tmp_path: Path, name: str) -> Path:
    return tmp_path / "cache" / "servers" / name / "bin" / name


def test_nothing_on_path_and_nothing_cached_is_none(path_folder: Path) -> None:
    assert locate("prometheus") is None


def test_a_new_enough_program_on_path_is_taken(path_folder: Path) -> None:
    path = says(path_folder / "prometheus", NEW_ENOUGH)
    assert locate("prometheus") == Server(
        name="prometheus", path=path, version="2.45.1", source="PATH"
    )


def test_debians_name_of_alertmanager_is_known(path_folder: Path) -> None:
    says(path_folder / "prometheus-alertmanager", "alertmanager, version 0.25.0 (branch: x)")
    found = locate("alertmanager")
    assert found is not None
    assert found.version == "0.25.0"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (f"echo '{TOO_OLD}'", "older than 2.40"),
        ("echo 'prometheus version git'", "does not tell its version"),
        ("echo", "says 'nothing'"),
        ("echo no library >&2; exit 127", "ended with 127: no library"),
    ],
    ids=["too old", "built without a version", "silent", "does not run"],
)
def test_an_unusable_program_on_path_is_passed_over_with_its_reason(
    path_folder: Path, body: str, why: str
) -> None:
    program(path_folder / "prometheus", body)
    assert locate("prometheus") is None
    with pytest.raises(StackError, match=why):
        provide("prometheus")


def test_a_file_that_is_no_program_is_passed_over(path_folder: Path) -> None:
    path = path_folder / "prometheus"
    path.write_bytes(b"\x7fELF but cut off")
    path.chmod(0o755)
    assert locate("prometheus") is None


def test_the_cache_helps_when_path_has_an_old_one(path_folder: Path, tmp_path: Path) -> None:
    says(path_folder / "prometheus", TOO_OLD)
    path = says(cached(tmp_path, "prometheus"), NEW_ENOUGH)
    found = locate("prometheus")
    assert found == Server(name="prometheus", path=path, version="2.45.1", source="cache")


def test_a_known_program_is_not_run_again(path_folder: Path) -> None:
    path = says(path_folder / "prometheus", NEW_ENOUGH)
    assert locate("prometheus") == locate("prometheus")
    assert runs(path) == 1


def test_a_replaced_program_is_asked_again(path_folder: Path) -> None:
    path = says(path_folder / "prometheus", NEW_ENOUGH)
    locate("prometheus")
    says(path, "prometheus, version 3.10.0 (now longer)")
    found = locate("prometheus")
    assert found is not None
    assert found.version == "3.10.0"


@pytest.mark.parametrize("damage", ["", "[]", '{"cut', '{"PATH": 3}'])
def test_a_damaged_record_is_written_anew(path_folder: Path, tmp_path: Path, damage: str) -> None:
    path = says(path_folder / "prometheus", NEW_ENOUGH)
    record = tmp_path / "cache" / "servers" / "prometheus.json"
    record.parent.mkdir(parents=True)
    record.write_text(damage.replace("PATH", str(path)))
    assert locate("prometheus") is not None
    assert json.loads(record.read_text())[str(path)]["version"] == "2.45.1"


def test_an_unknown_server_is_refused_with_the_known_ones() -> None:
    with pytest.raises(StackError, match="'nginx'; known are prometheus, alertmanager, toxi"):
        locate("nginx")


def go_that_builds(path_folder: Path, text: str) -> Path:
    built = "$GOBIN/server"
    return program(
        path_folder / "go",
        f"printf '#!/bin/sh\\necho {text}\\n' > {built}; chmod 755 {built}",
    )


def test_toxiproxy_is_built_by_go_into_the_cache(path_folder: Path, tmp_path: Path) -> None:
    go_that_builds(path_folder, "toxiproxy-server version 2.12.0")
    said: list[str] = []
    server = provide("toxiproxy-server", said.append)
    assert server.path == cached(tmp_path, "toxiproxy-server")
    assert (server.version, server.source) == ("2.12.0", "cache")
    assert said[0].startswith("Fetching toxiproxy-server: go install ")
    assert said[1] == "Fetched toxiproxy-server 2.12.0."
    assert provide("toxiproxy-server") == server


def test_prometheus_is_unpacked_from_its_debian_package(path_folder: Path, tmp_path: Path) -> None:
    program(path_folder / "apt-get", "touch prometheus_2.42.deb")
    inside = "$3/usr/bin"
    program(
        path_folder / "dpkg",
        f"mkdir -p {inside}; printf '#!/bin/sh\\necho prometheus, version 2.42.0+ds\\n'"
        f" > {inside}/prometheus; touch {inside}/promtool; chmod 755 {inside}/*",
    )
    server = provide("prometheus")
    assert server == Server(
        name="prometheus",
        path=cached(tmp_path, "prometheus"),
        version="2.42.0",
        source="cache",
    )
    assert server.path.with_name("promtool").exists()


def test_libraries_are_unpacked_beside_the_program_that_needs_them(
    path_folder: Path, tmp_path: Path
) -> None:
    program(
        path_folder / "apt-get",
        "for n in redis-server redis-tools libjemalloc2 liblzf1; do touch $n.deb; done",
    )
    inside = "$3/usr/bin"
    program(
        path_folder / "dpkg",
        f"mkdir -p {inside} $3/usr/lib/x86_64-linux-gnu; cd {inside};"
        f" printf '#!/bin/sh\necho Redis server v=7.0.15 from \"$LD_LIBRARY_PATH\"\n' > checker;"
        " chmod 755 checker; ln -sf checker redis-server",
    )
    server = provide("redis-server")
    assert (server.path, server.version) == (cached(tmp_path, "redis-server"), "7.0.15")
    said = run([str(server.path)], timeout_s=60)
    folder = server.path.parent / ".." / "lib" / "x86_64-linux-gnu"
    assert said.strip().endswith(f"from {folder}")


def test_a_place_of_the_distribution_comes_after_path(
    path_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = (f"{tmp_path}/versions/*/prometheus",)
    monkeypatch.setitem(provision.SPECS, "prometheus", replace(SPECS["prometheus"], places=places))  # type: ignore[attr-defined]
    says(tmp_path / "versions" / "2" / "prometheus", TOO_OLD)
    path = says(tmp_path / "versions" / "3" / "prometheus", NEW_ENOUGH)
    found = locate("prometheus")
    assert found is not None
    assert (found.path, found.source) == (path, places[0])
    says(path_folder / "prometheus", NEW_ENOUGH)
    assert locate("prometheus").source == "PATH"  # type: ignore[union-attr]


def test_missing_package_lists_are_named(path_folder: Path) -> None:
    program(path_folder / "apt-get", "echo 'E: Unable to locate package prometheus'; exit 100")
    program(path_folder / "dpkg", "")
    with pytest.raises(StackError, match="run `apt-get update`, then try again"):
        provide("prometheus")


def test_what_cannot_be_had_says_what_is_missing_what_was_tried_and_what_to_run(
    path_folder: Path,
) -> None:
    program(path_folder / "go", "echo 'dial tcp: connection refused' >&2; exit 1")
    with pytest.raises(StackError) as failure:
        provide("toxiproxy-server")
    assert str(failure.value).splitlines() == [
        "The server toxiproxy-server (2.5 or newer) is missing. Tried:",
        "  PATH and cache: no toxiproxy-server there",
        "  go install github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0: "
        "go ended with 1: dial tcp: connection refused ",
        "Get it with one of:",
        "  brew: brew install shopify/shopify/toxiproxy",
        "  go: install Go 1.23 or newer, then run the same command again",
    ]


def test_a_machine_without_go_is_told_so(path_folder: Path) -> None:
    with pytest.raises(StackError, match="this machine has no go"):
        provide("toxiproxy-server")


def test_a_fetched_program_that_does_not_run_is_not_kept(path_folder: Path, tmp_path: Path) -> None:
    go_that_builds(path_folder, "toxiproxy-server version 2.1.0")
    with pytest.raises(StackError, match=r"version 2\.1\.0, older than 2\.5"):
        provide("toxiproxy-server")
    left = [path for path in (tmp_path / "cache" / "servers").iterdir() if path.is_dir()]
    assert left == []


def test_a_broken_server_in_the_cache_is_replaced(path_folder: Path, tmp_path: Path) -> None:
    program(cached(tmp_path, "toxiproxy-server"), "exit 1")
    go_that_builds(path_folder, "toxiproxy-server version 2.12.0")
    assert provide("toxiproxy-server").version == "2.12.0"


def test_what_a_crashed_fetch_left_is_removed(path_folder: Path, tmp_path: Path) -> None:
    leftover = tmp_path / "cache" / "servers" / ".toxiproxy-server.dead.tmp"
    (leftover / "bin").mkdir(parents=True)
    go_that_builds(path_folder, "toxiproxy-server version 2.12.0")
    provide("toxiproxy-server")
    assert not leftover.exists()


def test_two_at_once_fetch_once(path_folder: Path) -> None:
    go = go_that_builds(path_folder, "toxiproxy-server version 2.12.0")
    versions: list[str] = []
    both = [
        threading.Thread(target=lambda: versions.append(provide("toxiproxy-server").version))
        for _ in range(2)
    ]
    for each in both:
        each.start()
    for each in both:
        each.join(timeout=120)
    assert versions == ["2.12.0", "2.12.0"]
    assert runs(go) == 1


def test_a_program_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    script = program(tmp_path / "hangs", "sleep 60 & wait")
    with pytest.raises(StackError, match=r"took longer than 0\.2 s"):
        run([str(script)], timeout_s=0.2)


def test_every_server_has_a_command_for_humans() -> None:
    assert all(spec.commands for spec in SPECS.values())


def test_a_checkout_without_the_services_environment_says_make_setup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provision, "project_root", lambda: tmp_path)
    with pytest.raises(StackError, match="Run `make setup`"):
        provision.python_for_services()
