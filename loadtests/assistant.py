"""Users who ask the assistant and read its answer token by token.

Runs under plain ``locust -f loadtests/assistant.py`` too, closed loop then.
"""

import random

from locust import FastHttpUser, constant, task

from harness.load import OpenLoop, stream

BROKEN_OFF = "degraded"  # the model went silent in mid-answer; a whole fallback follows
QUESTIONS = (
    "Which shoes go with a green dress?",
    "What does a beginner need for a winter hike?",
    "A gift for somebody who cooks in a small kitchen?",
)


class Reader(OpenLoop, FastHttpUser):
    wait_time = constant(1)

    @task
    def assistant(self) -> None:
        question = {"prompt": random.choice(QUESTIONS)}
        with stream(self.client, "POST", "/assistant", name="assistant", json=question) as answer:
            for event in answer:
                if event.name == BROKEN_OFF:
                    answer.mark_degraded()
