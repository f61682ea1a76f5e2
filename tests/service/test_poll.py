"""GET /v1/tasks/{id} and its result: status documents, waiting, versions, lifetimes, tenants, the list, cancel, retry."""
import hashlib
import re
import threading
import time

import pytest

from gateway_rig import ECHO, SLEEP, UUID7, Worker, module_stack, problem, shell
from lib.raw import exchange
from lib.wait import eventually

KEYS = {"acme": "key-of-acme", "other": "key-of-other"}

api = module_stack(
    processor={"handlers": [
        ECHO, SLEEP,
        shell("page", "printf '<script>alert(1)</script>'", content_type="text/html"),
        shell("refuses", "echo 'not this' >&2; exit 65"),
        shell("breaks", "exit 3"),
        shell("hangs", "sleep 60", timeout="300ms"),
    ]},
    gateway={"tasks": ["parked"]})


@pytest.fixture
def parked(api):
    worker = Worker(api.vhost, "parked")
    yield worker
    worker.close()


def in_background(call):
    """Runs it in a thread; the returned function gives (its result, seconds it took)."""
    out = {}

    def run():
        began = time.monotonic()
        out["result"] = call()
        out["took"] = time.monotonic() - began

    thread = threading.Thread(target=run)
    thread.start()

    def join():
        thread.join(30)
        return out["result"], out["took"]

    return join


# ---- the document ----

def test_a_fresh_id_reads_queued_at_once(api, parked):
    task_id = api.client.submit("parked", 1)
    response = api.client.get(f"/v1/tasks/{task_id}")
    document = response.json()
    assert document["status"] == "queued"
    assert document["created_at"].endswith("Z")
    assert response.headers["Retry-After"]
    assert set(document) >= {"id", "task", "status", "attempt", "created_at", "started_at", "finished_at", "progress",
                             "result_info", "error", "deliveries", "metadata", "rev", "links"}
    parked.take()


def test_a_finished_task_has_all_of_its_document(api):
    task_id = api.client.submit("echo", b'{"n":1.10}', metadata={"k": [1.50]})
    document = api.client.await_end(task_id)
    raw = api.client.get(f"/v1/tasks/{task_id}")
    assert b'"result":{"n":1.10}' in raw.content
    assert b'{"k": [1.5]}' in raw.content
    assert "Retry-After" not in raw.headers
    assert document["task"] == "echo"
    assert document["attempt"] == 1
    assert document["created_at"] <= document["started_at"] <= document["finished_at"]
    assert document["error"] is None
    assert document["deliveries"] == {"pending": 0, "delivered": 0, "dead": 0}


def test_a_failure_has_its_error(api):
    document = api.client.await_end(api.client.submit("refuses", 1))
    assert document["status"] == "failed"
    assert document["error"]["type"] == "exit"
    assert document["error"]["retryable"] is False
    assert document["error"]["status"] == 65
    assert document["error"]["data"] == "not this"


def test_progress_is_spliced_in(api, parked):
    task_id = api.client.submit("parked", 1)
    request, properties = parked.take()
    parked.reply(request, properties, "progress", progress={"percent": 40, "message": "so far"}, seq=1)
    eventually(lambda: api.client.status(task_id)["progress"] == {"percent": 40, "message": "so far"})
    assert api.client.status(task_id)["status"] == "running"
    parked.reply(request, properties, result=b"1", content_type="application/json")
    assert api.client.await_end(task_id)["status"] == "succeeded"


@pytest.mark.parametrize("path", ["/v1/tasks/{}", "/v1/tasks/{}/result", "/v1/tasks/{}?wait=1"])
@pytest.mark.parametrize("task_id", [
    "00000000-0000-7000-8000-000000000000", "018f2b1c-1111-7111-9111-111111111111", "x", "1",
    "018f2b1c-1111-4111-9111-111111111111"])
def test_an_invented_id_is_404(api, path, task_id):
    problem(api.client.get(path.format(task_id)), 404, "not-found")


def test_an_id_with_one_digit_changed_is_404(api):
    task_id = api.client.submit("echo", 1)
    api.client.await_end(task_id)
    for at in (0, 7, 12, 16, 20, 24, 30, 35):
        changed = task_id[:at] + ("1" if task_id[at] != "1" else "2") + task_id[at + 1:]
        problem(api.client.get(f"/v1/tasks/{changed}"), 404, "not-found")
    assert api.client.get(f"/v1/tasks/{task_id.upper()}").status_code == 200


# ---- the result ----

def test_a_result_cannot_script_on_our_origin(api):
    task_id = api.client.run("page", b"", "text/plain").json()["id"]
    api.client.await_end(task_id)
    result = api.client.result(task_id)
    assert result.content == b"<script>alert(1)</script>"
    assert result.headers["Content-Type"] == "text/html"
    assert result.headers["X-Content-Type-Options"] == "nosniff"
    assert result.headers["Content-Security-Policy"].startswith("sandbox")


def test_a_result_that_is_not_there_yet_is_202(api, parked):
    task_id = api.client.submit("parked", 1)
    response = api.client.result(task_id)
    assert response.status_code == 202
    assert response.headers["Retry-After"]
    assert response.json()["status"] == "queued"
    parked.take()


@pytest.mark.parametrize("task,status,name", [
    ("refuses", 422, "task-failed"), ("breaks", 502, "handler-broken"), ("hangs", 504, "handler-timeout")])
def test_the_result_of_a_failure_is_a_problem(api, task, status, name):
    task_id = api.client.submit(task, 1)
    assert api.client.await_end(task_id)["status"] == "failed"
    document = problem(api.client.result(task_id), status, name)
    assert document["id"] == task_id
    assert document["error"]["type"]


def test_the_result_of_a_canceled_task_is_409_and_of_a_dead_one_502(api):
    task_id = api.client.submit("echo", 1, delay="1h")
    api.client.delete(f"/v1/tasks/{task_id}")
    problem(api.client.result(task_id), 409, "task-canceled")
    task_id = api.client.submit("parked", 1, expires="50ms")
    assert api.client.await_end(task_id)["status"] == "dead"
    problem(api.client.result(task_id), 502, "task-dead")


def test_head_tells_the_length_without_the_body(api):
    task_id = api.client.submit("echo", b'"abc"')
    api.client.await_end(task_id)
    response = api.client.request("HEAD", f"/v1/tasks/{task_id}/result")
    assert response.status_code == 200
    assert response.headers["Content-Length"] == "5"
    assert response.content == b""


# ---- waiting ----

def test_wait_answers_when_the_task_changes(api, parked):
    task_id = api.client.submit("parked", 1)
    join = in_background(lambda: api.client.get(f"/v1/tasks/{task_id}?wait=20"))
    request, properties = parked.take()
    parked.reply(request, properties, result=b"7", content_type="application/json")
    response, took = join()
    assert response.json()["status"] == "succeeded"
    assert response.json()["result"] == 7
    assert took < 10


def test_wait_ends_when_its_time_is_over(api, parked):
    task_id = api.client.submit("parked", 1)
    began = time.monotonic()
    response = api.client.get(f"/v1/tasks/{task_id}?wait=1")
    assert response.json()["status"] == "queued"
    assert 0.9 < time.monotonic() - began < 10
    parked.take()


def test_wait_for_a_finished_task_answers_at_once(api):
    task_id = api.client.submit("echo", 1)
    api.client.await_end(task_id)
    began = time.monotonic()
    assert api.client.get(f"/v1/tasks/{task_id}?wait=30").json()["status"] == "succeeded"
    assert time.monotonic() - began < 5


def test_the_result_waits_for_the_end(api, parked):
    task_id = api.client.submit("parked", 1)
    join = in_background(lambda: api.client.get(f"/v1/tasks/{task_id}/result?wait=20"))
    request, properties = parked.take()
    parked.reply(request, properties, "progress", progress={"percent": 1}, seq=1)
    eventually(lambda: api.client.status(task_id)["status"] == "running")
    parked.reply(request, properties, result=b"x", content_type="text/plain")
    response, _ = join()
    assert response.status_code == 200
    assert response.content == b"x"


@pytest.mark.parametrize("wait", ["x", "-1", "1.5", ""])
def test_a_wait_that_is_no_number_is_422(api, wait):
    task_id = api.client.submit("echo", 1)
    problem(api.client.get(f"/v1/tasks/{task_id}?wait={wait}"), 422, "invalid-field", "wait")


def test_a_version_known_to_the_client_is_304(api):
    task_id = api.client.submit("echo", 1)
    api.client.await_end(task_id)
    etag = api.client.get(f"/v1/tasks/{task_id}").headers["ETag"]
    for known in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        response = api.client.get(f"/v1/tasks/{task_id}", headers={"If-None-Match": known})
        assert response.status_code == 304, known
        assert response.content == b""
        assert response.headers["ETag"] == etag
    assert api.client.get(f"/v1/tasks/{task_id}", headers={"If-None-Match": '"x"'}).status_code == 200


def test_wait_with_a_version_waits_for_the_next_one(api, parked):
    task_id = api.client.submit("parked", 1)
    etag = api.client.get(f"/v1/tasks/{task_id}").headers["ETag"]
    headers = {"If-None-Match": etag}
    assert api.client.get(f"/v1/tasks/{task_id}?wait=1", headers=headers).status_code == 304
    join = in_background(lambda: api.client.get(f"/v1/tasks/{task_id}?wait=20", headers=headers))
    request, properties = parked.take()
    parked.reply(request, properties, "started")
    response, _ = join()
    assert response.status_code == 200
    assert response.json()["status"] == "running"
    assert response.headers["ETag"] != etag
    # Another version than the present one is answered at once.
    began = time.monotonic()
    assert api.client.get(f"/v1/tasks/{task_id}?wait=20", headers=headers).status_code == 200
    assert time.monotonic() - began < 5
    parked.reply(request, properties, result=b"1", content_type="application/json")


def test_prefer_wait_answers_with_the_status_document(api):
    response = api.client.envelope("echo", {"a": 1}, headers={"Prefer": 'respond-async, wait="20"'})
    assert response.status_code == 200
    assert response.headers["Preference-Applied"] == "wait=20"
    assert response.json()["status"] == "succeeded"
    assert response.json()["result"] == {"a": 1}


def test_preferences_and_versions_may_stand_in_lines_of_their_own(api):
    port, body = api.ports["gateway"], b'{"task": "echo", "payload": 1}'
    head = f"POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\nPrefer: respond-async\r\n"
    status, headers, _ = exchange(port, f"{head}Prefer: wait=20\r\n\r\n".encode() + body)
    assert (status, headers["preference-applied"]) == (200, "wait=20")
    task_id = api.client.submit("echo", 1)
    etag = api.client.await_end(task_id) and api.client.get(f"/v1/tasks/{task_id}").headers["ETag"]
    head = f"GET /v1/tasks/{task_id} HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: \"x\"\r\n"
    assert exchange(port, f"{head}If-None-Match: {etag}\r\n\r\n".encode())[0] == 304


def test_prefer_wait_falls_back_to_202(api):
    response = api.client.envelope("sleep", 3, headers={"Prefer": "wait=1"})
    assert response.status_code == 202
    assert "Preference-Applied" not in response.headers
    assert api.client.await_end(response.json()["id"])["status"] == "succeeded"


def test_a_failure_under_prefer_wait_is_200_with_the_document(api):
    response = api.client.envelope("refuses", 1, headers={"Prefer": "wait=20"})
    assert response.status_code == 200
    assert response.json()["status"] == "failed"


def test_clients_that_leave_stop_waiting(api, parked):
    task_id = api.client.submit("parked", 1)

    def waiters():
        text = api.client.get("/metrics").text
        return float(text.split("\npostback_gateway_waiters ")[1].split()[0])

    with pytest.raises(Exception, match="timed out"):
        api.client.get(f"/v1/tasks/{task_id}?wait=30", timeout=0.5)
    eventually(lambda: waiters() == 0, what="nobody waits")
    parked.take()


def test_many_wait_for_many(api, parked):
    task_id = api.client.submit("parked", 1)
    joins = [in_background(lambda: api.client.get(f"/v1/tasks/{task_id}?wait=20")) for _ in range(30)]
    joins += [in_background(lambda: api.client.envelope("echo", 1, headers={"Prefer": "wait=20"})) for _ in range(30)]
    request, properties = parked.take()
    parked.reply(request, properties, result=b"1", content_type="application/json")
    for join in joins:
        response, _ = join()
        assert response.status_code == 200
        assert response.json()["status"] == "succeeded"


# ---- list and queues ----

def test_the_list_is_newest_first_and_pages(api):
    ids = [api.client.submit("echo", n) for n in range(5)]
    for task_id in ids:
        api.client.await_end(task_id)
    seen, cursor = [], ""
    for _ in range(100):
        page = api.client.get(f"/v1/tasks?task=echo&status=succeeded&limit=2{cursor}").json()
        assert len(page["tasks"]) <= 2
        seen += [task["id"] for task in page["tasks"]]
        if not page["next"] or ids[0] in seen:
            break
        cursor = f"&cursor={page['next']}"
    assert seen[:5] == ids[::-1]
    assert all("result" not in task for task in api.client.get("/v1/tasks").json()["tasks"])


@pytest.mark.parametrize("query,field", [
    ("status=done", "status"), ("limit=0", "limit"), ("limit=201", "limit"), ("limit=x", "limit"),
    ("cursor=x", "cursor"), ("task=a%20b", "task"), ("stauts=failed", "stauts")])
def test_a_list_query_that_is_wrong_is_422(api, query, field):
    document = problem(api.client.get(f"/v1/tasks?{query}"), 422, "invalid-field")
    assert document.get("field") == field


def test_queues_tell_what_waits_and_who_works(api, parked):
    task_id = api.client.submit("parked", 1)

    def line(task):
        queues = api.client.get("/v1/queues").json()["queues"]
        return next(queue for queue in queues if queue["task"] == task)

    eventually(lambda: line("parked")["waiting"] == 1)
    assert line("parked")["consumers"] == 0
    assert line("echo")["consumers"] == 1
    request, properties = parked.take()
    parked.reply(request, properties, "started")
    eventually(lambda: line("parked")["running"] == 1)
    parked.reply(request, properties, result=b"1", content_type="application/json")
    api.client.await_end(task_id)
    assert line("parked") == {"task": "parked", "waiting": 0, "running": 0, "scheduled": 0, "consumers": 0}


# ---- cancel and retry ----

def test_a_scheduled_task_is_canceled_at_once(api):
    task_id = api.client.submit("echo", 1, delay="1h")
    response = api.client.delete(f"/v1/tasks/{task_id}")
    assert response.status_code == 200
    assert response.json()["status"] == "canceled"
    assert api.client.delete(f"/v1/tasks/{task_id}").status_code == 200


def test_a_running_task_is_canceled_by_the_processor(api):
    task_id = api.client.submit("sleep", 60)
    api.client.await_status(task_id, "running")
    response = api.client.delete(f"/v1/tasks/{task_id}")
    assert response.status_code == 202
    assert response.json()["id"] == task_id
    ended = api.client.await_end(task_id)
    assert ended["status"] == "canceled"
    assert ended["error"]["type"] == "canceled"


def test_what_has_ended_cannot_be_canceled(api):
    task_id = api.client.submit("echo", 1)
    api.client.await_end(task_id)
    problem(api.client.delete(f"/v1/tasks/{task_id}"), 409, "conflict")
    assert api.client.status(task_id)["status"] == "succeeded"


def test_a_failed_task_is_retried_under_a_new_id(api):
    task_id = api.client.submit("refuses", b'{"n":1.10}', metadata={"a": 1}, retry={"attempts": 2})
    api.client.await_end(task_id)
    response = api.client.post(f"/v1/tasks/{task_id}/retry")
    assert response.status_code == 202
    again = response.json()
    assert UUID7.fullmatch(again["id"]) and again["id"] != task_id
    assert again["retry_of"] == task_id
    document = api.client.await_end(again["id"])
    assert document["retry_of"] == task_id
    assert document["task"] == "refuses"
    assert document["metadata"] == {"a": 1}
    assert document["attempt"] == 1
    assert api.client.status(task_id)["status"] == "failed"


def test_a_dead_task_is_retried_with_its_payload(api, parked):
    task_id = api.client.submit("parked", b'{"n":1.10}', expires="50ms")
    assert api.client.await_end(task_id)["status"] == "dead"
    again = api.client.post(f"/v1/tasks/{task_id}/retry").json()["id"]
    request, properties = parked.take()
    assert request["payload"] == b'{"n":1.10}'
    assert "deadline" not in request
    parked.reply(request, properties, result=b"1", content_type="application/json")
    assert api.client.await_end(again)["status"] == "succeeded"


def test_only_what_failed_can_be_retried(api, parked):
    task_id = api.client.submit("echo", 1)
    api.client.await_end(task_id)
    problem(api.client.post(f"/v1/tasks/{task_id}/retry"), 409, "conflict")
    waiting = api.client.submit("parked", 1)
    problem(api.client.post(f"/v1/tasks/{waiting}/retry"), 409, "conflict")
    problem(api.client.post("/v1/tasks/018f2b1c-1111-7111-9111-111111111111/retry"), 404, "not-found")
    parked.take()


BODIES = [
    (b'{"delay":"1s"}', "application/json", 422, "invalid-field", "/delay"),
    (b'[]', "application/json", 422, "invalid-field", None),
    (b'null', "application/json", 422, "invalid-field", None),
    (b'{', "application/json", 400, "invalid-json", None),
    (b'x=1', "application/x-www-form-urlencoded", 415, "media-type", None),
]


@pytest.mark.parametrize("body,content_type,status,name,field", BODIES)
@pytest.mark.parametrize("path", ["tasks/{task}/retry", "deliveries/{task}/retry", "deliveries/retry?status=dead"])
def test_who_says_something_where_nothing_is_heard_is_told_so(api, path, body, content_type, status, name, field):
    task_id = api.client.submit("refuses", 1)
    api.client.await_end(task_id)
    response = api.client.post("/v1/" + path.format(task=task_id), data=body, headers={"Content-Type": content_type})
    problem(response, status, name, field)


def test_an_empty_object_says_nothing(api):
    task_id = api.client.submit("refuses", 1)
    api.client.await_end(task_id)
    assert api.client.post(f"/v1/tasks/{task_id}/retry", json={}).status_code == 202
    assert api.client.post("/v1/deliveries/retry?status=dead", json={}).status_code == 202


# ---- lifetimes and tenants ----

def test_past_its_lifetimes_an_id_is_410_and_never_before(stack):
    stack.start({"store": {"result_ttl": "2s", "task_ttl": "1s"}, "gateway": {"tasks": ["parked"]}},
                only=("gateway", "notifier"))
    later = stack.client.submit("parked", 1, delay="1h")
    began = time.monotonic()
    task_id = stack.client.submit("parked", 1)
    eventually(lambda: stack.client.get(f"/v1/tasks/{task_id}").status_code == 410, timeout=30)
    assert time.monotonic() - began > 2
    problem(stack.client.get(f"/v1/tasks/{task_id}"), 410, "gone")
    problem(stack.client.result(task_id), 410, "gone")
    assert stack.client.status(later)["status"] == "scheduled"


def test_one_tenant_never_sees_anothers_task(stack):
    keys = [{"tenant": tenant, "sha256": hashlib.sha256(key.encode()).hexdigest()} for tenant, key in KEYS.items()]
    stack.start({"gateway": {"auth": {"keys": keys}}})
    acme, other = (stack.client_of("gateway", key=key) for key in KEYS.values())
    task_id = acme.submit("echo", 1)
    batch = acme.post("/v1/batches", json=[{"task": "echo"}]).json()["id"]
    acme.await_end(task_id)
    for path in (f"/v1/tasks/{task_id}", f"/v1/tasks/{task_id}/result", f"/v1/batches/{batch}"):
        problem(other.get(path), 404, "not-found")
    problem(other.delete(f"/v1/tasks/{task_id}"), 404, "not-found")
    problem(other.post(f"/v1/tasks/{task_id}/retry"), 404, "not-found")
    assert other.get("/v1/tasks").json()["tasks"] == []
    assert len(acme.get("/v1/tasks").json()["tasks"]) == 2
    problem(stack.client.get(f"/v1/tasks/{task_id}"), 401, "unauthorized")
    # The same idempotency key of two tenants is two keys.
    headers = {"Idempotency-Key": "same"}
    ids = {client.run("echo", b"1", headers=headers).json()["id"] for client in (acme, other)}
    assert len(ids) == 2


def test_ids_stay_valid_when_a_key_file_takes_over(stack, tmp_path):
    stack.start(only=("gateway",), overrides={"gateway": {"tasks": ["parked"]}})
    before = stack.client.submit("parked", 1)
    key_file = tmp_path / "key"
    key_file.write_text("ab" * 32 + "\n", encoding="ascii")
    stack.configure({"gateway": {"id_key_file": str(key_file)}})
    stack.gateway.restart()
    stack.await_ready("gateway")
    after = stack.client.submit("parked", 1)
    for task_id in (before, after):
        assert stack.client.status(task_id)["status"] == "queued"


# ---- the limit of those who wait ----

def waiters_of(stack):
    found = re.search(r"^postback_gateway_waiters (\d+)$", stack.client.get("/metrics").text, re.MULTILINE)
    return int(found[1])


def test_who_waits_has_a_limit_of_its_own(stack, vhost):
    limits = {"waiters": 2, "in_flight": 1}
    stack.start({"gateway": {"tasks": ["parked"], "limits": limits}}, only=("gateway", "notifier"))
    client, worker = stack.client, Worker(vhost, "parked")
    task_id = client.submit("parked", 1)
    joins = []
    for n in (1, 2):
        joins.append(in_background(lambda: client.get(f"/v1/tasks/{task_id}/result?wait=30")))
        eventually(lambda: waiters_of(stack) == n, what=f"{n} wait")
    refused = client.get(f"/v1/tasks/{task_id}?wait=20")
    problem(refused, 503, "busy")
    assert refused.headers["Retry-After"]
    assert client.get(f"/v1/tasks/{task_id}").status_code == 200
    assert client.envelope("parked", 1, headers={"Prefer": "wait=20"}).status_code == 202
    request, properties = worker.take()
    worker.reply(request, properties, result=b"1", content_type="application/json")
    assert [join()[0].status_code for join in joins] == [200, 200]
    assert client.get(f"/v1/tasks/{task_id}?wait=1").status_code == 200
    worker.close()


# ---- the query ----

@pytest.mark.parametrize("path", ["/v1/tasks/{}", "/v1/tasks/{}/result"])
@pytest.mark.parametrize("query", ["wiat=3", "wait=1&x=", "id=1"])
def test_a_parameter_that_is_not_known_is_422(api, path, query):
    task_id = api.client.submit("echo", 1)
    document = problem(api.client.get(f"{path.format(task_id)}?{query}"), 422, "invalid-field")
    assert document["detail"] == f"Unknown query parameter: {document['field']}."
