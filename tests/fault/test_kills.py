"""Each service killed (-9) at random under load, ten times, with tasks that retry."""
import contextlib
import random
import threading
import time

import requests

from lib.ledger import Ledger
from lib.proxy import UP
from lib.wait import eventually

FAILS_FIRST = r"""
import os, sys
attempt = int(os.environ["POSTBACK_ATTEMPT"])
body = sys.stdin.buffer.read()
sys.exit(1) if attempt < 2 and b"retry" in body else sys.stdout.buffer.write(body)
"""
KILLS = 10


def handlers():
    return [
        {"task": "echo", "builtin": "echo", "concurrency": 32},
        {"task": "flaky", "exec": ["/usr/bin/python3", "-c", FAILS_FIRST], "content_type": "application/json",
         "concurrency": 2, "retry": {"attempts": 5, "base": "100ms", "cap": "1s"}},
    ]


def what(n):
    return ("flaky", {"n": n, "do": "retry" if n % 2 else "pass"}) if n % 10 == 0 else ("echo", {"n": n})


def test_every_202_ends_in_exactly_one_outcome_whatever_is_killed(stack):
    stack.start({"processor": {"handlers": handlers()}})
    dice = random.Random(7)
    with Ledger(stack.client) as ledger:
        ledger.submit_from(4, what, pause_s=0.02)
        for _ in range(KILLS):
            ledger.await_accepted(20)
            service = stack.services[dice.choice(["gateway", "processor", "notifier"])]
            service.kill()
            time.sleep(dice.random() * 0.2)
            service.start()
            stack.await_ready()
    stack.await_ready()
    ended = ledger.check()
    assert len(ended) >= KILLS * 20
    for task, document in ended.items():
        assert document["result"] == ledger.accepted[task][1]


def kill_all(stack, dice):
    names = list(stack.services)
    dice.shuffle(names)
    for name in names:
        stack.services[name].kill()
    for name in names:
        stack.services[name].start()
    stack.await_ready()


def test_chains_and_a_batch_come_to_their_end_when_all_is_killed_again_and_again(stack):
    sleeper = {"task": "sleep", "builtin": "sleep", "concurrency": 16}
    client = stack.start({"processor": {"handlers": [sleeper, {"task": "echo", "builtin": "echo"}]}}).client
    dice = random.Random(3)
    items = [{"task": "sleep", "payload": {"ms": dice.randint(1, 1500)}, "then": "echo"} for _ in range(40)]
    batch = client.post("/v1/batches", json={"tasks": items, "then": "echo"}).json()
    then = {"task": "sleep", "payload": {"ms": 100}, "then": "echo"}
    chains = [client.envelope("sleep", {"ms": 300}, then=then).json() for _ in range(32)]
    for _ in range(3):
        kill_all(stack, dice)
    last = client.await_end(batch["then"], timeout=120)
    assert last["result"]["previous"] == {"batch": batch["id"], "succeeded": 40, "failed": 0, "canceled": 0, "dead": 0}
    for chain in chains:
        assert [client.await_end(step["id"], timeout=120)["status"] for step in chain["tasks"]] == ["succeeded"] * 3


def scheduled(client):
    return client.get("/v1/tasks?status=scheduled").json()["tasks"]


def test_a_chain_whose_gateway_died_before_its_first_message_goes_on_under_its_key(stack, vhost, broker_proxy):
    stack.start({}, only=("notifier", "processor"))
    stack.add("gateway", env={"POSTBACK_AMQP_URL": broker_proxy.url(vhost.url)})
    stack.await_ready()
    client = stack.client

    def submit():
        return client.envelope("echo", {"n": 1}, then="echo", headers={"Idempotency-Key": "chain"})

    def submit_in_vain():
        with contextlib.suppress(requests.ConnectionError):
            submit()

    # From here on the gateway need not ask whether there is a queue.
    client.await_end(client.envelope("echo", {}, then="echo").json()["tasks"][1]["id"])
    broker_proxy.swallow(UP)
    caller = threading.Thread(target=submit_in_vain)
    caller.start()
    second = eventually(lambda: scheduled(client), what="the second step is stored")[0]
    stack.gateway.kill()
    caller.join()
    broker_proxy.resume()
    stack.gateway.start()
    stack.await_ready()
    assert scheduled(client)[0]["id"] == second["id"]

    def accepted():
        answer = submit()
        assert answer.status_code == 202, answer.text
        return answer.json()

    steps = eventually(accepted, timeout=30, every=0.2, what="the key is taken up again")["tasks"]
    assert [step["id"] for step in steps] == [second["waits_for"], second["id"]]
    assert client.await_end(second["id"])["result"]["previous"]["result"] == {"n": 1}


def test_what_was_canceled_stays_so_whatever_is_killed(stack):
    handlers_of_all = [*handlers(), {"task": "sleep", "builtin": "sleep", "concurrency": 16}]
    stack.start({"processor": {"handlers": handlers_of_all}})
    dice = random.Random(5)
    canceled = set()
    with Ledger(stack.client) as ledger:
        ledger.submit_from(3, lambda n: ("sleep", {"ms": 400}) if n % 2 else what(n), pause_s=0.03)
        for _ in range(5):
            ledger.await_accepted(30)
            for task in dice.sample(list(ledger.accepted)[-30:], 10):
                if stack.client.delete(f"/v1/tasks/{task}").status_code == 200:
                    canceled.add(task)
            service = stack.services[dice.choice(["processor", "notifier"])]
            service.kill()
            service.start()
            stack.await_ready()
    ended = ledger.check(expect=("succeeded", "canceled"))
    assert {ended[task]["status"] for task in canceled} <= {"canceled"}
