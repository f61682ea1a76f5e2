"""Registered endpoints: what /v1/endpoints takes, tells and keeps to itself."""
import datetime
import hashlib

import pytest

from gateway_rig import ECHO, module_stack, problem
from lib.receiver import OTHER_SECRET, SECRET, Receiver, is_signed
from lib.wait import eventually

KEYS = {"acme": "the key of acme", "other": "the key of other"}
KEY_OPTIONS = {"keys": [{"tenant": tenant, "sha256": hashlib.sha256(key.encode()).hexdigest()}
                        for tenant, key in KEYS.items()]}
URL = "https://hooks.example/postback?k=1"
ALL = ["succeeded", "failed", "canceled", "dead"]

api = module_stack(gateway={"auth": KEY_OPTIONS}, processor={"handlers": [ECHO]},
                   notifier={"webhook": {"allow": ["127.0.0.0/8"]}})


@pytest.fixture
def acme(api):
    """A client of one tenant, without endpoints from test to test."""
    client = api.client_of("gateway", key=KEYS["acme"])
    yield client
    for endpoint in client.get("/v1/endpoints").json()["endpoints"]:
        assert client.delete(endpoint["links"]["self"]).status_code == 204


@pytest.fixture
def other(api):
    return api.client_of("gateway", key=KEYS["other"])


def register(client, **members):
    answer = client.post("/v1/endpoints", json={"url": URL, **members})
    assert answer.status_code == 201, answer.text
    document = answer.json()
    assert answer.headers["Location"] == document["links"]["self"] == f"/v1/endpoints/{document['id']}"
    return document


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def hours_until(text):
    return (moment(text) - datetime.datetime.now(datetime.timezone.utc)).total_seconds() / 3600


def test_a_consumer_subscribes_once_and_is_told_of_what_matches(acme):
    with Receiver() as receiver:
        endpoint = register(acme, url=receiver.url("/sub"), tasks=["ec*"], on=["succeeded"])
        register(acme, url=receiver.url("/deaf"), tasks=["something.else"])
        register(acme, url=receiver.url("/sad"), on=["failed", "dead"])
        task = acme.submit("echo", {"n": 1})
        (hook,) = receiver.await_hooks("/sub", 1)
        assert is_signed(hook, endpoint["secret"])
        assert task.encode() in hook.body
        eventually(lambda: acme.status(task)["deliveries"] == {"pending": 0, "delivered": 1, "dead": 0})
        (delivery,) = acme.get(f"/v1/tasks/{task}/deliveries").json()["deliveries"]
        assert delivery["endpoint"] == endpoint["id"] and delivery["id"] == hook.headers["webhook-id"]
        assert delivery["target"] == receiver.url("/sub")
        assert not receiver.of("/deaf") and not receiver.of("/sad")


def test_what_was_registered_is_told_but_for_its_secret(acme, api):
    made = register(acme, description="Billing, Zürich", tasks=["report", "image.*"], on=["failed", "dead"])
    secret = made.pop("secret")
    assert secret.startswith("whsec_") and len(secret) == len("whsec_") + 44
    assert made == {
        "id": made["id"], "url": URL, "description": "Billing, Zürich", "tasks": ["report", "image.*"],
        "on": ["failed", "dead"], "old_secret_until": None, "enabled": True, "disabled_at": None,
        "disabled_reason": None, "failing_since": None, "created_at": made["created_at"],
        "updated_at": made["created_at"], "links": {"self": f"/v1/endpoints/{made['id']}"}}
    assert abs(hours_until(made["created_at"])) < 0.1
    assert acme.get(made["links"]["self"]).json() == made
    assert acme.get("/v1/endpoints").json() == {"endpoints": [made]}
    for answer in (acme.get(made["links"]["self"]), acme.get("/v1/endpoints"),
                   acme.request("PATCH", made["links"]["self"], json={"description": "x"})):
        assert answer.status_code == 200 and secret not in answer.text
    assert secret not in "".join(api.logs().values())


def test_a_url_alone_is_told_of_everything(acme):
    made = register(acme)
    assert made["tasks"] == [] and made["on"] == ALL and made["description"] is None
    assert register(acme)["secret"] != made["secret"]


def test_a_secret_of_ones_own_is_taken(acme):
    assert register(acme, secret=SECRET)["secret"] == SECRET


def test_they_are_listed_in_the_order_in_which_they_came(acme):
    made = [register(acme)["id"] for _ in range(5)]
    assert [endpoint["id"] for endpoint in acme.get("/v1/endpoints").json()["endpoints"]] == made


def test_a_change_leaves_alone_what_it_does_not_name(acme):
    made = register(acme, description="one", tasks=["a"], on=["dead"])
    path = made["links"]["self"]
    changed = acme.request("PATCH", path, json={"url": "http://b.example/"}).json()
    assert (changed["url"], changed["description"], changed["tasks"], changed["on"]) == (
        "http://b.example/", "one", ["a"], ["dead"])
    assert moment(changed["updated_at"]) >= moment(made["updated_at"])
    changed = acme.request("PATCH", path, json={"description": None, "tasks": None, "on": None}).json()
    assert (changed["url"], changed["description"], changed["tasks"], changed["on"]) == (
        "http://b.example/", None, [], ALL)
    assert acme.get(path).json() == changed


def test_one_is_disabled_and_enabled_again(acme):
    path = register(acme)["links"]["self"]
    changed = acme.request("PATCH", path, json={"enabled": False}).json()
    assert not changed["enabled"] and changed["disabled_at"] and changed["disabled_reason"]
    changed = acme.request("PATCH", path, json={"enabled": True}).json()
    assert changed["enabled"] and changed["disabled_at"] is None and changed["disabled_reason"] is None


def test_one_that_was_removed_is_not_there_any_more(acme):
    path = register(acme)["links"]["self"]
    answer = acme.delete(path)
    assert answer.status_code == 204 and answer.content == b""
    problem(acme.get(path), 404, "not-found")
    problem(acme.delete(path), 404, "not-found")
    problem(acme.request("PATCH", path, json={}), 404, "not-found")
    problem(acme.post(f"{path}/rotate"), 404, "not-found")


def test_a_rotation_leaves_the_old_secret_valid_for_a_day(acme, api):
    made = register(acme)
    path = made["links"]["self"]
    rotated = acme.post(f"{path}/rotate")
    assert rotated.status_code == 200
    rotated = rotated.json()
    assert rotated["secret"].startswith("whsec_") and rotated["secret"] != made["secret"]
    assert 23.9 < hours_until(rotated["old_secret_until"]) < 24.1
    assert "secret" not in acme.get(path).json()
    rotated = acme.post(f"{path}/rotate", json={"secret": OTHER_SECRET, "overlap": "7d"}).json()
    assert rotated["secret"] == OTHER_SECRET and hours_until(rotated["old_secret_until"]) > 167
    assert acme.post(f"{path}/rotate", json={"overlap": "0s"}).json()["old_secret_until"] is None
    assert OTHER_SECRET not in "".join(api.logs().values())


def signers(client, receiver, path, secrets):
    """Which of them sign what is sent now."""
    before = len(receiver.of(path))
    client.submit("echo")
    hook = receiver.await_hooks(path, before + 1)[-1]
    return [is_signed(hook, secret) for secret in secrets], len(hook.headers["webhook-signature"].split(" "))


def test_all_secrets_sign_that_a_consumer_may_have_while_they_are_rotated(acme):
    with Receiver() as receiver:
        made = register(acme, url=receiver.url("/both"))
        rotate = f"{made['links']['self']}/rotate"
        secrets = [made["secret"], acme.post(rotate).json()["secret"]]
        assert signers(acme, receiver, "/both", secrets) == ([True, True], 2)
        # Whoever has not heard of the second secret yet must not be cut off by a third.
        secrets.append(acme.post(rotate).json()["secret"])
        assert signers(acme, receiver, "/both", secrets) == ([True, True, True], 3)
        # The same secret once more is no rotation, but may end the others' time.
        assert acme.post(rotate, json={"secret": secrets[2]}).json()["old_secret_until"]
        assert signers(acme, receiver, "/both", secrets) == ([True, True, True], 3)
        assert acme.post(rotate, json={"secret": secrets[2], "overlap": "0s"}).json()["old_secret_until"] is None
        assert signers(acme, receiver, "/both", secrets) == ([False, False, True], 1)


def test_a_secret_that_got_known_signs_nothing_more(acme):
    with Receiver() as receiver:
        made = register(acme, url=receiver.url("/known"))
        rotate = f"{made['links']['self']}/rotate"
        secrets = [made["secret"], acme.post(rotate).json()["secret"],
                   acme.post(rotate, json={"overlap": "0s"}).json()["secret"]]
        assert signers(acme, receiver, "/known", secrets) == ([False, False, True], 1)


def test_an_old_secret_signs_no_longer_than_it_was_to(acme):
    with Receiver() as receiver:
        made = register(acme, url=receiver.url("/ends"))
        path = made["links"]["self"]
        secrets = [made["secret"], acme.post(f"{path}/rotate", json={"overlap": "1s"}).json()["secret"]]
        eventually(lambda: acme.get(path).json()["old_secret_until"] is None, what="its time has passed")
        assert signers(acme, receiver, "/ends", secrets) == ([False, True], 1)


def test_no_more_secrets_are_valid_than_sign_a_message(acme):
    rotate = f"{register(acme)['links']['self']}/rotate"
    for _ in range(7):
        assert acme.post(rotate).status_code == 200
    document = problem(acme.post(rotate), 409, "conflict")
    assert "7 secrets" in document["detail"] and "overlap" in document["detail"]
    assert acme.post(rotate, json={"overlap": "0s"}).status_code == 200
    assert acme.post(rotate).status_code == 200


def test_one_tenant_never_sees_anothers(acme, other):
    path = register(acme)["links"]["self"]
    assert other.get("/v1/endpoints").json() == {"endpoints": []}
    problem(other.get(path), 404, "not-found")
    problem(other.delete(path), 404, "not-found")
    problem(other.request("PATCH", path, json={"url": "https://evil.example/"}), 404, "not-found")
    problem(other.post(f"{path}/rotate"), 404, "not-found")
    assert acme.get(path).json()["url"] == URL


def test_another_tenants_outcomes_are_not_told(acme, other):
    with Receiver() as receiver:
        register(acme, url=receiver.url("/mine"))
        foreign = other.submit("echo")
        assert other.await_end(foreign)["deliveries"] == {"pending": 0, "delivered": 0, "dead": 0}
        mine = acme.submit("echo")
        (hook,) = receiver.await_hooks("/mine", 1)
        assert mine.encode() in hook.body


@pytest.mark.parametrize("name", ["nonsense", "01a20327-0130-7e13-ba14-00006c1da512", "%20"])
def test_an_invented_id_is_not_found(acme, name):
    problem(acme.get(f"/v1/endpoints/{name}"), 404, "not-found")


def test_the_id_of_a_task_is_none_of_an_endpoint(acme):
    problem(acme.get(f"/v1/endpoints/{acme.submit('echo')}"), 404, "not-found")


@pytest.mark.parametrize("members, field", [
    ({"url": None}, "/url"),
    ({"url": "ftp://a.example/"}, "/url"),
    ({"url": "https://user:secret@a.example/"}, "/url"),
    ({"url": "https://a.example/" + "x" * 2048}, "/url"),
    ({"description": "x" * 501}, "/description"),
    ({"tasks": ["ok", "not ok"]}, "/tasks/1"),
    ({"on": ["succeeded", "running"]}, "/on/1"),
    ({"secret": "whsec_dG9vIHNob3J0"}, "/secret"),
    ({"secret": "a secret of mine"}, "/secret"),
    ({"enabled": False}, "/enabled"),
    ({"retries": 3}, "/retries"),
], ids=str)
def test_what_is_not_valid_is_refused_by_name(acme, members, field):
    answer = acme.post("/v1/endpoints", json={"url": URL, **members})
    document = problem(answer, 422, "invalid-field", field)
    assert "whsec_dG9" not in answer.text and "of mine" not in document["detail"]
    assert acme.get("/v1/endpoints").json() == {"endpoints": []}


@pytest.mark.parametrize("body, status, name", [
    (b"", 400, "invalid-json"), (b"{", 400, "invalid-json"), (b'{"url":"\xff"}', 400, "invalid-json"),
    (b'{"url":"http://a/","url":"http://b/"}', 400, "invalid-json"), (b"[]", 422, "invalid-field"),
    (b"null", 422, "invalid-field"), (b"{}", 422, "invalid-field")], ids=str)
def test_a_body_that_is_none_is_refused(acme, body, status, name):
    problem(acme.post("/v1/endpoints", data=body, headers={"Content-Type": "application/json"}), status, name)


def test_another_content_type_is_refused(acme):
    answer = acme.post("/v1/endpoints", data=b"url=x", headers={"Content-Type": "application/x-www-form-urlencoded"})
    problem(answer, 415, "media-type")


def test_a_method_that_there_is_not_is_told_with_those_that_there_are(acme):
    made = register(acme)
    answer = acme.request("PUT", made["links"]["self"], json={"url": URL})
    problem(answer, 405, "method-not-allowed")
    assert {"GET", "PATCH", "DELETE"} <= set(answer.headers["Allow"].split(", "))


def test_no_tenant_has_more_than_a_hundred(acme, other):
    for _ in range(100):
        register(acme)
    problem(acme.post("/v1/endpoints", json={"url": URL}), 409, "conflict")
    answer = other.post("/v1/endpoints", json={"url": URL})
    assert answer.status_code == 201
    assert other.delete(answer.headers["Location"]).status_code == 204


def under(key):
    return {"Idempotency-Key": key}


def test_whoever_registers_again_for_a_lost_answer_is_told_once(acme, other):
    body = {"url": URL, "tasks": ["a"]}
    first = acme.post("/v1/endpoints", json=body, headers=under("register-1"))
    again = acme.post("/v1/endpoints", json=body, headers=under("register-1"))
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content and again.headers["Location"] == first.headers["Location"]
    assert "Idempotency-Replayed" not in first.headers and again.headers["Idempotency-Replayed"] == "true"
    assert [endpoint["id"] for endpoint in acme.get("/v1/endpoints").json()["endpoints"]] == [first.json()["id"]]
    problem(acme.post("/v1/endpoints", json={"url": URL}, headers=under("register-1")), 422, "idempotency-mismatch")
    # Keys are each tenant's own.
    foreign = other.post("/v1/endpoints", json=body, headers=under("register-1"))
    assert foreign.status_code == 201 and foreign.json()["id"] != first.json()["id"]
    assert other.delete(foreign.headers["Location"]).status_code == 204


def test_a_key_under_which_nothing_was_registered_is_free(acme):
    problem(acme.post("/v1/endpoints", json={"url": "x"}, headers=under("register-2")), 422, "invalid-field", "/url")
    problem(acme.post("/v1/endpoints", json={"url": URL}, headers=under("")), 422, "invalid-field", "Idempotency-Key")
    made = [register(acme) for _ in range(100)]
    problem(acme.post("/v1/endpoints", json={"url": URL}, headers=under("register-2")), 409, "conflict")
    assert acme.delete(made[0]["links"]["self"]).status_code == 204
    assert acme.post("/v1/endpoints", json={"url": URL}, headers=under("register-2")).status_code == 201


def test_endpoints_outlive_a_restart(acme, api):
    made = register(acme)
    api.gateway.restart()
    api.await_ready("gateway")
    assert acme.get(made["links"]["self"]).json()["url"] == URL
