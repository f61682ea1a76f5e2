"""Tasks followed on one gateway that were submitted on another, with real handlers that report progress."""
import threading

import pytest

from lib import steps
from lib.metrics import metric
from lib.sse import EventStream
from lib.wait import eventually

STEPS = 7  # on a busy machine some reports come so close that the processor passes on the latest alone


def two_gateways(stack, **more):
    stack.start({**more, "processor": {"handlers": [
        {"task": "echo", "builtin": "echo", "concurrency": 16},
        steps.handler(stack.folder, STEPS, 12),
        {"task": "fails", "exec": ["/bin/sh", "-c", "exit 3"], "retry": {"attempts": 2, "base": "200ms"}}]}})
    stack.add("gateway", "other")
    stack.await_ready()
    return stack


@pytest.fixture
def pair(stack):
    return two_gateways(stack)


def follow(stack, task_id, name="other", **options):
    return EventStream(stack.ports[name], f"/v1/tasks/{task_id}/events", **options)


def is_in_turn(revs):
    return revs == list(range(revs[0], revs[0] + len(revs)))


def test_every_change_comes_once_and_in_order_on_the_other_gateway_under_load(pair):
    streams, lock = [], threading.Lock()

    def submit(count):
        for n in range(count):
            stream = follow(pair, pair.client.submit("steps", {"n": n}))
            with lock:
                streams.append(stream)

    threads = [threading.Thread(target=submit, args=(15,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(streams) == 60
    for stream in streams:
        stream.await_end()
        assert stream.statuses()[-1] == "succeeded"
        assert is_in_turn(stream.revs()), stream.revs()
        assert stream.revs()[-1] > STEPS // 2
    assert metric(pair.client_of("other"), "postback_gateway_live_gaps_total") == 0


def test_two_notifiers_do_not_mix_up_the_order(pair):
    pair.add("notifier", "notifier2")
    pair.await_ready()
    streams = [follow(pair, pair.client.submit("steps", {"n": n})) for n in range(24)]
    for stream in streams:
        stream.await_end()
        assert stream.revs() == sorted(set(stream.revs())), stream.revs()
        assert stream.statuses()[-1] == "succeeded"
        assert stream.revs()[-1] > STEPS // 2


def test_on_postgresql_it_is_the_same(stack, postgres):
    two_gateways(stack, store={"url": postgres.database()})
    streams = [follow(stack, stack.client.submit("steps", {"n": n}, delay="100ms")) for n in range(24)]
    last = stack.client.envelope("echo", 1, then="echo", delay="300ms").json()["id"]
    streams.append(follow(stack, last))
    for stream in streams:
        stream.await_end()
        assert stream.statuses()[-1] == "succeeded"
        assert stream.revs() == sorted(set(stream.revs())), stream.revs()


def test_what_another_gateway_writes_itself_is_told_too(pair):
    task_id = pair.client.submit("echo", 1, delay="1h")
    with follow(pair, task_id) as stream:
        stream.await_events(1)
        pair.client.delete(f"/v1/tasks/{task_id}")
        stream.await_end()
        assert stream.statuses() == ["scheduled", "canceled"]


def test_attempts_and_what_a_chain_comes_to_are_told(pair):
    last = pair.client.envelope("fails", 1, then="echo").json()
    with follow(pair, last["id"]) as stream:
        stream.await_end()
        assert stream.statuses()[-1] == "failed"
        assert "scheduled" in stream.statuses()
        assert {document["attempt"] for document in stream.documents()} == {1, 2}
    listed = pair.client.get("/v1/tasks?task=echo").json()["tasks"]
    assert [task["status"] for task in listed] == ["canceled"]
    with follow(pair, listed[0]["id"]) as stream:
        stream.await_end()
        assert stream.statuses() == ["canceled"]


def test_waiting_calls_are_woken_by_what_happens_elsewhere(pair):
    other = pair.client_of("other")
    task_id = pair.client.submit("echo", 1, delay="1h")
    answers = []

    def wait():
        rev = other.status(task_id)["rev"]
        answers.append(other.get(f"/v1/tasks/{task_id}?wait=30", headers={"If-None-Match": f'"{rev}"'}).json())

    thread = threading.Thread(target=wait)
    thread.start()
    eventually(lambda: metric(other, "postback_gateway_waiters") == 1)
    pair.client.delete(f"/v1/tasks/{task_id}")
    thread.join(20)
    assert answers[0]["status"] == "canceled"
    done = other.envelope("steps", {"n": 1}, headers={"Prefer": "wait=20"})
    assert (done.status_code, done.json()["status"]) == (200, "succeeded")


def test_a_tenant_hears_of_everything_on_every_gateway(pair):
    with EventStream(pair.ports["other"], "/v1/events?task=steps") as stream:
        stream.await_events(1)
        ids = [pair.client.submit("steps", n) for n in range(12)]
        eventually(lambda: stream.statuses().count("succeeded") == 12, timeout=30)
        for task_id in ids:
            revs = [d["rev"] for d in stream.documents() if d["id"] == task_id]
            assert revs == list(range(1, len(revs) + 1)) and len(revs) > STEPS // 2


def test_a_gateway_that_ends_ends_its_streams_and_the_other_one_goes_on(pair):
    task_id = pair.client.submit("echo", 1, delay="1h")
    with follow(pair, task_id) as stream:
        stream.await_events(1)
        pair.other.stop()
        stream.await_end()
        last = stream.last_id
    with follow(pair, task_id, name="gateway", headers={"Last-Event-ID": last}) as stream:
        pair.client.delete(f"/v1/tasks/{task_id}")
        stream.await_end()
        assert stream.statuses() == ["canceled"]
