"""Real database servers for tests: PostgreSQL and Redis, on loopback, in folders of their own.

Found or fetched as the stack's servers are. A test that cannot have one skips, with the reason.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.errors import StackError
from harness.stacks.provision import provide
from tests.real import eventually, free_port

PASSWORD = "s3cret/of a test"
QUOTED = "s3cret%2Fof%20a%20test"
INITDB_TIMEOUT_S = 300


@dataclass(frozen=True)
class DataServer:
    """A running server: its address with credentials, without them, and its process."""

    url: str
    address: str
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def redis(*, maxclients: int, port: int = 0) -> Iterator[DataServer]:
    """A Redis that keeps nothing, and asks for a password; on a free port, unless one is given."""
    program = _program("redis-server")
    port = port or free_port()
    settings = {
        "bind": "127.0.0.1",
        "port": port,
        "maxclients": maxclients,
        "requirepass": f'"{PASSWORD}"',
        "save": '""',
        "appendonly": "no",
    }
    with _private_folder() as folder:
        config = folder / "redis.conf"
        config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        with _running([str(program), str(config)], folder, port) as process:
            url = f"redis://:{QUOTED}@127.0.0.1:{port}/0"
            yield DataServer(url, f"127.0.0.1:{port}", process)


@contextlib.contextmanager
def postgres(*, max_connections: int) -> Iterator[DataServer]:
    """A PostgreSQL with one user, who is no superuser, so that some slots are not for it."""
    program = _program("postgres")
    port = free_port()
    with _private_folder() as folder:
        data, secret = folder / "data", folder / "password"
        secret.write_text(PASSWORD)
        _make_readable(folder, secret)
        initdb = [str(program.resolve().with_name("initdb")), "-D", str(data), "-U", "owner"]
        initdb += ["--auth=scram-sha-256", f"--pwfile={secret}", "--no-sync", "--locale=C"]
        done = subprocess.run(
            initdb, cwd=folder, capture_output=True, timeout=INITDB_TIMEOUT_S, **_not_as_root()
        )
        if done.returncode:
            pytest.skip(f"initdb cannot be run here: {done.stderr.decode()[-300:]}")
        command = [str(program), "-D", str(data), "-p", str(port), "-k", "", "-c", "fsync=off"]
        command += ["-c", "listen_addresses=127.0.0.1", "-c", f"max_connections={max_connections}"]
        with _running(command, folder, port, **_not_as_root()) as process:
            owner = f"postgresql://owner:{QUOTED}@127.0.0.1:{port}/postgres"
            _make_user(owner)
            yield DataServer(owner.replace("owner:", "shop:"), f"127.0.0.1:{port}", process)


def _make_user(owner: str) -> None:
    native = pytest.importorskip("pg8000.native", reason="the extra `databases` is not installed")
    host, _, port = owner.partition("@")[2].partition("/")[0].rpartition(":")
    session = eventually(
        lambda: _answer(lambda: native.Connection("owner", host, "postgres", int(port), PASSWORD)),
        "PostgreSQL lets its owner in",
    )
    session.run("CREATE USER shop PASSWORD " + native.literal(PASSWORD))
    session.close()


def _answer(ask: Any) -> Any:
    with contextlib.suppress(Exception):  # it is still starting
        return ask()
    return None


def _program(name: str) -> Path:
    try:
        return provide(name).path
    except StackError as error:
        pytest.skip(f"no {name} to be had: {error}")


@contextlib.contextmanager
def _private_folder() -> Iterator[Path]:
    # Not pytest's own: another user could not get into that.
    folder = Path(tempfile.mkdtemp(prefix="harness-test-"))
    try:
        _make_readable(folder)
        yield folder
    finally:
        shutil.rmtree(folder)


def _make_readable(*paths: Path) -> None:
    if os.getuid() == 0:
        for path in paths:
            shutil.chown(path, _other_user())


def _not_as_root() -> dict[str, Any]:
    """PostgreSQL refuses to be run by root."""
    if os.getuid():
        return {}
    return {"user": _other_user(), "group": pwd.getpwnam(_other_user()).pw_gid, "extra_groups": []}


def _other_user() -> str:
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@contextlib.contextmanager
def _running(
    command: list[str], folder: Path, port: int, **of_user: Any
) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=subprocess.STDOUT, **of_user
        )
    try:

        def listens() -> bool:
            assert process.poll() is None, (folder / "log").read_text()
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        eventually(listens, f"{command[0]} listens")
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
