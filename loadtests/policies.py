"""Those who ask what they may do: of two, one may and one may not.

Who may not has not been wronged by no answer at all, only by a yes. Runs under plain
``locust -f loadtests/policies.py`` too, closed loop then.
"""

import random

from locust import FastHttpUser, constant, task

from harness.load import OpenLoop

WORKLOADS = 100
UNDECIDED = 503


class Requester(OpenLoop, FastHttpUser):
    wait_time = constant(1)

    @task
    def allowed(self) -> None:
        with self.client.post(
            "/api/v1/policies/evaluate",
            name="allowed",
            json=_question("operator"),
            catch_response=True,
        ) as answer:
            if answer.status_code == 200 and answer.json().get("allow") is not True:
                answer.failure("refused what is allowed")

    @task
    def forbidden(self) -> None:
        with self.client.post(
            "/api/v1/policies/evaluate",
            name="forbidden",
            json=_question("viewer"),
            catch_response=True,
        ) as answer:
            if answer.status_code == UNDECIDED:
                answer.success()
            elif answer.status_code == 200 and answer.json().get("allow") is not False:
                answer.failure("allowed what is forbidden")


def _question(role: str) -> dict[str, object]:
    return {
        "action": "scale",
        "workload": f"workload-{random.randint(1, WORKLOADS):04d}",
        "replicas": 3,
        "requester": "team-shop",
        "role": role,
        "hour": 12,
    }
