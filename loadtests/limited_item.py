"""Customers who all want one item that runs out; each run sells an item of its own.

That it is sold out is an honest answer. Runs under plain ``locust -f loadtests/limited_item.py``
too, closed loop then.
"""

from locust import FastHttpUser, constant, task

from harness.load import OpenLoop, write_key

SOLD_OUT = 409


class Customer(OpenLoop, FastHttpUser):
    wait_time = constant(1)
    item = ""

    @task
    def orders(self) -> None:
        key = write_key()
        Customer.item = Customer.item or f"limited-{key.partition('-')[0]}"
        order = {"order_id": key, "item": Customer.item, "quantity": 1}
        with self.client.post("/orders", name="orders", json=order, catch_response=True) as answer:
            if answer.status_code == SOLD_OUT:
                answer.success()
