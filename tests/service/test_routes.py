"""Configured routes: the shape of an API that exists already."""
import json

import msgpack
import pytest

from gateway_rig import ECHO, SLEEP, UUID7, Worker, module_stack, problem, shell
from lib.wait import eventually

api = module_stack(
    processor={"handlers": [ECHO, SLEEP, shell("refuses", "exit 65")]},
    gateway={
        "limits": {"sync_timeout": "1s"},
        "tasks": ["audit", "notify", "upload"],
        "routes": [
            {"path": "POST /process", "task": "echo", "mode": "async",
             "reply": {"status": 200, "body": {"message": "Request is being processed", "task_id": "{id}"}}},
            {"path": "POST /process_sync", "task": "echo", "mode": "sync"},
            {"path": "POST /send-notification/{email}", "tasks": [{"task": "audit", "when": "q"}, "notify"]},
            {"path": "POST /chain/{who}", "tasks": ["echo", "refuses", "echo"]},
            {"path": "POST /slow", "tasks": ["sleep", "echo", "echo"]},
            {"path": "POST /waits", "tasks": ["audit", "echo", "echo"]},
            {"path": "GET /result/{task_id}", "status_of": "task_id"},
            {"path": "GET /file/{task_id}", "result_of": "task_id"},
            {"path": "/any/{a}/{b}", "task": "echo", "mode": "sync"},
            {"path": "POST /upload/{name}", "task": "upload"},
            {"path": "POST /quick", "task": "sleep", "mode": "sync", "timeout": "200ms"},
            {"path": "POST /patient", "task": "sleep", "mode": "sync", "timeout": "20s"},
            {"path": "POST /greet/{who}", "task": "echo",
             "reply": {"status": 201, "body": {"hello": "{who}", "from": ["{q}", {"task": "{task}"}], "left": "{other}",
                                               "n": 1}}},
        ],
    })


@pytest.fixture
def workers(api):
    made = {task: Worker(api.vhost, task) for task in ("audit", "notify", "upload")}
    yield made
    for worker in made.values():
        worker.close()


def sync(api, path, **options):
    response = api.client.post(path, **options)
    assert response.status_code == 200, response.text
    return response


# ---- the calls of the usual tutorials ----

@pytest.mark.parametrize("path", ["/process", "/process/"])
def test_an_id_comes_at_once_in_the_shape_that_is_configured(api, path):
    response = api.client.post(path, json={"n": 1})
    assert response.status_code == 200
    document = response.json()
    assert set(document) == {"message", "task_id"}
    assert document["message"] == "Request is being processed"
    assert UUID7.fullmatch(document["task_id"])
    assert response.headers["Location"] == f"/v1/tasks/{document['task_id']}"
    status = eventually(lambda: _ended(api.client.get(f"/result/{document['task_id']}/")))
    assert status["status"] == "succeeded"
    assert status["result"] == {"n": 1}
    assert api.client.get(f"/file/{document['task_id']}").json() == {"n": 1}


def _ended(response):
    return response.json() if response.json()["status"] == "succeeded" else None


def test_parameters_of_the_query_are_the_payload_of_an_empty_body(api):
    assert sync(api, "/process_sync/?name=Bob").content == b'{"name":"Bob"}'
    assert sync(api, "/process_sync").content == b"{}"


def test_a_chain_runs_in_order_and_the_last_id_is_the_answers(api, workers):
    response = api.client.post("/send-notification/123456.qq.com?q=IAmBigMan")
    assert response.status_code == 202
    document = response.json()
    assert [task["task"] for task in document["tasks"]] == ["audit", "notify"]
    assert document["id"] == document["tasks"][1]["id"]
    assert document["task"] == "notify"
    assert document["status"] == "scheduled"
    payload = {"email": "123456.qq.com", "q": "IAmBigMan"}
    request, properties = workers["audit"].take()
    assert json.loads(request["payload"]) == payload
    assert workers["notify"].amqp.depth("postback.tasks.notify") == 0
    workers["audit"].reply(request, properties, result=b"{}", content_type="application/json")
    request, properties = workers["notify"].take()
    assert json.loads(request["payload"]) == payload
    workers["notify"].reply(request, properties, result=b"{}", content_type="application/json")
    assert api.client.await_end(document["id"])["status"] == "succeeded"


def test_a_step_is_left_out_when_its_parameter_is_absent(api, workers):
    document = api.client.post("/send-notification/a@b").json()
    assert document["task"] == "notify"
    assert document["status"] == "queued"
    assert "tasks" not in document
    request, _ = workers["notify"].take()
    assert json.loads(request["payload"]) == {"email": "a@b"}


def test_when_a_step_fails_the_rest_is_canceled(api):
    document = api.client.post("/chain/me").json()
    ids = [task["id"] for task in document["tasks"]]
    assert api.client.await_end(ids[2])["status"] == "canceled"
    assert [api.client.status(task_id)["status"] for task_id in ids] == ["succeeded", "failed", "canceled"]
    assert api.client.status(ids[0])["result"] == {"who": "me"}


@pytest.mark.parametrize("step", [1, 2])
def test_a_chain_is_canceled_with_the_step_that_runs_for_it(api, step):
    ids = [task["id"] for task in api.client.post("/slow", json={"seconds": 60}).json()["tasks"]]
    api.client.await_status(ids[0], "running")
    response = api.client.delete(f"/v1/tasks/{ids[step]}")
    assert response.status_code == 200
    assert (response.json()["id"], response.json()["status"]) == (ids[step], "canceled")
    assert response.json()["error"]["type"] == "canceled"
    assert [api.client.await_end(task_id)["status"] for task_id in ids] == ["canceled"] * 3
    assert api.client.delete(f"/v1/tasks/{ids[step]}").status_code == 200


def test_a_chain_is_canceled_before_its_first_step_runs(api, workers):
    ids = [task["id"] for task in api.client.post("/waits").json()["tasks"]]
    assert api.client.delete(f"/v1/tasks/{ids[2]}").json()["status"] == "canceled"
    assert [api.client.status(task_id)["status"] for task_id in ids] == ["queued", "canceled", "canceled"]
    request, properties = workers["audit"].take()
    workers["audit"].reply(request, properties, kind="canceled")
    assert api.client.await_end(ids[0])["status"] == "canceled"


def test_what_a_then_follows_is_not_canceled_with_it(api):
    first, second = (task["id"] for task in api.client.envelope("sleep", 0.5, then="echo").json()["tasks"])
    assert api.client.delete(f"/v1/tasks/{second}").json()["status"] == "canceled"
    assert api.client.await_end(first)["status"] == "succeeded"


# ---- joining ----

BODIES = [
    (b'{"a":1.10,"b":[ 1, 2 ]}', "?c=3", b'{"a":1.10,"b":[ 1, 2 ],"c":"3"}'),
    (b'{"a":1}', "?a=2", b'{"a":"2"}'),
    (b'{"\\u0061":1,"z":12345678901234567890}', "?a=2", b'{"z":12345678901234567890,"a":"2"}'),
    (b'{ "a" : 1 }', "", b'{ "a" : 1 }'),
    (b'{}', "?q=%22%5C%0A%C3%A9", b'{"q":"\\"\\\\\\n\xc3\xa9"}'),
    (b'{}', "?a=1&a=2", b'{"a":"2"}'),
    (b'{}', "?a=&b", b'{"a":"","b":""}'),
    (b' {"a":{"c":1}} ', "?c=x+y", b'{"a":{"c":1},"c":"x y"}'),
]


@pytest.mark.parametrize("body,query,joined", BODIES)
def test_parameters_join_an_object_and_leave_the_rest_as_it_was(api, body, query, joined):
    response = sync(api, f"/process_sync{query}", data=body, headers={"Content-Type": "application/json"})
    assert response.content == joined


def test_a_parameter_of_the_path_wins_over_query_and_body(api):
    response = sync(api, "/any/x/y%2Fz?a=q&c=d", json={"a": 1, "b": 2, "e": 5})
    assert response.json() == {"e": 5, "a": "x", "b": "y/z", "c": "d"}


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "POST"])
def test_a_route_without_a_method_takes_any(api, method):
    response = api.client.request(method, "/any/1/2")
    assert response.status_code == 200
    assert response.json() == {"a": "1", "b": "2"}


@pytest.mark.parametrize("body,content_type", [
    (b"[1,2]", "application/json"), (b"\x00\xff", "image/png"), (b"a=1", "application/x-www-form-urlencoded")])
def test_with_another_body_parameters_go_to_the_metadata(api, workers, body, content_type):
    response = api.client.post("/upload/me.png?size=3", data=body, headers={"Content-Type": content_type})
    assert response.status_code == 202
    request, _ = workers["upload"].take()
    assert request["payload"] == body
    assert request["content_type"] == content_type
    assert json.loads(msgpack.unpackb(request["context"])["metadata"]) == {"params": {"name": "me.png", "size": "3"}}


def test_a_body_that_is_no_json_but_says_so_is_400(api):
    response = api.client.post("/process", data=b"{", headers={"Content-Type": "application/json"})
    problem(response, 400, "invalid-json")


def test_the_query_never_sets_options(api):
    response = sync(api, "/process_sync?delay=10s&mode=async&timeout=x&webhook=y")
    assert response.json() == {"delay": "10s", "mode": "async", "timeout": "x", "webhook": "y"}


def test_a_routes_own_timeout_counts(api):
    problem(api.client.post("/quick", json={"seconds": 30}), 504, "handler-timeout")


# ---- the reply ----

def test_a_reply_fills_in_parameters_and_escapes_them(api):
    response = api.client.post('/greet/a%22b%5C%7Bid%7D?q=%0A')
    assert response.status_code == 201
    assert response.json() == {"hello": 'a"b\\{id}', "from": ["\n", {"task": "echo"}], "left": "{other}", "n": 1}


def test_prefer_wait_works_on_a_route(api):
    response = api.client.post("/upload/x", headers={"Prefer": "wait=1"})
    assert response.status_code == 202
    response = api.client.post("/process", headers={"Prefer": "wait=20"})
    assert response.status_code == 200
    assert response.json()["status"] == "succeeded"


def test_an_id_that_is_none_is_404_on_a_route(api):
    problem(api.client.get("/result/x"), 404, "not-found")
    problem(api.client.get("/file/018f2b1c-1111-7111-9111-111111111111"), 404, "not-found")


def test_a_wrong_method_and_a_path_that_is_none(api):
    response = api.client.get("/process")
    problem(response, 405, "method-not-allowed")
    assert "POST" in response.headers["Allow"]
    problem(api.client.post("/nothing"), 404, "not-found")


def test_tasks_of_routes_are_among_the_queues(api):
    names = {queue["task"] for queue in api.client.get("/v1/queues").json()["queues"]}
    assert names >= {"echo", "audit", "notify", "upload", "refuses", "sleep"}


def test_a_routes_own_timeout_counts_instead_of_that_of_all(api):
    assert sync(api, "/patient", json={"seconds": 1.5}).json() == {"seconds": 1.5}
    problem(api.client.post("/quick", json={"seconds": 1.5}), 504, "handler-timeout")
    problem(api.client.run("sleep", b"1.5", mode="sync", timeout="10s"), 504, "handler-timeout")


@pytest.mark.parametrize("path", ["result", "file"])
def test_a_parameter_that_is_not_known_is_422_where_a_task_is_read(api, path):
    task_id = api.client.submit("echo", 1)
    assert api.client.get(f"/{path}/{task_id}?wait=5").status_code == 200
    problem(api.client.get(f"/{path}/{task_id}?wait=5&q=1"), 422, "invalid-field")
