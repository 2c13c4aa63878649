"""The same request from plain Locust users that never wait."""

from locust import FastHttpUser, task


class Restless(FastHttpUser):
    @task
    def items(self) -> None:
        self.client.get("/items", name="GET /items")
