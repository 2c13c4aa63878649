"""Customers who order: each order has a key of its own, which its retries would share.

Runs under plain ``locust -f loadtests/orders.py`` too, closed loop then.
"""

import random

from locust import FastHttpUser, constant, task

from harness.load import OpenLoop, write_key

ITEMS = ("kettle", "lamp", "chair", "table")


class Customer(OpenLoop, FastHttpUser):
    wait_time = constant(1)

    @task
    def orders(self) -> None:
        order = {
            "order_id": write_key(),
            "item": random.choice(ITEMS),
            "quantity": random.randint(1, 9),
        }
        self.client.post("/orders", name="orders", json=order)
