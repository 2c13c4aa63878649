"""Users who look at recommendations: one short request, answered from the recommender.

Runs under plain ``locust -f loadtests/recommendations.py`` too, closed loop then.
"""

import random

from locust import FastHttpUser, constant, task

from harness.load import OpenLoop


class Browser(OpenLoop, FastHttpUser):
    wait_time = constant(1)

    @task
    def recommendations(self) -> None:
        user = random.randrange(1000)
        with self.client.get(
            f"/recommendations/{user}", name="recommendations", catch_response=True
        ) as answer:
            if answer.status_code == 200 and not answer.json().get("items"):
                answer.failure("no recommendations in the answer")
