"""GET /v1/queues names what this gateway has met, however it met it, and what the store has rows of."""
import pytest


PASSED_ON = {"processor": {"handlers": [{"task": name, "builtin": "echo"} for name in ("first", "second")]}}


def names(client):
    return [queue["task"] for queue in client.get("/v1/queues").json()["queues"]]


def in_its_turn(client):
    client.await_end(client.submit("first", 1))


def waited_for(client):
    assert client.post("/v1/run/first?mode=sync", json=1).status_code == 200


def in_a_batch(client):
    assert client.post("/v1/batches", json=[{"task": "first"}]).status_code == 202


def later(client):
    client.submit("first", 1, delay="1h")


@pytest.mark.parametrize("submit", [in_its_turn, waited_for, in_a_batch, later])
def test_a_task_that_was_submitted_is_listed(stack, submit):
    client = stack.start(PASSED_ON).client
    assert "first" not in names(client)
    submit(client)
    assert names(client) == ["first"]


def test_what_follows_a_task_is_listed(stack):
    client = stack.start(PASSED_ON).client
    client.submit("first", 1, then="second")
    assert names(client) == ["first", "second"]


def test_a_gateway_that_starts_lists_what_has_ended(stack):
    client = stack.start(PASSED_ON).client
    client.await_end(client.submit("first", 1))
    stack.gateway.restart()
    stack.await_ready("gateway")
    assert names(client) == ["first"]
    assert client.get("/v1/queues").json()["queues"][0]["consumers"] == 1


def test_a_task_without_a_queue_is_not_listed(stack):
    client = stack.start(PASSED_ON).client
    assert client.post("/v1/run/nope", json=1).status_code == 404
    assert names(client) == []
