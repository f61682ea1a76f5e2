"""Submissions while the broker is away: an answer within the publish deadline, never a 202 for what was lost."""
import threading
import time

import pytest

from gateway_rig import Worker, problem, text_of
from lib.wait import eventually

TASKS = {"gateway": {"tasks": ["parked"], "limits": {"publish_timeout": "1s"}}}


@pytest.fixture
def gateway(stack, vhost, broker_proxy):
    """A gateway alone, behind a proxy that can be cut."""
    stack.start({**TASKS, "amqp": {"url": broker_proxy.url(vhost.url)}}, only=("gateway",))
    worker = Worker(vhost, "parked")
    yield stack
    worker.close()


def submit(stack, **options):
    began = time.monotonic()
    response = stack.client.run("parked", b"1", **options)
    return response, time.monotonic() - began


def test_a_broker_that_is_away_is_503_at_once(gateway, broker_proxy):
    broker_proxy.refuse()
    broker_proxy.cut()
    eventually(lambda: gateway.client.get("/readyz").status_code == 503, what="not ready")
    response, took = submit(gateway)
    document = problem(response, 503, "broker-unavailable")
    assert "outcome" not in document
    assert response.headers["Retry-After"]
    assert took < 10
    assert gateway.client.get("/livez").status_code == 200
    assert gateway.client.get("/v1/tasks").status_code == 200
    problem(gateway.client.run("parked", b"1", mode="sync"), 503, "broker-unavailable")
    broker_proxy.accept()
    eventually(lambda: submit(gateway)[0].status_code == 202, what="it recovers by itself")


def test_a_broker_that_does_not_answer_is_503_with_an_unknown_outcome(gateway, broker_proxy, vhost):
    broker_proxy.pause("down")
    response, took = submit(gateway)
    document = problem(response, 503, "broker-unavailable")
    assert document["outcome"] == "unknown"
    assert took < 10
    status = gateway.client.status(document["id"])
    assert status["status"] == "queued"
    broker_proxy.resume()
    eventually(lambda: submit(gateway)[0].status_code == 202, what="it recovers by itself")


def test_a_sync_call_does_not_wait_for_a_broker_that_does_not_answer(gateway, broker_proxy, vhost):
    worker = Worker(vhost, "parked", "inline")
    broker_proxy.pause("down")
    response, took = submit(gateway, mode="sync")
    document = problem(response, 503, "broker-unavailable")
    assert document["outcome"] == "unknown"
    assert response.headers["Retry-After"]
    assert took < 10
    broker_proxy.resume()
    worker.amqp.delete(worker.queue)
    worker.close()


def test_a_chain_whose_first_task_may_have_gone_keeps_the_rest(gateway, broker_proxy):
    assert gateway.client.run("parked", b"1").status_code == 202
    broker_proxy.pause("down")
    response = gateway.client.envelope("parked", 1, then="parked")
    document = problem(response, 503, "broker-unavailable")
    assert document["outcome"] == "unknown"
    listed = gateway.client.get("/v1/tasks").json()["tasks"]
    assert [task["waits_for"] for task in listed] == [document["id"]]
    broker_proxy.resume()


def test_a_retry_under_the_same_key_keeps_the_id_of_an_unknown_outcome(gateway, broker_proxy, vhost):
    assert gateway.client.run("parked", b"1").status_code == 202
    broker_proxy.pause("down")
    headers = {"Idempotency-Key": "unknown-1"}
    first = problem(gateway.client.run("parked", b'"k"', headers=headers), 503, "broker-unavailable")
    assert first["outcome"] == "unknown"
    broker_proxy.resume()
    second = eventually(lambda: _accepted(gateway.client.run("parked", b'"k"', headers=headers)), what="a 202")
    assert second.json()["id"] == first["id"]
    assert gateway.client.run("parked", b'"k"', headers=headers).json() == second.json()


def _accepted(response, meanwhile=503):
    assert response.status_code in (202, meanwhile), response.text
    return response if response.status_code == 202 else None


def test_questions_to_a_broker_that_does_not_answer_come_to_an_end(gateway, broker_proxy):
    assert gateway.client.run("parked", b"1").status_code == 202
    broker_proxy.pause()
    for ask in (lambda c: c.run("another", b"1", delay="1h"), lambda c: c.envelope("another", 1, then="third"),
                lambda c: c.get("/v1/queues")):
        began = time.monotonic()
        problem(ask(gateway.client), 503, "broker-unavailable")
        assert time.monotonic() - began < 10
    broker_proxy.resume()
    eventually(lambda: gateway.client.get("/v1/queues").status_code == 200, what="it recovers by itself")


def test_a_key_of_a_gateway_that_died_is_taken_up_again_under_its_id(gateway, broker_proxy, vhost):
    worker = Worker(vhost, "parked")
    broker_proxy.pause("down")
    headers = {"Idempotency-Key": "died"}
    thread = threading.Thread(target=lambda: pytest.raises(
        OSError, gateway.client.run, "parked", b"1", headers=headers))
    thread.start()
    request, _ = worker.take()
    gateway.gateway.kill()
    thread.join()
    broker_proxy.resume()
    gateway.gateway.start()
    gateway.await_ready("gateway")
    problem(gateway.client.run("parked", b"1", headers=headers), 409, "conflict")
    again = eventually(lambda: _accepted(gateway.client.run("parked", b"1", headers=headers), 409), timeout=20,
                       every=0.2, what="the first claim's lease ends")
    assert again.json()["id"] == text_of(request["id"])
    worker.close()


def test_a_scheduled_task_needs_only_the_store_once_its_queue_was_seen(gateway, broker_proxy):
    assert gateway.client.run("parked", b"1").status_code == 202
    broker_proxy.pause()
    response, _ = submit(gateway, delay="1h")
    assert response.status_code == 202
    assert response.json()["status"] == "scheduled"
    broker_proxy.resume()
