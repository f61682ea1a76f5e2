"""Outcomes pushed by webhook to receivers of every kind."""
import datetime
import json
import statistics
import threading
import time

import pytest

from gateway_rig import problem
from lib.deliveries import attempts, await_deliveries, metric
from lib.receiver import (OTHER_SECRET, SECRET, Receiver, answer, drip, flood, hang, is_signed, reset)
from lib.service import run
from lib.stack import Stack
from lib.wait import eventually

FAST = ["0s", "200ms", "200ms"]
HANDLERS = [
    {"task": "echo", "builtin": "echo", "concurrency": 8},
    {"task": "fail", "exec": ["/bin/sh", "-c", "exit 64"], "concurrency": 4},
    {"task": "bytes", "exec": ["/bin/sh", "-c", "printf '\\000\\377'"], "content_type": "application/octet-stream"},
]


def options(**webhook):
    return {
        "processor": {"handlers": HANDLERS},
        "notifier": {"webhook": {"secrets": [SECRET], "allow": ["127.0.0.0/8"], "schedule": FAST, "timeout": "2s",
                                 **webhook}},
    }


@pytest.fixture(scope="module")
def receiver():
    with Receiver() as running:
        yield running


@pytest.fixture(scope="module")
def api(broker, tmp_path_factory):
    """One stack for all tests that do not want it otherwise."""
    vhost = broker.vhost_new()
    stack = Stack(vhost.url, tmp_path_factory.mktemp("webhook"))
    try:
        yield stack.start(options())
    finally:
        try:
            stack.close()
        finally:
            broker.vhost_delete(vhost)


# What arrives.

def test_an_outcome_arrives_signed_with_its_status_document(api, receiver):
    task = api.client.submit("echo", {"n": 1}, deliver={"webhook": receiver.url("/ok")}, metadata={"k": "v"})
    made = await_deliveries(api, task, delivered=1)
    (hook,) = receiver.of("/ok")
    assert is_signed(hook, SECRET) and not is_signed(hook, OTHER_SECRET)
    assert hook.headers["content-type"] == "application/json"
    assert hook.headers["user-agent"].startswith("Postback/")
    assert abs(int(hook.headers["webhook-timestamp"]) - hook.at) < 60
    body, status = json.loads(hook.body), api.client.status(task)
    assert list(body) == ["type", "timestamp", "data"]
    assert body["type"] == "task.succeeded"
    assert body["timestamp"] == status["finished_at"]
    assert body["data"]["deliveries"] == {"pending": 1, "delivered": 0, "dead": 0}
    for changing in ("deliveries", "rev"):
        del body["data"][changing], status[changing]
    assert body["data"] == status
    assert [(a.delivery, a.number, a.status, a.error) for a in made] == [(hook.headers["webhook-id"], 1, 200, None)]


def test_json_arrives_byte_for_byte(api, receiver):
    payload = b'{"b":1.10,"a":12345678901234567890,"z":"\\u0000"}'
    task = api.client.submit("echo", payload, deliver={"webhook": receiver.url("/bytes")})
    await_deliveries(api, task, delivered=1)
    assert b'"result":' + payload in receiver.of("/bytes")[0].body


def test_other_results_are_told_of_by_their_link(api, receiver):
    task = api.client.submit("bytes", 1, deliver={"webhook": receiver.url("/octets")})
    await_deliveries(api, task, delivered=1)
    data = json.loads(receiver.of("/octets")[0].body)["data"]
    assert "result" not in data
    assert data["result_info"]["href"] == f"/v1/tasks/{task}/result"


def test_each_receiver_gets_the_outcomes_that_it_wants(api, receiver):
    def deliver(path):
        return {"webhook": [receiver.url(path + "/all"), {"url": receiver.url(path + "/bad"), "on": ["failed", "dead"]},
                            {"url": receiver.url(path + "/good"), "on": ["succeeded"]}]}

    good = api.client.submit("echo", 1, deliver=deliver("/g"))
    bad = api.client.submit("fail", 1, deliver=deliver("/b"))
    await_deliveries(api, good, delivered=2)
    await_deliveries(api, bad, delivered=2)
    assert [len(receiver.of(path)) for path in ("/g/all", "/g/bad", "/g/good")] == [1, 0, 1]
    assert [len(receiver.of(path)) for path in ("/b/all", "/b/bad", "/b/good")] == [1, 1, 0]
    body = json.loads(receiver.of("/b/bad")[0].body)
    assert body["type"] == "task.failed"
    assert body["data"]["error"]["type"]
    ids = {hook.headers["webhook-id"] for path in ("/g/all", "/g/good", "/b/all", "/b/bad") for hook in receiver.of(path)}
    assert len(ids) == 4


def test_run_takes_a_webhook_in_the_query(api, receiver):
    answered = api.client.run("echo", b"[1]", webhook=receiver.url("/run?x=1"))
    assert answered.status_code == 202
    await_deliveries(api, answered.json()["id"], delivered=1)
    assert len(receiver.of("/run?x=1")) == 1


def test_a_canceled_task_is_told_of(api, receiver):
    task = api.client.submit("echo", 1, delay="1h", deliver={"webhook": receiver.url("/canceled")})
    eventually(lambda: api.client.status(task)["status"] == "scheduled", what="it is scheduled")
    assert api.client.delete(f"/v1/tasks/{task}").status_code in (200, 202)
    await_deliveries(api, task, delivered=1)
    assert json.loads(receiver.of("/canceled")[0].body)["type"] == "task.canceled"


def test_a_retried_task_is_told_of_again(api, receiver):
    task = api.client.submit("fail", 1, deliver={"webhook": receiver.url("/again")})
    await_deliveries(api, task, delivered=1)
    again = api.client.post(f"/v1/tasks/{task}/retry").json()["id"]
    await_deliveries(api, again, delivered=1)
    assert [json.loads(hook.body)["data"]["id"] for hook in receiver.of("/again")] == [task, again]


@pytest.mark.parametrize("deliver,field", [
    ({"webhook": "ftp://example.com/"}, "/deliver/webhook"),
    ({"webhook": "https://user:secret@example.com/"}, "/deliver/webhook"),
    ({"webhook": "https://example.com/" + "x" * 2048}, "/deliver/webhook"),
    ({"webhook": ["https://example.com/", "nonsense"]}, "/deliver/webhook/1"),
    ({"webhook": {"url": 7}}, "/deliver/webhook/url"),
    ({"webhook": {"on": ["failed"]}}, "/deliver/webhook/url"),
    ({"webhook": {"url": "https://example.com/", "on": []}}, "/deliver/webhook/on"),
    ({"webhook": {"url": "https://example.com/", "on": ["failed", "running"]}}, "/deliver/webhook/on/1"),
    ({"webhook": {"url": "https://example.com/", "method": "PUT"}}, "/deliver/webhook/method"),
    ({"webhook": 7}, "/deliver/webhook"),
    ({"webhook": [f"https://example.com/{n}" for n in range(101)]}, "/deliver/webhook/100"),
    ({"pigeon": "coop 7"}, "/deliver/pigeon"),
])
def test_what_can_be_seen_to_be_wrong_is_refused_with_its_place(api, deliver, field):
    problem(api.client.envelope("echo", 1, deliver=deliver), 422, "invalid-field", field)


def test_a_route_may_name_who_is_told(stack, receiver):
    routes = [
        {"path": "POST /process", "task": "echo", "deliver": {"webhook": receiver.url("/route")}},
        {"path": "POST /chain", "tasks": ["echo", "fail"],
         "deliver": {"webhook": {"url": receiver.url("/chain"), "on": ["failed"]}}},
    ]
    stack.start({**options(), "gateway": {"routes": routes}})
    one = stack.client.post("/process", json={}).json()["id"]
    last = stack.client.post("/chain", json={}).json()["id"]
    await_deliveries(stack, one, delivered=1)
    await_deliveries(stack, last, delivered=1)
    assert [json.loads(hook.body)["data"]["id"] for hook in receiver.of("/chain")] == [last]


@pytest.mark.parametrize("route,words", [
    ({"task": "echo", "deliver": {"webhook": "nonsense"}}, "/webhook"),
    ({"task": "echo", "mode": "sync", "deliver": {"webhook": "https://a.example"}}, "deliver is for mode async"),
    ({"path": "GET /x/{id}", "status_of": "id", "deliver": {"webhook": "https://a.example"}}, "deliver are for routes"),
])
def test_a_route_that_cannot_deliver_is_told(tmp_path, route, words):
    config = tmp_path / "postback.yaml"
    config.write_text(json.dumps({"gateway": {"routes": [{"path": "POST /x", **route}]}}), encoding="utf-8")
    done = run("gateway", "--check", "--config", config)
    assert done.returncode == 2 and words in done.stderr, done.stderr


def test_nothing_is_delivered_with_mode_sync(api, receiver):
    answered = api.client.run("echo", b"1", mode="sync", webhook=receiver.url("/sync"))
    assert answered.status_code == 422
    assert "Prefer: wait" in answered.json()["detail"]


# What receivers answer.

def test_a_failure_is_tried_again_under_the_same_id(api):
    with Receiver() as own:
        # Over a kept connection a reset is tried once more at once, as HTTP clients do.
        own.behave("/hook", answer(500, {"Connection": "close"}), reset, 204)
        task = api.client.submit("echo", 1, deliver={"webhook": own.url()})
        made = await_deliveries(api, task, delivered=1)
    hooks = own.hooks
    assert len(hooks) == 3
    assert len({hook.headers["webhook-id"] for hook in hooks}) == 1
    assert all(is_signed(hook, SECRET) for hook in hooks)
    assert [a.number for a in made] == [1, 2, 3]
    assert [a.status for a in made] == [500, 0, 204]
    assert "500" in made[0].error and made[1].error and made[2].error is None


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 408, 429, 500, 503])
def test_after_the_last_attempt_it_is_dead(api, receiver, status):
    path = f"/status{status}"
    receiver.behave(path, answer(status, {"Location": receiver.url("/followed")}, b"why not"))
    task = api.client.submit("echo", 1, deliver={"webhook": receiver.url(path)})
    made = await_deliveries(api, task, dead=1)
    assert [a.status for a in made] == [status] * len(FAST)
    assert all(a.response == b"why not" and str(status) in a.error for a in made)
    assert len(receiver.of(path)) == len(FAST)
    assert receiver.of("/followed") == []


def test_the_waits_vary_so_that_not_all_come_back_at_once(stack):
    stack.start(options(schedule=["0s", "1s"]))
    with Receiver() as receiver:
        receiver.behave("/hook", 500)
        task = stack.client.submit("echo", 1, deliver={"webhook": [receiver.url()] * 30})
        made = await_deliveries(stack, task, dead=30)
    first = {a.delivery: a.at for a in made if a.number == 1}
    waits = [a.at - a.took_ms - first[a.delivery] for a in made if a.number == 2]
    # From 800 to 1200, and a little for each look at what is due.
    assert min(waits) >= 790
    assert max(waits) - min(waits) > 120


def test_gone_is_gone(api, receiver):
    receiver.behave("/gone", 410)
    task = api.client.submit("echo", 1, deliver={"webhook": receiver.url("/gone")})
    assert [a.status for a in await_deliveries(api, task, dead=1)] == [410]


def test_retry_after_is_heeded(api, receiver):
    def until(handler):
        """As a date, of the moment of the answer."""
        later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=4)
        answer(429, {"Retry-After": later.strftime("%a, %d %b %Y %H:%M:%S GMT")})(handler)

    for path, busy, at_least in (("/busy", answer(429, {"Retry-After": "2"}), 1.9), ("/busy-until", until, 2.5)):
        receiver.behave(path, busy, 200)
        task = api.client.submit("echo", 1, deliver={"webhook": receiver.url(path)})
        await_deliveries(api, task, delivered=1)
        first, second = receiver.of(path)
        assert at_least < second.at - first.at
        # It is signed for the moment of this attempt: else receivers would refuse it as old.
        assert int(second.headers["webhook-timestamp"]) > int(first.headers["webhook-timestamp"])
        assert is_signed(second, SECRET)


def test_a_long_answer_is_cut_and_a_success_all_the_same(api, receiver):
    receiver.behave("/long", answer(200, {}, b"x" * 100000))
    task = api.client.submit("echo", 1, deliver={"webhook": receiver.url("/long")})
    (made,) = await_deliveries(api, task, delivered=1)
    assert made.response == b"x" * 1024


def test_a_gibibyte_is_not_read(api, receiver):
    receiver.behave("/flood", flood)
    task = api.client.submit("echo", 1, deliver={"webhook": receiver.url("/flood")})
    (made,) = await_deliveries(api, task, delivered=1)
    assert (made.status, len(made.response)) == (200, 1024)
    assert receiver.flooded < 64 << 20


@pytest.mark.parametrize("lines", [["X: " + "a" * 200_000], ["X: y"] * 20_000], ids=["one line", "many lines"])
def test_a_head_without_end_is_told_as_that(api, lines):
    head = "\r\n".join(["HTTP/1.1 200 OK", "Content-Length: 0", *lines, "", ""]).encode()
    with Receiver() as endless:
        endless.behave("/hook", lambda handler: handler.wfile.write(head))
        task = api.client.submit("echo", 1, deliver={"webhook": endless.url()})
        made = await_deliveries(api, task, dead=1)
    assert {attempt.error for attempt in made} == {"127.0.0.1: the head of the answer is too large"}


@pytest.mark.parametrize("behaviour", [hang, drip], ids=["says nothing", "one byte a second"])
def test_who_takes_too_long_failed(api, behaviour):
    with Receiver() as slow:
        slow.behave("/hook", behaviour)
        task = api.client.submit("echo", 1, deliver={"webhook": slow.url()})
        made = await_deliveries(api, task, dead=1, timeout=40)
    assert [a.status for a in made] == [0] * len(FAST)
    assert all("2000 ms" in a.error and 1900 < a.took_ms < 10000 for a in made)


def test_nobody_there_is_a_failure(api):
    with Receiver() as gone:
        url = gone.url()
    task = api.client.submit("echo", 1, deliver={"webhook": url})
    made = await_deliveries(api, task, dead=1)
    assert len(made) == len(FAST)
    assert all("refused" in a.error for a in made)


def test_connections_are_kept(api, receiver):
    with Receiver() as own:
        tasks = [api.client.submit("echo", n, deliver={"webhook": own.url()}) for n in range(40)]
        for task in tasks:
            await_deliveries(api, task, delivered=1)
        assert len(own.hooks) == 40
        assert own.connections < 40


def test_metrics_tell_of_deliveries(api, receiver):
    def count():
        return [metric(api, "postback_notifier_deliveries_total", channel="webhook", outcome=outcome)
                for outcome in ("delivered", "failed", "dead")] + \
               [metric(api, "postback_notifier_attempt_seconds_count", channel="webhook")]

    before = count()
    receiver.behave("/count", 500, 200)
    receiver.behave("/count-gone", 410)
    await_deliveries(api, api.client.submit("echo", 1, deliver={"webhook": receiver.url("/count")}), delivered=1)
    await_deliveries(api, api.client.submit("echo", 1, deliver={"webhook": receiver.url("/count-gone")}), dead=1)
    assert [b - a for a, b in zip(before, count())] == [1, 1, 1, 3]


# One bad receiver beside good ones.

@pytest.mark.parametrize("behaviour", [hang, drip, reset], ids=["hangs", "drips", "resets"])
def test_a_bad_host_with_many_deliveries_delays_nobody(stack, receiver, behaviour):
    stack.start(options(timeout="4s", schedule=["0s", "1s"], circuit={"open": "1s"}))
    receiver.behave("/fine", 200)
    before = len(receiver.of("/fine"))
    with Receiver() as bad:
        bad.behave("/hook", behaviour)
        # As many as are queued for one host: what is put off beyond them would take a minute more.
        stuck = [stack.client.submit("echo", n, deliver={"webhook": [bad.url()] * 50}) for n in range(8)]
        eventually(lambda: len(bad.hooks) >= 1, what="the bad one is being called")
        took = []
        for n in range(5):
            began = time.monotonic()
            task = stack.client.submit("echo", n, deliver={"webhook": receiver.url("/fine")})
            receiver.await_hooks("/fine", before + n + 1)
            took.append(time.monotonic() - began)
            await_deliveries(stack, task, delivered=1)
        # One that the machine itself held up is forgiven.
        assert statistics.median(took) < 3
        for task in stuck:
            made = await_deliveries(stack, task, dead=50)
            assert len(made) == 100
        assert len(bad.hooks) < 800


def test_no_more_calls_than_allowed_go_to_one_host(stack):
    stack.start(options(host_concurrency=2, timeout="40s"))
    released = threading.Event()

    def hold(handler):
        released.wait(39)
        answer(200)(handler)

    with Receiver() as receiver, Receiver() as other:
        receiver.behave("/hook", hold)
        task = stack.client.submit("echo", 1, deliver={"webhook": [receiver.url()] * 10})
        eventually(lambda: metric(stack, "postback_notifier_due_in_flight") == 10, what="all are in hand")
        receiver.await_hooks("/hook", 2)
        # By the time that another host has got one, they all would have gone.
        await_deliveries(stack, stack.client.submit("echo", 2, deliver={"webhook": other.url()}), delivered=1)
        assert len(receiver.hooks) == 2
        released.set()
        await_deliveries(stack, task, delivered=10)


def test_a_host_that_comes_back_gets_everything(stack):
    stack.start(options(schedule=["0s", "1s", "2s", "4s", "8s", "8s"], circuit={"open": "300ms", "open_max": "1s"}))
    receiver = Receiver()
    tasks = [stack.client.submit("echo", n, deliver={"webhook": receiver.url()}) for n in range(50)]
    eventually(lambda: metric(stack, "postback_notifier_open_circuits") == 1, what="its circuit is open")
    with receiver:
        for task in tasks:
            await_deliveries(stack, task, delivered=1, timeout=40)
        assert len({hook.headers["webhook-id"] for hook in receiver.hooks}) == 50
        assert metric(stack, "postback_notifier_open_circuits") == 0


# Keys.

def test_while_secrets_are_rotated_both_sign(stack, receiver):
    stack.start(options(secrets=[OTHER_SECRET, SECRET]))
    task = stack.client.submit("echo", 1, deliver={"webhook": receiver.url("/rotate")})
    await_deliveries(stack, task, delivered=1)
    (hook,) = receiver.of("/rotate")
    assert is_signed(hook, SECRET) and is_signed(hook, OTHER_SECRET)
    assert len(hook.headers["webhook-signature"].split(" ")) == 2


def test_a_tenant_may_have_a_secret_of_its_own(stack, receiver, tmp_path):
    (tmp_path / "secret").write_text(OTHER_SECRET + "\n", encoding="ascii")
    stack.start(options(tenants=[{"tenant": "default", "secrets": [{"secret_file": str(tmp_path / "secret")}]}]))
    task = stack.client.submit("echo", 1, deliver={"webhook": receiver.url("/tenant")})
    await_deliveries(stack, task, delivered=1)
    (hook,) = receiver.of("/tenant")
    assert is_signed(hook, OTHER_SECRET) and not is_signed(hook, SECRET)


def test_without_a_secret_nothing_is_sent(stack, receiver):
    stack.start(options(secrets=[]))
    task = stack.client.submit("echo", 1, deliver={"webhook": receiver.url("/unsigned")})
    (made,) = await_deliveries(stack, task, dead=1)
    assert "notifier.webhook.secrets" in made.error
    assert receiver.of("/unsigned") == []


def test_an_ed25519_key_signs_too_and_cloudevents_have_their_headers(stack, receiver):
    key = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
    stack.start(options(signing_key=key, cloudevents=True))
    task = stack.client.submit("echo", 1, deliver={"webhook": receiver.url("/ce")})
    await_deliveries(stack, task, delivered=1)
    (hook,) = receiver.of("/ce")
    versions = [signature.split(",")[0] for signature in hook.headers["webhook-signature"].split(" ")]
    assert versions == ["v1", "v1a"]
    assert {name: value for name, value in hook.headers.items() if name.startswith("ce-")} == {
        "ce-specversion": "1.0",
        "ce-id": hook.headers["webhook-id"],
        "ce-type": "task.succeeded",
        "ce-source": f"/v1/tasks/{task}",
        "ce-time": json.loads(hook.body)["timestamp"],
    }
    # It says who sends, so registered endpoints see it beside the signature by their own secret.
    made = stack.client.post("/v1/endpoints", json={"url": receiver.url("/registered")}).json()
    stack.client.submit("echo", 1)
    (hook,) = receiver.await_hooks("/registered", 1)
    assert is_signed(hook, made["secret"]) and not is_signed(hook, SECRET)
    assert [signature.split(",")[0] for signature in hook.headers["webhook-signature"].split(" ")] == ["v1", "v1a"]


WRONG_OPTIONS = [
    ({"secrets": ["hunter2"]}, "notifier.webhook.secrets[0]", "whsec_"),
    ({"secrets": [SECRET] * 9}, "notifier.webhook", "more than 8"),
    ({"tenants": [{"tenant": "a", "secrets": [SECRET] * 9}]}, "notifier.webhook.tenants[0]", "more than 8"),
    ({"tenants": [{"tenant": "a", "secrets": ["whsec_AAAA"]}]}, "notifier.webhook.tenants[0].secrets[0]", "whsec_"),
    ({"tenants": [{"tenant": "a", "secrets": [SECRET]}] * 2}, "notifier.webhook", "names a tenant twice"),
    ({"secrets": [SECRET], "tenants": [{"tenant": "a"}]}, "notifier.webhook", "without secrets"),
    ({"signing_key": SECRET}, "notifier.webhook.signing_key", "whsk_"),
    ({"allow": ["10.0.0.0/8", "localhost"]}, "notifier.webhook.allow", "entry 1"),
    ({"schedule": []}, "notifier.webhook.schedule", "durations"),
    ({"schedule": ["soon"]}, "notifier.webhook.schedule", "durations"),
    ({"timeout": "1m"}, "notifier.webhook.timeout", "40s"),
    ({"ca_file": "/nowhere.pem"}, "notifier.webhook.ca_file", "cannot be read"),
]


@pytest.mark.parametrize("webhook,path,words", WRONG_OPTIONS)
def test_options_that_are_wrong_are_told(tmp_path, webhook, path, words):
    config = tmp_path / "postback.yaml"
    config.write_text(json.dumps({"notifier": {"webhook": webhook}}), encoding="utf-8")
    done = run("notifier", "--check", "--config", config)
    assert done.returncode == 2
    assert path in done.stderr and words in done.stderr, done.stderr
    assert "hunter2" not in done.stderr


# Addresses.

@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "[::1]",
                                  "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0", "[::]", "[64:ff9b::7f00:1]"])
def test_what_is_not_public_is_not_called(private, receiver, host):
    path = f"/private/{host}"
    task = private.client.submit("echo", 1, deliver={"webhook": receiver.url(path, host)})
    (made,) = await_deliveries(private, task, dead=1)
    assert "may not be called" in made.error
    assert receiver.of(path) == []


@pytest.fixture(scope="module")
def private(broker, tmp_path_factory):
    """Nothing is allowed; one attempt; and the environment names a proxy."""
    vhost = broker.vhost_new()
    stack = Stack(vhost.url, tmp_path_factory.mktemp("private"))
    try:
        with Receiver() as proxy:
            url = f"http://127.0.0.1:{proxy.port}"
            yield stack.start(options(allow=[], schedule=["0s"]),
                              env={"http_proxy": url, "https_proxy": url, "all_proxy": url, "ALL_PROXY": url})
            assert proxy.hooks == []
    finally:
        try:
            stack.close()
        finally:
            broker.vhost_delete(vhost)


def test_a_proxy_of_the_environment_is_not_used(stack, receiver):
    with Receiver() as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        stack.start(options(), env={"http_proxy": url, "all_proxy": url, "ALL_PROXY": url, "NO_PROXY": ""})
        task = stack.client.submit("echo", 1, deliver={"webhook": receiver.url("/direct")})
        await_deliveries(stack, task, delivered=1)
        assert len(receiver.of("/direct")) == 1 and proxy.hooks == []


def test_a_configured_proxy_is_used(stack):
    with Receiver() as proxy:
        stack.start(options(allow=[], proxy=f"http://127.0.0.1:{proxy.port}"), env={"NO_PROXY": "*"})
        task = stack.client.submit("echo", 1, deliver={"webhook": "http://receiver.example/hook"})
        await_deliveries(stack, task, delivered=1)
        assert [hook.path for hook in proxy.hooks] == ["http://receiver.example/hook"]


def test_what_a_proxy_refuses_is_told_as_its_refusal(stack):
    with Receiver() as proxy:  # which knows no CONNECT
        stack.start(options(allow=[], proxy=f"http://127.0.0.1:{proxy.port}", schedule=["0s"]))
        task = stack.client.submit("echo", 1, deliver={"webhook": "https://receiver.example/hook"})
        (made,) = await_deliveries(stack, task, dead=1)
    assert made.error == "receiver.example: the proxy answered 501"


# The end of the service.

def test_a_notifier_that_stops_puts_back_what_it_has_not_begun(stack):
    stack.start(options(timeout="3s", host_concurrency=1, schedule=["0s"] + ["1s"] * 9))
    with Receiver() as slow:
        slow.behave("/hook", hang)
        tasks = [stack.client.submit("echo", n, deliver={"webhook": slow.url()}) for n in range(5)]
        slow.await_hooks("/hook", 1)
        stack.notifier.stop(timeout=10)
        slow.behave("/hook", 200)
        stack.notifier.start()
        for task in tasks:
            await_deliveries(stack, task, delivered=1)
    assert max(len(attempts(stack, task)) for task in tasks) <= 2
