"""One stack for all tests of a module that do not break it, and a worker that the test itself plays."""
import os
import re
import time

import msgpack
import pytest

from lib.stack import Stack
from lib.wait import eventually

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
ECHO = {"task": "echo", "builtin": "echo", "concurrency": 8}
SLEEP = {"task": "sleep", "builtin": "sleep", "concurrency": 8}


def shell(task, script, **options):
    """An exec handler that runs a line of shell once."""
    return {"task": task, "exec": ["/bin/sh", "-c", script], "retry": {"attempts": 1}, "concurrency": 4, **options}


def module_stack(**overrides):
    """A fixture for a module: `api = module_stack(processor={…})` gives tests a running Stack."""

    @pytest.fixture(scope="module")
    def api(broker, tmp_path_factory):
        vhost = broker.vhost_new()
        stack = Stack(vhost.url, tmp_path_factory.mktemp("api"))
        stack.vhost = vhost
        try:
            yield stack.start(overrides)
        finally:
            try:
                stack.close()
            finally:
                broker.vhost_delete(vhost)

    return api


def problem(response, status, name, field=None):
    """Asserts that it is this problem document, and returns it."""
    assert response.status_code == status, f"{response.status_code}: {response.text}"
    assert response.headers["Content-Type"] == "application/problem+json"
    document = response.json()
    assert document["type"] == f"/problems/{name}", document
    assert document["status"] == status
    assert document["request_id"] == response.headers["X-Request-Id"]
    if field is not None:
        assert document.get("field") == field, document
    return document


class Worker:
    """Takes requests off the queues by hand and answers them, or does not."""

    def __init__(self, vhost, task, lane="tasks"):
        self.task = task
        self.queue = f"postback.{lane}.{task}"
        self.amqp = vhost.amqp()
        if lane == "inline":
            self.amqp.channel.queue_declare(self.queue, durable=True, arguments={
                "x-expires": 60000, "x-queue-type": "classic"})
            self.amqp.channel.queue_bind(self.queue, "postback.inline", task)

    def close(self):
        self.amqp.close()

    def take(self, timeout=60):
        """(request, properties) of the next message."""
        got = eventually(lambda: self.amqp.get(self.queue), timeout=timeout, what=f"a message in {self.queue}")
        return msgpack.unpackb(got[2]), got[1]

    def reply(self, request, properties, kind="succeeded", **more):
        now = int(time.time() * 1000)
        body = {"v": 1, "id": request["id"], "attempt": request["attempt"], "kind": kind, "started_at": now,
                "finished_at": now, **more}
        if "context" in request:
            body["context"] = request["context"]
        self.amqp.channel.basic_publish("postback.reply", properties.reply_to, msgpack.packb(body))


def fresh_key():
    return os.urandom(8).hex()


def text_of(task_id):
    """The id of the wire as text."""
    digits = task_id.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
