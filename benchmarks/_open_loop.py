"""The same request, open loop."""

from locust import FastHttpUser, task

from harness.load import OpenLoop


class Arriving(OpenLoop, FastHttpUser):
    @task
    def recommendations(self) -> None:
        self.client.get("/recommendations/7", name="recommendations")
