"""Shoppers of a storefront: of six, five look at recommendations and one asks the assistant.

At 120 arrivals a second that is 100 and 20. Runs under plain ``locust -f loadtests/storefront.py``
too, closed loop then.
"""

import random

from locust import FastHttpUser, constant, task

from harness.load import OpenLoop, stream

BROKEN_OFF = "degraded"  # the model went silent in mid-answer; a whole fallback follows


class Shopper(OpenLoop, FastHttpUser):
    wait_time = constant(1)

    @task(5)
    def recommendations(self) -> None:
        user = random.randrange(1000)
        with self.client.get(
            f"/recommendations/{user}", name="recommendations", catch_response=True
        ) as answer:
            if answer.status_code == 200 and not answer.json().get("items"):
                answer.failure("no recommendations in the answer")

    @task(1)
    def assistant(self) -> None:
        question = {"prompt": "Which shoes go with a green dress?"}
        with stream(self.client, "POST", "/assistant", name="assistant", json=question) as answer:
            for event in answer:
                if event.name == BROKEN_OFF:
                    answer.mark_degraded()
