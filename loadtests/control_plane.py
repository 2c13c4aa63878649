"""Those who use a control plane, all at once.

Of twelve arrivals four submit plans, four ask what the policy allows, one looks at a workload, two
are users of workloads that have a canary, and one sees that canaries are out: fifty at once, a new
fifty every minute. At 300 arrivals a second that is 100 plans and 100 questions a second.

Runs under plain ``locust -f loadtests/control_plane.py`` too, closed loop then.
"""

import itertools
import random
import time

from locust import FastHttpUser, constant, task

from harness.load import OpenLoop, write_key

WORKLOADS = 1000
CANARIES = 50
RELEASE_EVERY_S = 60
STAGES = [
    {"percent": 0, "lasts_s": 5},
    {"percent": 20, "lasts_s": 10},
    {"percent": 50, "lasts_s": 10},
    {"percent": 100, "lasts_s": 10},
]
_turns = itertools.count()


class Operator(OpenLoop, FastHttpUser):
    wait_time = constant(1)

    @task(4)
    def plans(self) -> None:
        plan = {
            "plan_id": write_key(),
            "workload": _workload(random.randint(1, WORKLOADS)),
            "action": "scale",
            "step": random.randint(1, 3),
        }
        self.client.post("/api/v1/action-plans", name="plans", json=plan)

    @task(4)
    def policies(self) -> None:
        may = random.random() < 0.5
        question = {
            "action": "scale",
            "workload": _workload(random.randint(1, WORKLOADS)),
            "replicas": 3,
            "requester": "team-shop",
            "role": "operator" if may else "viewer",
            "hour": 12,
        }
        with self.client.post(
            "/api/v1/policies/evaluate", name="policies", json=question, catch_response=True
        ) as answer:
            if answer.status_code == 200 and answer.json().get("allow") is not may:
                answer.failure("not what the policy says")

    @task(1)
    def workloads(self) -> None:
        name = _workload(random.randint(1, WORKLOADS))
        self.client.get(f"/api/v1/workloads/{name}", name="workloads")

    @task(2)
    def routes(self) -> None:
        name, user = _workload(random.randint(1, CANARIES)), random.randrange(10_000)
        self.client.get(f"/api/v1/workloads/{name}/route?user={user}", name="routes")

    @task(1)
    def canaries(self) -> None:
        number = next(_turns) % CANARIES + 1
        release = int(time.time() // RELEASE_EVERY_S)  # the same for all load processes
        canary = {
            "canary_id": f"release-{release}-{number}",
            "workload": _workload(number),
            "stages": STAGES,
            "min_requests": 1,
        }
        with self.client.post(
            "/api/v1/canaries", name="canaries", json=canary, catch_response=True
        ) as answer:
            if answer.status_code == 409:  # the one before is still out
                answer.success()


def _workload(number: int) -> str:
    return f"workload-{number:04d}"
