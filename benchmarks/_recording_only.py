"""A user that reports requests without sending any."""

import gevent
from locust import User, constant, task

BATCH = 500  # between two looks of the others


class Reporter(User):
    wait_time = constant(0)

    @task
    def report(self) -> None:
        for _ in range(BATCH):
            self.environment.events.request.fire(
                request_type="GET",
                name="GET /items",
                response_time=1.0,
                response_length=512,
                response=None,
                context=self.context(),
                exception=None,
            )
        gevent.sleep(0)
