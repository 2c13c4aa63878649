"""Shoppers: two of three look at recommendations, one asks the assistant.

Runs under plain ``locust -f loadtests/shop.py`` too, closed loop then.
"""

import random

from locust import FastHttpUser, constant, task

from harness.load import OpenLoop, mark_degraded

END_OF_STREAM = "data: [DONE]"
BROKEN_OFF = "event: degraded"  # the model went silent in mid-answer; a whole fallback follows


class Shopper(OpenLoop, FastHttpUser):
    wait_time = constant(1)

    @task(2)
    def recommendations(self) -> None:
        user = random.randrange(1000)
        with self.client.get(
            f"/recommendations/{user}", name="recommendations", catch_response=True
        ) as answer:
            if answer.status_code == 200 and not answer.json().get("items"):
                answer.failure("no recommendations in the answer")

    @task(1)
    def assistant(self) -> None:
        with self.client.post(
            "/assistant",
            json={"prompt": "Which shoes go with a green dress?"},
            name="assistant",
            catch_response=True,
        ) as answer:
            text = answer.text or ""
            if answer.status_code == 200 and END_OF_STREAM not in text:
                answer.failure("the answer is truncated: no end of stream")
            elif BROKEN_OFF in text:
                mark_degraded(answer)
