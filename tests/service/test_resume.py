"""What an earlier try under the same Idempotency-Key left behind: nothing of it is lost, nothing is done twice."""
import sqlite3
import threading

import pytest

from gateway_rig import Worker, problem
from lib.wait import eventually

CONFIG = {"gateway": {"tasks": ["parked"], "limits": {"publish_timeout": "1s"}}}


@pytest.fixture
def api(stack, vhost, broker_proxy):
    """A gateway behind a proxy that can be cut, and a notifier that can not; the test plays the worker."""
    stack.start({**CONFIG, "amqp": {"url": broker_proxy.url(vhost.url)}}, only=("gateway",))
    stack.add("notifier", env={"POSTBACK_AMQP_URL": vhost.url})
    stack.await_ready()
    stack.worker = Worker(vhost, "parked")
    assert stack.client.run("parked", b"0").status_code == 202
    stack.worker.take()
    yield stack
    stack.worker.close()


def under(key):
    return {"Idempotency-Key": key}


def chain(stack):
    return stack.client.envelope("parked", {}, then="parked", headers=under("k"))


def batch(stack, tasks, **more):
    return stack.client.post("/v1/batches", json={"tasks": tasks, **more}, headers=under("k"))


def accepted(response):
    assert response.status_code in (202, 409, 503), response.text
    return response if response.status_code == 202 else None


def lose_broker(stack, proxy):
    proxy.refuse()
    proxy.cut()
    stack.await_unready("gateway")


def find_broker(stack, proxy):
    proxy.accept()
    stack.await_ready("gateway")


def test_the_rest_of_a_chain_outlives_a_second_try_that_fails(api, broker_proxy):
    broker_proxy.pause("down")
    first = problem(chain(api), 503, "broker-unavailable")
    assert first["outcome"] == "unknown"
    request, properties = api.worker.take()
    broker_proxy.resume()
    lose_broker(api, broker_proxy)
    problem(chain(api), 503, "broker-unavailable")
    api.worker.reply(request, properties, result=b"{}", content_type="application/json")
    _, properties = api.worker.take()
    find_broker(api, broker_proxy)
    again = eventually(lambda: accepted(chain(api)), what="a 202").json()
    assert [step["id"] for step in again["tasks"]] == [first["id"], properties.correlation_id]


def test_items_of_a_batch_that_were_seen_are_not_sent_again(api, broker_proxy):
    broker_proxy.pause("down")
    first = problem(batch(api, [{"task": "parked", "payload": {}}], then="parked"), 503, "broker-unavailable")
    assert first["outcome"] == "unknown"
    request, properties = api.worker.take()
    broker_proxy.resume()
    lose_broker(api, broker_proxy)
    problem(batch(api, [{"task": "parked", "payload": {}}], then="parked"), 503, "broker-unavailable")
    api.worker.reply(request, properties, result=b"1", content_type="application/json")
    api.client.await_end(first["id"])
    find_broker(api, broker_proxy)
    again = eventually(lambda: accepted(batch(api, [{"task": "parked", "payload": {}}], then="parked"))).json()
    assert again["items"][0]["id"] == first["id"]
    last, properties = api.worker.take()
    assert properties.correlation_id == again["then"]
    assert b'"succeeded":1' in last["payload"]
    assert api.worker.amqp.get(api.worker.queue) is None


def test_a_batch_without_its_list_is_not_accepted(api, broker_proxy):
    broker_proxy.pause("down")
    answers = []
    thread = threading.Thread(target=lambda: answers.append(batch(api, [{"task": "parked", "payload": {}}])))
    thread.start()
    request, properties = api.worker.take()
    lock = sqlite3.connect(api.database, isolation_level=None, timeout=20)
    lock.execute("BEGIN IMMEDIATE")
    broker_proxy.resume()
    thread.join()
    lock.execute("ROLLBACK")
    lock.close()
    document = problem(answers[0], 503, "store-unavailable")
    assert document["outcome"] == "unknown"
    assert document["items"][0]["id"] == properties.correlation_id
    api.worker.reply(request, properties, result=b"1", content_type="application/json")
    api.client.await_end(properties.correlation_id)
    again = eventually(lambda: accepted(batch(api, [{"task": "parked", "payload": {}}])), timeout=60, every=0.5).json()
    assert again["id"] == document["id"]
    assert again["items"][0]["id"] == document["items"][0]["id"]
    read = api.client.get(f"/v1/batches/{again['id']}").json()
    assert (read["total"], read["done"]) == (1, 1)
