"""Garbage in every queue: each message ends as a dead letter, nothing loops, the next request works."""
import hashlib
import uuid

import msgpack
import pytest

from lib.wait import eventually

GARBAGE = {
    "nothing": b"",
    "text": b"hello",
    "truncated": msgpack.packb({"v": 1, "id": uuid.uuid4().bytes, "task": "echo"})[:-3],
    "deep": b"\x81\xa1v" + b"\x91" * 5000 + b"\x01",
    "a count without content": bytes.fromhex("df0fffffffc0"),
    "random": hashlib.shake_256(b"7").digest(5000),
    "another version": msgpack.packb({"v": 2, "id": uuid.uuid4().bytes}),
    "wrong types": msgpack.packb({"v": 1, "id": "text", "task": 7, "payload": [], "kind": 3, "attempt": "one"}),
    "a foreign id": msgpack.packb({
        "v": 1, "id": uuid.uuid4().bytes, "task": "echo", "payload": b"{}", "content_type": "application/json",
        "created_at": 1, "attempt": 1, "max_attempts": 1, "kind": "succeeded", "result": b"{}",
        "context": msgpack.packb({"v": 1, "tenant": "default", "task": "echo"})}),
    "trailing": msgpack.packb({"v": 1}) * 2,
}

PLACES = {
    "a task's queue": ("postback.tasks", "echo"),
    "an inline queue": ("postback.inline", "echo"),
    "the replies": ("postback.reply", "postback.replies"),
    "the dead letters": ("postback.dead", ""),
    "the control stream": ("postback.control", ""),
}


def works(client):
    task = client.submit("echo", {"n": 1})
    assert client.await_end(task)["status"] == "succeeded"
    assert client.run("echo", b"{}", mode="sync").status_code == 200


def dead_letters(stack):
    text = stack.client_of("notifier").get("/metrics").text
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
               if line.startswith("postback_notifier_dead_letters_total"))


@pytest.mark.parametrize("place", PLACES)
def test_garbage_is_put_away_and_the_next_request_works(stack, vhost, place):
    client = stack.start().client
    works(client)
    exchange, key = PLACES[place]
    with vhost.amqp() as amqp:
        for body in GARBAGE.values():
            amqp.publish(exchange, key, body)
        works(client)
        if exchange in ("postback.tasks", "postback.reply", "postback.dead"):
            # The foreign id in a task's queue is run, as a request should be; its reply is what is not ours.
            eventually(lambda: dead_letters(stack) == len(GARBAGE), timeout=60,
                       what=f"{len(GARBAGE)} dead letters, there are {dead_letters(stack)}")
        for queue in ("postback.replies", "postback.dead", "postback.tasks.echo"):
            eventually(lambda queue=queue: amqp.depth(queue) == 0, what=f"{queue} is empty")
    works(client)


def test_a_body_of_the_wrong_content_type_or_with_foreign_headers_is_no_trouble(stack, vhost):
    client = stack.start().client
    with vhost.amqp() as amqp:
        amqp.publish("postback.reply", "postback.replies", b"{}", headers={"x-death": [], "x-delivery-count": -1, "a": {"b": []}},
                     content_type="application/json", correlation_id="x" * 200, reply_to="nowhere")
    works(client)
