"""Of what all tenants share none has everything: calls in flight, live connections, waiting calls, followed tasks."""
import concurrent.futures
import contextlib
import hashlib
import json

from lib.metrics import metric
from lib.raw import RawConnection
from lib.rawsocket import RawSocket, handshake
from lib.sse import EventStream
from lib.wait import eventually
from service.gateway_rig import problem
from service.http_rig import is_problem, make_probe, request  # noqa: F401  (fixtures)

KEYS = {"acme": "key-of-acme", "other": "key-of-other"}
AUTH = {"keys": [{"tenant": tenant, "sha256": hashlib.sha256(key.encode()).hexdigest()} for tenant, key in KEYS.items()]}


def bearer(tenant):
    return {"Authorization": f"Bearer {KEYS[tenant]}"}


def test_calls_in_flight_are_shared(make_probe):
    probe = make_probe(auth=AUTH, limits={"in_flight": 5})
    with contextlib.ExitStack() as open_ones:
        held = [open_ones.enter_context(probe.connect()) for _ in range(3)]
        for n, connection in enumerate(held, 1):
            connection.send(request("POST", "/v1/hold", bearer("acme")))
            eventually(lambda: probe.count(headers=bearer("other"))["held"] == n)
        refused = probe.ask(target="/v1/say/x", headers=bearer("acme"))
        is_problem(refused, 429, "tenant-limit")
        assert refused[1]["retry-after"] == "1"
        assert probe.ask(target="/docs", headers=bearer("acme"))[0] == 200
        assert probe.ask(target="/v1/say/x", headers=bearer("other"))[0] == 200
        assert probe.metric("postback_gateway_refusals_total", reason="tenant-limit") == 1
        probe.ask("POST", "/v1/release", bearer("other"))
        for connection in held:
            assert connection.response()[0] == 200
    assert probe.ask(target="/v1/say/x", headers=bearer("acme"))[0] == 200


def test_live_connections_are_shared(make_probe):
    probe = make_probe(auth=AUTH, limits={"connections": 20, "tenant_share": 20})
    with contextlib.ExitStack() as open_ones:
        sockets = [open_ones.enter_context(RawSocket(probe.port, headers=bearer("acme"))) for _ in range(4)]
        with RawConnection(probe.port) as connection:
            connection.send(handshake("/v1/socket", bearer("acme")))
            answer = connection.response()
            is_problem(answer, 429, "tenant-limit")
            assert "upgrade" not in answer[1]
            connection.send(request(target="/v1/say/x", headers=bearer("acme")))
            assert connection.response()[0] == 200
        open_ones.enter_context(RawSocket(probe.port, headers=bearer("other")))
        sockets.pop().close()
        eventually(lambda: RawSocket(probe.port, headers=bearer("acme")).close() is None, what="there is room again")


def test_a_tenant_alone_may_have_everything(make_probe):
    probe = make_probe(auth={"keys": AUTH["keys"][:1]}, limits={"in_flight": 4, "tenant_share": 1})
    with contextlib.ExitStack() as open_ones:
        for n in (1, 2, 3):
            open_ones.enter_context(probe.connect()).send(request("POST", "/v1/hold", bearer("acme")))
            eventually(lambda: probe.count(headers=bearer("acme"))["held"] == n)


def test_waiting_calls_and_followed_tasks_are_shared(stack):
    limits = {"waiters": 4, "followers": 4}
    stack.start({"gateway": {"auth": AUTH, "tasks": ["parked"], "limits": limits}}, only=("gateway", "notifier"))
    acme, other = (stack.client_of("gateway", key=key) for key in KEYS.values())
    port = stack.ports["gateway"]
    tasks = {tenant: [client.submit("parked", n) for n in range(3)] for tenant, client in (("acme", acme), ("other", other))}

    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = [pool.submit(acme.get, f"/v1/tasks/{tasks['acme'][0]}?wait=8") for _ in range(2)]
        eventually(lambda: metric(stack.client, "postback_gateway_waiters") == 2, what="acme has its share")
        problem(acme.get(f"/v1/tasks/{tasks['acme'][1]}?wait=1"), 429, "tenant-limit")
        assert acme.envelope("parked", 1, headers={"Prefer": "wait=20"}).status_code == 202
        assert other.get(f"/v1/tasks/{tasks['other'][0]}?wait=1").status_code == 200
        assert [answer.result().status_code for answer in waiting] == [200, 200]

    with RawSocket(port, target="/v1/ws", headers=bearer("acme")) as socket:
        assert asked(socket, tasks["acme"][0]) == {"subscribed": tasks["acme"][0]}
        with EventStream(port, f"/v1/tasks/{tasks['acme'][1]}/events", headers=bearer("acme")) as stream:
            stream.await_events(1)
            assert asked(socket, tasks["acme"][2])["problem"]["type"] == "/problems/tenant-limit"
            problem(acme.get(f"/v1/tasks/{tasks['acme'][2]}/events"), 429, "tenant-limit")
            problem(acme.get("/v1/events"), 429, "tenant-limit")
            with RawConnection(port) as connection:
                connection.send(handshake(f"/v1/tasks/{tasks['acme'][2]}/ws", bearer("acme")))
                is_problem(connection.response(), 429, "tenant-limit")
            with RawSocket(port, target="/v1/ws", headers=bearer("other")) as theirs:
                assert asked(theirs, tasks["other"][0]) == {"subscribed": tasks["other"][0]}
        eventually(lambda: "subscribed" in asked(socket, tasks["acme"][2]), what="there is room again")


def asked(socket, task):
    """The answer to a subscription; status documents that come before it are passed over."""
    socket.say(1, json.dumps({"subscribe": task}))
    while True:
        document = socket.document()
        if "status" not in document:
            return document
