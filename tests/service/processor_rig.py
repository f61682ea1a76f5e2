"""Drives a processor over AMQP alone: requests in, replies out, as a gateway and a notifier would."""
import os
import time

import msgpack
import pika
import pytest

from lib.wait import eventually

FINAL = ("succeeded", "failed", "retry", "canceled")


class Rig:
    """On a vhost with a running processor; one thread only."""

    def __init__(self, stack, vhost):
        self.stack = stack
        self.vhost = vhost
        self.amqp = vhost.amqp()
        self.replies = {}  # id -> what was said of it, in order
        self._declare()

    def _declare(self):
        channel = self.amqp.channel
        self.reply_to = "rig." + os.urandom(4).hex()
        channel.queue_declare(self.reply_to, exclusive=True)
        channel.queue_bind(self.reply_to, "postback.reply", self.reply_to)

    def close(self):
        self.amqp.close()

    def request(self, task, payload=b"", **more):
        body = {"v": 1, "id": os.urandom(16), "task": task, "payload": payload, "content_type": "application/json",
                "created_at": int(time.time() * 1000), "attempt": 1}
        body.update(more)
        return {key: value for key, value in body.items() if value is not None}

    def send(self, task, payload=b"", lane="tasks", headers=None, **more):
        """Publishes a request and returns its id."""
        body = self.request(task, payload, **more)
        self.publish(task, body, lane, headers)
        return body["id"]

    def publish(self, task, body, lane="tasks", headers=None, **properties):
        data = body if isinstance(body, bytes) else msgpack.packb(body)
        properties.setdefault("reply_to", self.reply_to)
        self.amqp.publish(f"postback.{lane}", task, data, headers=headers, **properties)

    def cancel(self, task_id):
        body = msgpack.packb({"v": 1, "kind": "cancel", "id": task_id, "at": int(time.time() * 1000)})
        self.amqp.channel.basic_publish("postback.control", "", body, pika.BasicProperties(delivery_mode=2))

    def _collect(self):
        while True:
            got = self.amqp.get(self.reply_to)
            if not got:
                return
            _, properties, body = got
            reply = msgpack.unpackb(body)
            reply["properties"] = properties
            self.replies.setdefault(reply["id"], []).append(reply)

    def said(self, task_id, *kinds):
        self._collect()
        return [reply for reply in self.replies.get(task_id, []) if not kinds or reply["kind"] in kinds]

    def await_reply(self, task_id, *kinds, timeout=60):
        """The first reply of these kinds, any final one without."""
        return eventually(lambda: self.said(task_id, *(kinds or FINAL)), timeout=timeout,
                          what=f"a reply for {task_id.hex()}")[0]

    def run(self, task, payload=b"", timeout=60, **more):
        return self.await_reply(self.send(task, payload, **more), timeout=timeout)

    def metric(self, name, **labels):
        """The sum of the series with these labels."""
        text = self.stack.client_of("processor").get("/metrics").text
        total = 0.0
        for line in text.splitlines():
            series, _, value = line.rpartition(" ")
            if series.split("{")[0] == name and all(f'{key}="{want}"' in series for key, want in labels.items()):
                total += float(value)
        return total

    def await_acked(self, task, lane="tasks"):
        """Nothing of the task is left at the broker, waiting or unacked."""
        queue = f"postback.{lane}.{task}"
        eventually(lambda: not self._left(queue), what=f"{queue} is empty")

    def _left(self, queue):
        counts = self.vhost.queues()[queue]
        return counts["ready"] + counts["unacked"]


@pytest.fixture
def rig(stack, vhost):
    rigs = []

    def start(handlers, ready=True, **overrides):
        """ready=False: one of the handlers cannot run anything, and all else is waited for."""
        stack.start({"processor": {"handlers": handlers, "drain": "2s", **overrides.pop("processor", {})}, **overrides},
                    only=("processor",), ready=ready)
        why = "cannot run"
        eventually(lambda: ready or why in stack.client_of("processor").get("/readyz").text, timeout=30, what=why)
        rigs.append(Rig(stack, vhost))
        return rigs[0]

    yield start
    for one in rigs:
        one.close()
