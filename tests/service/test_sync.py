"""The inline lane: held open, answered with the result."""
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgpack
import pytest

from gateway_rig import ECHO, SLEEP, Worker, module_stack, problem, shell
from lib.wait import eventually


class Upstream(BaseHTTPRequestHandler):
    """Answers with the status that stands in the path."""

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        self.rfile.read(length)
        body = b'{"detail":[{"loc":["body","n"],"msg":"1.10"}]}'
        self.send_response(int(self.path.rsplit("/", 1)[1]))
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
threading.Thread(target=server.serve_forever, daemon=True).start()


def upstream(status):
    url = f"http://127.0.0.1:{server.server_port}/{status}"
    return {"task": f"http{status}", "http": {"url": url}, "retry": {"attempts": 3, "base": "1s"}}


api = module_stack(
    processor={"handlers": [
        ECHO, SLEEP, upstream(422), upstream(404), upstream(429), upstream(500), upstream(200),
        shell("page", "printf '<b>'", content_type="text/html"),
        shell("refuses", "echo 'not this' >&2; exit 65"),
        shell("breaks", "exit 3"),
        shell("tries", "exit 3", retry={"attempts": 5, "base": "1s"}),
        shell("long", "exec sleep 60", timeout="50s"),
        shell("floods", "yes", output_limit="64KiB"),
    ]},
    gateway={"limits": {"sync_timeout": "5s"}, "tasks": ["parked"]})


@pytest.fixture
def inline(api):
    """A worker on the inline queue of a task that no processor runs."""
    worker = Worker(api.vhost, "parked", "inline")
    yield worker
    worker.amqp.delete(worker.queue)
    worker.close()


def in_background(call):
    out = {}
    thread = threading.Thread(target=lambda: out.update(result=call()))
    thread.start()

    def join():
        thread.join(30)
        return out["result"]

    return join


@pytest.mark.parametrize("payload", [b'{"a":1.10,"b":12345678901234567890}', b'"\\u0000"', b"[ ]"])
def test_the_result_comes_as_it_is(api, payload):
    response = api.client.run("echo", payload, mode="sync")
    assert response.status_code == 200
    assert response.content == payload
    assert response.headers["Content-Type"] == "application/json"


def test_an_envelope_can_be_sync(api):
    response = api.client.post("/v1/tasks?mode=sync", json={"task": "echo", "payload": {"a": 1}})
    assert response.status_code == 200
    assert response.json() == {"a": 1}


def test_a_result_of_any_type_is_made_harmless(api):
    response = api.client.run("page", b"", "text/plain", mode="sync")
    assert response.content == b"<b>"
    assert response.headers["Content-Type"] == "text/html"
    assert response.headers["Content-Security-Policy"].startswith("sandbox")


def test_nothing_of_it_is_stored(api):
    def listed():
        return [task["id"] for task in api.client.get("/v1/tasks?limit=200").json()["tasks"]]

    before = listed()
    api.client.run("echo", b"1", mode="sync")
    problem(api.client.run("refuses", b"1", mode="sync"), 422, "task-failed")
    assert listed() == before


@pytest.mark.parametrize("task,status,name", [
    ("refuses", 422, "task-failed"), ("breaks", 502, "handler-broken"), ("tries", 502, "handler-broken"),
    ("floods", 502, "handler-broken"), ("http500", 502, "handler-broken"), ("long", 504, "handler-timeout")])
def test_a_failure_is_a_problem(api, task, status, name):
    document = problem(api.client.run(task, b"1", mode="sync"), status, name)
    assert document["id"]


def test_a_failure_tells_what_the_handler_said(api):
    document = problem(api.client.run("refuses", b"1", mode="sync"), 422, "task-failed")
    assert document["error"]["status"] == 65
    assert document["error"]["data"] == "not this"


@pytest.mark.parametrize("status", [404, 422, 429])
def test_an_upstreams_own_4xx_passes_through(api, status):
    response = api.client.run(f"http{status}", b"{}", mode="sync")
    assert response.status_code == status
    assert response.content == b'{"detail":[{"loc":["body","n"],"msg":"1.10"}]}'
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"


def test_a_lower_timeout_counts(api):
    began = time.monotonic()
    problem(api.client.run("sleep", b"30", mode="sync", timeout="300ms"), 504, "handler-timeout")
    assert time.monotonic() - began < 4.9


def test_a_task_that_nobody_runs_is_503(api):
    problem(api.client.run("parked", b"1", mode="sync"), 503, "no-processor")


def test_what_a_processor_gets_is_transient_and_expires(api, inline):
    join = in_background(lambda: api.client.run("parked", b"1.0", mode="sync", timeout="4500ms"))
    request, properties = inline.take()
    assert properties.expiration == "4500"
    assert properties.delivery_mode == 1
    assert properties.reply_to.startswith("postback.gateway.")
    assert request["timeout_ms"] == 4500
    assert request["max_attempts"] == 1
    assert 0 < request["deadline"] - request["created_at"] <= 4600
    assert msgpack.unpackb(request["context"])["is_inline"] is True
    inline.reply(request, properties, result=b"2.0", content_type="application/json")
    assert join().content == b"2.0"


def test_only_the_first_outcome_of_the_right_id_counts(api, inline):
    join = in_background(lambda: api.client.run("parked", b"1", mode="sync"))
    request, properties = inline.take()
    inline.reply({**request, "id": b"\x01" * 6 + b"\x70" + b"\x01" + b"\x80" + b"\x01" * 7}, properties,
                 result=b"0", content_type="application/json")
    inline.amqp.channel.basic_publish("postback.reply", properties.reply_to, b"garbage")
    inline.reply(request, properties, "started")
    inline.reply(request, properties, "progress", progress=1, seq=1)
    inline.reply(request, properties, result=b"1", content_type="application/json")
    inline.reply(request, properties, result=b"2", content_type="application/json")
    assert join().content == b"1"
    assert api.client.run("echo", b"3", mode="sync").content == b"3"


def test_a_late_reply_is_ignored(api, inline):
    join = in_background(lambda: api.client.run("parked", b"1", mode="sync", timeout="2s"))
    request, properties = inline.take()
    problem(join(), 504, "handler-timeout")
    inline.reply(request, properties, result=b"1", content_type="application/json")
    assert api.client.run("echo", b"3", mode="sync").content == b"3"


def test_a_client_that_leaves_cancels_it(api, vhost_control):
    port = api.ports["gateway"]
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"POST /v1/run/sleep?mode=sync HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
                       b"Content-Type: application/json\r\n\r\n60")
        queue = "postback.inline.sleep"
        eventually(lambda: api.vhost.queues()[queue]["unacked"] == 1, what="it runs")
    control = vhost_control()
    assert control["kind"] == "cancel"
    eventually(lambda: api.vhost.queues()[queue]["unacked"] == 0, timeout=4.9, what="the handler has stopped")


@pytest.fixture
def vhost_control(api):
    """Gives the next message of the control exchange."""
    amqp = api.vhost.amqp()
    queue = amqp.channel.queue_declare("", exclusive=True).method.queue
    amqp.channel.queue_bind(queue, "postback.control", "")
    yield lambda: msgpack.unpackb(eventually(lambda: amqp.get(queue), what="a control message")[2])
    amqp.close()


def test_many_at_once_get_each_its_own(api):
    joins = [in_background(lambda n=n: api.client.run("echo", str(n).encode(), mode="sync").content)
             for n in range(60)]
    assert [join() for join in joins] == [str(n).encode() for n in range(60)]


@pytest.mark.parametrize("options", [{"then": "echo"}, {"delay": "1s"}, {"run_at": "2030-01-01T00:00:00Z"}])
def test_what_runs_later_cannot_be_sync(api, options):
    response = api.client.post("/v1/tasks?mode=sync", json={"task": "echo", **options})
    problem(response, 422, "invalid-field")


def test_a_lost_connection_is_told_and_the_next_call_works(stack, vhost, broker_proxy):
    stack.start({"amqp": {"url": broker_proxy.url(vhost.url)}}, only=("gateway",))
    stack.configure({"amqp": {"url": vhost.url}})
    stack.add("processor")
    stack.await_ready()
    assert stack.client.run("echo", b"1", mode="sync").content == b"1"
    join = in_background(lambda: stack.client.run("sleep", b"20", mode="sync"))
    eventually(lambda: vhost.queues()["postback.inline.sleep"]["unacked"] == 1, what="it runs")
    broker_proxy.cut()
    document = problem(join(), 503, "broker-unavailable")
    assert document["outcome"] == "unknown"
    eventually(lambda: stack.client.run("echo", b"2", mode="sync").content == b"2", what="a fresh reply queue")
