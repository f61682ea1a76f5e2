"""What every handler gets from the processor: order, redelivery, retries, cancels, the inline lane, its end."""
import os
import threading
import time

import msgpack
import pytest

from lib.wait import eventually
from processor_rig import FINAL, Rig, rig  # pylint: disable=unused-import


ECHO = {"task": "echo", "builtin": "echo"}
SLEEP = {"task": "sleep", "builtin": "sleep", "concurrency": 4}


def test_a_durable_request_is_answered_and_acked(rig):
    r = rig([ECHO])
    task_id = r.send("echo", b'{"a":1.10}', context=b"\x01\x02", headers={"traceparent": "00-" + "a" * 32 + "-01"})
    reply = r.await_reply(task_id)
    assert reply["kind"] == "succeeded"
    assert reply["result"] == b'{"a":1.10}'
    assert reply["content_type"] == "application/json"
    assert reply["context"] == b"\x01\x02"
    assert reply["attempt"] == 1
    assert reply["finished_at"] >= reply["started_at"] > 0
    assert reply["worker"].endswith(str(r.stack.processor.pid))
    properties = reply["properties"]
    assert properties.delivery_mode == 2
    assert properties.content_type == "application/msgpack"
    assert properties.correlation_id.replace("-", "") == task_id.hex()
    assert properties.type == "echo"
    assert properties.headers["traceparent"] == "00-" + "a" * 32 + "-01"
    r.await_acked("echo")


def test_an_empty_payload_gives_an_empty_result(rig):
    r = rig([ECHO])
    reply = r.run("echo", b"")
    assert (reply["kind"], reply["result"]) == ("succeeded", b"")


def test_a_large_payload_comes_back(rig):
    r = rig([ECHO])
    payload = os.urandom(6 * 1024 * 1024)
    assert r.run("echo", payload, content_type="application/octet-stream")["result"] == payload


def test_a_result_over_the_limit_is_a_failure(rig):
    r = rig([{**ECHO, "output_limit": "64KiB"}])
    reply = r.run("echo", b"x" * (64 * 1024 + 1))
    assert reply["kind"] == "failed"
    assert reply["error"]["type"] == "output_too_large"
    assert not reply["error"].get("retryable")
    assert r.run("echo", b"after")["kind"] == "succeeded"


def test_a_request_too_large_to_be_sent_back_for_another_attempt_has_failed(rig):
    r = rig([{"task": "fails", "exec": ["/bin/sh", "-c", "echo x >>runs; exit 1"], "output_limit": "64KiB"}],
            amqp={"max_message": "512KiB"})
    reply = r.run("fails", b"x" * (512 * 1024 - 200))
    assert (reply["kind"], reply["error"]["type"]) == ("failed", "exit")
    assert reply["error"]["message"]
    r.await_acked("fails")
    assert (r.stack.folder / "runs").read_text(encoding="ascii") == "x\n"


def test_an_inline_request_is_answered_transiently(rig):
    r = rig([ECHO])
    reply = r.run("echo", b"now", lane="inline")
    assert reply["result"] == b"now"
    assert reply["properties"].delivery_mode != 2
    r.await_acked("echo", "inline")


def test_an_inline_reply_to_nobody_is_dropped(rig):
    r = rig([ECHO])
    r.publish("echo", r.request("echo", b"?"), lane="inline", reply_to="gone")
    assert r.run("echo", b"next", lane="inline")["result"] == b"next"


def test_a_short_run_sends_one_reply_and_a_long_one_says_started(rig):
    r = rig([SLEEP])
    short = r.send("sleep", b'{"ms": 50}')
    long = r.send("sleep", b'{"ms": 1300}')
    assert r.await_reply(long)["kind"] == "succeeded"
    assert [reply["kind"] for reply in r.said(short)] == ["succeeded"]
    assert [reply["kind"] for reply in r.said(long)] == ["started", "succeeded"]
    assert r.said(long)[0]["started_at"] == r.said(long)[1]["started_at"]


def test_concurrency_is_what_runs_at_a_time(rig):
    r = rig([{**SLEEP, "concurrency": 2}])
    for _ in range(5):
        r.send("sleep", b"30")
    eventually(lambda: r.metric("postback_processor_running", task="sleep") == 2, what="two run")
    assert r.metric("postback_processor_running", task="sleep") == 2


def test_the_inline_lane_goes_first(rig):
    r = rig([{**SLEEP, "concurrency": 1}])
    first = r.send("sleep", b'{"ms": 4000}')
    eventually(lambda: r.metric("postback_processor_running", task="sleep") == 1, what="one runs")
    durable = r.send("sleep", b'{"ms": 1}')
    eventually(lambda: r.metric("postback_processor_waiting", task="sleep") == 1, what="one waits")
    inline = r.send("sleep", b'{"ms": 1}', lane="inline")
    ends = {key: r.await_reply(key)["finished_at"] for key in (first, durable, inline)}
    assert ends[first] < ends[inline] <= ends[durable]


# Retries.


def test_a_timeout_is_a_retry_while_attempts_are_left(rig):
    r = rig([{**SLEEP, "timeout": "100ms", "retry": {"attempts": 2, "base": "3s", "cap": "7s"}}])
    task_id = r.send("sleep", b"60", context=b"c")
    reply = r.await_reply(task_id)
    assert reply["kind"] == "retry"
    assert reply["error"]["type"] == "timeout"
    assert reply["error"]["retryable"]
    assert reply["retry"] == {"base_ms": 3000, "cap_ms": 7000}
    again = msgpack.unpackb(reply["request"])
    assert again["id"] == task_id and again["payload"] == b"60" and again["context"] == b"c"
    r.publish("sleep", {**again, "attempt": 2})
    reply = eventually(lambda: r.said(task_id, "failed"))[0]
    assert reply["attempt"] == 2
    assert reply["error"]["retryable"]
    assert msgpack.unpackb(reply["request"])["attempt"] == 2
    r.await_acked("sleep")


def test_a_request_brings_its_own_terms(rig):
    r = rig([{**SLEEP, "retry": {"attempts": 1}}])
    reply = r.run("sleep", b"60", timeout_ms=100, max_attempts=9, retry={"base_ms": 5, "cap_ms": 6})
    assert reply["kind"] == "retry"
    assert reply["retry"] == {"base_ms": 5, "cap_ms": 6}


def test_the_inline_lane_has_one_attempt(rig):
    r = rig([{**SLEEP, "timeout": "100ms"}])
    reply = r.run("sleep", b"60", lane="inline", max_attempts=5)
    assert reply["kind"] == "failed"
    assert reply["error"]["type"] == "timeout"
    assert reply["error"]["retryable"]


def test_a_deadline_that_has_passed_is_not_run(rig):
    r = rig([SLEEP])
    reply = r.run("sleep", b"60", deadline=int(time.time() * 1000) - 1)
    assert reply["kind"] == "failed"
    assert reply["error"]["type"] == "expired"
    assert not reply["error"].get("retryable")
    r.send("sleep", b"60", lane="inline", deadline=int(time.time() * 1000) - 1)
    eventually(lambda: r.metric("postback_processor_tasks_total", outcome="expired") == 1)
    r.await_acked("sleep", "inline")


def test_a_deadline_ends_a_run(rig):
    r = rig([SLEEP])
    reply = r.run("sleep", b"60", deadline=int(time.time() * 1000) + 300)
    assert (reply["kind"], reply["error"]["type"]) == ("failed", "expired")


# Cancels.


def test_a_running_task_is_canceled(rig):
    r = rig([SLEEP])
    task_id = r.send("sleep", b"60")
    eventually(lambda: r.metric("postback_processor_running") == 1)
    r.cancel(task_id)
    assert r.await_reply(task_id)["kind"] == "canceled"
    r.await_acked("sleep")


def test_a_waiting_task_is_canceled(rig):
    r = rig([{**SLEEP, "concurrency": 1}])
    first = r.send("sleep", b'{"ms": 500}')
    eventually(lambda: r.metric("postback_processor_running") == 1)
    task_id = r.send("sleep", b"60")
    r.cancel(task_id)
    assert r.await_reply(task_id)["kind"] == "canceled"
    assert r.await_reply(first)["kind"] == "succeeded"


def test_a_processor_that_starts_later_knows_who_was_canceled(rig):
    r = rig([SLEEP])
    r.stack.processor.stop()
    for _ in range(100):
        r.cancel(os.urandom(16))
    task_id = r.send("sleep", b"60")
    r.cancel(task_id)
    r.stack.processor.start()
    assert r.await_reply(task_id)["kind"] == "canceled"


def test_an_inline_run_is_canceled(rig):
    r = rig([SLEEP])
    task_id = r.send("sleep", b"60", lane="inline")
    eventually(lambda: r.metric("postback_processor_running") == 1)
    r.cancel(task_id)
    assert r.await_reply(task_id)["kind"] == "canceled"


# What is no request.

GARBAGE = {
    "empty": b"",
    "text": b"hello",
    "truncated": msgpack.packb({"v": 1, "id": b"x" * 16, "task": "echo"})[:-3],
    "no map": msgpack.packb([1, 2, 3]),
    "bomb": bytes.fromhex("df0fffffffc0"),
    "another version": msgpack.packb({"v": 2, "id": b"x" * 16}),
    "missing keys": msgpack.packb({"v": 1, "id": b"x" * 16, "task": "echo"}),
    "deep": b"\x91" * 100000 + b"\xc0",
}


@pytest.mark.parametrize("lane", ["tasks", "inline"])
def test_garbage_is_refused_and_the_next_request_works(rig, lane):
    r = rig([ECHO])
    for body in GARBAGE.values():
        r.publish("echo", body, lane=lane)
    r.publish("echo", r.request("another"), lane=lane)
    r.publish("echo", r.request("echo"), lane=lane, reply_to=None)
    assert r.run("echo", b"next", lane=lane)["result"] == b"next"
    r.await_acked("echo", lane)
    if lane == "tasks":
        eventually(lambda: r.amqp.depth("postback.dead") == len(GARBAGE) + 2, what="all are dead letters")


def test_garbage_on_the_control_stream_is_skipped(rig):
    r = rig([SLEEP])
    for body in GARBAGE.values():
        r.amqp.publish("postback.control", "", body)
    task_id = r.send("sleep", b"60")
    r.cancel(task_id)
    assert r.await_reply(task_id)["kind"] == "canceled"


# Order, redelivery.


def test_the_same_request_twice_runs_once(rig):
    r = rig([SLEEP])
    body = r.request("sleep", b'{"ms": 400}')
    r.publish("sleep", body)
    r.publish("sleep", body)
    r.await_reply(body["id"])
    r.await_acked("sleep")
    r.publish("sleep", body)
    r.await_acked("sleep")
    assert [reply["kind"] for reply in r.said(body["id"])] == ["succeeded"]
    assert r.metric("postback_processor_joined_total") == 2


def test_a_redelivery_joins_the_run_that_goes_on(rig, broker_proxy, vhost):
    r = rig([SLEEP], amqp={"url": broker_proxy.url(vhost.url)})
    running = [r.send("sleep", b'{"ms": 2500}') for _ in range(3)]
    eventually(lambda: r.metric("postback_processor_running") == 3)
    broker_proxy.cut()
    eventually(lambda: r.metric("postback_processor_joined_total") == 3, what="all three come again and join")
    for task_id in running:
        assert r.await_reply(task_id)["kind"] == "succeeded"
    r.await_acked("sleep")
    assert all(len(r.said(task_id, *FINAL)) == 1 for task_id in running)
    assert r.metric("postback_processor_tasks_total", outcome="succeeded") == 3


@pytest.mark.parametrize("step", [("basic.ack", "up", "before"), ("basic.publish", "up", "before")])
def test_a_cut_before_publish_or_ack_loses_nothing(rig, broker_proxy, vhost, step):
    r = rig([ECHO], amqp={"url": broker_proxy.url(vhost.url)})
    happened = broker_proxy.cut_at(step[0], step[1], step[2])
    sent = [r.send("echo", b"%d" % n) for n in range(20)]
    for n, task_id in enumerate(sent):
        assert r.await_reply(task_id)["result"] == b"%d" % n
    assert happened.is_set()
    r.await_acked("echo")


def test_nothing_starts_while_replies_cannot_be_published(own_stack, own_vhost, own_broker):
    own_stack.start({"processor": {"handlers": [ECHO, SLEEP]}}, only=("processor",))
    r = Rig(own_stack, own_vhost)
    running = r.send("sleep", b'{"ms": 5000}')
    eventually(lambda: r.metric("postback_processor_running") == 1)
    waiting = [r.send("echo", b"%d" % n) for n in range(5)]
    for task_id in waiting:
        r.await_reply(task_id)
    # A request that is there already when the alarm comes: publishing stops, consuming goes on.
    own_stack.processor.freeze()
    late = r.send("echo", b"late")
    own_broker.set_alarm(True)
    own_stack.processor.thaw()
    eventually(lambda: r.metric("postback_broker_up", connection="publish") == 0, what="the processor is blocked")
    eventually(lambda: r.metric("postback_processor_unconfirmed", task="sleep") == 1, what="its reply is kept")
    own_broker.set_alarm(False)
    assert r.await_reply(running)["kind"] == "succeeded"
    assert r.await_reply(late)["result"] == b"late"
    r.await_acked("sleep")
    r.close()


def test_a_reply_nobody_takes_keeps_the_request(rig):
    r = rig([ECHO])
    r.publish("echo", r.request("echo", b"?"), reply_to="later")
    eventually(lambda: r.metric("postback_processor_unconfirmed", task="echo") == 1)
    assert r.run("echo", b"next")["result"] == b"next"
    r.amqp.channel.queue_declare("later", exclusive=True)
    r.amqp.channel.queue_bind("later", "postback.reply", "later")
    eventually(lambda: r.amqp.depth("later") == 1, timeout=60)
    r.await_acked("echo")


def test_a_poisonous_request_dies_alone(rig, tmp_path):
    poison = tmp_path / "poison.sh"
    poison.write_text('read -r what\n[ "$what" != poison ] || kill -9 "$PPID"\nsleep 0.05\necho "$what"\n')
    r = rig([{"task": "maybe", "exec": ["/bin/sh", str(poison)], "concurrency": 4, "prefetch": 32,
              "retry": {"attempts": 1}}])
    service = r.stack.processor
    service.stop()
    bad = r.send("maybe", b"poison\n")
    good = [r.send("maybe", b"%d\n" % n) for n in range(31)]
    is_over = threading.Event()
    crashes = []

    def supervise():
        while not is_over.is_set():
            if not service.is_running():
                crashes.append(1)
                service.start()
            is_over.wait(0.05)

    supervisor = threading.Thread(target=supervise)
    supervisor.start()
    try:
        eventually(lambda: r.amqp.depth("postback.dead"), timeout=120, what="the poison is dead")
        for n, task_id in enumerate(good):
            assert r.await_reply(task_id, timeout=60)["result"] == b"%d\n" % n
    finally:
        is_over.set()
        supervisor.join()
        if not service.is_running():
            service.start()
    dead = msgpack.unpackb(r.amqp.get("postback.dead")[2])
    assert dead["id"] == bad
    assert not r.amqp.get("postback.dead")
    assert not r.said(bad, *FINAL)
    assert 20 <= len(crashes) <= 24
    r.await_acked("maybe")


def test_a_redelivered_inline_request_is_not_run_again(rig):
    r = rig([SLEEP])
    task_id = r.send("sleep", b'{"ms": 30000}', lane="inline")
    eventually(lambda: r.metric("postback_processor_running") == 1)
    r.stack.processor.kill()
    r.stack.processor.start()
    reply = r.await_reply(task_id)
    assert reply["kind"] == "failed"
    assert reply["error"]["type"] == "interrupted"


# The end.


def test_shutdown_finishes_what_runs_and_puts_back_the_rest(rig):
    r = rig([{**SLEEP, "concurrency": 1, "prefetch": 5}], processor={"drain": "30s"})
    running = r.send("sleep", b'{"ms": 4000}')
    eventually(lambda: r.metric("postback_processor_running") == 1)
    waiting = [r.send("sleep", b'{"ms": 1}') for _ in range(4)]
    eventually(lambda: r.metric("postback_processor_waiting") == 4)
    r.stack.processor.stop()
    assert r.await_reply(running)["kind"] == "succeeded"
    assert not any(r.said(task_id) for task_id in waiting)
    assert r.vhost.queues()["postback.tasks.sleep"]["ready"] == 4
    r.stack.processor.start()
    for task_id in waiting:
        assert r.await_reply(task_id)["kind"] == "succeeded"


def test_shutdown_is_bounded_and_puts_back_what_does_not_end(rig):
    r = rig([SLEEP], processor={"drain": "200ms"})
    task_id = r.send("sleep", b"3600")
    inline = r.send("sleep", b"3600", lane="inline")
    eventually(lambda: r.metric("postback_processor_running") == 2)
    r.stack.processor.stop()
    assert not r.said(task_id, *FINAL)
    assert r.vhost.queues()["postback.tasks.sleep"]["ready"] == 1
    reply = r.await_reply(inline)
    assert (reply["kind"], reply["error"]["type"]) == ("failed", "interrupted")


def test_readiness_means_consuming(rig):
    r = rig([ECHO])
    checks = r.stack.client_of("processor").get("/readyz").json()["checks"]
    assert checks["handlers"]["status"] == "up"


def test_many_fast_requests_pass(rig):
    r = rig([{**ECHO, "concurrency": 4}])
    sent = [r.send("echo", b"%d" % n) for n in range(500)]
    for n, task_id in enumerate(sent):
        assert r.await_reply(task_id)["result"] == b"%d" % n
    r.await_acked("echo")


def test_two_processors_share_the_work(rig):
    r = rig([{**SLEEP, "concurrency": 2}])
    r.stack.add("processor", "second")
    r.stack.await_ready("second")
    sent = [r.send("sleep", b'{"ms": 300}') for _ in range(12)]
    workers = {r.await_reply(task_id)["worker"] for task_id in sent}
    assert len(workers) == 2
    r.await_acked("sleep")


def test_slow_tasks_are_not_hoarded(rig):
    r = rig([{**SLEEP, "concurrency": 2}])
    for _ in range(60):
        r.send("sleep", b'{"ms": 400}')
    eventually(lambda: r.metric("postback_processor_tasks_total", outcome="succeeded") >= 4)
    assert r.metric("postback_processor_prefetch", task="sleep") <= 3
    assert r.vhost.queues()["postback.tasks.sleep"]["ready"] > 5


def test_the_prefetch_grows_for_fast_tasks(rig):
    r = rig([{**ECHO, "concurrency": 4}])
    for _ in range(3):
        for task_id in [r.send("echo", b"x") for _ in range(100)]:
            r.await_reply(task_id)
    assert r.metric("postback_processor_prefetch", task="echo") > 32


def test_killed_again_and_again_every_request_is_answered(rig):
    r = rig([{"task": "work", "exec": ["/bin/sh", "-c", "sleep 0.02; cat"], "concurrency": 4}, {**ECHO, "concurrency": 4}])
    service = r.stack.processor
    sent = {}
    for kill in range(6):
        for n in range(25):
            payload = b"%d.%d" % (kill, n)
            sent[r.send("work" if n % 2 else "echo", payload)] = payload
        eventually(lambda: r.metric("postback_processor_tasks_total") > 0)
        service.kill()
        service.start()
    for task_id, payload in sent.items():
        assert r.await_reply(task_id, timeout=60)["result"] == payload
    for task in ("work", "echo"):
        r.await_acked(task)
    # Twice is allowed when a kill came between reply and ack, but it is the same answer.
    assert all({reply["result"] for reply in r.said(task_id, *FINAL)} == {payload} for task_id, payload in sent.items())
    assert not r.amqp.depth("postback.dead")


def test_a_reply_nobody_takes_does_not_hold_up_the_end(rig):
    r = rig([ECHO], processor={"drain": "30s"})
    r.publish("echo", r.request("echo", b"?"), reply_to="gone")
    eventually(lambda: r.metric("postback_processor_unconfirmed", task="echo") == 1)
    r.stack.processor.stop(timeout=20)
    assert r.vhost.queues()["postback.tasks.echo"]["ready"] == 1
