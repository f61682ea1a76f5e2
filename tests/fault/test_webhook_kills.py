"""The notifier killed (-9) at every step of a delivery, to a receiver that the task named or a registered endpoint: none
is lost, and what comes twice bears the same id."""
import json
import random
import time

from lib.deliveries import attempts, await_deliveries, metric, rows
from lib.proxy import UP
from lib.receiver import SECRET, Receiver, answer, hang, is_signed
from lib.stores import SqliteStore
from lib.wait import eventually

LEASE_S = 60
FIRST_WAIT_MS = 1000  # between a commit and what is sent for it, so that a kill falls there
# To a host that has not answered yet there is one call; the next one waits.
WEBHOOK = {"secrets": [SECRET], "allow": ["127.0.0.0/8"], "schedule": [f"{FIRST_WAIT_MS}ms"] + ["1s"] * 9,
           "circuit": {"failures": 1, "open": "100ms", "open_max": "500ms"}}
SUBSCRIBED = "/told/"
FIRST = "/first"  # what else comes to the slow receiver


class Rig:
    """A stack whose notifier reaches the broker through a proxy, and two receivers. What is submitted with a path below
    SUBSCRIBED names no receiver: a registered endpoint wants its outcome."""

    def __init__(self, stack, vhost, proxy, receiver, slow, waits_for_leases=False):
        self.waits_for_leases = waits_for_leases
        self.stack, self.proxy, self.receiver, self.slow = stack, proxy, receiver, slow
        self.secrets = {}
        handlers = [{"task": task, "builtin": "echo"} for task in ["echo"] + [self.task_of(path) for path in TOLD]]
        stack.start({"notifier": {"webhook": WEBHOOK}, "processor": {"handlers": handlers}},
                    only=("gateway", "processor"))
        stack.add("notifier", env={"POSTBACK_AMQP_URL": proxy.url(vhost.url)})
        stack.await_ready("notifier")

    @staticmethod
    def task_of(path):
        return path.strip("/").replace("/", ".")

    def subscribe(self, path, receiver):
        if not path.startswith(SUBSCRIBED) or path in self.secrets:
            return
        made = self.stack.client.post("/v1/endpoints", json={
            "url": receiver.url(path), "tasks": [self.task_of(path)], "on": ["succeeded"]})
        assert made.status_code == 201, made.text
        self.secrets[path] = made.json()["secret"]

    def submit(self, path, receiver=None):
        receiver = receiver or self.receiver
        self.subscribe(path, receiver)
        if path.startswith(SUBSCRIBED):
            return self.stack.client.submit(self.task_of(path), {"n": 1})
        return self.stack.client.submit("echo", {"n": 1}, deliver={"webhook": receiver.url(path)})

    def metric(self, name, **labels):
        return metric(self.stack, f"postback_notifier_{name}", **labels)

    def hooks(self):
        return [hook for hook in self.receiver.hooks + self.slow.hooks if not hook.path.startswith(FIRST)]

    def kill(self):
        self.stack.notifier.kill()

    def await_death(self):
        eventually(lambda: not self.stack.notifier.is_running(), what="the notifier is killed")

    def revive(self, comes_again=False):
        """`comes_again`: its reply was not acked. Until that is, the ack is not taken for the next one's."""
        acked = self.proxy.await_passing("basic.ack", UP) if comes_again else None
        if not self.waits_for_leases:
            self.stack.store.end_leases()
        self.stack.notifier.start()
        self.stack.await_ready("notifier")
        assert not acked or acked.wait(20)


# Each submits a task and leaves the notifier dead, and holds by what is there that it was at that step.

def killed_before_the_commit(rig, path):
    rig.subscribe(path, rig.receiver)
    with rig.stack.store.held():
        task = rig.submit(path)
        eventually(lambda: rig.metric("messages_in_hand") == 1, what="the reply is in hand")
        rig.kill()
    assert rows(rig.stack, task) == []
    return task


def killed_between_commit_and_ack(rig, path):
    cut = rig.proxy.cut_at("basic.ack", UP, "before")
    task = rig.submit(path)
    assert cut.wait(10)
    rig.kill()
    assert len(rows(rig.stack, task)) == 1
    assert rig.receiver.of(path) == []
    return task


def killed_between_ack_and_claim(rig, path):
    cut = rig.proxy.cut_at("basic.ack", UP, "after")
    task = rig.submit(path)
    assert cut.wait(10)
    eventually(lambda: [row.owner for row in rows(rig.stack, task)] == [None], what="it waits for its moment")
    rig.kill()
    assert rig.receiver.of(path) == []
    return task


def killed_between_claim_and_send(rig, path):
    """Its turn has not come: the one before it hangs."""
    def is_queued():
        due = [row.due_at for row in rows(rig.stack, task) if row.owner is not None]
        return due and time.time() * 1000 > due[0] + 2 * FIRST_WAIT_MS and rig.metric("due_in_flight") == 2

    rig.slow.behave(FIRST + path, hang, 200)
    rig.submit(FIRST + path, rig.slow)
    rig.slow.await_hooks(FIRST + path, 1)
    task = rig.submit(path, rig.slow)
    eventually(is_queued, what="it is claimed and waits")
    rig.kill()
    assert rig.slow.of(path) == []
    return task


def killed_while_it_sends(rig, path):
    def die(handler):
        rig.kill()
        handler.close_connection = True

    rig.receiver.behave(path, die, 200)
    task = rig.submit(path)
    rig.await_death()
    assert len(rig.receiver.of(path)) == 1
    return task


def killed_between_answer_and_record(rig, path):
    def delivered():
        return rig.metric("deliveries_total", channel="webhook", outcome="delivered")

    def answer_and_kill(handler):
        before = delivered()
        with rig.stack.store.held():
            answer(200)(handler)
            eventually(lambda: delivered() > before, what="the answer is heard")
            rig.kill()

    rig.receiver.behave(path, answer_and_kill, 200)
    task = rig.submit(path)
    rig.await_death()
    assert len(rig.receiver.of(path)) == 1
    assert attempts(rig.stack, task) == []
    return task


def killed_after_the_record(rig, path):
    task = rig.submit(path)
    await_deliveries(rig.stack, task, delivered=1)
    rig.kill()
    return task


# With how often the message comes.
STEPS = {
    killed_before_the_commit: 1,
    killed_between_commit_and_ack: 1,
    killed_between_ack_and_claim: 1,
    killed_between_claim_and_send: 1,
    killed_while_it_sends: 2,
    killed_between_answer_and_record: 2,
    killed_after_the_record: 1,
}
UNACKED = (killed_before_the_commit, killed_between_commit_and_ack)
CLAIMED = (killed_between_claim_and_send, killed_while_it_sends, killed_between_answer_and_record)
TOLD = [SUBSCRIBED + step.__name__ for step in STEPS] + [SUBSCRIBED + "hook"]


def ids_by_task(hooks):
    found = {}
    for hook in hooks:
        found.setdefault(json.loads(hook.body)["data"]["id"], []).append(hook.headers["webhook-id"])
    return found


def check(rig, tasks):
    """Returns the ids that came for each task."""
    for task in tasks:
        await_deliveries(rig.stack, task, delivered=1, timeout=LEASE_S + 30)
    found = ids_by_task(rig.hooks())
    assert set(found) == set(tasks)
    assert all(len(set(ids)) == 1 for ids in found.values())
    assert len({ids[0] for ids in found.values()}) == len(tasks)
    assert all(is_signed(hook, rig.secrets.get(hook.path, SECRET)) for hook in rig.hooks())
    return found


def test_no_delivery_is_lost_at_whatever_step_the_notifier_dies(stack_on_each, vhost, broker_proxy):
    # Leases are waited for with one of the stores: that takes a minute.
    is_patient = isinstance(stack_on_each.store, SqliteStore)
    with Receiver() as receiver, Receiver() as slow:
        rig = Rig(stack_on_each, vhost, broker_proxy, receiver, slow, waits_for_leases=is_patient)
        wanted = {}
        for prefix in ("/", SUBSCRIBED):
            for step, count in STEPS.items():
                task = step(rig, prefix + step.__name__)
                rig.revive(comes_again=step in UNACKED)
                wanted[task] = count
                if step is killed_between_commit_and_ack:
                    eventually(lambda: rig.metric("replies_total", effect="stale") == 1, what="the reply comes again")
                # What is being sent when the next step kills would come once more.
                if not (is_patient and step in CLAIMED):
                    await_deliveries(rig.stack, task, delivered=1)
        found = check(rig, wanted)
        assert {task: len(ids) for task, ids in found.items()} == wanted


def test_no_delivery_is_lost_under_kills_at_random(stack_on_each, vhost, broker_proxy):
    dice = random.Random(11)
    with Receiver() as receiver, Receiver() as slow:
        rig = Rig(stack_on_each, vhost, broker_proxy, receiver, slow)
        tasks = []
        for _ in range(6):
            seen = len(receiver.hooks)
            tasks += [rig.submit(path) for _ in range(10) for path in ("/hook", SUBSCRIBED + "hook")]
            wanted = seen + dice.randrange(1, 20)
            eventually(lambda wanted=wanted: len(receiver.hooks) >= wanted, timeout=30, what="some have arrived")
            rig.kill()
            rig.revive()
        check(rig, tasks)
