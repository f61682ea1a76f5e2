"""Followers while connections, the broker and services break: nothing is told twice or backwards, and the end always."""
import pytest

from lib import steps
from lib.proxy import DOWN, UP
from lib.sse import EventStream
from lib.wait import eventually

TASKS = 12
STEPS = 12
LONG = 60


def start(stack, **options):
    return stack.start({"processor": {"handlers": [
        {"task": "echo", "builtin": "echo", "concurrency": 16},
        steps.handler(stack.folder, STEPS, TASKS),
        {**steps.handler(stack.folder, LONG, TASKS), "task": "long"}]}},
        **options)


def follow(stack, task_id, name="gateway", **options):
    return EventStream(stack.ports[name], f"/v1/tasks/{task_id}/events", **options)


def check(stack, streams, client=None):
    """Each was told its task's end, last, and on the way there never twice or backwards."""
    for stream in streams:
        stream.await_end(60)
        documents = stream.documents()
        revs = [document["rev"] for document in documents]
        assert revs == sorted(set(revs)), revs
        assert documents[-1]["status"] == "succeeded", documents[-1]
        now = (client or stack.client).status(documents[-1]["id"])
        assert documents[-1]["result"] == now["result"] and revs[-1] == now["rev"]


@pytest.fixture
def cut_off(stack, broker_proxy, vhost):
    """A second gateway whose connections to the broker pass through the proxy."""
    start(stack)
    stack.add("gateway", "other", env={"POSTBACK_AMQP_URL": broker_proxy.url(vhost.url)})
    stack.await_ready()
    return stack


@pytest.mark.parametrize("method, way, when", [
    ("queue.bind", UP, "before"), ("queue.bind-ok", DOWN, "before"), ("queue.bind-ok", DOWN, "after"),
    ("basic.deliver", DOWN, "before")])
def test_a_connection_that_is_cut_on_the_way_costs_no_outcome(cut_off, broker_proxy, method, way, when):
    cut = broker_proxy.cut_at(method, way, when, skip=TASKS // 2)
    streams = [follow(cut_off, cut_off.client.submit("steps", n), "other") for n in range(TASKS)]
    assert cut.wait(60)
    check(cut_off, streams)


def test_while_the_gateway_is_cut_off_changes_come_from_the_store(cut_off, broker_proxy):
    broker_proxy.refuse()
    broker_proxy.cut()
    streams = [follow(cut_off, cut_off.client.submit("steps", n), "other") for n in range(TASKS)]
    check(cut_off, streams)
    # In more than one step: the store was asked while they ran.
    assert all(len(stream.documents()) > 1 for stream in streams)
    broker_proxy.accept()
    cut_off.await_ready()
    stream = follow(cut_off, cut_off.client.submit("steps", 1), "other")
    check(cut_off, [stream])
    assert stream.revs() == list(range(stream.revs()[0], stream.revs()[-1] + 1))


def test_a_connection_that_takes_and_gives_nothing_is_noticed(cut_off, broker_proxy):
    streams = [follow(cut_off, cut_off.client.submit("echo", n, delay="1s"), "other") for n in range(TASKS)]
    for stream in streams:
        stream.await_events(1)
    broker_proxy.pause()
    # Nothing says so for two heartbeats, but what nothing was heard of is looked at.
    check(cut_off, streams)
    broker_proxy.resume()


@pytest.mark.parametrize("trouble", ["kill", "freeze"])
def test_a_broker_in_trouble_costs_no_outcome(own_stack, own_broker, trouble):
    start(own_stack)
    streams = [follow(own_stack, own_stack.client.submit("steps", n)) for n in range(TASKS)]
    for stream in streams:
        stream.await_events(2)
    if trouble == "freeze":
        own_broker.freeze()
        eventually(lambda: own_stack.client.envelope("echo", 1).status_code == 503)
        own_broker.thaw()
    else:
        own_broker.kill()
        own_stack.await_unready("gateway")
        own_broker.start()
    check(own_stack, streams)
    own_stack.await_ready()
    again = follow(own_stack, own_stack.client.submit("steps", 1))
    check(own_stack, [again])


def test_a_notifier_that_is_killed_costs_no_outcome(stack):
    start(stack)
    streams = [follow(stack, stack.client.submit("steps", n)) for n in range(TASKS)]
    for n in range(4):
        streams[n].await_events(2 + 2 * n)
        stack.notifier.kill()
        stack.notifier.start()
        stack.await_ready("notifier")
    check(stack, streams)


def test_a_notifier_whose_connection_is_cut_tells_what_it_could_not(stack, broker_proxy, vhost):
    start(stack, only=("gateway", "processor"))
    stack.add("notifier", env={"POSTBACK_AMQP_URL": broker_proxy.url(vhost.url)})
    stack.await_ready()
    streams = [follow(stack, stack.client.submit("steps", n)) for n in range(TASKS)]
    for n in range(5):
        streams[n].await_events(2 + n)
        broker_proxy.cut()
    check(stack, streams)


def test_clients_of_a_gateway_that_is_killed_go_on_at_the_other(cut_off):
    ids = [cut_off.client.submit("long", n) for n in range(TASKS)]
    before = [follow(cut_off, task_id, "other") for task_id in ids]
    for stream in before:
        stream.await_events(3)
    cut_off.other.kill()
    for stream in before:
        stream.await_end()
    after = [follow(cut_off, task_id, headers={"Last-Event-ID": stream.last_id})
             for task_id, stream in zip(ids, before)]
    check(cut_off, after)
    for old, new in zip(before, after):
        assert new.revs()[0] > old.revs()[-1]


def test_a_tenant_is_told_that_something_may_be_missing(cut_off, broker_proxy):
    with EventStream(cut_off.ports["other"], "/v1/events") as stream:
        stream.await_events(1)
        broker_proxy.cut()
        eventually(lambda: [event.name for event in stream.events].count("start") == 2, timeout=60)
        task_id = cut_off.client.submit("echo", 1)
        eventually(lambda: task_id in [document["id"] for document in stream.documents()])
