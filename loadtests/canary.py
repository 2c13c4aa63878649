"""Users of a workload that is released every fifteen seconds, each second time broken.

Of a hundred arrivals one sees that the version of the moment is out. Runs under plain
``locust -f loadtests/canary.py`` too, closed loop then.
"""

import random
import time

from locust import FastHttpUser, constant, task

from harness.load import OpenLoop

WORKLOAD = "workload-0001"
RELEASE_EVERY_S = 15
STAGES = [
    {"percent": 0, "lasts_s": 1},
    {"percent": 5, "lasts_s": 4},
    {"percent": 25, "lasts_s": 3},
    {"percent": 50, "lasts_s": 2},
    {"percent": 100, "lasts_s": 2},
]


class User(OpenLoop, FastHttpUser):
    wait_time = constant(1)

    @task(99)
    def routes(self) -> None:
        user = random.randrange(10_000)
        self.client.get(f"/api/v1/workloads/{WORKLOAD}/route?user={user}", name="routes")

    @task(1)
    def canaries(self) -> None:
        number = int(time.time() // RELEASE_EVERY_S)  # the same for all load processes
        canary = {
            "canary_id": f"storefront-{number}",
            "workload": WORKLOAD,
            "stages": STAGES,
            "min_requests": 5,
            "error_share": number % 2,
        }
        with self.client.post(
            "/api/v1/canaries", name="canaries", json=canary, catch_response=True
        ) as answer:
            if answer.status_code == 409:  # the one before is still out
                answer.success()
