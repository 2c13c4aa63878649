"""The built-in profile behind ``load: {http: [GET /items]}``: one journey, one request."""

import json
import os
import random

from locust import FastHttpUser, constant, task

from harness.load import OpenLoop

REQUESTS = [line.split(None, 1) for line in json.loads(os.environ.get("HARNESS_LOAD_HTTP", "[]"))]


class Caller(OpenLoop, FastHttpUser):  # type: ignore[misc]
    """Sends one of the listed requests per arrival."""

    wait_time = constant(1)

    @task
    def http(self) -> None:
        """One request, chosen at random."""
        method, path = random.choice(REQUESTS)
        self.client.request(method, path, name=f"{method} {path}")
