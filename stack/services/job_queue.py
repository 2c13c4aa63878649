"""The Celery application that front and workers share: one queue in Redis, no results there."""

from __future__ import annotations

from celery import Celery

TASK = "services.jobs.survey"

#: Beyond the second that a worker waits in the broker for its next job.
ANSWER_WITHIN_S = 5.0
CONNECT_WITHIN_S = 2.0
SILENT_S = 5


def queue(redis_url: str, *, acks_early: bool = False) -> Celery:
    """The application.

    Args:
        redis_url: Where the broker is.
        acks_early: For the defect: a job is acknowledged before it is worked on.
    """
    app = Celery("jobs", broker=redis_url, set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        task_acks_late=not acks_early,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=CONNECT_WITHIN_S,
        broker_transport_options={
            "socket_timeout": ANSWER_WITHIN_S,
            "socket_connect_timeout": CONNECT_WITHIN_S,
            # A connection that has become silent is dropped after twice this time; no other time
            # limit applies to a worker that waits for its next job.
            "health_check_interval": SILENT_S,
            "visibility_timeout": 60,  # a job that is not acknowledged by then comes again
        },
    )
    return app
