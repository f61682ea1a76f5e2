"""POST /v1/batches: many at once, each by itself."""
import pytest

from gateway_rig import ECHO, SLEEP, Worker, module_stack, problem, shell
from lib.wait import eventually

api = module_stack(
    processor={"handlers": [ECHO, SLEEP, shell("refuses", "exit 65")]},
    gateway={"limits": {"batch": 100}, "tasks": ["parked"]})


def post(api, body, **options):
    return api.client.post("/v1/batches", json=body, **options)


def read(api, batch_id):
    response = api.client.get(f"/v1/batches/{batch_id}")
    assert response.status_code == 200, response.text
    return response.json()


def await_done(api, batch_id):
    return eventually(lambda: _done(read(api, batch_id)), what="the batch is done")


def _done(document):
    return document if document["done"] == document["total"] else None


def test_each_item_is_told_what_became_of_it_in_order(api):
    response = post(api, [{"task": "echo", "payload": 1}, {"task": "nobody"}, {"task": "echo", "dealy": "1s"},
                          {"task": "echo", "delay": "1h"}, {"task": "refuses"}])
    assert response.status_code == 202
    document = response.json()
    assert response.headers["Location"] == f"/v1/batches/{document['id']}"
    items = document["items"]
    assert [item["status"] for item in items] == ["queued", "refused", "refused", "scheduled", "queued"]
    assert items[1]["problem"]["type"] == "/problems/unknown-task"
    assert items[1]["problem"]["task"] == "nobody"
    assert items[2]["problem"]["field"] == "/2/dealy"
    assert api.client.await_end(items[0]["id"])["result"] == 1
    assert api.client.status(items[0]["id"])["batch"] == document["id"]
    api.client.await_end(items[4]["id"])
    later = read(api, document["id"])
    assert later["total"] == 3
    assert later["counts"]["succeeded"] == 1
    assert later["counts"]["failed"] == 1
    assert later["counts"]["scheduled"] == 1
    assert later["items"] == items
    api.client.delete(f"/v1/tasks/{items[3]['id']}")
    assert await_done(api, document["id"])["counts"]["canceled"] == 1


def test_a_whole_batch_comes_to_its_end(api):
    document = post(api, [{"task": "echo", "payload": n} for n in range(100)]).json()
    assert len({item["id"] for item in document["items"]}) == 100
    done = await_done(api, document["id"])
    assert done["counts"]["succeeded"] == 100
    for n in (0, 57, 99):
        assert api.client.status(document["items"][n]["id"])["result"] == n


def test_then_runs_when_all_are_done_also_when_some_failed(api):
    response = post(api, {"tasks": [{"task": "echo"}, {"task": "refuses"}, {"task": "nobody"}],
                          "then": {"task": "echo", "payload": {"own": 1}}})
    document = response.json()
    after = api.client.await_end(document["then"])
    assert after["status"] == "succeeded"
    assert after["result"]["own"] == 1
    assert after["result"]["previous"]["batch"] == document["id"]
    assert read(api, document["id"])["done"] == 2


def test_then_waits_for_the_last(api):
    worker = Worker(api.vhost, "parked")
    document = post(api, {"tasks": [{"task": "echo"}, {"task": "parked"}], "then": "echo"}).json()
    api.client.await_end(document["items"][0]["id"])
    assert api.client.status(document["then"])["status"] == "scheduled"
    request, properties = worker.take()
    worker.reply(request, properties, result=b"1", content_type="application/json")
    worker.close()
    assert api.client.await_end(document["then"])["status"] == "succeeded"


def test_then_runs_when_the_last_was_canceled_too(api):
    items = [{"task": "echo", "delay": "1h"}, {"task": "sleep", "payload": 60}, {"task": "echo"}]
    document = post(api, {"tasks": items, "then": "echo"}).json()
    delayed, running, _ = (item["id"] for item in document["items"])
    api.client.await_status(running, "running")
    assert api.client.delete(f"/v1/tasks/{running}").status_code == 202
    api.client.await_end(running)
    assert api.client.status(document["then"])["status"] == "scheduled"
    assert api.client.delete(f"/v1/tasks/{delayed}").status_code == 200
    assert api.client.await_end(document["then"])["result"]["previous"] == {
        "batch": document["id"], "succeeded": 1, "failed": 0, "canceled": 2, "dead": 0}


def test_then_may_have_a_then_of_its_own(api):
    then = {"task": "echo", "then": {"task": "echo", "payload": {"b": 2}}}
    document = post(api, {"tasks": [{"task": "echo"}], "then": then}).json()
    steps = document["then_tasks"]
    assert [step["task"] for step in steps] == ["echo", "echo"]
    assert steps[0]["id"] == document["then"]
    last = api.client.await_end(steps[1]["id"])
    assert last["result"]["b"] == 2
    assert last["result"]["previous"]["result"]["previous"]["batch"] == document["id"]


def test_an_item_with_a_then_tells_the_ids_of_all_its_tasks(api):
    document = post(api, [{"task": "echo", "payload": 1, "then": "echo"}, {"task": "echo"}]).json()
    first, second = (step["id"] for step in document["items"][0]["tasks"])
    assert first == document["items"][0]["id"]
    assert api.client.await_end(second)["result"]["previous"]["id"] == first
    assert "tasks" not in document["items"][1] and "then_tasks" not in document


@pytest.mark.parametrize("then", ["nobody", {"task": "echo", "then": "nobody"}])
def test_a_then_that_nobody_runs_refuses_the_batch(api, then):
    before = len(api.client.get("/v1/tasks?limit=200").json()["tasks"])
    document = problem(post(api, {"tasks": [{"task": "parked"}], "then": then}), 404, "unknown-task", "/then")
    assert document["task"] == "nobody"
    assert len(api.client.get("/v1/tasks?limit=200").json()["tasks"]) == before
    assert api.vhost.depth("postback.tasks.parked") == 0


def test_items_bear_the_trace_of_their_batch(api):
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    worker = Worker(api.vhost, "parked")
    post(api, [{"task": "parked"}], headers={"traceparent": trace})
    request, properties = worker.take()
    assert properties.headers["traceparent"] == trace
    worker.reply(request, properties, result=b"1", content_type="application/json")
    worker.close()


def test_when_none_is_accepted_the_batch_is_refused(api):
    document = problem(post(api, {"tasks": [{"task": "nobody"}, {"task": "echo", "x": 1}], "then": "echo"}),
                       404, "unknown-task")
    assert document["task"] == "nobody"
    assert len(document["items"]) == 2
    assert document["items"][1]["problem"]["field"] == "/tasks/1/x"
    problem(post(api, [{"x": 1}]), 422, "invalid-field", "/0/x")


@pytest.mark.parametrize("body,field", [
    ({}, "/tasks"), ([], ""), ({"tasks": []}, "/tasks"), ({"tasks": {}}, "/tasks"), (1, ""),
    ({"tasks": [{"task": "echo"}], "x": 1}, "/x"), ({"tasks": [{"task": "echo"}], "then": 1}, "/then"),
    ({"tasks": [{"task": "echo"}], "then": {"task": "echo", "delay": "1s"}}, "/then/delay"),
    ([{"task": "echo"}] * 101, "")])
def test_a_batch_that_is_none_is_422(api, body, field):
    document = problem(post(api, body), 422, "invalid-field")
    assert document.get("field", "") == field


def test_broken_json_refuses_all(api):
    response = api.client.post("/v1/batches", data=b'[{"task":"echo"},{"task":"echo","task":"echo"}]',
                               headers={"Content-Type": "application/json"})
    problem(response, 400, "invalid-json")


def test_a_batch_that_is_not_ours_is_404(api):
    task_id = api.client.submit("echo", 1)
    for batch_id in (task_id, "x", "018f2b1c-1111-7111-9111-111111111111"):
        problem(api.client.get(f"/v1/batches/{batch_id}"), 404, "not-found")
    document = post(api, [{"task": "echo"}]).json()
    problem(api.client.get(f"/v1/tasks/{document['id']}"), 404, "not-found")


def test_a_batch_under_a_key_is_made_once(api):
    headers = {"Idempotency-Key": '"batch-1"'}
    first = post(api, [{"task": "echo"}, {"task": "nobody"}], headers=headers)
    again = post(api, [{"task": "echo"}, {"task": "nobody"}], headers=headers)
    assert first.content == again.content
    assert again.headers["Idempotency-Replayed"] == "true"
    assert read(api, first.json()["id"])["total"] == 1
