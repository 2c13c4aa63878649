"""The servers the embedded stack needs, and the ways to fetch each without installing it.

Used by :mod:`harness.stacks.provision` only.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from harness.errors import StackError
from harness.stacks import maven

CONNECT_TIMEOUT_S = 5
DOWNLOAD_TIMEOUT_S = 120.0
UNPACK_TIMEOUT_S = 60.0
BUILD_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSpec:
    """One server: what it is called, how new it must be, where it comes from.

    Attributes:
        name: Its name in the cache and in messages.
        programs: Names it may have on PATH or in a package.
        minimum: Oldest version that will do.
        debian: Debian package, or empty.
        home: Pattern of the folder in its Debian package that it is run from, if not /usr.
        libraries: Further Debian packages, whose libraries it needs and a machine may lack.
        version: Pattern of its version in what ``--version`` prints.
        places: Patterns of paths where a distribution keeps it beside PATH.
        go_module: Path of a Go program with its version, or empty.
        go_flags: Linker flags that give it its version, which ``go install`` leaves out.
        go_program: The name ``go install`` gives it.
        ask_version: Arguments that make it print its version.
        maven: Artifacts of Maven, ``group:artifact:version``, fetched with what they need.
        unpack: What is made of those jars: ``classpath`` or ``archive``, see
            :mod:`harness.stacks.maven`.
        commands: For a human: how to install it, by tool.
    """

    name: str
    programs: tuple[str, ...]
    minimum: tuple[int, ...]
    debian: str = ""
    home: str = ""
    libraries: tuple[str, ...] = ()
    version: str = r"version v?(\d+(?:\.\d+)+)"
    go_module: str = ""
    go_flags: str = ""
    go_program: str = ""
    places: tuple[str, ...] = ()
    ask_version: tuple[str, ...] = ("--version",)
    maven: tuple[str, ...] = ()
    unpack: str = ""
    commands: Mapping[str, str] = field(default_factory=dict)


SPECS: Mapping[str, ServerSpec] = {
    "prometheus": ServerSpec(
        name="prometheus",
        programs=("prometheus",),
        minimum=(2, 40),
        debian="prometheus",
        commands={"apt": "apt-get install prometheus", "brew": "brew install prometheus"},
    ),
    "alertmanager": ServerSpec(
        name="alertmanager",
        programs=("alertmanager", "prometheus-alertmanager"),
        minimum=(0, 24),
        # Not Debian's package: its program reads templates from /usr/share/prometheus, so
        # it does not run when only unpacked.
        go_module="github.com/prometheus/alertmanager/cmd/alertmanager@v0.28.1",
        go_flags="-X github.com/prometheus/common/version.Version=0.28.1",
        go_program="alertmanager",
        commands={
            "apt": "apt-get install prometheus-alertmanager",
            "brew": "brew install alertmanager",
            "go": "install Go 1.22 or newer, then run the same command again",
        },
    ),
    "toxiproxy-server": ServerSpec(
        name="toxiproxy-server",
        programs=("toxiproxy-server",),
        minimum=(2, 5),
        go_module="github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0",
        go_flags="-X github.com/Shopify/toxiproxy/v2.Version=2.12.0",
        go_program="server",
        commands={
            "brew": "brew install shopify/shopify/toxiproxy",
            "go": "install Go 1.23 or newer, then run the same command again",
        },
    ),
    "opa": ServerSpec(
        name="opa",
        programs=("opa",),
        minimum=(1, 0),  # from which on Rego is what our policy is written in
        version=r"Version: (\d+(?:\.\d+)+)",
        ask_version=("version",),
        go_module="github.com/open-policy-agent/opa@v1.12.1",
        go_program="opa",
        commands={
            "brew": "brew install opa",
            "go": "install Go 1.24 or newer, then run the same command again",
        },
    ),
    "faketime": ServerSpec(
        name="faketime",
        programs=("faketime",),
        minimum=(0, 9),
        version=r"Version (\d+(?:\.\d+)+)",
        debian="faketime",
        libraries=("libfaketime",),
        commands={"apt": "apt-get install faketime"},
    ),
    "redis-server": ServerSpec(
        name="redis-server",
        programs=("redis-server",),
        minimum=(6,),
        version=r"v=(\d+(?:\.\d+)+)",
        debian="redis-server",
        libraries=("redis-tools", "libjemalloc2", "liblzf1"),
        commands={"apt": "apt-get install redis-server", "brew": "brew install redis"},
    ),
    "postgres": ServerSpec(
        name="postgres",
        programs=("postgres",),
        minimum=(12,),
        version=r"\(PostgreSQL\) (\d+(?:\.\d+)*)",
        # Its Debian package needs two dozen others; these binaries need none.
        places=("/usr/lib/postgresql/*/bin/postgres",),
        maven=(f"io.zonky.test.postgres:embedded-postgres-binaries-{maven.PLATFORM}:15.14.0",),
        unpack="archive",
        commands={"apt": "apt-get install postgresql", "brew": "brew install postgresql"},
    ),
    "java": ServerSpec(
        name="java",
        programs=("java",),
        minimum=(17,),
        version=r"(?:openjdk|java) (\d+(?:\.\d+)*)",
        places=("/usr/lib/jvm/*/bin/java",),
        debian="openjdk-17-jre-headless",
        home="usr/lib/jvm/java-17-openjdk-*",
        commands={
            "apt": "apt-get install openjdk-17-jre-headless",
            "brew": "brew install openjdk@17",
        },
    ),
    "kafka": ServerSpec(
        name="kafka",
        programs=("kafka-run-class.sh", "kafka-run-class"),
        minimum=(4, 0),
        version=r"(?m)^(\d+(?:\.\d+)+)",
        ask_version=("kafka.Kafka", "--version"),
        places=("/opt/kafka/bin/kafka-run-class.sh",),
        maven=(
            "org.apache.kafka:kafka_2.13:4.1.0",
            "org.apache.logging.log4j:log4j-core:2.24.3",
            "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3",
            "org.apache.logging.log4j:log4j-1.2-api:2.24.3",
            "com.fasterxml.jackson.dataformat:jackson-dataformat-yaml:2.19.0",
        ),
        unpack="classpath",
        commands={
            "brew": "brew install kafka",
            "apt": "apt-get install maven, then run the same command again",
        },
    ),
}

#: What only some fault kinds or services need, and what for.
OPTIONAL: Mapping[str, str] = {
    "faketime": "the fault kind `clock`",
    "opa": "a real policy agent in the profiles `control` and `full`",
    "redis-server": "services that keep their data in Redis",
    "postgres": "services that keep their data in PostgreSQL",
    "java": "Kafka",
    "kafka": "the profiles `orders` and `full` of the local stack",
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One place or way that was tried, and why it did not help."""

    what: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Fetcher:
    """One way to get a server: ``fetch(folder)`` puts it at ``folder/bin/<name>``."""

    describe: str
    fetch: Callable[[Path], None]


def fetchers(spec: ServerSpec) -> list[Fetcher]:
    """The ways to try, in their order."""
    ways: list[Fetcher] = []
    if spec.debian:
        ways.append(Fetcher(f"Debian package {spec.debian}, unpacked", partial(_from_debian, spec)))
    if spec.go_module:
        ways.append(Fetcher(f"go install {spec.go_module}", partial(_from_go, spec)))
    if spec.maven:
        what = f"Maven artifact {spec.maven[0]}"
        ways.append(Fetcher(what, partial(_from_maven, spec)))
    return ways


def run(
    command: list[str],
    *,
    timeout_s: float,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a program to its end and return what it printed, stderr included.

    Raises:
        StackError: It is not there, failed, or took longer than ``timeout_s``.
    """
    try:
        child = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise StackError(f"{command[0]} cannot be run: {error.strerror}") from error
    with child:
        try:
            output = child.communicate(timeout=timeout_s)[0].decode(errors="replace")
        except BaseException as error:
            # With its children: a compiler left behind would keep the pipe open and us waiting.
            os.killpg(child.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise StackError(f"{command[0]} took longer than {timeout_s:g} s") from error
            raise
    if child.returncode != 0:
        last_lines = " / ".join(output.strip().splitlines()[-3:])
        raise StackError(f"{command[0]} ended with {child.returncode}: {last_lines[-400:]}")
    return output


def _from_debian(spec: ServerSpec, folder: Path) -> None:
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise StackError(f"this machine has no {tool}")
    package = folder / "package"
    package.mkdir()
    names = (spec.debian, *spec.libraries)
    _download(names, package)
    archives = list(package.glob("*.deb"))
    if len(archives) != len(names):
        raise StackError(f"apt-get download left {len(archives)} packages instead of {len(names)}")
    root = package / "root"
    for archive in archives:
        run(["dpkg", "-x", str(archive), str(root)], timeout_s=UNPACK_TIMEOUT_S)
    if spec.home:
        _move_home(root, spec.home, folder)
        shutil.rmtree(package)
        return
    for program in (root / "usr" / "bin").iterdir():
        name = spec.name if program.name in spec.programs else program.name
        program.rename(folder / "bin" / name)
    if spec.libraries:
        (root / "usr" / "lib").rename(folder / "lib")
        _run_with_libraries(folder / "bin" / spec.name)
    shutil.rmtree(package)


def _move_home(root: Path, pattern: str, folder: Path) -> None:
    """Move a program with a home of its own, with what its links below /etc lead to."""
    (home,) = root.glob(pattern)
    for link in [path for path in home.rglob("*") if path.is_symlink()]:
        target = root / link.readlink().relative_to("/") if link.readlink().is_absolute() else None
        if target is not None and target.exists():
            link.unlink()
            (shutil.copytree if target.is_dir() else shutil.copy2)(target, link)
    shutil.rmtree(folder / "bin")
    for part in home.iterdir():
        part.rename(folder / part.name)


def _run_with_libraries(program: Path) -> None:
    """Put a script in the program's place that finds the libraries unpacked beside it."""
    real = program.parent.parent / "libexec" / program.name
    real.parent.mkdir()
    shutil.copy2(program, real)  # follows links: some packages have one program by many names
    program.unlink()
    program.write_text(
        "#!/bin/sh\nhere=${0%/*}/..\n"
        'for folder in "$here"/lib/*-linux-*; do '
        'LD_LIBRARY_PATH="$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"; done\n'
        f'export LD_LIBRARY_PATH\nexec "$here/libexec/{program.name}" "$@"\n'
    )
    program.chmod(0o755)


def _download(names: tuple[str, ...], package: Path) -> None:
    settings = (
        f"Acquire::http::Timeout={CONNECT_TIMEOUT_S}",
        f"Acquire::https::Timeout={CONNECT_TIMEOUT_S}",
        "Acquire::Retries=1",
    )
    options = [text for setting in settings for text in ("-o", setting)]
    # As root apt-get warns that its own user cannot write here, and goes on.
    command = ["apt-get", "download", *options, *names]
    try:
        run(command, timeout_s=DOWNLOAD_TIMEOUT_S, cwd=package, environment={"LC_ALL": "C"})
    except StackError as error:
        if re.search("Unable to locate|No candidate|Can't select", error.message):
            raise StackError(
                f"apt does not know the package{'s' * (len(names) > 1)} {', '.join(names)}",
                "Its package lists are missing or old: run `apt-get update`, then try again.",
            ) from error
        raise


def _from_maven(spec: ServerSpec, folder: Path) -> None:
    if shutil.which("mvn") is None:
        raise StackError("this machine has no mvn")
    jars, pom = folder / "jars", folder / "pom.xml"
    pom.write_text(maven.pom(spec.maven))
    command = ["mvn", "--quiet", "--batch-mode", "-Dstyle.color=never", f"--file={pom}"]
    command += ["dependency:copy-dependencies", "-DincludeScope=runtime"]
    run([*command, f"-DoutputDirectory={jars}"], timeout_s=BUILD_TIMEOUT_S, cwd=folder)
    maven.UNPACK[spec.unpack](jars, folder, spec.name)
    pom.unlink()


def _from_go(spec: ServerSpec, folder: Path) -> None:
    if shutil.which("go") is None:
        raise StackError("this machine has no go")
    binaries = folder / "bin"
    command = ["go", "install"]
    if spec.go_flags:
        command += ["-ldflags", spec.go_flags]
    run(
        [*command, spec.go_module],
        timeout_s=BUILD_TIMEOUT_S,
        cwd=folder,
        environment={"GOBIN": str(binaries), "GOFLAGS": "-mod=mod"},
    )
    (binaries / spec.go_program).rename(binaries / spec.name)
