"""The same request, open loop; its path ends with the number of the arrival."""

from itertools import count

from locust import FastHttpUser, task

from harness.load import OpenLoop

ARRIVAL = count()


class Arriving(OpenLoop, FastHttpUser):
    @task
    def recommendations(self) -> None:
        self.client.get(f"/recommendations/{next(ARRIVAL)}", name="recommendations")
