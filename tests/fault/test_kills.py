"""Each service killed (-9) at random under load, ten times, with tasks that retry."""
import random
import time

from lib.ledger import Ledger

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
