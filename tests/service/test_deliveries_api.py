"""Deliveries: what became of each, attempt by attempt, and how they are sent again."""
import datetime
import hashlib
import json

import pytest

from gateway_rig import problem
from lib.receiver import SECRET, Receiver, answer, hang
from lib.stack import Stack
from lib.wait import eventually

KEYS = {"acme": "the key of acme", "other": "the key of other"}
OPTIONS = {
    "gateway": {"tasks": ["parked"],
                "auth": {"keys": [{"tenant": tenant, "sha256": hashlib.sha256(key.encode()).hexdigest()}
                                  for tenant, key in KEYS.items()]}},
    "processor": {"handlers": [{"task": "echo", "builtin": "echo", "concurrency": 8}]},
    "notifier": {"webhook": {"secrets": [SECRET], "allow": ["127.0.0.0/8"], "timeout": "2s",
                             "schedule": ["0s", "100ms", "100ms"]}},
}
INVENTED = "01a20327-0130-7e13-ba14-00006c1da512"


@pytest.fixture(scope="module")
def api(broker, tmp_path_factory):
    vhost = broker.vhost_new()
    stack = Stack(vhost.url, tmp_path_factory.mktemp("deliveries"))
    try:
        yield stack.start(OPTIONS)
    finally:
        try:
            stack.close()
        finally:
            broker.vhost_delete(vhost)


@pytest.fixture
def acme(api):
    return api.client_of("gateway", key=KEYS["acme"])


@pytest.fixture
def other(api):
    return api.client_of("gateway", key=KEYS["other"])


@pytest.fixture
def receiver():
    with Receiver() as running:
        yield running


def deliveries(client, task):
    found = client.get(f"/v1/tasks/{task}/deliveries")
    assert found.status_code == 200, found.text
    return found.json()["deliveries"]


def await_status(client, task, status):
    """The only delivery of the task, once it is so."""
    eventually(lambda: [d["status"] for d in deliveries(client, task)] == [status],
               what=f"the delivery of {task} is {status}")
    return deliveries(client, task)[0]


def dead_one(client, receiver, path):
    receiver.behave(path, answer(500, body=b"not today"))
    task = client.submit("echo", deliver={"webhook": receiver.url(path)})
    return await_status(client, task, "dead")


def test_a_delivery_is_told_with_its_attempt(acme, receiver):
    receiver.behave("/ok", answer(200, body=b"thank \xc3\xbc \x00 \xff"))
    task = acme.submit("echo", 1, deliver={"webhook": receiver.url("/ok")})
    told = await_status(acme, task, "delivered")
    (hook,) = receiver.of("/ok")
    (attempt,) = told.pop("attempts")
    assert told == {"id": hook.headers["webhook-id"], "task_id": task, "channel": "webhook",
                    "target": receiver.url("/ok"), "endpoint": None, "status": "delivered", "next_at": None,
                    "attempts_made": 1,
                    "links": {"self": f"/v1/deliveries/{told['id']}", "task": f"/v1/tasks/{task}"}}
    assert attempt.pop("at").endswith("Z") and 0 <= attempt.pop("took_ms") < 60000
    assert attempt == {"number": 1, "status": 200, "error": None, "response": "thank ü \0 �"}


def test_every_attempt_of_a_dead_one_is_told(acme, receiver):
    receiver.behave("/dead", answer(500, body=b"first"), answer(503, body=b"second"), answer(404))
    task = acme.submit("echo", deliver={"webhook": receiver.url("/dead")})
    told = await_status(acme, task, "dead")
    assert [(a["number"], a["status"], a["response"]) for a in told["attempts"]] == [
        (1, 500, "first"), (2, 503, "second"), (3, 404, told["attempts"][2]["response"])]
    assert told["attempts_made"] == 3 and told["next_at"] is None
    assert sorted(a["at"] for a in told["attempts"]) == [a["at"] for a in told["attempts"]]
    assert acme.get(f"/v1/deliveries/{told['id']}").json() == told


def test_one_that_waits_tells_when_it_is_tried_next(acme, receiver):
    receiver.behave("/later", answer(503, {"Retry-After": "3600"}))
    task = acme.submit("echo", deliver={"webhook": receiver.url("/later")})
    eventually(lambda: [d["attempts_made"] for d in deliveries(acme, task)] == [1])
    (told,) = deliveries(acme, task)
    assert told["status"] == "pending" and told["next_at"] > told["attempts"][0]["at"]


def test_what_got_no_answer_says_why(acme, receiver):
    receiver.stop()
    task = acme.submit("echo", deliver={"webhook": receiver.url("/nobody")})
    told = await_status(acme, task, "dead")
    assert all(a["status"] is None and a["error"] and a["response"] is None for a in told["attempts"])


@pytest.mark.parametrize("url, why", [
    ("http://10.1.2.3/", "may not be called"), ("http://[::ffff:10.1.2.3]/", "may not be called"),
    ("http://169.254.169.254/latest/meta-data", "may not be called"), ("http://nobody.invalid/", "")])
def test_what_shows_only_when_it_is_called_is_on_record(acme, url, why):
    """What can be seen in the request alone is refused at once; these are well-formed."""
    task = acme.submit("echo", deliver={"webhook": url})
    eventually(lambda: [d["attempts_made"] > 0 for d in deliveries(acme, task)] == [True])
    (attempt, *_) = deliveries(acme, task)[0]["attempts"]
    assert attempt["status"] is None and attempt["error"] and why in attempt["error"], attempt


def test_all_receivers_are_told_in_the_order_of_the_request(acme, receiver):
    urls = [receiver.url(f"/each{i}") for i in range(5)]
    task = acme.submit("echo", deliver={"webhook": urls})
    eventually(lambda: [d["status"] for d in deliveries(acme, task)] == ["delivered"] * 5)
    assert [d["target"] for d in deliveries(acme, task)] == urls


def test_a_task_without_receivers_has_none(acme):
    task = acme.submit("echo")
    acme.await_end(task)
    assert deliveries(acme, task) == []


def test_a_queued_task_that_nobody_has_told_of_has_none(acme):
    assert deliveries(acme, acme.submit("parked", deliver={"webhook": "https://a.example/"})) == []


@pytest.mark.parametrize("path", ["/v1/tasks/{id}/deliveries", "/v1/deliveries/{id}"])
@pytest.mark.parametrize("name", [INVENTED, "nonsense"])
def test_an_invented_id_is_not_found(acme, path, name):
    problem(acme.get(path.replace("{id}", name)), 404, "not-found")


def test_one_tenant_sees_and_retries_nothing_of_anothers(acme, other, receiver):
    told = dead_one(acme, receiver, "/private")
    problem(other.get(f"/v1/tasks/{told['task_id']}/deliveries"), 404, "not-found")
    problem(other.get(f"/v1/deliveries/{told['id']}"), 404, "not-found")
    problem(other.post(f"/v1/deliveries/{told['id']}/retry"), 404, "not-found")
    replayed = other.post("/v1/deliveries/retry?status=dead").json()
    assert replayed == {"retried": 0, "has_more": False}
    assert len(receiver.of("/private")) == 3


def test_a_dead_one_is_sent_again_under_its_id(acme, receiver):
    told = dead_one(acme, receiver, "/mended")
    receiver.behave("/mended", answer(204))
    again = acme.post(f"/v1/deliveries/{told['id']}/retry")
    assert again.status_code == 202
    assert again.headers["Location"] == f"/v1/deliveries/{told['id']}"
    assert again.json()["status"] == "pending" and again.json()["id"] == told["id"]
    told = await_status(acme, told["task_id"], "delivered")
    assert [(a["number"], a["status"]) for a in told["attempts"]] == [(1, 500), (2, 500), (3, 500), (4, 204)]
    assert {hook.headers["webhook-id"] for hook in receiver.of("/mended")} == {told["id"]}
    assert acme.status(told["task_id"])["deliveries"] == {"pending": 0, "delivered": 1, "dead": 0}


def test_a_retried_one_has_its_whole_schedule_again(acme, receiver):
    told = dead_one(acme, receiver, "/still")
    assert acme.post(f"/v1/deliveries/{told['id']}/retry").status_code == 202
    eventually(lambda: [d["attempts_made"] for d in deliveries(acme, told["task_id"])] == [6])
    assert await_status(acme, told["task_id"], "dead")["attempts_made"] == 6


def test_one_that_arrived_is_sent_again_when_asked(acme, receiver):
    task = acme.submit("echo", deliver={"webhook": receiver.url("/twice")})
    told = await_status(acme, task, "delivered")
    assert acme.post(f"/v1/deliveries/{told['id']}/retry").status_code == 202
    first, second = receiver.await_hooks("/twice", 2)
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert json.loads(first.body)["data"]["id"] == json.loads(second.body)["data"]["id"] == task
    await_status(acme, task, "delivered")


def test_one_that_is_still_tried_is_a_conflict(acme, receiver):
    receiver.behave("/slow", hang)
    task = acme.submit("echo", deliver={"webhook": receiver.url("/slow")})
    (hook,) = receiver.await_hooks("/slow", 1)
    problem(acme.post(f"/v1/deliveries/{hook.headers['webhook-id']}/retry"), 409, "conflict")
    assert deliveries(acme, task)[0]["status"] == "pending"


@pytest.mark.parametrize("name", [INVENTED, "nonsense"])
def test_retrying_what_there_is_not_is_not_found(acme, name):
    problem(acme.post(f"/v1/deliveries/{name}/retry"), 404, "not-found")


def test_after_an_outage_all_that_died_is_sent_again(acme, receiver):
    receiver.behave("/outage", answer(503))
    tasks = [acme.submit("echo", n, deliver={"webhook": receiver.url("/outage")}) for n in range(30)]
    died = {await_status(acme, task, "dead")["id"] for task in tasks}
    receiver.behave("/outage", answer(200))
    receiver.hooks.clear()
    replayed = acme.post("/v1/deliveries/retry", params={"status": "dead", "since": "1h", "channel": "webhook"})
    assert replayed.status_code == 202
    # Those of other tests may have died within the hour, too.
    assert replayed.json()["retried"] >= 30 and replayed.json()["has_more"] is False
    for task in tasks:
        await_status(acme, task, "delivered")
    assert {hook.headers["webhook-id"] for hook in receiver.of("/outage")} == died


@pytest.mark.parametrize("query", ["since=0s", "until=1h", "channel=sms", "since=2099-01-01T00:00:00Z",
                                   f"endpoint={INVENTED}"])
def test_a_replay_leaves_alone_what_it_does_not_mean(acme, receiver, query):
    told = dead_one(acme, receiver, "/left")
    assert acme.post(f"/v1/deliveries/retry?status=dead&{query}").json() == {"retried": 0, "has_more": False}
    assert await_status(acme, told["task_id"], "dead")["attempts_made"] == 3


def test_what_dies_anew_does_not_come_round_again(acme, receiver):
    def now():
        return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    began = now()
    told = dead_one(acme, receiver, "/anew")
    query = {"status": "dead", "since": began, "until": now()}
    assert acme.post("/v1/deliveries/retry", params=query).json() == {"retried": 1, "has_more": False}
    eventually(lambda: deliveries(acme, told["task_id"])[0]["attempts_made"] == 6, what="it has died anew")
    await_status(acme, told["task_id"], "dead")
    assert acme.post("/v1/deliveries/retry", params=query).json() == {"retried": 0, "has_more": False}


@pytest.mark.parametrize("query, field", [
    ("", "status"), ("since=1h", "status"), ("status=pending", "status"), ("status=dead&status=dead", "status"),
    ("status=dead&since=yesterday", "since"), ("status=dead&until=", "until"), ("status=dead&channel=fax", "channel"),
    ("status=dead&endpoint=7", "endpoint"), ("status=dead&task=echo", "task")])
def test_a_replay_that_is_not_understood_does_nothing(acme, query, field):
    problem(acme.post(f"/v1/deliveries/retry?{query}"), 422, "invalid-field", field)


def test_who_writes_a_time_with_a_bare_plus_is_told_how(acme):
    path = "/v1/deliveries/retry?status=dead&since=2026-01-01T00:00:00"
    assert "%2B" in problem(acme.post(f"{path}+02:00"), 422, "invalid-field", "since")["detail"]
    assert acme.post(f"{path}%2B02:00").status_code == 202


def test_what_has_outlived_its_task_is_gone(make_stack, vhost):
    stack = make_stack(vhost.url).start({
        "store": {"result_ttl": "1s", "task_ttl": "2s"},
        "notifier": {"webhook": {"secrets": [SECRET], "allow": ["127.0.0.0/8"]}}})
    with Receiver() as receiver:
        task = stack.client.submit("echo", deliver={"webhook": receiver.url("/gone")})
        told = await_status(stack.client, task, "delivered")
        eventually(lambda: stack.client.get(f"/v1/tasks/{task}").status_code == 410, timeout=60)
        problem(stack.client.get(f"/v1/tasks/{task}/deliveries"), 410, "gone")
        problem(stack.client.get(f"/v1/deliveries/{told['id']}"), 410, "gone")
        problem(stack.client.post(f"/v1/deliveries/{told['id']}/retry"), 410, "gone")
