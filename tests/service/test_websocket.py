"""WebSockets that follow tasks, by the clients that people use."""
import asyncio
import base64
import contextlib
import hashlib
import json
import subprocess
import threading

import pytest
import websockets

from lib.client import Client
from lib.paths import ROOT
from lib.rawsocket import RawSocket, frame, handshake
from lib.raw import RawConnection
from lib.wait import eventually

KEYS = {"acme": "key-of-acme", "other": "key-of-other"}
AUTH = {"keys": [{"tenant": tenant, "sha256": hashlib.sha256(key.encode()).hexdigest()} for tenant, key in KEYS.items()]}
NOWHERE = "01a20327-0130-7e13-ba14-00006c1da512"


def port_of(stack):
    return stack.ports["gateway"]


def socket_of(stack, task, **options):
    return RawSocket(port_of(stack), target=f"/v1/tasks/{task}/ws", **options)


def many(stack, **options):
    return RawSocket(port_of(stack), target="/v1/ws", **options)


def told_to_the_end(connection):
    """All documents up to the terminal one, and the close that follows it."""
    documents = [connection.document()]
    while documents[-1]["status"] not in ("succeeded", "failed", "canceled", "dead"):
        documents.append(connection.document())
    revs = [document["rev"] for document in documents]
    assert revs == sorted(set(revs)), revs
    return documents


def refusal(stack, target, headers=None, client=None):
    """(status, document) of a handshake that is refused."""
    with RawConnection(port_of(stack)) as connection:
        connection.send(handshake(target, headers))
        status, fields, body = connection.response()
    return status, json.loads(body or b"{}"), fields


# ---- one task ----

def test_a_task_is_told_from_what_it_is_to_its_end(stack):
    client = stack.start().client
    task = client.submit("sleep", {"seconds": 3})
    with socket_of(stack, task) as connection:
        documents = told_to_the_end(connection)
        connection.ends_with(1000, answer=True)
    assert [document["status"] for document in documents][-2:] == ["running", "succeeded"]
    assert documents[-1] == client.status(task)
    assert documents[-1]["links"]["ws"] == f"/v1/tasks/{task}/ws"


def test_a_task_that_has_ended_is_told_once_and_closed(stack):
    client = stack.start().client
    task = client.submit("echo", {"n": 1.10})
    client.await_end(task)
    with socket_of(stack, task) as connection:
        assert connection.document() == client.status(task)
        connection.ends_with(1000, answer=True)


def test_a_cancel_is_told(stack):
    client = stack.start().client
    task = client.submit("echo", 1, delay="1h")
    with socket_of(stack, task) as connection:
        assert connection.document()["status"] == "scheduled"
        assert client.delete(f"/v1/tasks/{task}").status_code in (200, 202)
        assert connection.document()["status"] == "canceled"
        connection.ends_with(1000, answer=True)


def test_a_large_result_is_told_whole(stack):
    client = stack.start({"gateway": {"live": {"backlog": "4KiB"}}}).client
    payload = json.dumps({"text": "x" * 3_000_000, "n": 1.10})
    task = client.run("echo", payload).json()["id"]
    with socket_of(stack, task) as connection:
        text = connection.text()
        while '"status":"succeeded"' not in text:
            text = connection.text()
        connection.ends_with(1000, answer=True)
    assert payload in text


def test_what_a_client_says_to_one_task_is_dropped(stack):
    client = stack.start().client
    task = client.submit("echo", 1, delay="1h")
    with socket_of(stack, task) as connection:
        assert connection.document()["status"] == "scheduled"
        connection.say(1, "heartbeat")
        connection.say(9, b"there?")
        assert connection.next_frame() == (10, b"there?")
        connection.say(2, b"binary")
        connection.ends_with(1003)


def test_ids_that_are_none_are_refused_before_the_upgrade(stack):
    stack.start(only=["gateway"])
    for text in (NOWHERE, "x", "01a20327-0130-7e13-ba14-00006c1da51"):
        status, document, _ = refusal(stack, f"/v1/tasks/{text}/ws")
        assert (status, document["type"]) == (404, "/problems/not-found")


def test_a_plain_request_is_told_what_to_do(stack):
    stack.start(only=["gateway"])
    for path in ("/v1/ws", f"/v1/tasks/{NOWHERE}/ws"):
        answer = stack.client.get(path)
        assert answer.status_code == 426 and answer.json()["type"] == "/problems/upgrade-required"
        assert answer.headers["Upgrade"] == "websocket" and answer.headers["Sec-WebSocket-Version"] == "13"
    assert stack.client.post("/v1/ws").status_code == 405
    status, document, _ = refusal(stack, "/v1/ws?rev=1")
    assert (status, document["type"]) == (422, "/problems/invalid-field")


def test_a_route_of_ones_own_tells_of_a_task(stack):
    routes = [{"path": "POST /process", "task": "echo", "reply": {"status": 200, "body": {"task_id": "{id}"}}},
              {"path": "GET /ws/{task_id}", "live_of": "task_id"}]
    client = stack.start({"gateway": {"routes": routes}}).client
    task = client.post("/process", json={"name": "Bob"}).json()["task_id"]
    with RawSocket(port_of(stack), target=f"/ws/{task}?whatever=it+was") as connection:
        documents = told_to_the_end(connection)
        connection.ends_with(1000, answer=True)
    assert documents[-1]["result"] == {"name": "Bob"}
    assert "status" in client.get(f"/ws/{task}", headers={"Accept": "text/event-stream"}).text


def test_a_ticket_opens_a_route_of_ones_own(stack):
    routes = [{"path": "GET /ws/{task_id}", "live_of": "task_id"}]
    stack.start({"gateway": {"auth": AUTH, "routes": routes}})
    acme = client_of(stack, "acme")
    task, another = acme.submit("echo", 1, delay="1h"), acme.submit("echo", 2, delay="1h")
    ticket = ticket_of(acme, id=task)
    with RawSocket(port_of(stack), target=f"/ws/{task}?ticket={ticket}") as connection:
        assert connection.document()["id"] == task
    assert refusal(stack, f"/ws/{another}?ticket={ticket}")[0] == 401
    assert refusal(stack, f"/ws/{task}")[0] == 401


# ---- many tasks ----

def test_many_tasks_are_followed_on_one_connection(stack):
    client = stack.start().client
    tasks = [client.submit("echo", n) for n in range(20)] + [client.submit("sleep", {"seconds": 1.2})]
    with many(stack) as connection:
        for task in tasks:
            connection.say(1, json.dumps({"subscribe": task}))
        confirmed, ended, revs = [], {}, {}
        while len(ended) < len(tasks) or len(confirmed) < len(tasks):
            document = connection.document()
            if "subscribed" in document:
                confirmed.append(document["subscribed"])
                continue
            assert document["rev"] > revs.get(document["id"], -1)
            revs[document["id"]] = document["rev"]
            if document["status"] == "succeeded":
                ended[document["id"]] = document
        assert confirmed == tasks
        assert [ended[task]["result"] for task in tasks[:20]] == list(range(20))
        connection.say(8)
        connection.ends_with(0)


def test_unsubscribing_ends_what_is_told(stack):
    client = stack.start().client
    left, kept = client.submit("echo", 1, delay="1h"), client.submit("echo", 2, delay="1h")
    with many(stack) as connection:
        for task in (left, kept):
            connection.say(1, json.dumps({"subscribe": task}))
        seen = [connection.document() for _ in range(4)]
        assert sorted(map(str, (d.get("id") or d.get("subscribed") for d in seen))) == sorted([left, left, kept, kept])
        connection.say(1, json.dumps({"unsubscribe": left}))
        assert connection.document() == {"unsubscribed": left}
        for task in (left, kept):
            client.delete(f"/v1/tasks/{task}")
        document = connection.document()
        assert (document["id"], document["status"]) == (kept, "canceled")
        connection.say(1, json.dumps({"unsubscribe": left}))
        assert connection.document() == {"unsubscribed": left}


def test_a_known_rev_is_not_told_again(stack):
    client = stack.start().client
    task = client.submit("echo", 1, delay="1h")
    rev = client.status(task)["rev"]
    with many(stack) as connection:
        connection.say(1, json.dumps({"subscribe": task, "rev": rev}))
        assert connection.document() == {"subscribed": task}
        connection.say(1, json.dumps({"subscribe": task}))
        assert connection.document() == {"subscribed": task}
        client.delete(f"/v1/tasks/{task}")
        document = connection.document()
        assert document["rev"] > rev and document["status"] == "canceled"


def test_what_cannot_be_followed_is_named_and_the_connection_stays(stack):
    client = stack.start({"gateway": {"live": {"subscriptions": 2}}}).client
    tasks = [client.submit("echo", n, delay="1h") for n in range(3)]

    with many(stack) as connection:
        def asked(command):
            connection.say(1, command if isinstance(command, str) else json.dumps(command))
            while True:
                document = connection.document()
                if "status" not in document:
                    return document

        answer = asked({"subscribe": NOWHERE})
        assert answer["subscribe"] == NOWHERE and answer["problem"]["type"] == "/problems/not-found"
        assert asked({"unsubscribe": "x"})["problem"]["status"] == 404
        assert asked("ping")["problem"]["type"] == "/problems/invalid-json"
        assert asked({"subscribe": 7})["problem"]["field"] == "/subscribe"
        assert asked({"follow": tasks[0]})["problem"]["field"] == "/follow"
        assert asked({"subscribe": tasks[0]}) == {"subscribed": tasks[0]}
        assert asked({"subscribe": tasks[1]}) == {"subscribed": tasks[1]}
        assert asked({"subscribe": tasks[2]})["problem"]["type"] == "/problems/busy"
        assert asked({"unsubscribe": tasks[1]}) == {"unsubscribed": tasks[1]}
        assert asked({"subscribe": tasks[2]}) == {"subscribed": tasks[2]}


def test_a_connection_that_follows_nothing_is_closed_and_one_that_does_is_not(stack):
    client = stack.start({"gateway": {"live": {"idle_timeout": "2s"}}}).client
    task = client.submit("echo", 1, delay="1h")
    with many(stack) as idle, many(stack) as busy:
        busy.say(1, json.dumps({"subscribe": task}))
        assert {"subscribed": task} in [busy.document(), busy.document()]
        idle.ends_with(1000, answer=True)
        busy.say(1, json.dumps({"unsubscribe": task}))
        assert busy.document() == {"unsubscribed": task}
        busy.ends_with(1000, answer=True)


# ---- who may ----

@pytest.fixture
def keyed(stack):
    stack.start({"gateway": {"auth": AUTH, "cors": {"origins": ["https://app.example.com"]}}})
    return stack


def client_of(stack, tenant):
    return stack.client_of("gateway", key=KEYS[tenant])


def ticket_of(client, **body):
    answer = client.post("/v1/tickets", json=body) if body else client.post("/v1/tickets")
    assert answer.status_code == 201, answer.text
    return answer.json()["ticket"]


def test_a_key_or_a_ticket_opens_and_nothing_else(keyed):
    acme = client_of(keyed, "acme")
    task = acme.submit("echo", 1, delay="1h")
    bearer = {"Authorization": f"Bearer {KEYS['acme']}"}
    for target in (f"/v1/tasks/{task}/ws", "/v1/ws"):
        RawSocket(port_of(keyed), target=target, headers=bearer).close()
        RawSocket(port_of(keyed), target=f"{target}?ticket={ticket_of(acme)}").close()
        for query in ("", "?ticket=", "?ticket=x", "?ticket=" + ticket_of(acme)[:-1], "?ticket=" + "A" * 150):
            status, document, fields = refusal(keyed, target + query)
            assert (status, document["type"]) == (401, "/problems/unauthorized")
            assert fields["www-authenticate"] == "Bearer"


def test_a_key_in_a_url_is_refused_with_what_to_do_instead(keyed):
    acme = client_of(keyed, "acme")
    task = acme.submit("echo", 1, delay="1h")
    for name in ("key", "access_token", "api_key", "token"):
        for path in (f"/v1/tasks/{task}/ws", "/v1/ws", f"/v1/tasks/{task}/events", "/v1/events"):
            target = f"{path}?{name}={KEYS['acme']}"
            status, document, _ = refusal(keyed, target)
            assert status == 401 and "/v1/tickets" in document["detail"]
            status, document, _ = refusal(keyed, target, {"Authorization": f"Bearer {KEYS['acme']}"})
            assert status == 422 and "/v1/tickets" in document["detail"]
    assert KEYS["acme"] not in keyed.gateway.log_text()


def test_tenants_never_see_each_others_tasks(keyed):
    acme, other = client_of(keyed, "acme"), client_of(keyed, "other")
    task = acme.submit("echo", 1, delay="1h")
    ticket = ticket_of(other)
    assert refusal(keyed, f"/v1/tasks/{task}/ws?ticket={ticket}")[0] == 404
    assert other.post("/v1/tickets", json={"id": task}).status_code == 422
    with RawSocket(port_of(keyed), target=f"/v1/ws?ticket={ticket}") as connection:
        connection.say(1, json.dumps({"subscribe": task}))
        assert connection.document()["problem"]["type"] == "/problems/not-found"


def test_a_ticket_for_one_task_opens_that_and_nothing_else(keyed):
    acme = client_of(keyed, "acme")
    task, another = acme.submit("echo", 1, delay="1h"), acme.submit("echo", 2, delay="1h")
    answer = acme.post("/v1/tickets", json={"id": task})
    assert answer.status_code == 201 and answer.json()["id"] == task
    ticket = answer.json()["ticket"]
    with RawSocket(port_of(keyed), target=f"/v1/tasks/{task}/ws?ticket={ticket}") as connection:
        assert connection.document()["id"] == task
    for path in (f"/v1/tasks/{another}/ws", "/v1/ws", "/v1/events", f"/v1/tasks/{another}/events"):
        assert refusal(keyed, f"{path}?ticket={ticket}")[0] == 401
    nobody = keyed.client_of("gateway")
    for method, path in (("GET", f"/v1/tasks/{task}"), ("DELETE", f"/v1/tasks/{task}"), ("POST", "/v1/tasks"),
                         ("POST", "/v1/tickets")):
        assert nobody.request(method, f"{path}?ticket={ticket}").status_code == 401


def test_a_ticket_is_over_at_its_time_and_what_it_opened_stays(stack):
    stack.start({"gateway": {"auth": AUTH, "live": {"ticket_ttl": "3s"}}})
    acme = client_of(stack, "acme")
    task = acme.submit("echo", 1, delay="1h")
    target = f"/v1/tasks/{task}/ws?ticket={ticket_of(acme)}"
    with RawSocket(port_of(stack), target=target) as connection:
        assert connection.document()["status"] == "scheduled"
        eventually(lambda: refusal(stack, target)[0] == 401, what="the ticket is over")
        acme.delete(f"/v1/tasks/{task}")
        assert connection.document()["status"] == "canceled"


def test_another_gateway_knows_the_ticket(keyed):
    keyed.add("gateway", "second")
    keyed.await_ready("second")
    acme = client_of(keyed, "acme")
    task = acme.submit("echo", 1, delay="1h")
    target = f"/v1/tasks/{task}/ws?ticket={ticket_of(acme)}"
    with RawSocket(keyed.ports["second"], target=target) as connection:
        assert connection.document()["status"] == "scheduled"
        acme.delete(f"/v1/tasks/{task}")
        assert connection.document()["status"] == "canceled"


def test_the_body_of_a_ticket_is_read_strictly(keyed):
    acme = client_of(keyed, "acme")
    json_type = {"Content-Type": "application/json"}
    for body, status in ((b"[]", 422), (b'{"id": 1}', 422), (b'{"id": "x"}', 422), (b'{"task": "x"}', 422), (b"{", 400)):
        assert acme.post("/v1/tickets", data=body, headers=json_type).status_code == status
    assert acme.post("/v1/tickets", data=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415
    assert acme.post("/v1/tickets?ttl=1h").status_code == 422
    first, second = acme.post("/v1/tickets", data=b"{}", headers=json_type).json(), acme.post("/v1/tickets").json()
    assert first["ticket"] != second["ticket"] and first["expires_at"].endswith("Z") and "id" not in first


def test_pages_of_named_origins_and_of_this_host_may_connect(keyed):
    bearer = {"Authorization": f"Bearer {KEYS['acme']}"}
    port = port_of(keyed)

    def opens(origin, host="localhost"):
        return RawSocket(port, target="/v1/ws", headers={**bearer, "Origin": origin, "Host": host}).close()

    opens("https://app.example.com")
    opens("https://api.example.com", host="api.example.com")
    opens("http://localhost:3000", host=f"127.0.0.1:{port}")
    for origin in ("https://evil.test", "null", "https://app.example.com.evil.test", "http://app.example.com"):
        status, document, _ = refusal(keyed, "/v1/ws", {**bearer, "Origin": origin})
        assert (status, document["type"]) == (403, "/problems/forbidden-origin")


def test_without_keys_a_foreign_page_and_a_foreign_name_are_refused(stack):
    stack.start(only=["gateway"])
    for headers in ({"Origin": "https://evil.test"}, {"Host": "rebound.evil.test"}):
        status, document, _ = refusal(stack, "/v1/ws", headers)
        assert (status, document["type"]) == (403, "/problems/forbidden-origin")
    many(stack, headers={"Origin": "http://localhost:8000"}).close()


# ---- clients that people use ----

async def heard_by_websockets(url, **options):
    heard = []
    async with websockets.connect(url, **options) as connection:
        with contextlib.suppress(websockets.ConnectionClosedOK):
            while True:
                heard.append(json.loads(await connection.recv()))
        return heard, connection.close_code


def test_the_python_library_websockets(keyed):
    acme = client_of(keyed, "acme")
    task = acme.submit("sleep", {"seconds": 1.2})
    url = f"ws://127.0.0.1:{port_of(keyed)}/v1/tasks/{task}/ws"
    heard, code = asyncio.run(heard_by_websockets(
        url, extra_headers={"Authorization": f"Bearer {KEYS['acme']}"}, subprotocols=["postback.v1"]))
    assert [document["status"] for document in heard][-1] == "succeeded" and code == 1000
    with pytest.raises(websockets.InvalidStatusCode) as refused:
        asyncio.run(heard_by_websockets(url))
    assert refused.value.status_code == 401


def test_the_python_library_websockets_on_many_tasks_with_its_own_pings(stack):
    client = stack.start().client
    tasks = [client.submit("echo", n) for n in range(50)]

    async def follow():
        url = f"ws://127.0.0.1:{port_of(stack)}/v1/ws"
        async with websockets.connect(url, ping_interval=0.05, ping_timeout=60) as connection:
            for task in tasks:
                await connection.send(json.dumps({"subscribe": task}))
            ended = set()
            while len(ended) < len(tasks):
                document = json.loads(await connection.recv())
                if document.get("status") == "succeeded":
                    ended.add(document["id"])
            return ended

    assert asyncio.run(asyncio.wait_for(follow(), 90)) == set(tasks)


@pytest.fixture(scope="module")
def npm_ws(tmp_path_factory):
    folder = tmp_path_factory.mktemp("npm")
    subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, "ws@8"], check=True,
                   capture_output=True, timeout=300)
    return folder


def test_the_npm_package_ws(keyed, npm_ws):
    acme = client_of(keyed, "acme")
    task = acme.submit("sleep", {"seconds": 1.2})
    url = f"ws://127.0.0.1:{port_of(keyed)}/v1/tasks/{task}/ws"

    def heard(*more):
        done = subprocess.run(["node", ROOT / "tests/lib/wsclient.mjs", npm_ws / "node_modules", *more], text=True,
                              check=True, capture_output=True, timeout=60)
        return [json.loads(line) for line in done.stdout.splitlines()]

    *texts, end = heard(url, KEYS["acme"])
    assert json.loads(texts[-1]["text"])["status"] == "succeeded" and not texts[-1]["isBinary"]
    assert end == {"code": 1000, "reason": "the task has ended"}
    assert heard(url) == [{"refused": 401}]


def test_curl_gets_the_handshake(stack):
    client = stack.start().client
    task = client.submit("echo", {"n": 1})
    client.await_end(task)
    key = base64.b64encode(b"sixteen bytes...").decode()
    done = subprocess.run(
        ["curl", "-sS", "--noproxy", "*", "-i", "-N", "--http1.1", "--max-time", "10", "-H", "Connection: Upgrade",
         "-H", "Upgrade: websocket", "-H", "Sec-WebSocket-Version: 13", "-H", f"Sec-WebSocket-Key: {key}",
         f"{client.base}/v1/tasks/{task}/ws"], capture_output=True, timeout=30, check=False)
    assert done.stdout.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b'"status":"succeeded"' in done.stdout and b"\x03\xe8the task has ended" in done.stdout


# ---- load and the end ----

def test_clients_that_leave_at_any_moment_leave_nothing_followed(stack):
    client = stack.start().client
    tasks = [client.submit("echo", n, delay="1h") for n in range(10)]
    subscribed = b"".join(frame(1, json.dumps({"subscribe": task})) for task in tasks)
    sent = [handshake(f"/v1/tasks/{tasks[0]}/ws"), handshake("/v1/ws") + subscribed]
    for n in range(300):
        data = sent[n % 2]
        with RawConnection(port_of(stack)) as connection:
            connection.send(data[:len(data) - n % 7])
            if n % 3 == 0:
                connection.socket.settimeout(0.02)
                with contextlib.suppress(TimeoutError):
                    connection.socket.recv(10)
    eventually(lambda: metric(client, "postback_gateway_websockets") == 0, what="all have gone")
    eventually(lambda: metric(client, "postback_gateway_followers") == 0, what="nothing is followed")


def test_each_change_is_told_once_to_every_one_of_many_followers(stack):
    client = stack.start().client
    tasks = [client.submit("echo", n, delay="1h") for n in range(40)]
    wrong, told = [], []

    def follow(task):
        try:
            with socket_of(stack, task) as connection:
                documents = told_to_the_end(connection)
                connection.ends_with(1000, answer=True)
            told.append([document["status"] for document in documents])
        except Exception as error:  # pylint: disable=broad-except
            wrong.append(f"{task}: {error!r}")

    threads = [threading.Thread(target=follow, args=(task,)) for task in tasks for _ in range(3)]
    for thread in threads:
        thread.start()
    eventually(lambda: metric(client, "postback_gateway_websockets") == 120, what="all are connected")
    for task in tasks:
        client.delete(f"/v1/tasks/{task}")
    for thread in threads:
        thread.join(90)
    assert not wrong and told == [["scheduled", "canceled"]] * 120


def metric(client, name):
    for line in client.get("/metrics").text.splitlines():
        if line.startswith(name + " "):
            return float(line.rsplit(" ", 1)[1])
    return None


def test_the_end_of_the_gateway_closes_with_1001(stack):
    client = stack.start().client
    task = client.submit("echo", 1, delay="1h")
    with socket_of(stack, task) as one, many(stack) as connection:
        assert one.document()["status"] == "scheduled"
        ending = threading.Thread(target=stack.gateway.stop)
        ending.start()
        one.ends_with(1001, answer=True)
        connection.ends_with(1001, answer=True)
    ending.join()


def test_a_gateway_without_a_store_still_refuses_in_order(stack):
    stack.start({"store": {"url": "sqlite:/dev/null/postback.db"}}, only=["gateway"], ready=False)
    stack.await_live("gateway")
    for target in ("/v1/ws", f"/v1/tasks/{NOWHERE}/ws"):
        status, document, _ = refusal(stack, target)
        assert (status, document["type"]) == (503, "/problems/store-unavailable")
    assert Client(stack.client.base).post("/v1/tickets").status_code == 503
