"""What runs after another: a retry of what never came to run gets what it was to get, or says that it cannot."""
import sqlite3
import uuid

import pytest

from lib.wait import eventually

RESULT = b'{"n":1.10}'


@pytest.fixture(params=["sqlite", "postgresql"])
def chain(request, stack, vhost):
    """`second` is to run after `first`, and its queue is not there."""
    store = {"task_ttl": "2s"}
    if request.param == "postgresql":
        store["url"] = request.getfixturevalue("postgres").database()
    return start(stack, vhost, store)


def start(stack, vhost, store):
    stack.start({"store": store, "processor": {"handlers": [{"task": "first", "exec": ["/bin/cat"],
                                                             "content_type": "application/json"}]},
                 "gateway": {"tasks": ["second"]}})
    stack.vhost = vhost
    return stack


def lose_queue(stack):
    with stack.vhost.amqp() as amqp:
        amqp.delete("postback.tasks.second")


def bring_processor(stack):
    """One that echoes `second`, and so declares its queue."""
    stack.configure({"processor": {"handlers": [{"task": "second", "builtin": "echo"}]}})
    stack.processor.restart()
    stack.await_ready()


def submit_chain(client, then):
    """Its first task is delayed for long enough to lose the queue of the second."""
    answer = client.envelope("first", RESULT, then=then, delay="500ms")
    return [step["id"] for step in answer.json()["tasks"]]


def retry(client, task_id, **options):
    return client.post(f"/v1/tasks/{task_id}/retry", **options)


def await_unpublishable(client, task_id):
    document = client.await_end(task_id)
    assert (document["status"], document["error"]["type"]) == ("dead", "unpublishable")


def test_a_retry_of_what_never_ran_gets_the_previous_of_its_task(chain):
    client = chain.client
    first, second = submit_chain(client, {"task": "second", "payload": {"own": 1.50}})
    lose_queue(chain)
    await_unpublishable(client, second)
    bring_processor(chain)
    answer = retry(client, second)
    assert answer.status_code == 202
    again = answer.json()
    assert (again["status"], again["retry_of"]) == ("scheduled", second)
    document = client.await_end(again["id"])
    assert (document["status"], document["waits_for"], document["retry_of"]) == ("succeeded", first, second)
    previous = b'{"id":"' + first.encode() + b'","task":"first","status":"succeeded","result":' + RESULT + b"}"
    assert client.result(again["id"]).content == b'{"own":1.5,"previous":' + previous + b"}"


def test_a_retry_of_what_never_ran_gets_the_previous_of_its_batch(chain):
    client = chain.client
    batch = client.post("/v1/batches", json={"tasks": [{"task": "first", "delay": "500ms"}], "then": "second"}).json()
    lose_queue(chain)
    await_unpublishable(client, batch["then"])
    bring_processor(chain)
    document = client.await_end(retry(client, batch["then"]).json()["id"])
    assert document["result"] == {
        "previous": {"batch": batch["id"], "succeeded": 1, "failed": 0, "canceled": 0, "dead": 0}}


def test_a_retry_that_never_ran_either_is_retried_with_the_same_previous(chain):
    client = chain.client
    first, second = submit_chain(client, "second")
    lose_queue(chain)
    await_unpublishable(client, second)
    bring_processor(chain)
    chain.notifier.freeze()
    again = retry(client, second).json()["id"]
    chain.processor.kill()
    lose_queue(chain)
    chain.notifier.thaw()
    await_unpublishable(client, again)
    chain.processor.start()
    chain.await_ready()
    document = client.await_end(retry(client, again).json()["id"])
    assert (document["retry_of"], document["result"]["previous"]["id"]) == (again, first)


@pytest.mark.parametrize("table", ["tasks", "batches"])
def test_a_retry_whose_previous_is_gone_is_refused_and_runs_nothing(stack, vhost, table):
    client = start(stack, vhost, {"task_ttl": "2s"}).client
    first = {"task": "first", "delay": "500ms", "then": "second"}
    batch = client.post("/v1/batches", json={"tasks": [first], "then": "second"}).json()
    lose_queue(stack)
    chosen = batch["then"] if table == "batches" else batch["items"][0]["tasks"][1]["id"]
    gone = batch["id"] if table == "batches" else batch["items"][0]["id"]
    await_unpublishable(client, chosen)
    bring_processor(stack)
    with sqlite3.connect(stack.database) as store:
        store.execute(f"DELETE FROM {table} WHERE id = ?", (uuid.UUID(gone).bytes,))
    for headers in ({}, {"Idempotency-Key": "again"}, {"Idempotency-Key": "again"}):
        answer = retry(client, chosen, headers=headers)
        assert answer.status_code == 409
        assert answer.json()["type"] == "/problems/conflict"
        assert "previous" in answer.json()["detail"]
    assert not [task for task in client.get("/v1/tasks").json()["tasks"] if "retry_of" in task]


def test_a_first_answer_is_given_again_when_what_was_retried_is_gone(stack):
    refuses = {"task": "refuses", "exec": ["/bin/sh", "-c", "exit 65"]}
    client = stack.start({"store": {"task_ttl": "2s", "result_ttl": "3s"}, "processor": {"handlers": [refuses]}}).client
    task = client.submit("refuses", {})
    client.await_end(task)
    key = {"Idempotency-Key": "once"}
    first = retry(client, task, headers=key)
    assert first.status_code == 202
    eventually(lambda: client.get(f"/v1/tasks/{task}").status_code == 410, timeout=60, what="it is gone")
    again = retry(client, task, headers=key)
    assert (again.status_code, again.content) == (202, first.content)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert retry(client, task).status_code == 410
    assert retry(client, task, headers={"Idempotency-Key": "another"}).status_code == 410
