"""What a plain Locust user does: one request at a time, paced, waiting while the target stalls."""

from locust import FastHttpUser, constant_throughput, task

PER_USER = 10  # requests per second of one user


class Paced(FastHttpUser):
    wait_time = constant_throughput(PER_USER)

    @task
    def recommendations(self) -> None:
        self.client.get("/recommendations/7", name="recommendations")
