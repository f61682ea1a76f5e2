"""The notifier killed (-9) at every step of a delivery, to a receiver that the task named or a registered endpoint: none
is lost, and what comes twice bears the same id."""
import json
import random

from lib.deliveries import await_deliveries
from lib.proxy import DOWN, UP
from lib.receiver import SECRET, Receiver, answer, is_signed
from lib.wait import eventually

LEASE_S = 60
WEBHOOK = {"secrets": [SECRET], "allow": ["127.0.0.0/8"], "schedule": ["0s"] + ["1s"] * 9}
SUBSCRIBED = "/told/"


class Rig:
    """A stack whose notifier reaches the broker through a proxy. What is submitted with a path below SUBSCRIBED names no
    receiver: a registered endpoint wants its outcome."""

    def __init__(self, stack, vhost, proxy, receiver):
        self.stack, self.proxy, self.receiver = stack, proxy, receiver
        self.secrets = {}
        handlers = [{"task": task, "builtin": "echo"} for task in ["echo"] + [self.task_of(path) for path in TOLD]]
        stack.start({"notifier": {"webhook": WEBHOOK}, "processor": {"handlers": handlers}},
                    only=("gateway", "processor"))
        stack.add("notifier", env={"POSTBACK_AMQP_URL": proxy.url(vhost.url)})
        stack.await_ready("notifier")

    @staticmethod
    def task_of(path):
        return path.strip("/").replace("/", ".")

    def submit(self, path):
        if not path.startswith(SUBSCRIBED):
            return self.stack.client.submit("echo", {"n": 1}, deliver={"webhook": self.receiver.url(path)})
        if path not in self.secrets:
            made = self.stack.client.post("/v1/endpoints", json={
                "url": self.receiver.url(path), "tasks": [self.task_of(path)], "on": ["succeeded"]})
            assert made.status_code == 201, made.text
            self.secrets[path] = made.json()["secret"]
        return self.stack.client.submit(self.task_of(path), {"n": 1})

    def kill(self):
        self.stack.notifier.kill()

    def revive(self):
        self.stack.notifier.start()
        self.stack.await_ready("notifier")


def killed_before_the_commit(rig, path):
    cut = rig.proxy.cut_at("basic.deliver", DOWN, "after")
    task = rig.submit(path)
    assert cut.wait(10)
    rig.kill()
    return task


def killed_between_commit_and_ack(rig, path):
    cut = rig.proxy.cut_at("basic.ack", UP, "before")
    task = rig.submit(path)
    assert cut.wait(10)
    rig.kill()
    return task


def killed_while_it_sends(rig, path):
    def die(handler):
        rig.kill()
        handler.close_connection = True

    rig.receiver.behave(path, die, 200)
    task = rig.submit(path)
    eventually(lambda: not rig.stack.notifier.is_running(), what="the notifier is killed")
    return task


def killed_between_answer_and_record(rig, path):
    def answer_and_kill(handler):
        answer(200)(handler)
        rig.kill()

    rig.receiver.behave(path, answer_and_kill, 200)
    task = rig.submit(path)
    eventually(lambda: not rig.stack.notifier.is_running(), what="the notifier is killed")
    return task


def killed_after_the_record(rig, path):
    task = rig.submit(path)
    await_deliveries(rig.stack, task, delivered=1, timeout=LEASE_S + 30)
    rig.kill()
    return task


STEPS = [killed_before_the_commit, killed_between_commit_and_ack, killed_while_it_sends, killed_between_answer_and_record,
         killed_after_the_record]
TOLD = [SUBSCRIBED + step.__name__ for step in STEPS] + [SUBSCRIBED + "hook"]


def ids_by_task(receiver):
    found = {}
    for hook in list(receiver.hooks):
        found.setdefault(json.loads(hook.body)["data"]["id"], []).append(hook.headers["webhook-id"])
    return found


def check(rig, tasks):
    for task in tasks:
        await_deliveries(rig.stack, task, delivered=1, timeout=LEASE_S + 30)
    found = ids_by_task(rig.receiver)
    assert set(found) == set(tasks)
    assert all(len(set(ids)) == 1 for ids in found.values())
    assert len({ids[0] for ids in found.values()}) == len(tasks)
    assert all(is_signed(hook, rig.secrets.get(hook.path, SECRET)) for hook in list(rig.receiver.hooks))


def test_no_delivery_is_lost_at_whatever_step_the_notifier_dies(stack, vhost, broker_proxy):
    with Receiver() as receiver:
        rig = Rig(stack, vhost, broker_proxy, receiver)
        tasks = []
        for prefix in ("/", SUBSCRIBED):
            for step in STEPS:
                tasks.append(step(rig, prefix + step.__name__))
                rig.revive()
        check(rig, tasks)
        for prefix in ("/", SUBSCRIBED):
            assert len(receiver.of(prefix + "killed_while_it_sends")) == 2
            assert len(receiver.of(prefix + "killed_after_the_record")) == 1


def test_no_delivery_is_lost_under_kills_at_random(stack, vhost, broker_proxy):
    dice = random.Random(11)
    with Receiver() as receiver:
        rig = Rig(stack, vhost, broker_proxy, receiver)
        tasks = []
        for _ in range(6):
            seen = len(receiver.hooks)
            tasks += [rig.submit(path) for _ in range(10) for path in ("/hook", SUBSCRIBED + "hook")]
            wanted = seen + dice.randrange(1, 20)
            eventually(lambda wanted=wanted: len(receiver.hooks) >= wanted, timeout=LEASE_S + 30, what="some have arrived")
            rig.kill()
            rig.revive()
        check(rig, tasks)
