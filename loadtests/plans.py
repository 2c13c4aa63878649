"""Operators who submit action plans: each has a key of its own, which its retries would share.

Runs under plain ``locust -f loadtests/plans.py`` too, closed loop then.
"""

import random

from locust import FastHttpUser, constant, task

from harness.load import OpenLoop, write_key

WORKLOADS = 50


class Operator(OpenLoop, FastHttpUser):
    wait_time = constant(1)

    @task
    def plans(self) -> None:
        plan = {
            "plan_id": write_key(),
            "workload": f"workload-{random.randint(1, WORKLOADS):04d}",
            "action": "scale",
            "step": random.randint(1, 3),
        }
        self.client.post("/api/v1/action-plans", name="plans", json=plan)
