"""Receivers that hang, reset, answer a byte a second or a gibibyte, redirect, are not there or fail for an hour, all at
once beside a good one: nobody is delayed, and what becomes of each delivery is on record, attempt by attempt."""
import collections
import contextlib
import datetime
import json
import time

from lib.deliveries import await_deliveries, metric
from lib.receiver import SECRET, Receiver, answer, drip, flood, hang, reset
from lib.wait import eventually

TASKS = 60
CONCURRENCY = 64  # two hosts that hang could have all of it
SCHEDULE = ["0s", "500ms", "1s", "2s", "2s"]  # a day, compressed
OUTAGE_S = 3  # and an hour
TIMEOUT_MS = 5000
NOTIFIER_MAX = 600 << 20  # with the sanitizers
GOOD = "good"
DELIVERED = {GOOD: 200, "flood": 200, "outage": 200}


class Outage:
    """Fails from the first call on, then no more."""

    def __init__(self):
        self.ends_at = None

    def __call__(self, handler):
        self.ends_at = self.ends_at or time.monotonic() + OUTAGE_S
        answer(503 if time.monotonic() < self.ends_at else 200)(handler)


class Gone:
    """Where nobody listens."""

    def __init__(self):
        with Receiver() as receiver:
            self._url = receiver.url()
        self.hooks = ()

    def url(self):
        return self._url


def receivers(open_all):
    """By name; each is a host of its own."""
    behaviours = {GOOD: 200, "hang": hang, "drip": drip, "reset": reset, "flood": flood, "outage": Outage(),
                  "redirect": lambda handler: answer(302, {"Location": made[GOOD].url("/redirected")})(handler)}
    made = {"nobody": Gone()}
    for name, behaviour in behaviours.items():
        made[name] = open_all.enter_context(Receiver())
        made[name].behave("/hook", behaviour)
    return made


def recorded(client, task, names):
    """What the API tells of the deliveries of a task, by the name of the receiver."""
    told = client.get(f"/v1/tasks/{task}/deliveries").json()["deliveries"]
    return {names[delivery["target"]]: delivery for delivery in told}


def check_record(name, delivery, calls):
    attempts = delivery["attempts"]
    assert [attempt["number"] for attempt in attempts] == list(range(1, len(attempts) + 1))
    assert all(attempt["error"] for attempt in attempts[:-1])
    if name in DELIVERED:
        assert (delivery["status"], attempts[-1]["status"]) == ("delivered", DELIVERED[name]), delivery
    else:
        assert delivery["status"] == "dead" and len(attempts) == len(SCHEDULE) and attempts[-1]["error"], delivery
    # Every answer that the receiver gave is on record; of what breaks off, that it was called.
    if name in (GOOD, "flood", "redirect", "outage"):
        assert calls == sum(attempt["status"] is not None for attempt in attempts), (name, delivery)
    assert all(attempt["took_ms"] < 2 * TIMEOUT_MS for attempt in attempts)


def seconds_since_the_end(hook):
    finished = datetime.datetime.fromisoformat(json.loads(hook.body)["timestamp"].replace("Z", "+00:00"))
    return hook.at - finished.timestamp()


def quantile(seconds, q):
    """Who waits for one that hangs waits for its timeout; a few are held up by the machine itself."""
    ordered = sorted(seconds)
    return ordered[int(q * (len(ordered) - 1))]


def test_all_bad_receivers_at_once_delay_nobody_and_are_on_record(stack):
    stack.start({"notifier": {"webhook": {
        "secrets": [SECRET], "allow": ["127.0.0.0/8"], "schedule": SCHEDULE, "timeout": f"{TIMEOUT_MS}ms",
        "concurrency": CONCURRENCY, "circuit": {"open": "200ms", "open_max": "500ms"}}}})
    with contextlib.ExitStack() as open_all:
        all_of_them = receivers(open_all)
        names = {receiver.url(): name for name, receiver in all_of_them.items()}
        tasks = [stack.client.submit("echo", n, deliver={"webhook": list(names)}) for n in range(TASKS)]
        good = all_of_them[GOOD]
        good.await_hooks("/hook", TASKS)
        # Those that came together with all the bad ones, and each that comes while they are at their worst.
        assert quantile(map(seconds_since_the_end, good.hooks), 0.9) < 4
        took = []
        while any(stack.client.status(task)["deliveries"]["pending"] for task in tasks):
            began, before = time.monotonic(), len(good.hooks)
            last = stack.client.submit("echo", 1, deliver={"webhook": good.url()})
            good.await_hooks("/hook", before + 1)
            took.append(time.monotonic() - began)
            await_deliveries(stack, last, delivered=1)
            assert stack.notifier.rss_bytes() < NOTIFIER_MAX
        assert quantile(took, 0.9) < 4
        delivered = len(DELIVERED)
        for task in tasks:
            await_deliveries(stack, task, delivered=delivered, dead=len(names) - delivered)
        calls = collections.Counter((name, hook.headers["webhook-id"]) for name, receiver in all_of_them.items()
                                    for hook in receiver.hooks)
        for task in tasks:
            for name, delivery in recorded(stack.client, task, names).items():
                check_record(name, delivery, calls[name, delivery["id"]])
        assert not good.of("/redirected")
        assert all_of_them["flood"].flooded < 64 << 20
        eventually(lambda: metric(stack, "postback_notifier_due_in_flight") == 0, what="nothing is left in hand")
