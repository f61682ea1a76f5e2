"""WebSockets by hand: what no honest client sends gets its close code, and leaves nothing behind."""
import os
import select
import struct
import threading
import time

import pytest

from lib.raw import RawConnection
from lib.rawsocket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, RawSocket, frame, handshake
from lib.service import SANITIZER_ENV
from lib.wait import eventually
from service.http_rig import Probe, is_problem, make_probe, probe  # noqa: F401  (fixtures)


def resident(probe):
    with open(f"/proc/{probe.service.pid}/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def descriptors(probe):
    return len(os.listdir(f"/proc/{probe.service.pid}/fd"))


def await_no_sockets(probe, timeout=60):
    eventually(lambda: probe.json(target="/v1/sockets") == 0, timeout=timeout, what="all sockets are gone")


# ---- the handshake ----

REFUSED = {
    "a_plain_request": ({"Upgrade": None, "Connection": None}, 426, "upgrade-required"),
    "another_protocol": ({"Upgrade": "h2c"}, 426, "upgrade-required"),
    "an_old_version": ({"Sec-WebSocket-Version": "8"}, 426, "upgrade-required"),
    "no_version": ({"Sec-WebSocket-Version": None}, 426, "upgrade-required"),
    "no_connection_upgrade": ({"Connection": "keep-alive"}, 400, "bad-request"),
    "no_key": ({"Sec-WebSocket-Key": None}, 400, "bad-request"),
    "a_short_key": ({"Sec-WebSocket-Key": "c2hvcnQ="}, 400, "bad-request"),
    "a_body": ({"Content-Length": "0, 1"}, 400, "bad-request"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_handshake_that_is_none_is_refused(probe, name):
    headers, status, problem = REFUSED[name]
    with probe.connect() as connection:
        connection.send(handshake("/v1/socket", headers))
        is_problem(connection.response(), status, problem)


def test_a_refused_handshake_leaves_the_connection_usable(probe):
    with probe.connect() as connection:
        connection.send(handshake("/v1/socket", {"Sec-WebSocket-Version": "8"}))
        is_problem(connection.response(), 426, "upgrade-required")
        connection.send(handshake("/v1/nothing", {"Upgrade": None, "Connection": None}))
        assert connection.response()[0] == 204


def test_the_handshake_answers_the_example_of_the_standard(probe):
    with RawSocket(probe.port, headers={"Sec-WebSocket-Protocol": "other, postback.v1"}) as connection:
        assert connection.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert connection.headers["sec-websocket-protocol"] == "postback.v1"
        assert connection.headers["upgrade"] == "websocket" and connection.headers["connection"] == "Upgrade"
        assert "content-length" not in connection.headers and "sec-websocket-extensions" not in connection.headers


def test_frames_that_come_with_the_handshake_are_read(probe):
    with RawSocket(probe.port, early=frame(TEXT, "early") + frame(TEXT, "birds")) as connection:
        assert [connection.text(), connection.text()] == ["early", "birds"]


def test_a_handshake_behind_another_request_is_taken(probe):
    with RawSocket(probe.port, opens=False) as connection:
        connection.send(b"GET /v1/nothing HTTP/1.1\r\nHost: localhost\r\n\r\n" + handshake("/v1/socket")
                        + frame(TEXT, "hello"))
        assert connection.response()[0] == 204
        connection.upgraded()
        assert connection.text() == "hello"


def test_a_handshake_byte_by_byte_is_taken(probe):
    with RawSocket(probe.port, opens=False) as connection:
        for byte in handshake("/v1/socket") + frame(TEXT, "slow"):
            connection.send(bytes([byte]))
        connection.upgraded()
        assert connection.text() == "slow"


# ---- frames ----

def test_texts_fragments_and_pings_are_understood(probe):
    with RawSocket(probe.port) as connection:
        connection.say(TEXT, "Grüße")
        assert connection.text() == "Grüße"
        first, second = "Grüße".encode()[:3], "Grüße".encode()[3:]
        connection.say(TEXT, first, fin=False)
        connection.say(PING, b"in between")
        connection.say(CONTINUATION, b"", fin=False)
        connection.say(CONTINUATION, second)
        assert connection.next_frame() == (PONG, b"in between")
        assert connection.text() == "Grüße"
        connection.say(TEXT, "x" * 65536)
        assert connection.text() == "x" * 65536
        connection.say(CLOSE, struct.pack(">H", 4000) + b"bye")
        connection.ends_with(4000)


BROKEN = {
    "an_unmasked_frame": (frame(TEXT, "x", mask=False), 1002),
    "a_reserved_bit": (frame(TEXT, "x", bits=4), 1002),
    "another_reserved_bit": (frame(PING, "x", bits=1), 1002),
    "a_reserved_opcode": (frame(3, "x"), 1002),
    "a_reserved_control_opcode": (frame(11, "x"), 1002),
    "an_oversized_control_frame": (frame(PING, b"x" * 126), 1002),
    "a_fragmented_control_frame": (frame(PING, b"x", fin=False), 1002),
    "a_continuation_of_nothing": (frame(CONTINUATION, "x"), 1002),
    "a_text_within_a_text": (frame(TEXT, "x", fin=False) + frame(TEXT, "y"), 1002),
    "a_length_of_sixty_four_bits": (b"\x81\xff" + b"\xff" * 8 + b"mask" + b"x", 1002),
    "a_close_of_one_byte": (frame(CLOSE, b"x"), 1002),
    "a_close_code_that_is_none": (frame(CLOSE, struct.pack(">H", 1005)), 1002),
    "a_binary_message": (frame(BINARY, b"x"), 1003),
    "broken_utf8": (frame(TEXT, b"\xff"), 1007),
    "broken_utf8_over_fragments": (frame(TEXT, b"\xf0\x9f", fin=False) + frame(CONTINUATION, b"\x98x"), 1007),
    "utf8_that_stops_short": (frame(TEXT, b"a\xe4\xb8"), 1007),
    "a_surrogate": (frame(TEXT, b"\xed\xa0\x80"), 1007),
    "a_close_reason_in_broken_utf8": (frame(CLOSE, struct.pack(">H", 1000) + b"\xff"), 1007),
    "a_message_over_the_limit": (frame(TEXT, b"x" * 65537), 1009),
    "a_frame_that_says_it_is_huge": (frame(TEXT, b"x", length=1 << 62), 1009),
    "fragments_over_the_limit": (frame(TEXT, b"x" * 65000, fin=False) + frame(CONTINUATION, b"x" * 537), 1009),
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One probe for many broken connections: what one does is none of the next one's concern."""
    probe = Probe(tmp_path_factory.mktemp("shared"), {})
    probe.start()
    yield probe
    await_no_sockets(probe)
    probe.close()


@pytest.mark.parametrize("name", BROKEN)
def test_what_breaks_the_rules_is_closed_with_its_code(shared, name):
    data, code = BROKEN[name]
    with RawSocket(shared.port) as connection:
        connection.send(data + frame(TEXT, "not heard"))
        connection.ends_with(code)


@pytest.mark.parametrize("name", [name for name, (data, _) in BROKEN.items() if len(data) < 1000])
def test_the_same_byte_by_byte(shared, name):
    data, code = BROKEN[name]
    with RawSocket(shared.port, target="/v1/socket?deaf") as connection:
        for byte in data:
            connection.send(bytes([byte]))
        connection.ends_with(code)


def test_a_close_that_is_answered_ends_in_peace(shared):
    with RawSocket(shared.port) as connection:
        connection.say(TEXT, "close")
        connection.say(TEXT, "not heard")
        connection.ends_with(1000, answer=True)


def test_two_closes_that_cross_end_in_peace(shared):
    with RawSocket(shared.port) as connection:
        connection.send(frame(TEXT, "close") + frame(CLOSE, struct.pack(">H", 1001)))
        connection.ends_with(1000)


def test_half_an_end_after_the_close_still_gets_the_answer(shared):
    with RawSocket(shared.port) as connection:
        connection.say(CLOSE, struct.pack(">H", 1000))
        connection.socket.shutdown(1)
        connection.ends_with(1000)


def test_a_client_that_ends_its_stream_has_left(shared):
    with RawSocket(shared.port) as connection:
        connection.send(frame(TEXT, "hello")[:4])
        connection.socket.shutdown(1)
        assert connection.is_closed()


def test_a_reset_in_the_middle_of_a_frame_is_survived(shared):
    connection = RawSocket(shared.port)
    connection.send(frame(TEXT, "hello" * 100)[:200])
    connection.socket.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SO_LINGER
    connection.close()
    await_no_sockets(shared)


# ---- time ----

def test_a_client_without_pongs_is_closed(make_probe):
    probe = make_probe(live={"ping": "200ms"})
    with RawSocket(probe.port) as connection:
        assert connection.next_frame() == (PING, b"")
        connection.ends_with(1008)


def test_a_client_with_pongs_is_kept(make_probe):
    probe = make_probe(live={"ping": "1s"})
    with RawSocket(probe.port) as connection:
        for _ in range(3):
            assert connection.next_frame() == (PING, b"")
            connection.say(PONG)
        connection.say(TEXT, "here")
        assert connection.text() == "here"


def test_a_byte_now_and_then_is_no_sign_of_life(make_probe):
    probe = make_probe(live={"ping": "300ms"})
    with RawSocket(probe.port) as connection:
        whole = frame(TEXT, "x" * 1000)
        for byte in whole:
            connection.send(bytes([byte]))
            if select.select([connection.socket], [], [], 0.02)[0] and connection.next_frame()[0] == CLOSE:
                break
        else:
            pytest.fail("it was let talk to the end")
    await_no_sockets(probe)


def test_a_client_that_does_not_answer_the_close_is_cut(probe):
    with RawSocket(probe.port) as connection:
        connection.say(TEXT, "close")
        assert connection.close_code() == 1000
        assert connection.is_closed(timeout=30)
    await_no_sockets(probe)


def test_a_socket_that_is_left_alone_is_closed(make_probe):
    probe = make_probe(live={"idle_timeout": "300ms"})
    with RawSocket(probe.port) as kept, RawSocket(probe.port) as resting:
        resting.say(TEXT, "rest")
        resting.ends_with(1000, answer=True)
        kept.say(TEXT, "still here")
        assert kept.text() == "still here"


# ---- clients that do not read ----

def test_a_client_that_never_reads_is_closed_and_costs_no_more_than_its_share(make_probe):
    probe = make_probe(live={"backlog": "256KiB"}, limits={"write_timeout": "1s"})
    with RawSocket(probe.port, receive_buffer=4096) as connection:
        before = resident(probe)
        try:
            for _ in range(200):
                connection.say(TEXT, "much")
        except OSError:
            pass
        await_no_sockets(probe)
        assert resident(probe) - before < 64 << 20
    assert probe.metric("postback_gateway_refusals_total", reason="slow-reader") >= 1
    assert probe.metric("postback_gateway_bodies_bytes") < 65536


def test_a_client_that_reads_slowly_gets_everything(make_probe):
    probe = make_probe(live={"backlog": "4MiB"})
    with RawSocket(probe.port, receive_buffer=65536) as connection:
        for _ in range(3):
            connection.say(TEXT, "much")
        for _ in range(3):
            assert connection.text() == "x" * (1 << 20)
        connection.say(CLOSE, struct.pack(">H", 1000))
        connection.ends_with(1000)


def test_a_flood_of_pings_without_reading_is_held_back(make_probe):
    probe = make_probe(limits={"write_timeout": "1s"})
    with RawSocket(probe.port, receive_buffer=4096) as connection:
        before = resident(probe)
        connection.socket.settimeout(2)
        burst = frame(PING, b"x" * 125) * 1000
        try:
            for _ in range(400):
                connection.send(burst)
        except OSError:
            pass
        await_no_sockets(probe)
        assert resident(probe) - before < 64 << 20


def test_messages_that_are_never_whole_are_of_the_byte_budget(make_probe):
    probe = make_probe(limits={"bodies": "256KiB", "body": "128KiB"})
    sockets = []
    codes = []
    for _ in range(8):
        sockets.append(RawSocket(probe.port))
        sockets[-1].say(TEXT, b"x" * 60000, fin=False)
        sockets[-1].say(PING, b"there?")
        opcode, payload = sockets[-1].next_frame()
        codes.append(struct.unpack(">H", payload[:2])[0] if opcode == CLOSE else None)
    assert None in codes and 1013 in codes
    for connection in sockets:
        connection.close()
    await_no_sockets(probe)
    assert probe.metric("postback_gateway_bodies_bytes") < 65536


# ---- many ----

def test_thousands_that_open_and_leave_leave_nothing_behind(make_probe):
    probe = make_probe(env={"ASAN_OPTIONS": SANITIZER_ENV["ASAN_OPTIONS"] + ":quarantine_size_mb=1"})

    def some(count):
        for i in range(count):
            connection = RawSocket(probe.port)
            if i % 3 == 0:
                connection.say(CLOSE, struct.pack(">H", 1000))
                connection.ends_with(1000)
            elif i % 3 == 1:
                connection.say(TEXT, "x" * 100, fin=False)
            connection.close()

    some(300)
    await_no_sockets(probe)
    before = descriptors(probe), resident(probe)
    threads = [threading.Thread(target=some, args=(500,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    await_no_sockets(probe)
    assert descriptors(probe) <= before[0] + 2
    assert resident(probe) - before[1] < 16 << 20
    assert probe.is_well()


def test_sockets_never_take_all_connections(make_probe):
    probe = make_probe(limits={"connections": 20})
    sockets = [RawSocket(probe.port) for _ in range(18)]
    with RawConnection(probe.port) as connection:
        connection.send(handshake("/v1/socket"))
        _, headers, _ = answer = connection.response()
        is_problem(answer, 503, "busy")
        assert "upgrade" not in headers and "sec-websocket-accept" not in headers
    assert probe.is_well()
    sockets.pop().close()
    eventually(lambda: RawSocket(probe.port).close() is None, what="there is room again")
    for connection in sockets:
        connection.close()


def test_the_end_of_the_service_says_1001(make_probe):
    probe = make_probe()
    sockets = [RawSocket(probe.port) for _ in range(5)]
    sockets[4].send(frame(TEXT, "half a message")[:9])
    started = time.monotonic()
    ending = threading.Thread(target=probe.service.stop, args=(20,))
    ending.start()
    for connection in sockets[:3]:
        connection.ends_with(1001, answer=True)
    assert sockets[3].close_code() == 1001  # and then it says nothing
    assert sockets[4].close_code() == 1001
    ending.join()
    assert time.monotonic() - started < 20
    for connection in sockets:
        connection.close()
