"""Idempotency-Key: once, and always the same answer."""
import threading

import pytest
import requests

from gateway_rig import ECHO, SLEEP, Worker, fresh_key, module_stack, problem, shell
from lib.wait import eventually

api = module_stack(
    processor={"handlers": [ECHO, SLEEP, shell("refuses", "echo no >&2; exit 65"),
                            shell("page", "printf '\\377\\000'", content_type="image/x-own"),
                            shell("slow-at-first", "mkdir slow 2>/dev/null && sleep 5; echo done"),
                            shell("left-at-first", "mkdir left 2>/dev/null && sleep 5; echo done")]},
    gateway={"tasks": ["parked"], "limits": {"sync_timeout": "20s"},
             "routes": [{"path": "POST /process/{n}", "task": "echo", "reply": {"status": 200, "body": {"t": "{id}"}}}]})


def under(key):
    return {"Idempotency-Key": key}


def same(first, second):
    assert second.status_code == first.status_code
    assert second.content == first.content
    for name in ("Content-Type", "Location", "Retry-After", "Preference-Applied", "Content-Security-Policy"):
        assert second.headers.get(name) == first.headers.get(name), name
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"


CALLS = {
    "envelope": lambda c, k: c.envelope("echo", {"a": 1}, headers=under(k)),
    "run": lambda c, k: c.run("echo", b"\xff", "image/png", headers=under(k)),
    "scheduled": lambda c, k: c.envelope("echo", 1, delay="1h", headers=under(k)),
    "then": lambda c, k: c.envelope("echo", 1, then="echo", headers=under(k)),
    "route": lambda c, k: c.post("/process/7?q=1", headers=under(k)),
    "prefer": lambda c, k: c.envelope("echo", 1, headers={**under(k), "Prefer": "wait=20"}),
    "sync": lambda c, k: c.run("echo", b"1.10", mode="sync", headers=under(k)),
    "sync of any bytes": lambda c, k: c.run("page", b"", "text/plain", mode="sync", headers=under(k)),
    "sync that fails": lambda c, k: c.run("refuses", b"1", mode="sync", headers=under(k)),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_the_first_answer_is_given_again(api, call):
    key = fresh_key()
    first = call(api.client, key)
    same(first, call(api.client, key))
    assert call(api.client, fresh_key()).status_code == first.status_code


def test_bare_and_quoted_are_the_same_key(api):
    key = fresh_key()
    first = api.client.run("echo", b"1", headers=under(key))
    same(first, api.client.run("echo", b"1", headers=under(f'"{key}"')))


def test_it_runs_only_once(api):
    worker = Worker(api.vhost, "parked")
    key = fresh_key()
    for _ in range(3):
        assert api.client.run("parked", b"1", headers=under(key)).status_code == 202
    worker.take()
    assert worker.amqp.get(worker.queue) is None
    worker.close()


OTHERS = [
    lambda c, k: c.run("echo", b"2", headers=under(k)),
    lambda c, k: c.run("echo", b"1", "text/plain", headers=under(k)),
    lambda c, k: c.run("echo", b"1", attempts=2, headers=under(k)),
    lambda c, k: c.run("sleep", b"1", headers=under(k)),
    lambda c, k: c.post("/process/1", data=b"1", headers=under(k)),
]


@pytest.mark.parametrize("other", OTHERS)
def test_another_request_under_the_key_is_422(api, other):
    key = fresh_key()
    assert api.client.run("echo", b"1", headers=under(key)).status_code == 202
    problem(other(api.client, key), 422, "idempotency-mismatch")


@pytest.mark.parametrize("key", ['""', "a" * 256, "\xe9", '"' + "a" * 256 + '"'])
def test_a_key_that_is_none_is_422(api, key):
    problem(api.client.run("echo", b"1", headers=under(key.encode("latin-1"))), 422, "invalid-field",
            "Idempotency-Key")


def test_in_flight_is_409(api):
    key = fresh_key()
    first = {}
    thread = threading.Thread(target=lambda: first.update(answer=api.client.run(
        "sleep", b"3", mode="sync", headers=under(key))))
    thread.start()
    eventually(lambda: api.vhost.queues()["postback.inline.sleep"]["unacked"] == 1, what="it runs")
    response = api.client.run("sleep", b"3", mode="sync", headers=under(key))
    problem(response, 409, "conflict")
    assert response.headers["Retry-After"]
    thread.join()
    same(first["answer"], api.client.run("sleep", b"3", mode="sync", headers=under(key)))


def test_a_refusal_that_changed_nothing_frees_the_key(api):
    key = fresh_key()
    problem(api.client.run("nobody", b"1", headers=under(key)), 404, "unknown-task")
    problem(api.client.run("nobody", b"1", headers=under(key)), 404, "unknown-task")
    assert "Idempotency-Replayed" not in api.client.run("echo", b"1", headers=under(key)).headers
    assert api.client.run("echo", b"{", headers=under(fresh_key())).status_code == 400


def test_many_at_once_make_one_task(api):
    key = fresh_key()
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(api.client.run("echo", b"1", headers=under(key))))
               for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 202}) == 1


def test_a_sync_call_that_ran_out_of_time_keeps_its_id(api):
    worker = Worker(api.vhost, "parked", "inline")
    key = fresh_key()
    ids = []
    for _ in range(2):
        answers = []
        thread = threading.Thread(target=lambda: answers.append(api.client.run(
            "parked", b"1", mode="sync", timeout="3s", headers=under(key))))
        thread.start()
        request, _ = worker.take()
        ids.append(request["id"])
        thread.join()
        problem(answers[0], 504, "handler-timeout")
    assert ids[0] == ids[1]
    worker.amqp.delete(worker.queue)
    worker.close()


def test_a_sync_call_that_ran_out_of_time_is_run_again_by_its_key(api):
    key = fresh_key()
    problem(api.client.run("slow-at-first", b"1", mode="sync", timeout="3s", headers=under(key)), 504, "handler-timeout")
    again = api.client.run("slow-at-first", b"1", mode="sync", timeout="3s", headers=under(key))
    assert (again.status_code, again.content) == (200, b"done\n")


def test_a_sync_call_whose_client_left_is_run_again_by_its_key(api):
    key = fresh_key()
    path = "/v1/run/left-at-first?mode=sync"
    with pytest.raises(requests.Timeout):
        api.client.post(path, data=b"1", headers=under(key), timeout=0.4)
    eventually(lambda: api.client.post(path, data=b"1", headers=under(key)).content == b"done\n", what="an answer")


def test_a_key_outlives_the_gateway(stack):
    stack.start()
    first = stack.client.run("echo", b"1", headers=under("k"))
    stack.gateway.kill()
    stack.gateway.start()
    stack.await_ready("gateway")
    same(first, stack.client.run("echo", b"1", headers=under("k")))
