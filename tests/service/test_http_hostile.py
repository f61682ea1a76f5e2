"""Requests that no honest client sends: each gets a clear answer, and the next request works."""
import contextlib
import json
import select
import socket
import threading
import time

import pytest

from lib.wait import eventually
from service.http_rig import is_problem, make_probe, probe, request  # noqa: F401  (fixtures)


def select_readable(connection, timeout):
    return bool(select.select([connection.socket], [], [], timeout)[0])


HEAD = "GET /livez HTTP/1.1\r\nHost: localhost\r\n"
POST = "POST /v1/echo HTTP/1.1\r\nHost: localhost\r\n"

REFUSED = {
    "two_content_lengths": (POST + "Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd", 400, "bad-request"),
    "two_different_content_lengths": (POST + "Content-Length: 4\r\nContent-Length: 44\r\n\r\nabcd", 400, "bad-request"),
    "a_list_of_content_lengths": (POST + "Content-Length: 4, 4\r\n\r\nabcd", 400, "bad-request"),
    "a_negative_content_length": (POST + "Content-Length: -1\r\n\r\n", 400, "bad-request"),
    "a_signed_content_length": (POST + "Content-Length: +4\r\n\r\nabcd", 400, "bad-request"),
    "an_empty_content_length": (POST + "Content-Length:\r\n\r\n", 400, "bad-request"),
    "a_content_length_beyond_64_bits": (POST + "Content-Length: 99999999999999999999\r\n\r\n", 413, "too-large"),
    "two_hosts": (HEAD + "Host: localhost\r\n\r\n", 400, "bad-request"),
    "no_host": ("GET /livez HTTP/1.1\r\n\r\n", 400, "bad-request"),
    "a_host_with_a_path": ("GET /livez HTTP/1.1\r\nHost: localhost/x\r\n\r\n", 400, "bad-request"),
    "two_authorizations": (HEAD + "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n", 400, "bad-request"),
    "two_content_types": (POST + "Content-Type: a/b\r\nContent-Type: c/d\r\n\r\n", 400, "bad-request"),
    "length_and_chunks": (
        POST + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad-request"),
    "two_transfer_encodings": (
        POST + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad-request"),
    "chunks_in_http_1_0": (
        "POST /v1/echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad-request"),
    "an_unknown_transfer_coding": (POST + "Transfer-Encoding: gzip, chunked\r\n\r\n", 501, "not-implemented"),
    "a_space_before_the_colon": (HEAD + "X-A : b\r\n\r\n", 400, "bad-request"),
    "a_tab_before_the_colon": (HEAD + "Content-Length\t: 5\r\n\r\n", 400, "bad-request"),
    "a_folded_field": (HEAD + "X-A: b\r\n c\r\n\r\n", 400, "bad-request"),
    "a_field_without_a_colon": (HEAD + "nonsense\r\n\r\n", 400, "bad-request"),
    "a_field_without_a_name": (HEAD + ": b\r\n\r\n", 400, "bad-request"),
    "a_nul_in_a_field": (HEAD + "X-A: b\0c\r\n\r\n", 400, "bad-request"),
    "a_control_character_in_a_field": (HEAD + "X-A: b\x08c\r\n\r\n", 400, "bad-request"),
    "a_bare_carriage_return": (HEAD + "X-A: b\rX-B: c\r\n\r\n", 400, "bad-request"),
    "bare_line_feeds": ("GET /livez HTTP/1.1\nHost: localhost\n\n", 400, "bad-request"),
    "no_target": ("GET HTTP/1.1\r\n\r\n", 400, "bad-request"),
    "two_spaces": ("GET  /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "bad-request"),
    "a_space_in_the_target": ("GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "bad-request"),
    "a_fragment_in_the_target": ("GET /livez#x HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "bad-request"),
    "a_path_behind_a_query": (
        "GET http://localhost?x=/livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "bad-request"),
    "a_target_without_a_host": ("GET http:///livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "bad-request"),
    "a_user_in_the_target": (
        "GET http://localhost:80@evil/livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "bad-request"),
    "a_target_that_is_no_path": ("GET livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "bad-request"),
    "no_version": ("GET /livez\r\n\r\n", 400, "bad-request"),
    "a_strange_version": ("GET /livez HTTP/11\r\n\r\n", 400, "bad-request"),
    "http_2": ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "http-version"),
    "http_0_9_spelled_out": ("GET /livez HTTP/0.9\r\n\r\n", 505, "http-version"),
    "a_tls_hello": ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "bad-request"),
    "only_empty_lines": ("\r\n\r\n\r\n\r\n", 400, "bad-request"),
    "an_unknown_method": ("BREW /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 501, "not-implemented"),
    "trace": ("TRACE /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 501, "not-implemented"),
    "connect": ("CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", 501, "not-implemented"),
    "a_method_in_small_letters": ("get /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 501, "not-implemented"),
    "an_expectation_unknown": (POST + "Expect: 200-maybe\r\n\r\n", 417, "expectation-failed"),
    "a_head_of_a_megabyte": (HEAD + "X-A: " + "b" * 1_000_000 + "\r\n\r\n", 431, "headers-too-large"),
    "a_target_of_a_megabyte": ("GET /" + "a" * 1_000_000 + " HTTP/1.1\r\n\r\n", 431, "headers-too-large"),
    "a_thousand_fields": (HEAD + "a: b\r\n" * 1000 + "\r\n", 431, "headers-too-large"),
    "a_chunk_without_a_size": (POST + "Transfer-Encoding: chunked\r\n\r\n\r\nabc\r\n", 400, "bad-request"),
    "a_chunk_of_a_strange_size": (POST + "Transfer-Encoding: chunked\r\n\r\n0x5\r\nabcde\r\n", 400, "bad-request"),
    "a_word_behind_a_chunk_size": (POST + "Transfer-Encoding: chunked\r\n\r\n5 1\r\nabcde\r\n", 400, "bad-request"),
    "a_negative_chunk": (POST + "Transfer-Encoding: chunked\r\n\r\n-5\r\nabcde\r\n", 400, "bad-request"),
    "a_chunk_longer_than_said": (POST + "Transfer-Encoding: chunked\r\n\r\n2\r\nabcde\r\n", 400, "bad-request"),
    "a_chunk_with_a_bare_line_feed": (POST + "Transfer-Encoding: chunked\r\n\r\n2\nab\n", 400, "bad-request"),
    "a_huge_chunk": (POST + "Transfer-Encoding: chunked\r\n\r\nffffffff\r\nab", 413, "too-large"),
    "a_chunk_size_that_overflows": (POST + "Transfer-Encoding: chunked\r\n\r\n1ffffffff\r\nab", 400, "bad-request"),
    "trailers_without_end": (
        POST + "Transfer-Encoding: chunked\r\n\r\n0\r\n" + "a: b\r\n" * 2000, 400, "bad-request"),
}

ANSWERED = {
    "an_empty_first_segment": ("//x", 400),
    "an_empty_segment": ("/v1//count", 400),
    "a_nul": ("/v1/say/a%00b", 400),
    "a_newline": ("/v1/say/a%0ab", 400),
    "invalid_utf_8": ("/v1/say/%ff", 400),
    "overlong_utf_8": ("/v1/say/%c0%af", 400),
    "half_an_escape": ("/v1/say/%4", 400),
    "a_broken_escape": ("/v1/say/%zz", 400),
    "a_broken_escape_in_the_query": ("/v1/say/x?a=%zz", 400),
    "invalid_utf_8_in_the_query": ("/v1/say/x?a=%ff", 400),
    "a_nul_in_the_query": ("/v1/say/x?a=%00", 400),
    "a_thousand_parameters": ("/v1/say/x?" + "a=b&" * 1000, 400),
    "a_deep_path": ("/a" * 100, 400),
    "a_long_path": ("/v1/say/" + "a" * 5000, 400),
    "dots": ("/v1/../livez", 404),
    "a_backslash": ("/v1\\count/x", 404),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_and_closed(probe, name):
    data, status, kind = REFUSED[name]
    with probe.connect() as connection:
        connection.send(data.encode("latin-1"))
        answer = connection.response()
        is_problem(answer, status, kind)
        assert answer[1]["connection"] == "close"
        assert connection.is_closed()
    assert probe.is_well()


@pytest.mark.parametrize("name", ANSWERED)
def test_answered_and_the_connection_goes_on(probe, name):
    target, status = ANSWERED[name]
    with probe.connect() as connection:
        connection.send(request(target=target))
        is_problem(connection.response(), status, "bad-request" if status == 400 else "not-found")
        connection.send(request())
        assert connection.response()[0] == 200


def test_what_follows_a_refused_request_is_never_run(probe):
    smuggled = request("POST", "/v1/hold")
    with probe.connect() as connection:
        connection.send(POST + f"Content-Length: 0\r\nContent-Length: {len(smuggled)}\r\n\r\n")
        connection.send(smuggled)
        is_problem(connection.response(), 400, "bad-request")
        assert connection.is_closed()
    assert probe.count() == {"held": 0, "gone": 0}


def test_the_body_of_a_get_is_not_the_next_request(probe):
    smuggled = request("POST", "/v1/hold")
    with probe.connect() as connection:
        connection.send(request("GET", "/v1/say/x", body=smuggled) + request("GET", "/v1/count"))
        assert json.loads(connection.response()[2])["body_len"] == len(smuggled)
        assert json.loads(connection.response()[2]) == {"held": 0, "gone": 0}


def test_every_cut_of_a_head_gives_the_same_answer(probe):
    data = request("POST", "/v1/say/x", {"X-Test": "y"}, b"body")
    for at in range(1, len(data), 7):
        with probe.connect() as connection:
            connection.send(data[:at])
            connection.send(data[at:])
            status, _, body = connection.response()
            assert (status, json.loads(body)["body_len"]) == (200, 4)


def test_byte_by_byte(probe):
    chunked = (POST + "Content-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n"
               "3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: t\r\n\r\n")
    with probe.connect() as connection:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in chunked.encode():
            connection.send(bytes([byte]))
        assert connection.response()[2] == b"abcde"
        connection.send(request())
        assert connection.response()[0] == 200


def test_a_trailer_is_no_field_of_the_head(probe):
    with probe.connect() as connection:
        connection.send("POST /v1/say/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
                        "1\r\na\r\n0\r\nX-Test: smuggled\r\nContent-Length: 10\r\n\r\n")
        assert json.loads(connection.response()[2])["x_test"] is None


def test_a_head_that_drips_is_cut_in_all(make_probe):
    probe = make_probe(limits={"head_timeout": "300ms"})
    with probe.connect() as connection:
        began = time.monotonic()
        for byte in request(headers={"X-Long": "a" * 1000}):
            try:
                connection.send(bytes([byte]))
            except OSError:
                break
            if select_readable(connection, 0.02):
                break
        is_problem(connection.response(), 408, "request-timeout")
        assert time.monotonic() - began < 15
    assert probe.is_well()


def test_a_body_that_drips_is_cut_in_all(make_probe):
    probe = make_probe(limits={"body_timeout": "300ms"})
    with probe.connect() as connection:
        connection.send(POST + "Content-Length: 1000\r\n\r\n")
        for _ in range(1000):
            connection.send(b"x")
            if select_readable(connection, 0.02):
                break
        is_problem(connection.response(), 408, "request-timeout")
    assert probe.is_well()


def test_an_idle_connection_is_closed_without_a_word(make_probe):
    probe = make_probe(limits={"idle_timeout": "1s"})
    with probe.connect() as silent, probe.connect() as kept:
        kept.send(request())
        assert kept.response()[0] == 200
        assert silent.is_closed()
        assert kept.is_closed()


def test_many_requests_at_once_are_answered_in_order(probe):
    with probe.connect() as connection:
        connection.send(b"".join(request(target=f"/v1/say/{i}") for i in range(200)))
        for i in range(200):
            assert json.loads(connection.response()[2])["name"] == str(i)


def test_requests_behind_one_that_waits(probe):
    with probe.connect() as connection:
        connection.send(request("POST", "/v1/hold") + b"".join(request(target=f"/v1/say/{i}") for i in range(3000)))
        eventually(lambda: probe.count()["held"] == 1)
        probe.ask("POST", "/v1/release")
        assert connection.response()[2] == b'"held"'
        for i in range(3000):
            assert json.loads(connection.response()[2])["name"] == str(i)


def test_garbage_behind_a_request_that_waits(probe):
    with probe.connect() as connection:
        connection.send(request("POST", "/v1/hold") + b"\x00garbage\r\n\r\n")
        eventually(lambda: probe.count()["held"] == 1)
        probe.ask("POST", "/v1/release")
        assert connection.response()[2] == b'"held"'
        is_problem(connection.response(), 400, "bad-request")
        assert connection.is_closed()
    assert probe.is_well()


def test_much_behind_the_last_request_does_not_reset_its_answer(probe):
    with probe.connect() as connection:
        connection.send(request("POST", "/v1/hold", {"Connection": "close"}))
        eventually(lambda: probe.count()["held"] == 1)
        connection.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while connection.socket.send(b"x" * 65536):
                pass
        connection.socket.settimeout(10)
        sender = threading.Thread(target=connection.send, args=(b"x" * 8_000_000,))
        sender.start()
        probe.ask("POST", "/v1/release")
        sender.join()
        assert connection.response()[2] == b'"held"'
        assert connection.is_closed()


def test_a_client_that_leaves_is_noticed_while_its_call_waits(probe):
    for sent in (request("POST", "/v1/hold"), request("POST", "/v1/hold", body=b"x" * 100_000),
                 request("POST", "/v1/hold") + request()):
        before = probe.count()["gone"]
        with probe.connect() as connection:
            connection.send(sent)
            eventually(lambda: probe.count()["held"] == 1)
        eventually(lambda: probe.count() == {"held": 0, "gone": before + 1})


def test_a_client_that_leaves_is_noticed_behind_all_that_it_sent_ahead(probe):
    for end in (socket.socket.close, reset):
        before = probe.count()["gone"]
        connection = probe.connect()
        connection.send(request("POST", "/v1/hold") + request() * 500)
        eventually(lambda: probe.count()["held"] == 1)
        end(connection.socket)
        eventually(lambda: probe.count() == {"held": 0, "gone": before + 1})


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


def test_a_client_that_resets_is_noticed(probe):
    connection = probe.connect()
    connection.send(request("POST", "/v1/hold"))
    eventually(lambda: probe.count()["held"] == 1)
    reset(connection.socket)
    eventually(lambda: probe.count() == {"held": 0, "gone": 1})


def test_clients_that_leave_at_every_point(probe):
    data = (POST + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n").encode() + request("POST", "/v1/echo")
    for at in range(len(data)):
        connection = probe.connect()
        connection.send(data[:at])
        connection.close()
    assert probe.is_well()
    eventually(lambda: probe.metric("postback_gateway_connections") == 1)
    eventually(lambda: probe.metric("postback_gateway_bodies_bytes") < 1000)
