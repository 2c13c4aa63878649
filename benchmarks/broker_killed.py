"""Promise 1 on compose: the harness is killed with SIGKILL while a broker is held down.

`harness run` holds one service of a running compose project down under a little load. Once the
fault is proven, the run is killed (its guardian has to heal), or everything of ours at once (then
`harness recover` is run). Measured from outside, by the engine and by a connection to the
container: how long after the kill the service runs and listens again. Promised: within 15 s.

    docker compose -p shop up -d --wait
    python benchmarks/broker_killed.py --project shop --rounds 10
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from _proxied import quantile

PROMISE_S = 15.0
VICTIMS = ("run", "all")
PROVEN_WITHIN_S, BACK_WITHIN_S, ASK_TIMEOUT_S = 300.0, 300.0, 120.0
HOLD, POLL_S = "120s", 0.05
GUARDS = """\
[guards]
stacks = ["compose"]
projects = ["{project}"]
"""


@dataclass(frozen=True, kw_only=True)
class Outage:
    """What is held down, and who is asked meanwhile."""

    project: str
    target: str
    port: int
    load_service: str
    load_path: str

    def scenario(self) -> dict[str, Any]:
        """JSON is YAML; nothing is judged that could stop the run before its fault."""
        return {
            "version": 1,
            "name": "killed",
            "stack": {"driver": "compose", "project": self.project},
            "load": {
                "http": [f"GET {self.load_path}"],
                "service": self.load_service,
                "arrivals": "5/s",
                "timeout": "2s",
            },
            "faults": [{"kind": "stop", "target": self.target, "hold": HOLD}],
            "phases": {"warmup": "1s", "steady": "1s", "recovery": "2s", "after": "1s"},
            "metrics": "none",
            "objectives": ["http.errors <= 100% during fault"],
        }


@dataclass(frozen=True, kw_only=True)
class Ended:
    """One round; seconds are from the kill. ``problem`` is empty when nothing is left."""

    victim: str
    back_s: float
    healed_s: float
    recover_s: float | None = None
    problem: str = ""


def played(outage: Outage, victim: str, folder: Path) -> Ended:
    """One run, killed in the middle of its outage.

    Raises:
        RuntimeError: The fault was never proven.
    """
    environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
    before = _inspected(outage)
    process = _started(outage, folder, environment)
    try:
        _await(
            lambda: any(e["state"] == "proven" for e in _entries(folder)),
            PROVEN_WITHIN_S,
            lambda: f"the fault was never proven; the run: {_words(process, folder)}",
        )
        if _listens(outage):
            raise RuntimeError(f"{outage.target} is said to be down, and listens")
        killed_at = time.time()
        _kill(process, victim)
        recover_s = _recovered(folder, environment) if victim == "all" else None
        late = _await(lambda: _listens(outage), BACK_WITHIN_S)
        back_s = time.time() - killed_at
        open_ = _await(lambda: all(e["state"] == "healed" for e in _entries(folder)), BACK_WITHIN_S)
    finally:
        process.kill()
        process.wait()
        _recovered(folder, environment)  # whatever happened above, nothing may be left
    healed = [e.get("heal_proven_at") or 0.0 for e in _entries(folder)]
    after = _inspected(outage)
    problem = ""
    if late or open_:
        problem = "it did not come back" if late else "a fault is still open"
    elif after != before:
        problem = f"the container differs: {before} before, {after} now"
    return Ended(
        victim=victim,
        back_s=back_s,
        healed_s=max(healed) - killed_at,
        recover_s=recover_s,
        problem=problem,
    )


def _started(outage: Outage, folder: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    (folder / "experiments").mkdir()  # makes it a project of its own, with guards of its own
    (folder / "harness.toml").write_text(GUARDS.format(project=outage.project))
    (folder / "killed.yaml").write_text(json.dumps(outage.scenario()))
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "harness", "run", "killed.yaml"],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
        )


def _kill(process: subprocess.Popen[bytes], victim: str) -> None:
    """The run first: it must not see its children die."""
    family = psutil.Process(process.pid).children(recursive=True) if victim == "all" else []
    process.kill()
    for child in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    process.wait()


def _recovered(folder: Path, environment: dict[str, str]) -> float:
    """How long the whole command took; what it could not do shows in the log of faults."""
    started = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "harness", "recover"],
        cwd=folder,
        env=environment,
        capture_output=True,
        timeout=BACK_WITHIN_S,
        check=False,
    )
    return time.monotonic() - started


def _entries(folder: Path) -> list[dict[str, Any]]:
    found = []
    for path in (folder / "state" / "harness" / "undo").glob("*/*.json"):
        with contextlib.suppress(OSError, ValueError):  # it is just being replaced
            found.append(json.loads(path.read_text())["entry"])
    return found


def _containers(outage: Outage) -> list[dict[str, Any]]:
    labels = {"project": outage.project, "service": outage.target}
    filters = [f"--filter=label=com.docker.compose.{k}={v}" for k, v in labels.items()]
    ids = _docker("ps", "-aq", *filters).split()
    return json.loads(_docker("inspect", *ids)) if ids else []


def _inspected(outage: Outage) -> list[Any]:
    """Of the service's containers all that a fault changes and healing has to bring back."""
    return [
        (c["Id"], c["State"]["Status"], c["HostConfig"]["RestartPolicy"]["Name"])
        for c in _containers(outage)
    ]


def _listens(outage: Outage) -> bool:
    """Whether a container of the service runs, and takes connections at its own address."""
    for container in _containers(outage):
        for network in container["NetworkSettings"]["Networks"].values():
            address = (network["IPAddress"], outage.port)
            with (
                contextlib.suppress(OSError),
                socket.create_connection(address, timeout=1),
            ):
                return container["State"]["Status"] == "running"
    return False


def _docker(*arguments: str) -> str:
    return subprocess.run(
        ["docker", *arguments],
        capture_output=True,
        text=True,
        timeout=ASK_TIMEOUT_S,
        check=True,
    ).stdout


def _await(
    happened: Callable[[], bool], within_s: float, or_say: Callable[[], str] | None = None
) -> bool:
    """Wait for it; whether it did NOT happen.

    Raises:
        RuntimeError: It did not, and there are words for that.
    """
    give_up_at = time.monotonic() + within_s
    while time.monotonic() < give_up_at:
        if happened():
            return False
        time.sleep(POLL_S)
    if or_say:
        raise RuntimeError(or_say())
    return True


def _words(process: subprocess.Popen[bytes], folder: Path) -> str:
    return f"{process.poll()} {(folder / 'log').read_text()[-500:]}"


def show(ended: Sequence[Ended]) -> None:
    print(f"{'killed':<10} {'rounds':>7} {'left':>5}   back: p50    p95    max s   healed: max s")
    for victim in sorted({e.victim for e in ended}):
        rows = [e for e in ended if e.victim == victim]
        back = [e.back_s for e in rows]
        print(
            f"{victim:<10} {len(rows):>7} {sum(bool(e.problem) for e in rows):>5}"
            f"        {quantile(back, 0.5):>6.2f} {quantile(back, 0.95):>6.2f} {max(back):>6.2f}"
            f"           {max(e.healed_s for e in rows):>6.2f}"
        )
    took = [e.recover_s for e in ended if e.recover_s is not None]
    if took:
        print(f"`harness recover`, the whole command: max {max(took):.2f} s of {len(took)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--project", default="shop", help="a compose project that is up")
    parser.add_argument("--target", default="kafka-2")
    parser.add_argument("--port", type=int, default=9092, help="where the target listens")
    parser.add_argument("--service", default="gateway", help="who is asked meanwhile")
    parser.add_argument("--path", default="/recommendations/1")
    parser.add_argument("--rounds", type=int, default=4)
    asked = parser.parse_args()
    outage = Outage(
        project=asked.project,
        target=asked.target,
        port=asked.port,
        load_service=asked.service,
        load_path=asked.path,
    )
    try:
        there = _listens(outage)
    except (OSError, subprocess.SubprocessError) as error:
        there, why = False, str(error)
    else:
        why = f"nothing of {asked.target} listens in the project {asked.project}"
    if not there:
        print(f"not run: {why}; bring it up: docker compose -p {asked.project} up -d --wait")
        return 1
    print(f"Load of the machine: {os.getloadavg()[0]:.1f}")
    ended: list[Ended] = []
    for number in range(asked.rounds):
        with tempfile.TemporaryDirectory(prefix="harness-killed-") as folder:
            one = played(outage, VICTIMS[number % len(VICTIMS)], Path(folder))
        ended.append(one)
        said = one.problem or f"back after {one.back_s:.2f} s, healed after {one.healed_s:.2f} s"
        print(f"{number + 1}: {one.victim}: {said}", flush=True)
    if not ended:
        print("no round was asked for")
        return 1
    show(ended)
    kept = all(not e.problem and e.back_s <= PROMISE_S for e in ended)
    print(f"promised: nothing left, back within {PROMISE_S:g} s; {'kept' if kept else 'BROKEN'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
