"""Callers who need a score: eight features in, one number from 0 to 1 out.

Runs under plain ``locust -f loadtests/predict.py`` too, closed loop then.
"""

import random

from locust import FastHttpUser, constant, task

from harness.load import OpenLoop

FEATURES = 8


class Caller(OpenLoop, FastHttpUser):
    wait_time = constant(1)

    @task
    def predict(self) -> None:
        features = [random.random() for _ in range(FEATURES)]
        with self.client.post(
            "/predict", name="predict", json={"features": features}, catch_response=True
        ) as answer:
            if answer.status_code == 200 and not 0 <= answer.json().get("score", -1) <= 1:
                answer.failure("no score from 0 to 1 in the answer")
