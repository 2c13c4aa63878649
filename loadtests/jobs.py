"""Surveyors: two of three hand in a plot to be measured, one looks how far the jobs are.

Runs under plain ``locust -f loadtests/jobs.py`` too, closed loop then.
"""

import random

from locust import FastHttpUser, constant, task

from harness.load import OpenLoop, write_key


class Surveyor(OpenLoop, FastHttpUser):
    wait_time = constant(1)

    @task(2)
    def submit(self) -> None:
        width, height = random.randint(1, 100), random.randint(1, 100)
        outline = [[0, 0], [width, 0], [width, height], [0, height]]
        self.client.post("/jobs", name="submit", json={"job_id": write_key(), "outline": outline})

    @task(1)
    def status(self) -> None:
        self.client.get("/status", name="status")
