"""A fresh id reads queued, an invented one is not found, one past its lifetimes is gone and never before."""
import uuid

import pytest

from lib.wait import eventually

SHORT = {"store": {"task_ttl": "2s", "result_ttl": "3s"}}


def code(client, task):
    return client.get(f"/v1/tasks/{task}").status_code


def test_a_fresh_id_reads_queued_before_anybody_ran_it(stack):
    client = stack.start({"gateway": {"tasks": ["later"]}}).client
    task = client.submit("later", {})
    document = client.status(task)
    assert document["status"] == "queued"
    assert document["created_at"]


def invented_ids(genuine):
    yield str(uuid.uuid4())
    yield genuine[:-1] + ("0" if genuine[-1] != "0" else "1")
    yield "1" + genuine[1:]
    yield "not-an-id"
    yield "%00"


def test_an_invented_id_is_not_found(stack):
    client = stack.start().client
    task = client.submit("echo", {})
    for invented in invented_ids(task):
        answer = client.get(f"/v1/tasks/{invented}")
        assert answer.status_code in (404, 400) if invented == "%00" else answer.status_code == 404
        assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_result_is_gone_after_its_lifetime_and_not_before(stack):
    client = stack.start(SHORT).client
    task = client.submit("echo", {})
    client.await_end(task)
    assert client.result(task).status_code == 200
    eventually(lambda: code(client, task) == 410, timeout=60, what="the result expires")
    assert client.result(task).status_code == 410
    # Gone it stays: while the tombstone stands, and by its age afterwards.
    for _ in range(40):
        assert code(client, task) == 410
        stack.client.get("/livez")


def test_an_unfinished_task_past_its_lifetime_in_the_queue_is_dead(stack):
    client = stack.start({**SHORT, "gateway": {"tasks": ["nobody"]}}).client
    task = client.submit("nobody", {})
    document = client.await_end(task)
    assert (document["status"], document["error"]["type"]) == ("dead", "expired")
    answer = client.result(task)
    assert answer.status_code == 502
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("options", [
    {"delay": "7s"},
], ids=["delay"])
def test_a_scheduled_task_outlives_the_age_at_which_others_are_gone(stack, options):
    client = stack.start(SHORT).client
    task = client.submit("echo", {"n": 1}, **options)
    seen = set()

    def ended():
        answer = client.get(f"/v1/tasks/{task}")
        assert answer.status_code == 200, answer.text
        seen.add(answer.json()["status"])
        return answer.json()["status"] == "succeeded"

    eventually(ended, timeout=60, every=0.1, what="the delayed task succeeds")
    assert seen <= {"scheduled", "queued", "running", "succeeded"} and "scheduled" in seen


def test_a_task_in_thirty_days_is_scheduled(stack):
    client = stack.start().client
    task = client.submit("echo", {}, delay="30d")
    assert client.status(task)["status"] == "scheduled"


def test_a_task_under_retries_is_never_gone(stack):
    client = stack.start({**SHORT, "processor": {"handlers": [{
        "task": "flaky", "exec": ["/bin/sh", "-c", 'test "$POSTBACK_ATTEMPT" -ge 4'],
        "retry": {"attempts": 5, "base": "2s", "cap": "3s"}}]}}).client
    task = client.submit("flaky", {})

    def ended():
        answer = client.get(f"/v1/tasks/{task}")
        assert answer.status_code == 200, answer.text
        return answer.json()["status"] == "succeeded"

    eventually(ended, timeout=60, every=0.1, what="the fourth attempt succeeds")


def test_a_step_of_a_chain_waits_for_the_one_before_however_long(stack):
    client = stack.start({**SHORT, "processor": {"handlers": [
        {"task": "slow", "exec": ["/bin/sleep", "7"]}, {"task": "echo", "builtin": "echo"}]},
        "gateway": {"routes": [{"path": "POST /chain", "tasks": ["slow", "echo"]}]}}).client
    task = client.post("/chain", json={}).json()["id"]

    def ended():
        answer = client.get(f"/v1/tasks/{task}")
        assert answer.status_code == 200, answer.text
        return answer.json()["status"] == "succeeded"

    eventually(ended, timeout=60, every=0.1, what="the second step succeeds")
