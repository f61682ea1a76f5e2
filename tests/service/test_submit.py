"""POST /v1/tasks and POST /v1/run/{task}: what is accepted, what is refused, and what travels."""
import datetime
import json
import time

import msgpack
import pytest

from gateway_rig import ECHO, SLEEP, UUID7, Worker, module_stack, problem, text_of

api = module_stack(
    processor={"handlers": [ECHO, SLEEP]},
    gateway={"tasks": ["parked"], "limits": {"body": "1MiB"}})

PAYLOADS = [
    b'{"price":1.10,"n":12345678901234567890,"z":0,"a":"\\u0000","e":1e400}',
    b'"\\ud83d\\ude00 \xf0\x9f\x98\x80"',
    b"[ 1 ,\n\t2 ]",
    b"null",
    b"-0.0",
    b'""',
]


@pytest.fixture
def parked(api):
    worker = Worker(api.vhost, "parked")
    yield worker
    worker.close()


def at(seconds):
    moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds")


# ---- accepted ----

def test_an_envelope_is_accepted_with_id_location_and_links(api):
    response = api.client.envelope("echo", {"a": 1})
    assert response.status_code == 202
    document = response.json()
    assert UUID7.fullmatch(document["id"])
    assert document == {
        "id": document["id"], "task": "echo", "status": "queued",
        "links": {"self": f"/v1/tasks/{document['id']}", "result": f"/v1/tasks/{document['id']}/result",
                  "events": f"/v1/tasks/{document['id']}/events", "ws": f"/v1/tasks/{document['id']}/ws",
                  "deliveries": f"/v1/tasks/{document['id']}/deliveries"}}
    assert response.headers["Location"] == f"/v1/tasks/{document['id']}"
    assert int(response.headers["Retry-After"]) > 0


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_payload_is_not_changed_by_a_byte(api, payload):
    task_id = api.client.submit("echo", payload)
    document = api.client.await_end(task_id)
    assert document["status"] == "succeeded"
    assert api.client.result(task_id).content == payload.strip()
    assert payload.strip() in api.client.get(f"/v1/tasks/{task_id}").content


def test_a_payload_that_is_missing_is_null(api):
    response = api.client.post("/v1/tasks", json={"task": "echo"})
    task_id = response.json()["id"]
    api.client.await_end(task_id)
    assert api.client.result(task_id).content == b"null"


def test_a_body_of_any_type_is_the_payload_as_it_is(api):
    data = bytes(range(256)) * 100
    response = api.client.run("echo", data, "image/x-own; a=b")
    task_id = response.json()["id"]
    assert response.status_code == 202
    document = api.client.await_end(task_id)
    assert "result" not in document
    assert document["result_info"] == {
        "content_type": "image/x-own; a=b", "size": len(data), "href": f"/v1/tasks/{task_id}/result"}
    result = api.client.result(task_id)
    assert result.content == data
    assert result.headers["Content-Type"] == "image/x-own; a=b"


def test_a_multipart_upload_is_passed_on_as_it_came(api):
    response = api.client.post("/v1/run/echo", files={"file": ("a.bin", b"\x00\xff", "application/octet-stream")})
    task_id = response.json()["id"]
    api.client.await_end(task_id)
    result = api.client.result(task_id)
    assert result.headers["Content-Type"].startswith("multipart/form-data; boundary=")
    assert b"\x00\xff" in result.content


def test_an_empty_body_stays_empty(api, parked):
    response = api.client.post("/v1/run/parked")
    assert response.status_code == 202
    request, _ = parked.take()
    assert request["payload"] == b""
    assert request["content_type"] == "application/octet-stream"


def test_what_travels_is_the_wire_format(api, parked):
    before = int(time.time() * 1000)
    response = api.client.envelope(
        "parked", {"a": 1}, timeout="7s", retry={"attempts": 5, "base": "2s", "cap": "1m"}, metadata={"who": "me"},
        expires="10m", headers={"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01", "tracestate": "x=y"})
    assert response.status_code == 202
    request, properties = parked.take()
    assert request["v"] == 1
    assert text_of(request["id"]) == response.json()["id"]
    assert request["task"] == "parked"
    assert json.loads(request["payload"]) == {"a": 1}
    assert request["content_type"] == "application/json"
    assert request["attempt"] == 1
    assert request["max_attempts"] == 5
    assert request["timeout_ms"] == 7000
    assert request["retry"] == {"base_ms": 2000, "cap_ms": 60000}
    assert before <= request["created_at"] <= time.time() * 1000
    assert 0 <= request["deadline"] - before - 600000 < 10000
    context = msgpack.unpackb(request["context"])
    assert context["tenant"] == "default"
    assert json.loads(context["metadata"]) == {"who": "me"}
    assert properties.content_type == "application/msgpack"
    assert properties.delivery_mode == 2
    assert properties.message_id
    assert properties.correlation_id == response.json()["id"]
    assert properties.reply_to == "postback.replies"
    assert properties.type == "parked"
    assert 590000 < int(properties.expiration) <= 600000
    assert properties.headers["traceparent"] == "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    assert properties.headers["tracestate"] == "x=y"


def test_a_broken_traceparent_is_left_out(api, parked):
    api.client.envelope("parked", 1, headers={"traceparent": "00-zz", "tracestate": "x=y"})
    _, properties = parked.take()
    assert "traceparent" not in (properties.headers or {})
    assert "tracestate" not in (properties.headers or {})


def test_options_of_run_stand_in_the_query(api, parked):
    api.client.run("parked", b"1", timeout="3s", attempts=4, base="1s", cap="9s", expires="1m", metadata='{"a":1}')
    request, _ = parked.take()
    assert request["timeout_ms"] == 3000
    assert request["max_attempts"] == 4
    assert request["retry"] == {"base_ms": 1000, "cap_ms": 9000}
    assert json.loads(msgpack.unpackb(request["context"])["metadata"]) == {"a": 1}
    assert request["deadline"] > request["created_at"]


# ---- later ----

@pytest.mark.parametrize("later", [lambda: {"delay": "400ms"}, lambda: {"run_at": at(0.4)}])
def test_a_task_for_later_is_scheduled_then_runs(api, later):
    response = api.client.envelope("echo", "x", **later())
    assert response.status_code == 202
    assert response.json()["status"] == "scheduled"
    task_id = response.json()["id"]
    document = api.client.status(task_id)
    assert document["status"] == "scheduled"
    assert document["due_at"]
    assert api.client.await_end(task_id)["status"] == "succeeded"


def test_run_at_in_the_past_runs_now(api):
    assert api.client.envelope("echo", 1, run_at="2001-01-01T00:00:00Z").json()["status"] == "queued"


def test_then_runs_with_what_came_before(api):
    response = api.client.envelope("echo", {"n": 1}, then={"task": "echo", "payload": {"own": 2.50}, "then": "echo"})
    tasks = response.json()["tasks"]
    assert [task["task"] for task in tasks] == ["echo"] * 3
    assert response.json()["id"] == tasks[0]["id"]
    last = api.client.await_end(tasks[2]["id"])
    middle = api.client.status(tasks[1]["id"])
    assert middle["result"]["own"] == 2.50
    assert middle["result"]["previous"]["result"] == {"n": 1}
    assert last["result"]["previous"]["id"] == tasks[1]["id"]


def test_what_waits_for_a_canceled_task_is_canceled(api):
    response = api.client.envelope("echo", 1, delay="1h", then="echo")
    first, second = (task["id"] for task in response.json()["tasks"])
    assert api.client.status(second)["status"] == "scheduled"
    assert api.client.delete(f"/v1/tasks/{first}").status_code == 200
    assert api.client.await_end(second)["status"] == "canceled"


# ---- refused ----

ENVELOPES = [
    ("not an object", b"[]", "", 422),
    ("a task is missing", b"{}", "/task", 422),
    ("task is a number", b'{"task":1}', "/task", 422),
    ("a bad name", b'{"task":"a b"}', "/task", 422),
    ("an unknown key", b'{"task":"echo","dealy":"1s"}', "/dealy", 422),
    ("an unknown key to be escaped", b'{"task":"echo","a/b~c":1}', "/a~1b~0c", 422),
    ("an unknown key of retry", b'{"task":"echo","retry":{"tries":1}}', "/retry/tries", 422),
    ("no attempts", b'{"task":"echo","retry":{"attempts":0}}', "/retry/attempts", 422),
    ("too many attempts", b'{"task":"echo","retry":{"attempts":101}}', "/retry/attempts", 422),
    ("half an attempt", b'{"task":"echo","retry":{"attempts":1.5}}', "/retry/attempts", 422),
    ("attempts as a text", b'{"task":"echo","retry":{"attempts":"3"}}', "/retry/attempts", 422),
    ("base over cap", b'{"task":"echo","retry":{"base":"2m","cap":"1m"}}', "", 422),
    ("delay is a number", b'{"task":"echo","delay":10}', "/delay", 422),
    ("delay without unit", b'{"task":"echo","delay":"10"}', "/delay", 422),
    ("negative delay", b'{"task":"echo","delay":"-1s"}', "/delay", 422),
    ("delay and run_at", b'{"task":"echo","delay":"1s","run_at":"2099-01-01T00:00:00Z"}', "/run_at", 422),
    ("run_at far away", b'{"task":"echo","run_at":"2999-01-01T00:00:00Z"}', "/run_at", 422),
    ("run_at is no time", b'{"task":"echo","run_at":"tomorrow"}', "/run_at", 422),
    ("run_at without offset", b'{"task":"echo","run_at":"2030-01-01T00:00:00"}', "/run_at", 422),
    ("expired already", b'{"task":"echo","expires":"2001-01-01T00:00:00Z"}', "", 422),
    ("no timeout", b'{"task":"echo","timeout":"0s"}', "/timeout", 422),
    ("priority", b'{"task":"echo","priority":5}', "/priority", 422),
    ("metadata is a list", b'{"task":"echo","metadata":[]}', "/metadata", 422),
    ("much metadata", b'{"task":"echo","metadata":{"a":"' + b"x" * 17000 + b'"}}', "/metadata", 422),
    ("an unknown channel", b'{"task":"echo","deliver":{"pigeon":"https://a.example"}}', "/deliver/pigeon", 422),
    ("deliver is a text", b'{"task":"echo","deliver":"x"}', "/deliver", 422),
    ("then is a number", b'{"task":"echo","then":7}', "/then", 422),
    ("then is no name", b'{"task":"echo","then":"a b"}', "/then", 422),
    ("then with delay", b'{"task":"echo","then":{"task":"echo","delay":"1s"}}', "/then/delay", 422),
    ("then with a list", b'{"task":"echo","then":{"task":"echo","payload":[]}}', "/then/payload", 422),
    ("a typo within then", b'{"task":"echo","then":{"task":"echo","x":1}}', "/then/x", 422),
    ("a duplicate key", b'{"task":"echo","task":"echo"}', None, 400),
    ("a duplicate key in the payload", b'{"task":"echo","payload":{"a":1,"\\u0061":2}}', None, 400),
    ("text behind", b'{"task":"echo"} x', None, 400),
    ("not UTF-8", b'{"task":"echo","payload":"\xff"}', None, 400),
    ("too deep", b'{"task":"echo","payload":' + b"[" * 64 + b"]" * 64 + b"}", None, 400),
    ("nothing", b"", None, 400),
    ("a byte order mark", b'\xef\xbb\xbf{"task":"echo"}', None, 400),
    ("single quotes", b"{'task':'echo'}", None, 400),
    ("NaN", b'{"task":"echo","payload":NaN}', None, 400),
]


@pytest.mark.parametrize("body,field,status", [row[1:] for row in ENVELOPES], ids=[row[0] for row in ENVELOPES])
def test_an_envelope_that_is_wrong_is_refused_with_its_place(api, body, field, status):
    response = api.client.post("/v1/tasks", data=body, headers={"Content-Type": "application/json"})
    if status == 400:
        problem(response, 400, "invalid-json")
    else:
        document = problem(response, 422, "invalid-field")
        if field == "/run_at" and b"delay" in body:
            return  # either of the two may be named
        assert document.get("field", "") == field


def test_who_asks_for_a_priority_is_told_what_to_do_instead(api):
    assert api.client.envelope("echo", 1, priority=0).status_code == 202
    document = problem(api.client.envelope("echo", 1, priority=5), 422, "invalid-field", "/priority")
    assert "leave it out" in document["detail"] and "task name of its own" in document["detail"]


def test_more_than_eight_tasks_in_a_row_are_refused(api):
    envelope = {"task": "echo"}
    for _ in range(7):
        envelope = {"task": "echo", "then": envelope}
    response = api.client.post("/v1/tasks", json=envelope)
    assert response.status_code == 202
    assert len(response.json()["tasks"]) == 8
    problem(api.client.post("/v1/tasks", json={"task": "echo", "then": envelope}), 422, "invalid-field",
            "/then" * 8)


@pytest.mark.parametrize("option", ["delay", "run_at", "expires", "timeout", "retry", "priority", "metadata", "then",
                                    "deliver"])
def test_null_stands_for_an_option_that_is_not_given(api, option):
    assert api.client.envelope("echo", 1, **{option: None}).status_code == 202


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
def test_an_envelope_of_another_type_is_415(api, content_type):
    response = api.client.post("/v1/tasks", data=b'{"task":"echo"}', headers={"Content-Type": content_type})
    problem(response, 415, "media-type")


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "application/vnd.x+json",
                                          "APPLICATION/JSON"])
def test_an_envelope_may_be_any_json_type(api, content_type):
    response = api.client.post("/v1/tasks", data=b'{"task":"echo"}', headers={"Content-Type": content_type})
    assert response.status_code == 202


@pytest.mark.parametrize("body", [b"{", b'{"a":1,"a":2}', b"\xff", b"", b"[" * 65 + b"]" * 65])
def test_a_json_payload_must_be_json(api, body):
    problem(api.client.run("echo", body), 400, "invalid-json")
    assert api.client.run("echo", body, "text/plain").status_code == 202


QUERIES = [
    ("delya=1s", "delya"), ("delay=x", "delay"), ("delay=1s&delay=2s", "delay"), ("mode=fast", "mode"),
    ("attempts=0", "attempts"), ("attempts=", "attempts"), ("metadata=x", "metadata"), ("metadata=[]", "metadata"),
    ("webhook=ftp://a.example", "webhook"), ("email=a.b", "email"), ("sms=%2B86", "sms"), ("priority=1", "priority"),
    ("mode=sync&delay=1s", "mode"), ("mode=sync&webhook=https%3A%2F%2Fa.example", "mode"),
]


@pytest.mark.parametrize("query,field", QUERIES)
def test_an_option_in_the_query_that_is_wrong_is_refused(api, query, field):
    problem(api.client.post(f"/v1/run/echo?{query}", data=b"1"), 422, "invalid-field", field)


@pytest.mark.parametrize("method,path", [
    ("POST", "/v1/tasks"), ("POST", "/v1/batches"), ("GET", "/v1/tasks"), ("GET", "/v1/queues"),
    ("GET", "/v1/endpoints"), ("GET", "/v1/events"), ("POST", "/v1/tickets")])
def test_a_parameter_that_is_not_known_is_named(api, method, path):
    document = problem(api.client.request(method, f"{path}?wiat=1", json={}), 422, "invalid-field", "wiat")
    assert "query parameter: wiat" in document["detail"]


def test_options_of_an_envelope_do_not_stand_in_the_query(api):
    response = api.client.post("/v1/tasks?delay=1s", json={"task": "echo"})
    problem(response, 422, "invalid-field")


@pytest.mark.parametrize("send", [
    lambda c: c.envelope("nobody", 1), lambda c: c.run("nobody", b"1"), lambda c: c.run("nobody", b"1", mode="sync"),
    lambda c: c.envelope("nobody", 1, delay="1h"), lambda c: c.envelope("echo", 1, then="nobody"),
    lambda c: c.envelope("echo", 1, then={"task": "echo", "then": "nobody"})])
def test_a_task_without_a_queue_is_404(api, send):
    document = problem(send(api.client), 404, "unknown-task")
    assert document["detail"] == "No queue for this task: start its processor or name it in gateway.tasks."
    assert document["task"] == "nobody"


def test_a_refused_chain_leaves_nothing_behind(api):
    def count():
        return len(api.client.get("/v1/tasks?limit=200").json()["tasks"])

    before = count()
    problem(api.client.envelope("nobody", 1, then="echo"), 404, "unknown-task")
    assert count() == before


def test_a_bad_task_name_in_the_path_is_422(api):
    problem(api.client.post("/v1/run/a%20b", data=b"1"), 422, "invalid-field")


def test_a_body_over_the_limit_is_413(api):
    problem(api.client.run("echo", b"x" * (1024 * 1024 + 1), "text/plain"), 413, "too-large")
    assert api.client.run("echo", b"x" * 1024 * 1024, "text/plain").status_code == 202


def test_declared_tasks_have_a_queue_without_a_processor(api, parked):
    assert api.client.run("parked", b"1").status_code == 202
    parked.take()


def test_submissions_are_counted(api):
    api.client.submit("echo", 1)
    api.client.run("nobody", b"1")
    text = api.client.get("/metrics").text
    assert 'postback_gateway_submissions_total{mode="async",outcome="accepted"}' in text
    assert 'postback_gateway_submissions_total{mode="async",outcome="no_queue"}' in text
