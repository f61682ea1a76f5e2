"""A gateway goes while clients follow tasks over WebSockets: they find the outcome at another."""
import json
import threading

import pytest

from lib.rawsocket import CLOSE, TEXT, RawSocket
from lib.wait import eventually

TERMINAL = ("succeeded", "failed", "canceled", "dead")
FOLLOWERS = 24


class Follower(threading.Thread):
    """Follows one task; connects again to the next gateway, whatever happens to the connection."""

    def __init__(self, stack, task, gateways):
        super().__init__(daemon=True)
        self.stack, self.task, self.gateways = stack, task, gateways
        self.told = []  # (number of the connection, rev, status)
        self.codes = []
        self.wrong = None
        self.start()

    def run(self):
        try:
            for number in range(200):
                if self._follow(number, self.gateways[number % len(self.gateways)]):
                    return
                threading.Event().wait(0.05)
            self.wrong = "no end"
        except Exception as error:  # pylint: disable=broad-except
            self.wrong = repr(error)

    def _follow(self, number, gateway):
        try:
            with RawSocket(self.stack.ports[gateway], target=f"/v1/tasks/{self.task}/ws") as connection:
                return self._listen(number, connection)
        except (AssertionError, OSError):
            return False

    def _listen(self, number, connection):
        while True:
            opcode, payload = connection.next_frame()
            if opcode == CLOSE:
                self.codes.append(int.from_bytes(payload[:2], "big"))
                return bool(self.told) and self.told[-1][2] in TERMINAL
            if opcode == TEXT:
                document = json.loads(payload)
                self.told.append((number, document["rev"], document["status"]))


def check(followers):
    for follower in followers:
        assert not follower.wrong, follower.wrong
        assert follower.told[-1][2] == "succeeded" and follower.codes[-1] == 1000
        # Within a connection each rev once and upwards; a new one begins with the state as it is, not before it.
        for (before, low, _), (number, high, _) in zip(follower.told, follower.told[1:]):
            assert high > low or (number > before and high >= low), follower.told


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_who_followed_at_a_gateway_that_goes_gets_the_outcome_from_the_other(stack, how):
    handlers = [{"task": "sleep", "builtin": "sleep", "concurrency": FOLLOWERS}]
    client = stack.start({"processor": {"handlers": handlers}}).client
    stack.add("gateway", "second")
    stack.await_ready("second")
    tasks = [client.submit("sleep", {"seconds": 4 + n % 4 / 2}) for n in range(FOLLOWERS)]
    followers = [Follower(stack, task, ["gateway", "second"]) for task in tasks]
    eventually(lambda: all(follower.told for follower in followers), what="all follow at the first")
    if how == "killed":
        stack.gateway.kill()
    else:
        stack.gateway.stop()
    for follower in followers:
        follower.join(60)
    check(followers)
    assert any(number > 0 for follower in followers for number, _, _ in follower.told)
    if how == "stopped":
        assert all(1001 in follower.codes or len(follower.codes) == 1 for follower in followers)


def test_a_client_of_many_tasks_loses_none_when_its_gateway_is_killed(stack):
    client = stack.start().client
    stack.add("gateway", "second")
    stack.await_ready("second")
    tasks = [client.submit("echo", n, delay="5s") for n in range(100)]
    ended, revs = {}, {}

    def follow(port):
        with RawSocket(port, target="/v1/ws") as connection:
            for task in tasks:
                if task not in ended:
                    connection.say(TEXT, json.dumps({"subscribe": task, "rev": revs.get(task, 0)}))
            while len(ended) < len(tasks):
                document = json.loads(connection.text())
                if "status" not in document:
                    continue
                assert document["rev"] > revs.get(document["id"], -1), document
                revs[document["id"]] = document["rev"]
                if document["status"] in TERMINAL:
                    ended[document["id"]] = document["status"]

    killing = threading.Thread(
        target=lambda: (eventually(lambda: len(revs) == len(tasks), what="all are followed"), stack.gateway.kill()))
    killing.start()
    with pytest.raises(OSError):
        follow(stack.ports["gateway"])
    killing.join()
    assert len(ended) < len(tasks)
    follow(stack.ports["second"])
    assert set(ended.values()) == {"succeeded"}
