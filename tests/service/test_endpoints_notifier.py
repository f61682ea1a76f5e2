"""Registered endpoints as their receivers see them: what comes, signed by what, and when it ends."""
import json

import pytest

from gateway_rig import ECHO, module_stack, shell
from lib.deliveries import await_deliveries, metric, of_endpoint
from lib.receiver import Receiver, answer, is_signed
from lib.wait import eventually

MANY = 600

# No secret of the notifier's own: endpoints have theirs.
api = module_stack(processor={"handlers": [ECHO, shell("fail", "exit 64")]},
                   notifier={"webhook": {"allow": ["127.0.0.0/8"], "timeout": "2s", "disable_after": "1s",
                                         "schedule": ["0s"] + ["300ms"] * 9}})


@pytest.fixture(scope="module")
def receiver():
    with Receiver() as running:
        yield running


@pytest.fixture
def client(api):
    """Without endpoints from test to test."""
    yield api.client
    for endpoint in api.client.get("/v1/endpoints").json()["endpoints"]:
        assert api.client.delete(endpoint["links"]["self"]).status_code == 204


def register(client, **members):
    made = client.post("/v1/endpoints", json=members)
    assert made.status_code == 201, made.text
    return made.json()


def change(client, endpoint, **members):
    changed = client.request("PATCH", endpoint["links"]["self"], json=members)
    assert changed.status_code == 200, changed.text
    return changed.json()


def now(client, endpoint):
    return client.get(endpoint["links"]["self"]).json()


def deliveries(client, task):
    return client.get(f"/v1/tasks/{task}/deliveries").json()["deliveries"]


def await_disabled(client, endpoint):
    eventually(lambda: not now(client, endpoint)["enabled"], what="the endpoint is disabled")
    return now(client, endpoint)


def retry_now(client, delivery):
    assert client.post(f"{delivery['links']['self']}/retry").status_code == 202


def test_each_endpoint_gets_exactly_the_outcomes_that_it_asked_for(api, client, receiver):
    wishes = {"/all": {}, "/echo": {"tasks": ["echo"]}, "/good": {"on": ["succeeded"]}, "/bad": {"on": ["failed", "dead"]},
              "/beginning": {"tasks": ["fa*"]}, "/other": {"tasks": ["echo.*", "e"]},
              "/canceled": {"tasks": ["echo"], "on": ["canceled"]}}
    for path, wish in wishes.items():
        register(client, url=receiver.url(path), **wish)
    good, bad, late = client.submit("echo", 1), client.submit("fail", 1), client.submit("echo", 1, delay="1h")
    eventually(lambda: client.status(late)["status"] == "scheduled")
    assert client.delete(f"/v1/tasks/{late}").status_code in (200, 202)
    await_deliveries(api, good, delivered=3)
    await_deliveries(api, bad, delivered=3)
    await_deliveries(api, late, delivered=3)

    def told(path):
        return {json.loads(hook.body)["data"]["id"] for hook in receiver.of(path)}

    assert {path: told(path) for path in wishes} == {
        "/all": {good, bad, late}, "/echo": {good, late}, "/good": {good}, "/bad": {bad}, "/beginning": {bad},
        "/other": set(), "/canceled": {late}}
    assert all(len(receiver.of(path)) == len(told(path)) for path in wishes)


def test_the_next_attempt_goes_where_the_endpoint_is_by_then_signed_by_its_secrets_of_then(api, client, receiver):
    # Before it may be disabled for failing only.
    receiver.behave("/old", answer(503, {"Retry-After": "4"}))
    endpoint = register(client, url=receiver.url("/old"))
    task = client.submit("echo", 1)
    receiver.await_hooks("/old", 1)
    secret = client.post(f"{endpoint['links']['self']}/rotate").json()["secret"]
    change(client, endpoint, url=receiver.url("/new"))
    await_deliveries(api, task, delivered=1)
    first, (last,) = receiver.of("/old")[0], receiver.of("/new")
    assert is_signed(first, endpoint["secret"]) and not is_signed(first, secret)
    assert is_signed(last, endpoint["secret"]) and is_signed(last, secret)
    assert first.headers["webhook-id"] == last.headers["webhook-id"]
    (delivery,) = deliveries(client, task)
    assert delivery["target"] == receiver.url("/new") and delivery["endpoint"] == endpoint["id"]


def test_the_old_secret_signs_no_longer_than_it_was_to(client, receiver):
    endpoint = register(client, url=receiver.url("/short"))
    secret = client.post(f"{endpoint['links']['self']}/rotate", json={"overlap": "0s"}).json()["secret"]
    client.submit("echo", 1)
    (hook,) = receiver.await_hooks("/short", 1)
    assert is_signed(hook, secret) and not is_signed(hook, endpoint["secret"])


def test_an_endpoint_that_only_fails_is_disabled_and_what_died_is_sent_when_it_is_back(api, client, receiver):
    before = metric(api, "postback_notifier_endpoints_disabled_total")
    receiver.behave("/failing", answer(500))
    endpoint = register(client, url=receiver.url("/failing"))
    task = client.submit("echo", 1)
    disabled = await_disabled(client, endpoint)
    assert disabled["disabled_at"] and disabled["failing_since"] < disabled["disabled_at"]
    assert "failed" in disabled["disabled_reason"]
    assert metric(api, "postback_notifier_endpoints_disabled_total") == before + 1
    assert any("event=endpoint_disabled" in line and endpoint["id"] in line
               for line in api.notifier.log_text().splitlines())
    await_deliveries(api, task, dead=1)
    (delivery,) = deliveries(client, task)
    assert delivery["attempts"][-1]["error"] == "not sent: its endpoint is disabled"
    assert [a["status"] for a in delivery["attempts"][:-1]] == [500] * (len(delivery["attempts"]) - 1)

    unheard = client.submit("echo", 2)
    assert client.await_end(unheard)["deliveries"] == {"pending": 0, "delivered": 0, "dead": 0}

    receiver.behave("/failing", 200)
    assert change(client, endpoint, enabled=True)["failing_since"] is None
    replayed = client.post("/v1/deliveries/retry", params={"status": "dead", "endpoint": endpoint["id"]})
    assert replayed.json() == {"retried": 1, "has_more": False}
    await_deliveries(api, task, delivered=1)
    assert {hook.headers["webhook-id"] for hook in receiver.of("/failing")} == {delivery["id"]}


def test_one_that_answers_410_is_disabled_at_once(api, client, receiver):
    receiver.behave("/gone", answer(410))
    endpoint = register(client, url=receiver.url("/gone"))
    task = client.submit("echo", 1)
    told = await_disabled(client, endpoint)
    assert "410" in told["disabled_reason"] and told["failing_since"] == told["disabled_at"]
    await_deliveries(api, task, dead=1)
    assert len(receiver.of("/gone")) == 1


def test_a_success_in_between_keeps_it_enabled(api, client, receiver):
    receiver.behave("/flaky", *[answer(500), answer(200)] * 4)
    endpoint = register(client, url=receiver.url("/flaky"))
    for n in range(4):
        await_deliveries(api, client.submit("echo", n), delivered=1)
    told = now(client, endpoint)
    assert told["enabled"] and told["failing_since"] is None
    assert len(receiver.of("/flaky")) == 8


def test_what_waits_for_one_that_is_removed_ends_dead_and_says_why(api, client, receiver):
    receiver.behave("/leaving", answer(503, {"Retry-After": "3600"}))
    endpoint = register(client, url=receiver.url("/leaving"))
    task = client.submit("echo", 1)
    eventually(lambda: [d["attempts_made"] for d in deliveries(client, task)] == [1])
    assert client.delete(endpoint["links"]["self"]).status_code == 204
    await_deliveries(api, task, dead=1)
    (delivery,) = deliveries(client, task)
    assert [a["error"] for a in delivery["attempts"]][1:] == ["not sent: its endpoint was removed"]
    assert client.post(f"{delivery['links']['self']}/retry").status_code == 409


def is_unlucky(message_id):
    return int(message_id[-1], 16) % 2


def test_hundreds_that_died_arrive_once_more_each_under_its_id(api, client, receiver):
    def answer_half(handler):
        answer(500 if is_unlucky(handler.headers["webhook-id"]) else 200)(handler)

    receiver.behave("/outage", answer_half)
    endpoint = register(client, url=receiver.url("/outage"), tasks=["echo"])
    batch = client.post("/v1/batches", json=[{"task": "echo", "payload": n} for n in range(MANY)])
    assert batch.status_code == 202, batch.text
    eventually(lambda: sum(of_endpoint(api, endpoint["id"])) == MANY, timeout=90, what="all have ended")
    # As long as some arrive it is not disabled; then the rest dies with it.
    await_disabled(client, endpoint)
    eventually(lambda: of_endpoint(api, endpoint["id"])[0] == 0, what="all others are dead")
    delivered, dead = of_endpoint(api, endpoint["id"])[1:]
    unlucky = {hook.headers["webhook-id"] for hook in receiver.of("/outage") if is_unlucky(hook.headers["webhook-id"])}
    assert len(unlucky) <= dead == MANY - delivered

    receiver.behave("/outage", 200)
    receiver.hooks.clear()
    change(client, endpoint, enabled=True)
    replayed = client.post("/v1/deliveries/retry", params={"status": "dead", "endpoint": endpoint["id"]})
    assert replayed.json() == {"retried": dead, "has_more": False}
    eventually(lambda: of_endpoint(api, endpoint["id"]) == (0, MANY, 0), timeout=90, what="all have arrived")
    replayed_ids = [hook.headers["webhook-id"] for hook in receiver.of("/outage")]
    assert unlucky <= set(replayed_ids) and len(set(replayed_ids)) == len(replayed_ids) == dead
