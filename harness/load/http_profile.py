"""The built-in profile behind ``load: {http: [GET /items]}``: one journey, one request."""

import functools
import json
import os
import random

from locust import FastHttpUser, constant, task

from harness.load import OpenLoop


class Caller(OpenLoop, FastHttpUser):  # type: ignore[misc]
    """Sends one of the listed requests per arrival."""

    wait_time = constant(1)

    @task
    def http(self) -> None:
        """One request, chosen at random."""
        method, path = random.choice(_requests())
        self.client.request(method, path, name=f"{method} {path}")


@functools.cache
def _requests() -> list[list[str]]:
    # Looked up late: on another host the list comes with the plan, after this file was read.
    return [line.split(None, 1) for line in json.loads(os.environ["HARNESS_LOAD_HTTP"])]
