"""Keys and tenants, browsers, CORS, and what must not be configured."""
import hashlib
import json
import subprocess

import pytest

from lib.paths import BIN
from service.http_rig import KEY, KEY_SHA256, is_problem, make_probe, probe, request  # noqa: F401  (fixtures)

OTHER = "another-key"
KEYS = {"keys": [
    {"tenant": "acme", "sha256": KEY_SHA256},
    {"tenant": "acme", "sha256": hashlib.sha256(OTHER.encode()).hexdigest().upper()},
    {"tenant": "other", "sha256": hashlib.sha256(b"third").hexdigest()},
]}


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def check(tmp_path, gateway):
    """What starting with that configuration says; it must refuse to."""
    config = tmp_path / "refused.json"
    config.write_text(gateway if isinstance(gateway, str) else json.dumps({"gateway": gateway}))
    done = subprocess.run([BIN / "postback-http-probe", "--config", config], capture_output=True, text=True, timeout=10,
                          check=False)
    assert done.returncode == 2, done
    return done.stderr


# ---- keys ----

def test_every_key_of_a_tenant_opens(make_probe):
    probe = make_probe(auth=KEYS)
    for key, tenant in ((KEY, "acme"), (OTHER, "acme"), ("third", "other")):
        assert probe.json(target="/v1/say/x", headers=bearer(key))["tenant"] == tenant
    assert probe.json(target="/v1/say/x", headers={"Authorization": f"bearer   {KEY}"})["tenant"] == "acme"


@pytest.mark.parametrize("field", [
    None, "", "Bearer", "Bearer ", "Bearer wrong", f"Basic {KEY}", KEY, f"Bearer {KEY} x", f"Bearer {KEY[:-1]}",
    f"Bearer {KEY_SHA256}"])
def test_anything_else_is_401(make_probe, field):
    probe = make_probe(auth=KEYS)
    headers = {} if field is None else {"Authorization": field}
    for target in ("/v1/say/x", "/v1/unknown/x", "/nothing/there"):
        answer = probe.ask(target=target, headers=headers)
        is_problem(answer, 401, "unauthorized")
        assert answer[1]["www-authenticate"] == "Bearer"
    is_problem(probe.ask("PATCH", "/v1/echo", headers=headers), 401, "unauthorized")


def test_liveness_is_open_and_metrics_to_this_machine(make_probe):
    probe = make_probe(auth=KEYS)
    assert probe.ask(target="/livez")[0] == 200
    assert probe.ask(target="/readyz")[0] == 200
    assert probe.ask(target="/metrics")[0] == 200


def test_what_a_problem_means_is_open(make_probe):
    probe = make_probe(auth=KEYS)
    listed = probe.json(target="/problems")["problems"]
    assert len(listed) == len({problem["type"] for problem in listed}) > 20
    for problem in listed:
        assert set(problem) == {"type", "title", "status", "detail"}
        status, headers, body = probe.ask(target=problem["type"])
        assert (status, json.loads(body)) == (200, problem)
        assert headers["content-type"] == "application/json"
    is_problem(probe.ask(target="/problems/no-such"), 404, "not-found")


def test_a_large_body_without_a_key_is_refused_before_it_comes(make_probe):
    probe = make_probe(auth=KEYS)
    with probe.connect() as connection:
        connection.send("POST /v1/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")
        is_problem(connection.response(), 401, "unauthorized")
        assert connection.is_closed()
    with probe.connect() as connection:
        connection.send("POST /v1/echo HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        is_problem(connection.response(), 401, "unauthorized")


def test_no_body_is_awaited_from_who_may_not_send_it(make_probe):
    probe = make_probe(auth=KEYS)
    with probe.connect() as connection:
        connection.send("POST /v1/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nabcd")
        is_problem(connection.response(), 401, "unauthorized")
        assert connection.is_closed()
    with probe.connect() as connection:
        connection.send(request("POST", "/v1/echo", body=b"abcde"))
        is_problem(connection.response(), 401, "unauthorized")
        connection.send(request("POST", "/v1/echo", bearer(KEY), b"abcde"))
        assert connection.response()[0] == 200


@pytest.mark.parametrize("options", [{"host": "public.example"}, {"headers": {"X-Forwarded-For": "203.0.113.7"}},
                                     {"headers": {"Forwarded": "for=203.0.113.7"}}, {"headers": {"Via": "1.1 proxy"}},
                                     {"headers": {"X-Real-IP": "203.0.113.7"}}])
def test_what_a_proxy_on_this_machine_hands_on_is_not_of_this_machine(make_probe, options):
    is_problem(make_probe(auth=KEYS).ask(target="/metrics", **options), 401, "unauthorized")


def test_with_keys_any_host_and_origin_may_ask(make_probe):
    probe = make_probe(auth=KEYS)
    headers = {**bearer(KEY), "Origin": "https://evil.example"}
    status, answer, _ = probe.ask(target="/v1/say/x", headers=headers, host="public.example")
    assert status == 200
    assert "access-control-allow-origin" not in answer


# ---- browsers, without keys ----

@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1", "127.1.2.3:1", "[::1]", "[::1]:80",
                                  "LOCALHOST"])
def test_loopback_hosts_pass(probe, host):
    assert probe.ask(host=host)[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1",
                                  "[::2]", "", "0.0.0.0", "localhost@evil.example"])
def test_other_hosts_are_403(probe, host):
    answer = probe.ask(target="/v1/say/x", host=host)
    if "@" in host:
        is_problem(answer, 400, "bad-request")
    else:
        is_problem(answer, 403, "forbidden-origin")


def test_a_host_in_the_target_does_not_get_around(probe):
    is_problem(probe.ask(target="http://localhost/v1/say/x", host="evil.example"), 403, "forbidden-origin")


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1:8080", "https://[::1]:9"])
def test_origins_on_this_machine_pass(probe, origin):
    assert probe.ask(headers={"Origin": origin})[0] == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "", "https://localhost.evil.example", "file://",
                                    "http://10.0.0.1"])
def test_foreign_origins_are_403(probe, origin):
    is_problem(probe.ask("POST", "/v1/submit", headers={"Origin": origin}), 403, "forbidden-origin")


# ---- CORS ----

APP = "https://app.example"


def preflight(origin=APP):
    return {"Origin": origin, "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type"}


@pytest.mark.parametrize("auth", [KEYS, "none", None])
def test_cors(make_probe, auth):
    probe = make_probe(cors={"origins": [APP]}, **({"auth": auth} if auth else {}))
    status, headers, body = probe.ask("OPTIONS", "/v1/submit", headers=preflight())
    assert (status, body) == (204, b"")
    assert headers["access-control-allow-origin"] == APP
    assert headers["vary"] == "Origin"
    assert "POST" in headers["access-control-allow-methods"]
    for name in ("Authorization", "Content-Type", "Idempotency-Key", "Prefer"):
        assert name in headers["access-control-allow-headers"]
    assert headers["access-control-max-age"] == "600"
    asked = {"Origin": APP, **(bearer(KEY) if auth == KEYS else {})}
    status, headers, _ = probe.ask("POST", "/v1/submit", headers=asked)
    assert status == 204
    assert headers["access-control-allow-origin"] == APP
    for name in ("Location", "Retry-After", "ETag", "X-Request-Id", "Preference-Applied"):
        assert name in headers["access-control-expose-headers"]


def test_errors_can_be_read_by_the_page(make_probe):
    probe = make_probe(auth=KEYS, cors={"origins": [APP]})
    answer = probe.ask("POST", "/v1/submit", headers={"Origin": APP})
    is_problem(answer, 401, "unauthorized")
    assert answer[1]["access-control-allow-origin"] == APP


def test_cors_tells_other_origins_nothing(make_probe):
    probe = make_probe(auth=KEYS, cors={"origins": [APP]})
    _, headers, _ = probe.ask("POST", "/v1/submit", headers={"Origin": "https://evil.example", **bearer(KEY)})
    assert "access-control-allow-origin" not in headers
    assert headers["vary"] == "Origin"
    status, headers, _ = probe.ask("OPTIONS", "/v1/submit", headers=preflight("https://evil.example"))
    assert "access-control-allow-origin" not in headers


def test_any_origin(make_probe):
    probe = make_probe(auth="none", cors={"origins": ["*"]})
    assert probe.ask(headers={"Origin": "https://a.example"})[1]["access-control-allow-origin"] == "https://a.example"


def test_without_cors_nothing_is_said(probe):
    headers = probe.ask(headers={"Origin": "http://localhost:1"})[1]
    assert not [name for name in headers if name.startswith("access-control")]


# ---- what is refused at start ----

DIGEST = "0" * 64
REFUSED = {
    "open_to_the_network": ({"listen": "0.0.0.0:8080"}, "gateway.listen"),
    "open_to_the_network_by_name": ({"listen": "gateway.example:8080"}, "gateway.listen"),
    "open_to_the_network_in_ipv6": ({"listen": "[::]:8080"}, "gateway.listen"),
    "open_on_every_address": ({"listen": ":8080"}, "needs gateway.auth.keys"),
    "no_port": ({"listen": "127.0.0.1"}, "gateway.listen"),
    "a_port_beyond_all": ({"listen": "127.0.0.1:65536"}, "gateway.listen"),
    "a_word_for_auth": ({"auth": "nobody"}, "none"),
    "none_and_keys": ({"auth": {"mode": "none", "keys": [{"tenant": "a", "sha256": DIGEST}]}}, "exclude"),
    "a_short_digest": ({"auth": {"keys": [{"tenant": "a", "sha256": "abc"}]}}, "keys[0].sha256"),
    "a_plain_key": ({"auth": {"keys": [{"tenant": "a", "sha256": "x" * 64}]}}, "keys[0].sha256"),
    "a_strange_tenant": ({"auth": {"keys": [{"tenant": "a b", "sha256": DIGEST}]}}, "keys[0].tenant"),
    "a_key_twice": ({"auth": {"keys": [{"tenant": "a", "sha256": "A" * 64}, {"tenant": "b", "sha256": "a" * 64}]}},
                    "keys[1].sha256"),
    "any_origin_without_keys": ({"cors": {"origins": ["*"]}}, "gateway.cors.origins"),
    "an_origin_with_a_path": ({"cors": {"origins": ["https://a.example/x"]}}, "gateway.cors.origins"),
    "a_body_beyond_the_message": ({"limits": {"body": "15MiB"}}, "gateway.limits.body"),
    "less_for_all_than_for_one": ({"limits": {"bodies": "1MiB"}}, "gateway.limits.bodies"),
    "a_strange_task": ({"tasks": ["a b"]}, "gateway.tasks"),
    "a_route_without_a_path": ({"routes": [{"task": "a"}]}, "routes[0]"),
    "a_route_without_a_purpose": ({"routes": [{"path": "/a"}]}, "exactly one"),
    "a_route_with_two_purposes": ({"routes": [{"path": "/a", "task": "a", "tasks": ["b"]}]}, "exactly one"),
    "a_route_with_a_task_and_an_empty_chain": ({"routes": [{"path": "/a", "task": "a", "tasks": []}]}, "no task"),
    "a_route_of_an_empty_chain": ({"routes": [{"path": "/a", "tasks": []}]}, "no task"),
    "a_route_into_the_api": ({"routes": [{"path": "POST /v1/tasks", "task": "a"}]}, "belongs to the gateway"),
    "a_route_over_livez": ({"routes": [{"path": "/livez", "task": "a"}]}, "belongs to the gateway"),
    "a_route_with_half_a_name": ({"routes": [{"path": "/a/{b", "task": "a"}]}, "routes[0].path"),
    "a_route_with_a_name_twice": ({"routes": [{"path": "/{a}/{a}", "task": "a"}]}, "same {name}"),
    "a_route_with_an_unknown_method": ({"routes": [{"path": "BREW /a", "task": "a"}]}, "methods are"),
    "two_routes_of_one_shape": ({"routes": [{"path": "POST /a/{b}", "task": "a"}, {"path": "/a/{c}/", "task": "a"}]},
                                "gateway.routes[1].path"),
    "status_of_what_is_not_there": ({"routes": [{"path": "GET /r/{id}", "status_of": "task_id"}]}, "status_of"),
    "status_of_a_post": ({"routes": [{"path": "POST /r/{id}", "status_of": "id"}]}, "GET"),
    "a_sync_chain": ({"routes": [{"path": "/a", "tasks": ["a", "b"], "mode": "sync"}]}, "chain"),
    "a_chain_whose_end_may_be_missing": ({"routes": [{"path": "/a", "tasks": ["a", {"task": "b", "when": "q"}]}]},
                                         "last task"),
    "a_reply_that_is_an_error": ({"routes": [{"path": "/a", "task": "a", "reply": {"status": 500}}]}, "status"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_at_start(tmp_path, name):
    gateway, words = REFUSED[name]
    assert words in check(tmp_path, gateway)


def test_auth_none_in_so_many_words(tmp_path, make_probe):
    probe = make_probe(auth="none")
    assert probe.json(target="/v1/say/x")["tenant"] == "default"


def test_all_that_is_wrong_is_told_at_once(tmp_path):
    said = check(tmp_path, {"listen": "0.0.0.0:80", "cors": {"origins": ["*"]}, "limits": {"bodies": "1MiB"}})
    assert len(said.strip().splitlines()) == 3
