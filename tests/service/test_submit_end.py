"""A gateway without its store, beside another one, and its end."""
import os
import sqlite3
import threading
import time

import pytest

from gateway_rig import Worker, problem
from lib.wait import eventually


def in_background(call):
    out = {}
    thread = threading.Thread(target=lambda: out.update(result=call()))
    thread.start()

    def join(timeout=60):
        thread.join(timeout)
        return out["result"]

    return join


def waiters(stack):
    text = stack.client.get("/metrics").text
    return float(text.split("\npostback_gateway_waiters ")[1].split()[0])


@pytest.fixture
def parked(stack, vhost):
    stack.start({"gateway": {"tasks": ["parked"]}})
    worker = Worker(vhost, "parked")
    yield worker
    worker.close()


def test_a_store_that_takes_no_writes_stops_only_what_needs_it(stack, parked):
    lock = sqlite3.connect(stack.database, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    try:
        began = time.monotonic()
        delayed = in_background(lambda: stack.client.run("parked", b"1", delay="1h"))
        assert stack.client.run("parked", b"1").status_code == 202
        assert stack.client.run("echo", b"2", mode="sync").content == b"2"
        assert stack.client.get("/livez").status_code == 200
        assert time.monotonic() - began < 5
    finally:
        lock.execute("ROLLBACK")
        lock.close()
    assert delayed().status_code in (202, 503)
    assert eventually(lambda: stack.client.run("parked", b"1", delay="1h").status_code == 202)


def test_a_gateway_whose_store_cannot_be_opened_lives_and_says_so(stack, tmp_path):
    in_its_way = tmp_path / "folder"
    in_its_way.write_text("a file, where a folder is to be", encoding="ascii")
    stack.start({"store": {"url": f"sqlite:{in_its_way}/postback.db"}}, only=("gateway",), ready=False)
    stack.await_live("gateway")
    assert stack.client.get("/readyz").status_code == 503
    problem(stack.client.run("echo", b"1"), 503, "store-unavailable")
    problem(stack.client.get("/v1/tasks"), 503, "store-unavailable")
    for path in ("tasks/{id}", "tasks/{id}/deliveries", "deliveries/{id}", "endpoints", "endpoints/{id}"):
        answer = stack.client.get(f"/v1/{path.replace('{id}', '018f2b1c-1111-7111-9111-111111111111')}")
        problem(answer, 503, "store-unavailable")
    problem(stack.client.post("/v1/endpoints", json={"url": "https://a.example/"}), 503, "store-unavailable")
    problem(stack.client.post("/v1/deliveries/retry?status=dead"), 503, "store-unavailable")
    os.remove(in_its_way)
    stack.await_ready("gateway")


def test_at_the_end_who_waits_is_answered_and_what_runs_is_finished(stack, parked, vhost):
    task_id = stack.client.submit("parked", 1)
    poll = in_background(lambda: stack.client.get(f"/v1/tasks/{task_id}?wait=60"))
    prefer = in_background(lambda: stack.client.run("parked", b"1", headers={"Prefer": "wait=60"}))
    sync = in_background(lambda: stack.client.run("sleep", b"5", mode="sync"))
    eventually(lambda: waiters(stack) == 2, what="both wait")
    eventually(lambda: vhost.queues()["postback.inline.sleep"]["unacked"] == 1, what="it runs")
    stopped = in_background(stack.gateway.stop)
    assert poll().json()["status"] == "queued"
    assert prefer().status_code == 202
    assert sync().status_code == 200
    stopped()


def test_a_task_that_is_canceled_before_any_processor_runs_ends_canceled(stack):
    stack.start({"gateway": {"tasks": ["echo"]}}, only=("gateway", "notifier"))
    task_id = stack.client.submit("echo", 1)
    response = stack.client.delete(f"/v1/tasks/{task_id}")
    assert response.status_code == 202
    assert response.json()["status"] == "queued"
    stack.add("processor")
    assert stack.client.await_end(task_id)["status"] == "canceled"


def test_many_clients_that_come_and_go_leave_nothing_behind(stack, parked):
    task_id = stack.client.submit("parked", 1)

    def come_and_go(n):
        paths = [f"/v1/tasks/{task_id}?wait=30", f"/v1/tasks/{task_id}/result?wait=30"]
        try:
            if n % 3 == 2:
                stack.client.post("/v1/run/sleep?mode=sync", data=b"30", timeout=0.05 + n / 200)
            else:
                stack.client.get(paths[n % 3], timeout=0.05 + n / 200)
        except OSError:
            pass

    threads = [threading.Thread(target=come_and_go, args=(n,)) for n in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eventually(lambda: waiters(stack) == 0, what="nobody waits")
    assert stack.client.status(task_id)["status"] == "queued"


def test_two_gateways_know_each_others_ids_and_get_their_own_replies(stack, parked, vhost):
    stack.add("gateway", "second")
    stack.await_ready("second")
    clients = [stack.client, stack.client_of("second")]
    for one, other in (clients, clients[::-1]):
        task_id = one.submit("parked", 1)
        poll = in_background(lambda: other.get(f"/v1/tasks/{task_id}?wait=20"))
        request, properties = parked.take()
        parked.reply(request, properties, result=b"1", content_type="application/json")
        assert poll().json()["status"] == "succeeded"
        headers = {"Idempotency-Key": task_id}
        first = one.run("parked", b"1", headers=headers)
        assert other.run("parked", b"1", headers=headers).json() == first.json()
        parked.take()
    joins = [in_background(lambda n=n: clients[n % 2].run("echo", str(n).encode(), mode="sync").content)
             for n in range(20)]
    assert [join() for join in joins] == [str(n).encode() for n in range(20)]


def test_a_gateway_learns_the_key_that_another_one_brings(stack, tmp_path):
    stack.start({"gateway": {"tasks": ["parked"]}}, only=("gateway",))
    key_file = tmp_path / "key"
    key_file.write_bytes(os.urandom(32))
    stack.add("gateway", "second", env={"POSTBACK_GATEWAY_ID_KEY_FILE": str(key_file)})
    stack.await_ready("second")
    task_id = stack.client_of("second").submit("parked", 1)
    eventually(lambda: stack.client.get(f"/v1/tasks/{task_id}").status_code == 200, what="the first knows it too")
    own = stack.client.submit("parked", 1)
    assert stack.client_of("second").status(own)["status"] == "queued"
