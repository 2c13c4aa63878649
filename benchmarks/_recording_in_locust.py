"""Prints microseconds of CPU: a record, all that is done for a request, a FastHttpUser's request.

python _recording_in_locust.py URL
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable

from locust import FastHttpUser
from locust.env import Environment

from harness.load.engine import Engine
from harness.load.journeys import Journey, enter, on_request, stamped
from harness.load.link import FolderLink
from harness.load.plan import LoadPlan
from harness.samples import Kind, RequestOutcome

ROUNDS, RECORDS, REQUESTS = 5, 100_000, 3_000


def best_us(work: Callable[[int], None], count: int) -> float:
    found = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work(count)
        found.append((time.process_time() - began) / count * 1e6)
    return min(found)


def main(url: str) -> None:
    class Plain(FastHttpUser):
        host = url

    environment = Environment(host=url)
    environment.create_local_runner()  # with Locust's statistics
    user = Plain(environment)

    def send(count: int) -> None:
        for _ in range(count):
            user.client.get("/items", name="GET /items")

    request_us = best_us(send, REQUESTS)
    with tempfile.TemporaryDirectory() as folder:
        plan = LoadPlan(folder=folder, arrivals=None, users=1, timeout_s=5, seed=1)
        engine = Engine.current = Engine(plan, FolderLink(plan))

        def record(count: int) -> None:
            for number in range(count):
                engine.recorder.add(
                    Kind.REQUEST,
                    "GET /items",
                    intended=1.0,
                    sent=1.0,
                    completed=1.02,
                    pool_wait_s=0.0,
                    size=512,
                    status=200,
                    outcome=RequestOutcome.GOOD,
                )
                if number % 1000 == 0:
                    engine.recorder.flush()

        answer = user.client.get("/items", name="GET /items")
        enter(user, Journey("items", 1.0, 1.0))

        def handle(count: int) -> None:
            for number in range(count):
                on_request(
                    name="GET /items",
                    response_time=20.0,
                    response_length=512,
                    response=answer,
                    context=stamped(user),
                    exception=None,
                )
                if number % 1000 == 0:
                    engine.recorder.flush()

        record_us, handled_us = best_us(record, RECORDS), best_us(handle, RECORDS)
        engine.recorder.close()
    print(record_us, handled_us, request_us)


if __name__ == "__main__":
    main(sys.argv[1])
