"""On a PostgreSQL: a notifier whose deliveries another one takes over, and the server aborted while deliveries are under
way. None is lost, none is dead for it, and each attempt is on record."""
import threading

import pytest

from lib.deliveries import attempts, await_deliveries, metric, rows
from lib.receiver import SECRET, Receiver, answer
from lib.stores import PostgresStore
from lib.wait import eventually

COUNT = 6
WEBHOOK = {"secrets": [SECRET], "allow": ["127.0.0.0/8"], "schedule": ["0s"] + ["1s"] * 9}


class Doors:
    """A receiver whose answers wait. Each delivery goes to a host of its own, so that all are under way at once."""

    def __init__(self, receiver):
        self.receiver = receiver
        self._open = threading.Event()
        self._came = threading.Semaphore(0)

    def submit_all(self, client, *statuses):
        """To be answered so, one attempt after the other."""
        for n in range(COUNT):
            self.receiver.behave(f"/{n}", *(self._waiting(status) for status in statuses))
        return [client.submit("echo", {"n": n}, deliver={"webhook": self.receiver.url(f"/{n}", host=f"127.0.0.{n + 2}")})
                for n in range(COUNT)]

    def _waiting(self, status):
        def behaviour(handler):
            self._came.release()
            self._open.wait(30)
            answer(status)(handler)
        return behaviour

    def await_all(self):
        for _ in range(COUNT):
            assert self._came.acquire(timeout=20)

    def open(self):
        self._open.set()

    def close(self):
        self._open.clear()

    def ids(self):
        """Of the messages that came, for each task."""
        return [[hook.headers["webhook-id"] for hook in self.receiver.of(f"/{n}")] for n in range(COUNT)]


@pytest.fixture
def stack(stack, postgres):
    stack.use_store(PostgresStore(postgres))
    return stack.start({"notifier": {"webhook": WEBHOOK}})


@pytest.fixture
def doors():
    with Receiver(host="0.0.0.0") as receiver:
        doors = Doors(receiver)
        yield doors
        doors.open()


def heard(stack):
    return metric(stack, "postback_notifier_attempt_seconds_count", channel="webhook")


def recorded(stack, task):
    return [(attempt.number, attempt.status) for attempt in attempts(stack, task)]


def held_by_one(stack, tasks):
    """The leases of all are one notifier's, and they run."""
    owners = {row.owner for task in tasks for row in rows(stack, task)}
    return len(owners) == 1 and None not in owners


def take_over(stack, doors, stop):
    """All is under way at the first notifier when that is stopped; the second one has delivered it in the end."""
    tasks = doors.submit_all(stack.client, 200)
    doors.await_all()
    stack.add("notifier", "notifier2")
    stack.await_ready("notifier2")
    assert held_by_one(stack, tasks)
    stop()
    assert [len(ids) for ids in doors.ids()] == [1] * COUNT
    stack.store.end_leases()
    doors.await_all()
    return tasks


def check_once(stack, doors, tasks):
    for task, ids in zip(tasks, doors.ids()):
        made = await_deliveries(stack, task, delivered=1)
        assert [(attempt.number, attempt.status) for attempt in made] == [(1, 200)]
        assert ids == [made[0].delivery] * 2


def test_the_deliveries_of_a_notifier_that_was_killed_are_taken_over_by_the_other(stack, doors):
    tasks = take_over(stack, doors, stack.notifier.kill)
    doors.open()
    check_once(stack, doors, tasks)


def test_what_a_notifier_says_of_deliveries_that_were_taken_over_meanwhile_counts_for_nothing(stack, doors):
    tasks = take_over(stack, doors, stack.notifier.freeze)
    doors.open()
    check_once(stack, doors, tasks)
    stack.notifier.thaw()
    eventually(lambda: heard(stack) == COUNT, what="the first one hears its answers")
    eventually(lambda: metric(stack, "postback_notifier_due_in_flight") == 0, what="the first one has let go of all")
    check_once(stack, doors, tasks)


def test_deliveries_under_way_while_the_server_is_aborted_are_made_once_and_all_attempts_recorded(stack, postgres, doors):
    tasks = doors.submit_all(stack.client, 500, 200)
    doors.await_all()
    # The answers come while there is no server.
    postgres.abort()
    doors.open()
    eventually(lambda: heard(stack) == COUNT, what="the answers are heard")
    doors.close()
    postgres.start()
    doors.await_all()
    for task in tasks:
        assert recorded(stack, task) == [(1, 500)]
    # And when it is there again.
    postgres.abort()
    postgres.start()
    stack.await_ready()
    doors.open()
    for task, ids in zip(tasks, doors.ids()):
        made = await_deliveries(stack, task, delivered=1, timeout=40)
        assert recorded(stack, task) == [(1, 500), (2, 200)]
        assert ids == [made[0].delivery] * 2


def test_a_reply_in_hand_while_the_server_is_aborted_is_committed_and_its_delivery_made_once(stack, postgres, doors):
    doors.open()
    with stack.store.held():
        tasks = doors.submit_all(stack.client, 200)
        eventually(lambda: metric(stack, "postback_notifier_messages_in_hand") == COUNT, what="the replies are in hand")
        postgres.abort()
    postgres.start()
    for task, ids in zip(tasks, doors.ids()):
        await_deliveries(stack, task, delivered=1, timeout=40)
    for task, ids in zip(tasks, doors.ids()):
        assert stack.client.status(task)["status"] == "succeeded"
        assert recorded(stack, task) == [(1, 200)]
        assert len(ids) == 1
