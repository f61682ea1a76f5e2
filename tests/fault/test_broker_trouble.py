"""The broker frozen, killed, restarted, under an alarm, while 32 clients submit: nothing hangs, nothing lies, nothing
that was accepted is lost, and all recovers by itself."""
import contextlib

import pytest

from lib.ledger import Ledger
from lib.probe import Probe

pytestmark = pytest.mark.alone

CLIENTS = 32
PUBLISH_TIMEOUT_S = 2.0
# What a client of this test program measures besides the gateway: 32 threads of Python on a small machine.
SLACK_S = 1.5
QUICK_S = 0.05


def freeze(broker):
    broker.freeze()
    return broker.thaw


def kill(broker):
    broker.kill()
    return broker.start


def restart(broker):
    broker.stop()
    return broker.start


def alarm(broker):
    broker.set_alarm(True)
    return lambda: broker.set_alarm(False)


@contextlib.contextmanager
def quick(port, task):
    """/livez and polling are quick all the while."""
    with Probe(port, "/livez") as live, Probe(port, f"/v1/tasks/{task}") as poll:
        yield
    for probe in (live, poll):
        assert not probe.wrong, probe.wrong[:5]
        assert probe.quantile(0.5) < QUICK_S, f"median {probe.quantile(0.5):.3f} s"


@pytest.mark.parametrize("trouble", [freeze, kill, restart, alarm], ids=lambda trouble: trouble.__name__)
def test_submissions_get_503_in_time_and_nothing_accepted_is_missing(own_stack, own_broker, trouble):
    client = own_stack.start({"processor": {"handlers": [{"task": "echo", "builtin": "echo", "concurrency": 64}]}}).client
    known = client.submit("echo", {"n": 0})
    client.await_end(known)
    with Ledger(client) as ledger:
        ledger.submit_from(CLIENTS, lambda n: ("echo", {"n": n}), pause_s=0.01)
        ledger.await_accepted(200)
        mend = trouble(own_broker)
        try:
            with quick(own_stack.ports["gateway"], known):
                ledger.await_refused(100)
        finally:
            mend()
        own_stack.await_ready()
        ledger.await_accepted(200)
    in_time = PUBLISH_TIMEOUT_S + SLACK_S
    for answer in ledger.refused:
        assert answer.status == 503, answer
        assert answer.seconds < in_time, answer
    ended = ledger.check()
    for task, document in ended.items():
        assert document["result"] == ledger.accepted[task][1]


def test_a_refused_submission_says_when_to_come_back(own_stack, own_broker):
    client = own_stack.start().client
    own_broker.freeze()
    answer = client.envelope("echo", {})
    own_broker.thaw()
    assert answer.status_code == 503
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert int(answer.headers["Retry-After"]) >= 1
    own_stack.await_ready()
    assert client.await_end(client.submit("echo", {}))["status"] == "succeeded"


def test_readiness_tells_of_the_broker_and_liveness_does_not(own_stack, own_broker):
    client = own_stack.start().client
    own_broker.kill()
    own_stack.await_unready()
    own_stack.await_live()
    assert client.get("/readyz").json()["checks"]["broker_publish"]["status"] == "down"
    own_broker.start()
    own_stack.await_ready()
