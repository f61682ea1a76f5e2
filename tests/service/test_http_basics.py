"""HTTP as honest clients speak it."""
import json
import socket

import pytest
import requests

from service.http_rig import is_problem, make_probe, probe, request  # noqa: F401  (fixtures)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_every_method_brings_its_body(probe, method):
    said = probe.json(method, "/v1/say/x", body=b"12345", headers={"Content-Type": "text/x"})
    assert (said["method"], said["body_len"], said["content_type"]) == (method, 5, "text/x")


def test_path_and_query_are_decoded_once(probe):
    said = probe.json(target="/v1/say/a%2Fb%2525?x=1&x=%32&y&=z&&caf%C3%A9=a+b%2Bc")
    assert said["name"] == "a/b%25"
    assert said["path"] == "/v1/say/a/b%25"
    assert said["params"] == [["x", "1"], ["x", "2"], ["y", ""], ["", "z"], ["café", "a b+c"]]


def test_raw_utf_8_in_the_path(probe):
    with probe.connect() as connection:
        connection.send("GET /v1/say/é HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert json.loads(connection.response()[2])["name"] == "é"


def test_a_trailing_slash_is_optional(probe):
    for target in ("/v1/count", "/v1/count/"):
        assert probe.ask(target=target)[0] == 200


def test_the_absolute_form(probe):
    assert probe.json(target="http://localhost:1/v1/say/x?y=1")["params"] == [["y", "1"]]


def test_head_tells_the_length_and_brings_nothing(probe):
    _, got, body = probe.ask(target="/v1/say/x")
    with probe.connect() as connection:
        for _ in range(2):
            connection.send(request("HEAD", "/v1/say/x"))
            status, headers, nothing = connection.response(is_head=True)
            assert (status, nothing) == (200, b"")
            assert int(headers["content-length"]) == len(body) + len("HEAD") - len("GET")
        connection.send(request())
        assert connection.response()[2] == probe.ask()[2]
    assert got["content-type"] == "application/json"


def test_head_of_what_is_not_there(probe):
    with probe.connect() as connection:
        connection.send(request("HEAD", "/a/b/c"))
        assert connection.response(is_head=True)[0] == 404
        connection.send(request())
        assert connection.response()[0] == 200


def test_204_has_no_body_and_no_length(probe):
    status, headers, body = probe.ask(target="/v1/nothing")
    assert (status, body) == (204, b"")
    assert "content-length" not in headers
    assert "content-type" not in headers


def test_options_tells_what_there_is(probe):
    for target, allowed in (("/v1/echo", "POST, PUT, OPTIONS"), ("/v1/count", "GET, HEAD, OPTIONS")):
        status, headers, _ = probe.ask("OPTIONS", target)
        assert (status, headers["allow"]) == (204, allowed)
    assert probe.ask("OPTIONS", "*")[0] == 204


def test_a_wrong_method_is_405(probe):
    answer = probe.ask("DELETE", "/v1/echo")
    is_problem(answer, 405, "method-not-allowed")
    assert answer[1]["allow"] == "POST, PUT, OPTIONS"


def test_an_unknown_path_is_404(probe):
    is_problem(probe.ask(target="/v1/unknown"), 404, "not-found")
    is_problem(probe.ask(target="/v1"), 404, "not-found")


def test_a_literal_wins_over_a_name_and_no_name_is_a_reserved_word(probe):
    assert probe.ask("POST", "/users/me", body=b"x")[2] == b"x"
    assert probe.json("POST", "/users/you")["name"] == "you"
    assert probe.json("PUT", "/anything")["name"] == "anything"
    is_problem(probe.ask("PUT", "/livez"), 405, "method-not-allowed")
    is_problem(probe.ask("PUT", "/docs/more"), 404, "not-found")


def test_http_1_0(probe):
    with probe.connect() as connection:
        connection.send(request(version="1.0", host=None))
        status, headers, _ = connection.response()
        assert (status, headers["connection"]) == (200, "close")
        assert connection.is_closed()
    with probe.connect() as connection:
        for _ in range(2):
            connection.send(request(version="1.0", headers={"Connection": "Keep-Alive"}))
            assert connection.response()[1]["connection"] == "keep-alive"


def test_connection_close(probe):
    for value in ("close", "Close", "foo, close"):
        with probe.connect() as connection:
            connection.send(request(headers={"Connection": value}))
            assert connection.response()[1]["connection"] == "close"
            assert connection.is_closed()


def test_request_ids(probe):
    assert probe.ask(headers={"X-Request-Id": "my.id:1/2"})[1]["x-request-id"] == "my.id:1/2"
    for strange in ("a b", "x" * 129, "<script>", ""):
        given = probe.ask(headers={"X-Request-Id": strange})[1]["x-request-id"]
        assert given != strange and len(given) == 16
    assert probe.ask()[1]["x-request-id"] != probe.ask()[1]["x-request-id"]


def test_an_empty_line_before_a_request_is_skipped(probe):
    with probe.connect() as connection:
        connection.send(request("POST", "/v1/echo", body=b"x") + b"\r\n" + request())
        assert connection.response()[2] == b"x"
        assert connection.response()[0] == 200


def test_answers_bear_what_they_must(probe):
    _, headers, _ = probe.ask()
    assert headers["content-type"] == "application/json"
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["date"].endswith(" GMT")
    assert "server" not in headers


def test_a_client_that_says_all_and_closes_its_side_is_answered(probe):
    with probe.connect() as connection:
        connection.send(b"".join(request(target=f"/v1/say/{i}") for i in range(100)))
        connection.socket.shutdown(socket.SHUT_WR)
        for i in range(100):
            assert json.loads(connection.response()[2])["name"] == str(i)
        assert connection.is_closed()
    with probe.connect() as connection:
        connection.send(request(target=f"/v1/much?size={16 << 20}"))
        connection.socket.shutdown(socket.SHUT_WR)
        assert len(connection.response()[2]) == 16 << 20
        assert connection.is_closed()
    with probe.connect() as connection:
        connection.send(request() + b"GET /li")
        connection.socket.shutdown(socket.SHUT_WR)
        assert connection.response()[0] == 200
        assert connection.is_closed()
    with probe.connect() as connection:
        connection.send("nonsense\r\n")
        connection.socket.shutdown(socket.SHUT_WR)
        is_problem(connection.response(), 400, "bad-request")
        assert connection.is_closed()


def test_a_client_library_keeps_its_connection(probe):
    with requests.Session() as session:
        for i in range(50):
            answer = session.post(f"http://127.0.0.1:{probe.port}/v1/echo", data=bytes([i]) * 1000 * i)
            assert answer.content == bytes([i]) * 1000 * i
    assert probe.metric("postback_gateway_requests_total", endpoint="/v1/echo", method="POST", status="200") == 50


def test_metrics(probe):
    probe.ask(target="/v1/unknown")
    assert probe.metric("postback_gateway_requests_total", endpoint="none", method="GET", status="404") == 1
    assert probe.metric("postback_gateway_connections") >= 1
    assert probe.metric("postback_gateway_in_flight") == 1


@pytest.mark.parametrize("coding", ["gzip", "br", "gzip, identity"])
def test_a_content_coding_is_refused_as_the_handler_would_not_learn_of_it(probe, coding):
    answer = probe.ask("POST", "/v1/echo", body=b"12345", headers={"Content-Encoding": coding})
    assert is_problem(answer, 415, "media-type")
    assert b"Content-Encoding" in answer[2]


def test_no_content_coding_in_so_many_words_is_taken(probe):
    assert probe.ask("POST", "/v1/echo", body=b"12345", headers={"Content-Encoding": "identity"})[0] == 200
