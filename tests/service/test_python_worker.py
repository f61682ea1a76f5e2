"""A worker that is not ours: examples/python-worker against the whole stack, by docs/protocol.md alone."""
import os
import subprocess

import pytest

from lib.paths import EXAMPLES, PYTHON
from lib.wait import eventually

TASK = "upper"


@pytest.fixture
def worker(stack, vhost):
    stack.start({"gateway": {"tasks": [TASK]}}, only=("gateway", "notifier"))
    process = subprocess.Popen([PYTHON, str(EXAMPLES / "python-worker/worker.py"), TASK], stdout=subprocess.PIPE,
                               env={**os.environ, "AMQP_URL": vhost.url}, text=True)
    assert process.stdout.readline() == f"waiting for {TASK}\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_worker_in_another_language_runs_tasks(stack, worker):
    ids = [stack.client.submit(TASK, {"n": n, "text": "quiet"}) for n in range(5)]
    for n, task_id in enumerate(ids):
        document = stack.client.await_end(task_id)
        assert document["status"] == "succeeded"
        assert document["result"] == {"N": n, "TEXT": "QUIET"}
    assert worker.poll() is None


def test_a_worker_that_dies_leaves_its_task_to_the_next(stack, vhost, worker):
    worker.kill()
    worker.wait()
    task_id = stack.client.submit(TASK, "late")
    eventually(lambda: vhost.queues()[f"postback.tasks.{TASK}"]["ready"] == 1)
    assert stack.client.status(task_id)["status"] == "queued"
    second = subprocess.Popen([PYTHON, str(EXAMPLES / "python-worker/worker.py"), TASK],
                              env={**os.environ, "AMQP_URL": vhost.url}, stdout=subprocess.DEVNULL)
    try:
        assert stack.client.await_end(task_id)["result"] == "LATE"
    finally:
        second.kill()
        second.wait()
