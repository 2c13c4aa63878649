"""One run per stack: eight starters at once, fifty rounds, exactly one winner in each.

Every starter is a process that takes a stack as a run does: lock, recovery, guardian. The
winner never gives it back: it is ended with the stack in its hand, by SIGKILL and SIGTERM in
turn, and the next round must have one winner all the same.
"""

from __future__ import annotations

import argparse
import multiprocessing as mp
import os
import signal
import sys
import tempfile
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path

from harness.errors import InvalidError
from harness.safety import Safety

STACK = "stack-of-a-race"
PATIENCE_S = 120.0


def start(number: int, state: str, barrier: Barrier, said: mp.Queue[tuple[int, str]]) -> None:
    """One starter: take the stack, say how it went, and keep it until told."""
    os.environ["XDG_STATE_HOME"] = state
    folder = Path(state) / f"starter-{number}"
    folder.mkdir(exist_ok=True)
    safety = Safety(STACK, f"run-{number}", folder)
    barrier.wait(PATIENCE_S)
    try:
        clean = safety.prepare().clean and safety.guarded()
        said.put((number, "won" if clean else "won, not clean"))
        signal.pause()  # until the referee decides
    except InvalidError:
        said.put((number, "refused"))
        signal.pause()
    except BaseException as error:
        said.put((number, f"{type(error).__name__}: {error}"))
        raise


def play(state: str, starters: int, number: int) -> list[str]:
    """One round: what each starter said."""
    context = mp.get_context("fork")
    barrier = context.Barrier(starters)
    said: mp.Queue[tuple[int, str]] = context.Queue()
    processes = [
        context.Process(target=start, args=(k, state, barrier, said)) for k in range(starters)
    ]
    for process in processes:
        process.start()
    answers = [said.get(timeout=PATIENCE_S) for _ in processes]
    for process in processes:
        if process.pid is not None:
            os.kill(process.pid, signal.SIGTERM if number % 2 else signal.SIGKILL)
        process.join(PATIENCE_S)
    return [what for _, what in answers]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--starters", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=50)
    asked = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="harness-race-") as state:
        rounds = [play(state, asked.starters, n) for n in range(asked.rounds)]
        time.sleep(1.0)  # guardians of the last round see the pipe close and leave
    one = sum(r.count("won") == 1 and r.count("refused") == asked.starters - 1 for r in rounds)
    print(f"{'rounds':>8} {'starters':>9} {'one winner':>11} {'otherwise':>10} {'seconds':>8}")
    print(
        f"{len(rounds):>8} {asked.starters:>9} {one:>11} {len(rounds) - one:>10}"
        f" {time.monotonic() - began:>8.1f}"
    )
    for number, said in enumerate(rounds):
        odd = [s for s in said if s not in ("won", "refused")]
        if said.count("won") != 1 or odd:
            print(f"round {number}: {said}")
    print(f"promised: one winner in each; {'kept' if one == len(rounds) else 'BROKEN'}")
    return 0 if one == len(rounds) and rounds else 1


if __name__ == "__main__":
    sys.exit(main())
