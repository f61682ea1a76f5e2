"""The client's trace context comes with whatever is run for its submission, however late."""
import pytest

from gateway_rig import Worker, module_stack

TRACE = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "tracestate": "a=b,c=d"}
JSON = {"result": b"{}", "content_type": "application/json"}

# Tells, in its second attempt, what it has in its environment.
SECOND = {"task": "second", "exec": ["/bin/sh", "-c", '[ "$POSTBACK_ATTEMPT" = 2 ] && printf %s "$TRACEPARENT"'],
          "content_type": "text/plain", "retry": {"attempts": 2, "base": "10ms"}}

api = module_stack(gateway={"tasks": ["parked", "after"]}, processor={"handlers": [SECOND]})


@pytest.fixture
def parked(api):
    worker = Worker(api.vhost, "parked")
    yield worker
    worker.close()


@pytest.fixture
def after(api):
    worker = Worker(api.vhost, "after")
    yield worker
    worker.close()


def trace_in(properties):
    headers = properties.headers or {}
    return {name: headers[name] for name in TRACE if name in headers}


def test_a_delayed_task_bears_it(api, parked):
    api.client.submit("parked", {}, delay="50ms", headers=TRACE)
    request, properties = parked.take()
    assert trace_in(properties) == TRACE
    parked.reply(request, properties, **JSON)


def test_a_further_attempt_bears_it(api):
    task = api.client.submit("second", headers=TRACE)
    assert api.client.await_end(task)["attempt"] == 2
    assert api.client.get(f"/v1/tasks/{task}/result").text == TRACE["traceparent"]


def test_what_runs_after_it_bears_it(api, parked, after):
    api.client.envelope("parked", {}, then="after", headers=TRACE)
    request, properties = parked.take()
    parked.reply(request, properties, **JSON)
    request, properties = after.take()
    assert trace_in(properties) == TRACE
    after.reply(request, properties, **JSON)


def test_what_runs_after_a_batch_bears_it(api, parked, after):
    api.client.post("/v1/batches", json={"tasks": [{"task": "parked"}], "then": "after"}, headers=TRACE)
    request, properties = parked.take()
    parked.reply(request, properties, **JSON)
    request, properties = after.take()
    assert trace_in(properties) == TRACE
    after.reply(request, properties, **JSON)


def test_without_one_there_is_none(api, parked):
    api.client.submit("parked", {}, delay="50ms")
    request, properties = parked.take()
    assert trace_in(properties) == {}
    parked.reply(request, properties, **JSON)
