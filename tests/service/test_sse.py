"""Server-sent events: a task's changes as they happen, and a tenant's."""
import hashlib
import json
import re
import socket
import struct
import subprocess
import threading
import uuid

import msgpack
import pytest

from gateway_rig import ECHO, SLEEP, Worker, module_stack, problem, shell
from lib.metrics import metric
from lib.raw import RawConnection
from lib.sse import EventStream
from lib.wait import eventually

api = module_stack(
    processor={"handlers": [
        ECHO, SLEEP,
        shell("large", "printf '\"'; head -c 39998 /dev/zero | tr '\\0' 1; printf '\"'", content_type="application/json"),
        shell("lines", "printf '{\\n \"a\": 1,\\r\\n \"b\": 2\\r}'", content_type="application/json"),
        shell("page", "printf '<p>'", content_type="text/html"),
    ]},
    gateway={"tasks": ["parked"], "routes": [{"path": "GET /follow/{id}", "live_of": "id"}]})


@pytest.fixture
def parked(api):
    worker = Worker(api.vhost, "parked")
    yield worker
    worker.close()


def follow(api, task_id, **options):
    return EventStream(api.ports["gateway"], f"/v1/tasks/{task_id}/events", **options)


def progress(parked, taken, seq, percent):
    parked.reply(*taken, kind="progress", seq=seq, progress={"percent": percent})


# ---- one task ----

def test_a_task_is_told_from_what_it_is_to_its_end(api, parked):
    task_id = api.client.submit("parked", {"n": 1})
    with follow(api, task_id) as stream:
        assert stream.status == 200
        stream.await_events(1)
        taken = parked.take()
        parked.reply(*taken, kind="started")
        for n in range(1, 6):
            progress(parked, taken, n, n * 20)
        parked.reply(*taken, result=b'{"done":1.10}', content_type="application/json")
        stream.await_end()
        assert stream.statuses() == ["queued"] + ["running"] * 6 + ["succeeded"]
        assert stream.revs() == list(range(8))
        assert [event.id for event in stream.events] == [str(rev) for rev in range(8)]
        assert '"result":{"done":1.10}' in stream.events[-1].data
        assert [d["progress"]["percent"] for d in stream.documents()[2:7]] == [20, 40, 60, 80, 100]
        assert stream.retry == 2000


def test_each_event_is_the_status_document(api):
    task_id = api.client.submit("echo", {"n": 1}, metadata={"k": "v"})
    with follow(api, task_id) as stream:
        stream.await_end()
    assert stream.documents()[-1] == api.client.status(task_id)


def test_the_answer_tells_proxies_not_to_keep_it_back(api, parked):
    task_id = api.client.submit("parked")
    with follow(api, task_id) as stream:
        assert stream.headers["Content-Type"] == "text/event-stream"
        assert stream.headers["Cache-Control"] == "no-cache, no-transform"
        assert stream.headers["X-Accel-Buffering"] == "no"
        assert stream.headers["X-Request-Id"]
        assert "Content-Length" not in stream.headers
    parked.take()


def test_what_has_ended_is_told_at_once_and_that_is_all(api):
    task_id = api.client.submit("echo", {"n": 1})
    api.client.await_end(task_id)
    with follow(api, task_id) as stream:
        stream.await_end()
    assert stream.statuses() == ["succeeded"]


def test_who_comes_again_with_the_last_id_gets_only_what_is_new(api, parked):
    task_id = api.client.submit("parked")
    taken = parked.take()
    parked.reply(*taken, kind="started")
    api.client.await_status(task_id, "running")
    with follow(api, task_id, headers={"Last-Event-ID": "1"}) as stream:
        progress(parked, taken, 1, 50)
        stream.await_events(1)
        assert stream.revs() == [2]
    parked.reply(*taken, result=b"1", content_type="application/json")
    api.client.await_end(task_id)
    with follow(api, task_id, headers={"Last-Event-ID": "2"}) as stream:
        stream.await_end()
        assert stream.revs() == [3]


def test_who_has_seen_the_end_is_told_not_to_come_again(api):
    task_id = api.client.submit("echo", 1)
    rev = api.client.await_end(task_id)["rev"]
    answer = api.client.get(f"/v1/tasks/{task_id}/events", headers={"Last-Event-ID": str(rev)})
    assert (answer.status_code, answer.content) == (204, b"")
    answer = api.client.get(f"/v1/tasks/{task_id}/events?last_event_id={rev}")
    assert answer.status_code == 204


@pytest.mark.parametrize("last", ["", "x", "-1", "99999999999999999999999", "1/2", "7\t"])
def test_a_last_id_that_is_none_of_ours_means_that_nothing_was_seen(api, last):
    task_id = api.client.submit("echo", 1)
    api.client.await_end(task_id)
    with follow(api, task_id, headers={"Last-Event-ID": last}) as stream:
        stream.await_end()
        assert stream.statuses() == ["succeeded"]


def test_a_result_that_is_too_large_for_an_event_is_there_all_the_same(api):
    task_id = api.client.submit("large")
    with follow(api, task_id) as stream:
        stream.await_end()
    document = stream.documents()[-1]
    assert document["status"] == "succeeded"
    assert document["result_info"]["size"] == 40000
    assert document["result"] == "1" * 39998


def test_a_result_of_several_lines_comes_as_several_lines(api):
    task_id = api.client.submit("lines")
    with follow(api, task_id) as stream:
        stream.await_end()
    assert stream.documents()[-1]["result"] == {"a": 1, "b": 2}


def test_a_result_that_is_no_json_is_told_by_where_it_is(api):
    task_id = api.client.submit("page")
    with follow(api, task_id) as stream:
        stream.await_end()
    document = stream.documents()[-1]
    assert "result" not in document and document["result_info"]["content_type"] == "text/html"


def test_delays_chains_cancels_and_retries_are_told(api, parked):
    first = api.client.submit("sleep", {"seconds": 0.1}, delay="3s")
    second = api.client.submit("parked", 1, delay="1h")
    chain = api.client.envelope("echo", 1, delay="200ms", then="echo").json()
    with follow(api, first) as stream, follow(api, second) as other:
        other.await_events(1)
        assert api.client.delete(f"/v1/tasks/{second}").status_code in (200, 202, 204)
        other.await_end()
        assert other.statuses() == ["scheduled", "canceled"]
        stream.await_end()
        assert stream.statuses()[0] == "scheduled" and stream.statuses()[-1] == "succeeded"
        assert "queued" in stream.statuses()
    assert api.client.await_end(chain["id"])["status"] == "succeeded"


def test_many_followers_of_one_task_all_get_every_change(api, parked):
    task_id = api.client.submit("parked")
    taken = parked.take()
    streams = [follow(api, task_id) for _ in range(50)]
    for stream in streams:
        stream.await_events(1)
    parked.reply(*taken, kind="started")
    for n in range(1, 20):
        progress(parked, taken, n, n)
    parked.reply(*taken, result=b"1", content_type="application/json")
    for stream in streams:
        stream.await_end()
        assert stream.revs() == list(range(22))


def test_ids_that_are_none_get_the_answers_of_the_status_document(api):
    for path in ("/v1/tasks/nonsense/events", "/v1/tasks/0190b0a0-0000-7000-8000-000000000000/events"):
        problem(api.client.get(path), 404, "not-found")
    task_id = api.client.submit("echo", 1)
    problem(api.client.get(f"/v1/tasks/{task_id}/events?what=1"), 422, "invalid-field")
    answer = api.client.request("POST", f"/v1/tasks/{task_id}/events")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
    head = api.client.request("HEAD", f"/v1/tasks/{task_id}/events")
    assert (head.status_code, head.headers["Content-Type"], head.content) == (200, "text/event-stream", b"")


def test_the_answer_to_a_submission_says_where_to_follow_it(api):
    document = api.client.envelope("echo", 1).json()
    assert document["links"]["events"] == f"/v1/tasks/{document['id']}/events"
    assert document["links"]["ws"] == f"/v1/tasks/{document['id']}/ws"
    with EventStream(api.ports["gateway"], document["links"]["events"]) as stream:
        stream.await_end()


def test_a_route_can_be_a_stream(api):
    task_id = api.client.submit("echo", 1)
    with EventStream(api.ports["gateway"], f"/follow/{task_id}") as stream:
        stream.await_end()
    assert stream.statuses()[-1] == "succeeded"
    problem(api.client.get("/follow/nonsense"), 404, "not-found")


def test_curl_follows_a_task_to_its_end(api):
    task_id = api.client.submit("sleep", {"seconds": 1.2})
    told = subprocess.run(["curl", "-sN", f"{api.client.base}/v1/tasks/{task_id}/events"], capture_output=True,
                          timeout=30, check=True).stdout.decode()
    assert re.fullmatch(r"retry: 2000\n\n(id: \d+\nevent: status\ndata: \{.*\}\n\n)+", told)
    assert json.loads(told.split("data: ")[-1])["status"] == "succeeded"


def test_a_client_of_http_1_0_is_served_too(api):
    task_id = api.client.submit("echo", 1)
    with RawConnection(api.ports["gateway"]) as raw:
        raw.send(f"GET /v1/tasks/{task_id}/events HTTP/1.0\r\n\r\n")
        _, _, told = raw.response()
    assert told.startswith(b"retry: 2000\n\n") and b'"status":"succeeded"' in told


# ---- a tenant ----

def tenant(api, query=""):
    return EventStream(api.ports["gateway"], f"/v1/events{query}")


def of(stream, task_id):
    return [d["status"] for d in stream.documents() if d["id"] == task_id]


def test_everything_of_a_tenant_is_told(api, parked):
    with tenant(api) as stream, tenant(api, "?task=parked") as only:
        for each in (stream, only):
            each.await_events(1)
            assert each.events[0].name == "start"
        done = api.client.submit("echo", 1)
        task_id = api.client.submit("parked")
        taken = parked.take()
        parked.reply(*taken, kind="started")
        progress(parked, taken, 1, 50)
        parked.reply(*taken, result=b"1", content_type="application/json")
        eventually(lambda: of(stream, done) == ["succeeded"] and
                   of(stream, task_id) == ["running", "running", "succeeded"])
        eventually(lambda: of(only, task_id) == ["running", "running", "succeeded"])
        assert {d["task"] for d in only.documents()} == {"parked"}
        assert {event.id for event in only.events[1:]} == {f"{task_id}/{rev}" for rev in (1, 2, 3)}
        large = api.client.submit("large")
        eventually(lambda: of(stream, large) == ["succeeded"])
        assert max(len(event.data) for event in stream.events) > 40000


def test_a_stream_of_a_tenant_refuses_what_it_does_not_know(api):
    problem(api.client.get("/v1/events?task=-no"), 422, "invalid-field")
    problem(api.client.get("/v1/events?status=dead"), 422, "invalid-field")


def test_a_tenant_hears_of_its_own_tasks_alone(stack):
    keys = {"acme": "key-of-acme", "other": "key-of-other"}
    stack.start({"gateway": {"auth": {"keys": [
        {"tenant": tenant, "sha256": hashlib.sha256(key.encode()).hexdigest()} for tenant, key in keys.items()]}}})
    acme, other = (stack.client_of("gateway", key=key) for key in keys.values())
    headers = [{"Authorization": f"Bearer {key}"} for key in keys.values()]
    port = stack.ports["gateway"]
    with EventStream(port, "/v1/events", headers=headers[0]) as mine, \
            EventStream(port, "/v1/events", headers=headers[1]) as theirs:
        mine.await_events(1)
        theirs.await_events(1)
        task_id, foreign = acme.submit("echo", 1), other.submit("echo", 2)
        eventually(lambda: mine.documents() and theirs.documents())
        assert {document["id"] for document in mine.documents()} == {task_id}
        assert {document["id"] for document in theirs.documents()} == {foreign}
    path = f"/v1/tasks/{task_id}/events"
    problem(other.get(path), 404, "not-found")
    problem(stack.client.get(path), 401, "unauthorized")
    problem(stack.client.get(f"{path}?key={keys['acme']}"), 401, "unauthorized")
    ticket = acme.post("/v1/tickets").json()["ticket"]
    with EventStream(port, f"{path}?ticket={ticket}") as stream:
        stream.await_end()
        assert stream.statuses() == ["succeeded"]
    problem(stack.client.get(f"/v1/tasks/{foreign}/events?ticket={ticket}"), 404, "not-found")
    with EventStream(port, f"/v1/events?ticket={ticket}") as stream:
        stream.await_events(1)


# ---- what comes from the broker ----

def shard_of(task_id):
    """docs/protocol.md"""
    value = 2166136261
    for byte in uuid.UUID(task_id).bytes:
        value = (value ^ byte) * 16777619 % 2 ** 32
    return (value ^ value >> 16) % 1024


def mark(shard, count):
    return struct.pack(">HI", shard, count)


def gaps(api):
    return metric(api.client, "postback_gateway_live_gaps_total")


def test_a_message_that_was_lost_is_seen_by_the_counts(api, parked):
    task_id = api.client.submit("parked")
    parked.take()
    shard = shard_of(task_id)
    with follow(api, task_id) as stream, api.vhost.amqp() as amqp:
        stream.await_events(1)

        def tell(publisher, count, shard=shard):
            amqp.publish("postback.events", str(shard_of(task_id)), msgpack.packb(
                {"v": 1, "publisher": publisher, "marks": mark(shard, count)}))

        before = gaps(api)
        for publisher, count in ((1, 5), (1, 6), (2, 1), (1, 7), (2, 2)):
            tell(publisher, count)
        # Of a shard that is not listened to, nothing follows.
        tell(1, 9, shard=(shard + 1) % 1024)
        tell(1, 8)
        read = metric(api.client, "postback_gateway_live_reads_total")
        assert gaps(api) == before
        tell(2, 4)
        eventually(lambda: gaps(api) == before + 1)
        eventually(lambda: metric(api.client, "postback_gateway_live_reads_total") > read)
        tell(2, 5)
        assert len(stream.documents()) == 1


@pytest.mark.parametrize("body", [
    b"", b"\xc1", b"\x80", msgpack.packb({"v": 2}), msgpack.packb({"v": 1, "publisher": 1, "marks": b"123"}),
    msgpack.packb({"v": 1, "publisher": 1, "marks": b"", "events": [1, {}, {"id": b"x"}]}), b"\xdf\xff\xff\xff\xff" * 9])
def test_what_is_no_live_event_is_let_go(api, parked, body):
    task_id = api.client.submit("parked")
    taken = parked.take()
    with follow(api, task_id) as stream, api.vhost.amqp() as amqp:
        stream.await_events(1)
        amqp.publish("postback.events", str(shard_of(task_id)), body)
        parked.reply(*taken, result=b"1", content_type="application/json")
        stream.await_end()
        assert stream.statuses() == ["queued", "succeeded"]


# ---- clients that behave badly ----

def live_connections(api):
    return metric(api.client, "postback_gateway_event_streams")


def test_thousands_that_open_and_leave_leave_nothing(api, parked):
    task_id = api.client.submit("parked")
    taken = parked.take()
    gateway = api.gateway
    before = gateway.fd_count()

    def come_and_go(count):
        for n in range(count):
            raw = RawConnection(api.ports["gateway"])
            raw.send(f"GET /v1/tasks/{task_id}/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            if n % 2:
                raw.socket.recv(1)
            raw.close()

    threads = [threading.Thread(target=come_and_go, args=(250,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eventually(lambda: live_connections(api) == 0)
    eventually(lambda: metric(api.client, "postback_gateway_followers") == 0)
    eventually(lambda: gateway.fd_count() <= before + 2)
    parked.reply(*taken, result=b"1", content_type="application/json")
    assert api.client.await_end(task_id)["status"] == "succeeded"


def test_one_that_does_not_read_is_cut_and_what_it_held_is_given_back(api):
    stack = api
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", stack.ports["gateway"]))
        client.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        client.recv(1)
        cut = metric(api.client, "postback_gateway_refusals_total", reason="slow-reader")

        def is_cut():
            for _ in range(50):
                api.client.submit("echo", "x" * 10000)
            return metric(api.client, "postback_gateway_refusals_total", reason="slow-reader") > cut

        eventually(is_cut, timeout=90)
    eventually(lambda: live_connections(api) == 0)
    # The question itself is some of it.
    eventually(lambda: metric(api.client, "postback_gateway_bodies_bytes") < 4096)


def test_comments_keep_a_silent_stream_awake(stack):
    stack.start({"gateway": {"live": {"ping": "400ms"}, "tasks": ["parked"]}}, only=("gateway", "notifier"))
    task_id = stack.client.submit("parked")
    with EventStream(stack.ports["gateway"], f"/v1/tasks/{task_id}/events") as stream:
        eventually(lambda: stream.comments >= 3)
        assert len(stream.documents()) == 1


def test_one_that_ends_its_sending_side_has_left(api, parked):
    task_id = api.client.submit("parked")
    parked.take()
    with RawConnection(api.ports["gateway"]) as raw:
        raw.send(f"GET /v1/tasks/{task_id}/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        raw.socket.recv(1)
        raw.socket.shutdown(socket.SHUT_WR)
        eventually(lambda: live_connections(api) == 0)
