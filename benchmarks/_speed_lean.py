"""The same request through the lean client."""

from locust import task

from harness.load import LeanHttpUser, OpenLoop


class Lean(OpenLoop, LeanHttpUser):
    @task
    def items(self) -> None:
        self.client.get("/items", name="GET /items")
