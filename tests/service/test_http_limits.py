"""What a client can make grow has a limit, and passing it has an answer."""
import resource
import select
import socket
import subprocess

import pytest

from lib.wait import eventually
from service.http_rig import is_problem, make_probe, probe, request  # noqa: F401  (fixtures)

MIB = 1024 * 1024


def post(length, target="/v1/echo", **headers):
    fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"POST {target} HTTP/1.1\r\nHost: localhost\r\n{fields}Content-Length: {length}\r\n\r\n".encode()


def test_the_largest_body_passes_and_one_byte_more_does_not(make_probe):
    probe = make_probe(limits={"body": "1MiB"})
    assert probe.ask("POST", "/v1/echo", body=b"x" * MIB)[0] == 200
    is_problem(probe.ask("POST", "/v1/echo", body=b"x" * (MIB + 1)), 413, "too-large")


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(make_probe):
    probe = make_probe(limits={"body": "1MiB"})
    with probe.connect() as connection:
        connection.send(post(MIB + 1, Expect="100-continue"))
        is_problem(connection.response(), 413, "too-large")


def test_the_answer_arrives_though_the_client_sends_everything_first(make_probe):
    probe = make_probe(limits={"body": "1MiB"})
    for _ in range(5):
        with probe.connect() as connection:
            connection.send(post(20 * MIB))
            connection.send(b"x" * (20 * MIB))
            is_problem(connection.response(), 413, "too-large")


def test_a_chunked_body_is_counted(make_probe):
    probe = make_probe(limits={"body": "1MiB"})
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    head = b"POST /v1/echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with probe.connect() as connection:
        connection.send(head + 16 * chunk + b"0\r\n\r\n")
        assert len(connection.response()[2]) == MIB
        connection.send(head + 16 * chunk + b"1\r\nx\r\n0\r\n\r\n")
        is_problem(connection.response(), 413, "too-large")


def test_unfinished_bodies_share_one_budget(make_probe):
    probe = make_probe(limits={"body": "1MiB", "bodies": "4MiB"})
    connections = [probe.connect() for _ in range(20)]
    refused = 0
    for connection in connections:
        connection.send(post(MIB))
        connection.send(b"x" * (MIB - 1))
        eventually(lambda: probe.metric("postback_gateway_bodies_bytes") % (MIB - 1) < 4096 or
                   probe.metric("postback_gateway_refusals_total", reason="busy") > refused)
        refused = probe.metric("postback_gateway_refusals_total", reason="busy")
    assert refused >= 16
    for connection in connections[4:]:
        is_problem(connection.response(), 503, "busy")
    for connection in connections:
        connection.close()
    eventually(lambda: probe.metric("postback_gateway_bodies_bytes") < 4096)
    assert probe.ask("POST", "/v1/echo", body=b"x" * MIB)[0] == 200


def test_waiting_bodies_count_until_they_are_dropped_or_answered(make_probe):
    probe = make_probe(limits={"body": "1MiB", "bodies": "1MiB"})
    body = b"x" * 700_000
    with probe.connect() as holding:
        holding.send(request("POST", "/v1/hold", body=body))
        eventually(lambda: probe.count()["held"] == 1)
        is_problem(probe.ask("POST", "/v1/echo", body=body), 503, "busy")
        probe.ask("POST", "/v1/release")
        assert holding.response()[0] == 200
        assert probe.ask("POST", "/v1/nothing", body=body)[0] == 405
        holding.send(request("POST", "/v1/hold?drop=1", body=body))
        eventually(lambda: probe.count()["held"] == 1)
        assert probe.ask("POST", "/v1/say/x", body=body)[0] == 200
        probe.ask("POST", "/v1/release")


def test_the_head_of_a_waiting_call_counts_though_its_body_was_dropped(probe):
    with probe.connect() as connection:
        connection.send(request("POST", "/v1/hold?drop=1", {"X-Long": "x" * 15_000}, b"x" * 100_000))
        eventually(lambda: probe.count()["held"] == 1)
        assert 15_000 < probe.metric("postback_gateway_bodies_bytes") < 20_000
        probe.ask("POST", "/v1/release")
        assert connection.response()[0] == 200
    eventually(lambda: probe.metric("postback_gateway_bodies_bytes") < 1000)


def test_an_answer_that_is_not_read_is_cut(make_probe):
    probe = make_probe(limits={"write_timeout": "300ms"})
    with probe.connect() as connection:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.send(request(target=f"/v1/much?size={64 * MIB}"))
        eventually(lambda: probe.metric("postback_gateway_refusals_total", reason="slow-reader") == 1)
    eventually(lambda: probe.metric("postback_gateway_bodies_bytes") < 4096)
    assert probe.is_well()


def test_answers_share_the_budget_too(make_probe):
    probe = make_probe(limits={"bodies": "33MiB"})
    connections = [probe.connect() for _ in range(3)]
    for connection in connections[:2]:
        connection.send(request(target=f"/v1/much?size={15 * MIB}"))
        eventually(lambda: select.select([connection.socket], [], [], 0.01)[0])
    connections[2].send(request(target=f"/v1/much?size={15 * MIB}"))
    is_problem(connections[2].response(), 503, "busy")
    for connection in connections[:2]:
        assert len(connection.response()[2]) == 15 * MIB
        connection.close()
    connections[2].send(request(target=f"/v1/much?size={15 * MIB}"))
    assert connections[2].response()[0] == 200


def test_a_large_answer_arrives_whole_on_the_last_connection_of_all_kinds(probe):
    for options in ({"version": "1.0"}, {"headers": {"Connection": "close"}}, {}):
        status, headers, body = probe.ask(target=f"/v1/much?size={8 * MIB}", **options)
        assert (status, len(body)) == (200, 8 * MIB)
        assert headers["content-length"] == str(8 * MIB)


def test_100_continue(probe):
    with probe.connect() as connection:
        connection.send(post(5, Expect="100-continue"))
        assert connection.response()[0] == 100
        connection.send(b"hello")
        assert connection.response()[2] == b"hello"
        connection.send(post(5, Expect="100-continue") + b"hello")
        assert connection.response()[0] == 100
        assert connection.response()[2] == b"hello"


def test_curl_sends_a_large_file(probe, tmp_path):
    file = tmp_path / "file"
    file.write_bytes(bytes(range(256)) * 4 * 4096)
    for options in ([], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect: 100-continue"], ["-0"]):
        done = subprocess.run(["curl", "-sS", "--fail", *options, "-X", "POST", "--data-binary", f"@{file}",
                               f"http://127.0.0.1:{probe.port}/v1/echo"], capture_output=True, check=True, timeout=30)
        assert done.stdout == file.read_bytes()


def test_at_the_cap_the_longest_idle_connection_makes_room(make_probe):
    probe = make_probe(limits={"connections": 20})
    idle = []
    for _ in range(40):
        idle.append(probe.connect())
        idle[-1].send(request())
        assert idle[-1].response()[0] == 200
    assert idle[0].is_closed()
    assert not idle[39].is_closed(timeout=0.05)
    assert probe.metric("postback_gateway_connections") <= 20
    for connection in idle:
        connection.close()


def test_at_the_cap_with_all_busy_new_connections_wait(make_probe):
    probe = make_probe(limits={"connections": 10})
    busy = [probe.connect() for _ in range(9)]
    for connection in busy:
        connection.send(request("POST", "/v1/hold"))
    eventually(lambda: probe.count()["held"] == 9)
    with probe.connect() as tenth:
        tenth.send(request("POST", "/v1/hold"))
        with probe.connect() as waiting:
            waiting.send(request())
            assert not waiting.is_closed(timeout=0.2)
            busy[0].close()
            assert waiting.response()[0] == 200
    for connection in busy:
        connection.close()
    assert probe.is_well()


def test_out_of_descriptors(make_probe):
    probe = make_probe(prefix=("prlimit", "--nofile=120:120"), limits={"connections": 10000})
    held = [probe.connect() for _ in range(10)]
    for connection in held:
        connection.send(request("POST", "/v1/hold"))
    eventually(lambda: probe.count()["held"] == 10)
    others = [probe.connect() for _ in range(100)]
    assert probe.is_well()
    for connection in others:
        connection.close()
    assert probe.is_well()
    probe.ask("POST", "/v1/release")
    for connection in held:
        assert connection.response()[0] == 200
        connection.close()


def test_descriptors_taken_by_others_pause_accepting_and_no_more(make_probe):
    """The cap leaves a reserve; here the limit is lowered beneath what is open, as when other parts use them up."""
    probe = make_probe(limits={"connections": 100})
    with probe.connect() as kept:
        kept.send(request("POST", "/v1/hold"))
        eventually(lambda: probe.count()["held"] == 1)
        before = resource.prlimit(probe.service.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(probe.service.pid, resource.RLIMIT_NOFILE, (5, before[1]))
        with probe.connect() as waiting:
            waiting.send(request())
            eventually(lambda: "event=accept_paused" in probe.service.log_text())
            used = cpu_seconds(probe.service.pid)
            assert not waiting.is_closed(timeout=1)
            assert cpu_seconds(probe.service.pid) - used < 0.5
            assert probe.service.log_text().count("event=accept_paused") == 1
            resource.prlimit(probe.service.pid, resource.RLIMIT_NOFILE, before)
            assert waiting.response()[0] == 200
        probe.ask("POST", "/v1/release")
        assert kept.response()[0] == 200


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_calls_in_flight_are_bounded(make_probe):
    probe = make_probe(limits={"in_flight": 2})
    waiting = [probe.connect() for _ in range(2)]
    for connection in waiting:
        connection.send(request("POST", "/v1/hold"))
    eventually(lambda: probe.count()["held"] == 2)
    answer = probe.ask(target="/v1/say/x")
    is_problem(answer, 503, "busy")
    assert answer[1]["retry-after"] == "1"
    assert probe.ask()[0] == 200
    probe.ask("POST", "/v1/release")
    for connection in waiting:
        assert connection.response()[0] == 200
    assert probe.ask(target="/v1/say/x")[0] == 200


def test_submissions_are_bounded_for_each_tenant(make_probe):
    probe = make_probe(limits={"rate": 5})
    # All at once: what comes one by one may come so slowly that it is no more than the rate.
    with probe.connect() as connection:
        connection.send(b"".join(request("POST", "/v1/submit") for _ in range(20)))
        answers = [connection.response() for _ in range(20)]
    assert [answer[0] for answer in answers[:5]] == [204] * 5
    is_problem(answers[19], 429, "rate-limited")
    assert answers[19][1]["retry-after"] == "1"
    assert probe.ask(target="/v1/say/x")[0] == 200
    eventually(lambda: probe.ask("POST", "/v1/submit")[0] == 204)


def test_a_batch_is_paid_for(make_probe):
    probe = make_probe(limits={"rate": 5})
    with probe.connect() as connection:
        connection.send(request("POST", "/v1/batch") + request("POST", "/v1/submit"))
        assert connection.response()[0] == 204
        answer = connection.response()
    is_problem(answer, 429, "rate-limited")
    assert int(answer[1]["retry-after"]) in (1, 2)


def test_stopping_answers_what_waits_and_closes_what_idles(make_probe):
    probe = make_probe()
    with probe.connect() as idle, probe.connect() as waiting:
        idle.send(request())
        assert idle.response()[0] == 200
        waiting.send(request("POST", "/v1/hold"))
        eventually(lambda: probe.count()["held"] == 1)
        with probe.connect() as releasing:
            releasing.send(request("POST", "/v1/release")[:-1])
            eventually(lambda: probe.metric("postback_gateway_connections") == 4)
            probe.service.process.terminate()
            assert idle.is_closed()
            with pytest.raises(OSError):
                probe.connect().send(request())
            releasing.send(b"\n")
            assert releasing.response()[1]["connection"] == "close"
        status, headers, _ = waiting.response()
        assert (status, headers["connection"]) == (200, "close")
        assert waiting.is_closed()
    assert probe.service.process.wait(60) == 0
    probe.service._is_wanted = False


def test_an_end_cut_short_leaves_nothing_behind(make_probe):
    probe = make_probe()
    connections = [probe.connect() for _ in range(3)]
    connections[0].send(request("POST", "/v1/hold"))
    connections[1].send(b"POST /v1/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc")
    eventually(lambda: probe.count()["held"] == 1)
    probe.service.process.terminate()
    eventually(lambda: connections[2].is_closed(timeout=0.1))
    probe.service.process.terminate()
    assert probe.service.process.wait(60) == 1
    probe.service._is_wanted = False
    for connection in connections:
        connection.close()


def test_memory_of_idle_connections(make_probe):
    probe = make_probe()
    connections = [probe.connect() for _ in range(300)]
    for connection in connections:
        connection.send(request())
        connection.response()
    assert probe.metric("postback_gateway_bodies_bytes") < 4096
    for connection in connections:
        connection.close()
    eventually(lambda: probe.metric("postback_gateway_connections") == 1)
