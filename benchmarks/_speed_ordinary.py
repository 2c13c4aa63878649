"""One request through Locust's fast client and its events, open loop."""

from locust import FastHttpUser, task

from harness.load import OpenLoop


class Ordinary(OpenLoop, FastHttpUser):
    @task
    def items(self) -> None:
        self.client.get("/items", name="GET /items")
