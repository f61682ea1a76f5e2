"""The harness itself: what the other tests lean on."""
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pika
import pytest

from lib.amqp import Amqp
from lib.paths import RABBITMQ
from lib.ports import free_port, is_open
from lib.proxy import DOWN, UP, FaultProxy, _Units
from lib.raw import RawConnection, exchange
from lib.stack import merged
from lib.wait import eventually


class EchoServer:
    """Sends back what it gets."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    @staticmethod
    def _echo(connection):
        try:
            while data := connection.recv(65536):
                connection.sendall(data)
        except OSError:
            pass
        finally:
            connection.close()


@pytest.fixture
def echo_proxy():
    server = EchoServer()
    with FaultProxy(server.port, is_amqp=False) as proxy:
        yield proxy
    server.listener.close()


@pytest.fixture
def client(echo_proxy):
    with socket.create_connection(("127.0.0.1", echo_proxy.port), timeout=10) as connection:
        yield connection


def says(connection, data):
    connection.sendall(data)
    got = b""
    while len(got) < len(data):
        piece = connection.recv(65536)
        if not piece:
            break
        got += piece
    return got == data


def is_silent(connection):
    connection.settimeout(0.2)
    try:
        connection.recv(1)
        return False
    except socket.timeout:
        return True
    finally:
        connection.settimeout(10)


def is_reset(connection):
    """Whatever still came before."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        pass
    return True


def test_eventually_waits_and_tells_what_it_saw_last():
    seen = iter([0, 0, 3])
    assert eventually(lambda: next(seen)) == 3
    with pytest.raises(AssertionError, match="last seen: 0"):
        eventually(lambda: 0, timeout=0.05)


def test_merging_goes_into_maps_and_replaces_the_rest():
    base = {"a": {"x": 1, "y": [1, 2]}, "b": 1}
    assert merged(base, {"a": {"y": [3]}, "b": None, "c": {"d": 1}}) == {"a": {"x": 1, "y": [3]}, "c": {"d": 1}}
    assert base == {"a": {"x": 1, "y": [1, 2]}, "b": 1}


def test_free_ports_are_free_and_given_once():
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == 50
    assert not any(is_open(port) for port in ports)


def test_proxy_passes_both_ways_and_closes_with_the_client(echo_proxy, client):
    assert says(client, b"x" * 200000)
    assert echo_proxy.passed == {UP: 200000, DOWN: 200000}
    client.close()
    eventually(lambda: echo_proxy.connection_count() == 0)


def test_proxy_pauses_one_direction_and_keeps_the_bytes(echo_proxy, client):
    echo_proxy.pause(DOWN)
    client.sendall(b"hello")
    assert is_silent(client)
    echo_proxy.resume()
    assert client.recv(5) == b"hello"


def test_proxy_swallows(echo_proxy, client):
    echo_proxy.swallow(UP)
    client.sendall(b"lost")
    eventually(lambda: echo_proxy.passed[UP] == 4)
    echo_proxy.resume()
    assert says(client, b"kept")


def test_proxy_cuts_with_a_reset_and_takes_new_connections(echo_proxy, client):
    assert says(client, b"a")
    echo_proxy.cut()
    assert is_reset(client)
    with socket.create_connection(("127.0.0.1", echo_proxy.port), timeout=10) as again:
        assert says(again, b"b")


def test_proxy_cuts_after_so_many_bytes(echo_proxy, client):
    echo_proxy.cut_after(10, UP)
    client.sendall(b"x" * 30)
    assert is_reset(client)
    assert echo_proxy.passed[UP] == 10


def test_proxy_delays(echo_proxy, client):
    echo_proxy.delay(0.1)
    began = time.monotonic()
    assert says(client, b"slow")
    assert time.monotonic() - began >= 0.2


def test_proxy_refuses_and_accepts_again_on_the_same_port(echo_proxy):
    echo_proxy.refuse()
    assert not is_open(echo_proxy.port)
    echo_proxy.accept()
    with socket.create_connection(("127.0.0.1", echo_proxy.port), timeout=10) as connection:
        assert says(connection, b"back")


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_amqp_units_are_found_however_the_bytes_are_cut(step):
    def frame(kind, payload):
        return bytes([kind]) + b"\x00\x01" + len(payload).to_bytes(4, "big") + payload + b"\xce"

    publish = frame(1, b"\x00\x3c\x00\x28rest")
    header = frame(2, b"\x00\x3c\x00\x00" + (7).to_bytes(8, "big") + b"\x00\x00")
    content = publish + header + frame(3, b"1234") + frame(8, b"") + frame(3, b"567")
    ack = frame(1, b"\x00\x3c\x00\x50\x00\x00\x00\x00\x00\x00\x00\x01\x00")
    stream = b"AMQP\x00\x00\x09\x01" + content + ack
    units, found = _Units(), []
    for at in range(0, len(stream), step):
        found += units.feed(stream[at:at + step])
    assert [method for method, _ in found] == [None, None, (60, 40), (60, 80)]
    assert len(b"".join(piece for _, piece in found)) == len(stream)


def test_each_test_has_a_vhost_of_its_own(broker):
    one, two = broker.vhost_new(), broker.vhost_new()
    with one.amqp() as amqp:
        amqp.channel.queue_declare("q", durable=True)
        amqp.publish("", "q", b"body", headers={"a": "b"}, message_id="m")
        eventually(lambda: amqp.depth("q") == 1)
        _, properties, body = amqp.get("q")
        assert (body, properties.message_id, properties.headers) == (b"body", "m", {"a": "b"})
    assert two.depth("q") is None
    broker.vhost_delete(one)
    broker.vhost_delete(two)


def test_publishing_what_is_not_routed_raises(vhost):
    with vhost.amqp() as amqp, pytest.raises(pika.exceptions.UnroutableError):
        amqp.publish("", "nowhere", b"")


def test_queues_are_counted_with_what_is_unacked(own_vhost):
    with own_vhost.amqp() as amqp:
        amqp.channel.queue_declare("a-queue", durable=True, arguments={"x-queue-type": "quorum"})
        for _ in range(3):
            amqp.publish("", "a-queue", b"")
        amqp.channel.basic_get("a-queue")
        queue = own_vhost.queues()["a-queue"]
        assert (queue["ready"], queue["unacked"]) == (2, 1)
        amqp.channel.queue_declare("classic")
        amqp.publish("", "classic", b"")
        assert own_vhost.queues()["classic"] == {"ready": 1, "unacked": 0, "consumers": 0}


def test_connections_tell_their_names(own_broker, own_vhost):
    parameters = pika.URLParameters(own_vhost.url)
    parameters.client_properties = {"connection_name": "somebody"}
    connection = pika.BlockingConnection(parameters)
    eventually(lambda: own_broker.connections() == ["somebody"])
    connection.close()


def test_cutting_before_the_confirm_leaves_the_message(broker_proxy, vhost):
    with vhost.amqp() as amqp:
        amqp.channel.queue_declare("q", durable=True)
        through = Amqp(broker_proxy.url(vhost.url))
        happened = broker_proxy.cut_at("basic.ack", DOWN, "before")
        with pytest.raises(pika.exceptions.AMQPConnectionError):
            through.publish("", "q", b"body")
        assert happened.wait(10)
        eventually(lambda: amqp.depth("q") == 1)


def test_cutting_before_the_publish_leaves_nothing(broker_proxy, vhost):
    with vhost.amqp() as amqp:
        amqp.channel.queue_declare("q", durable=True)
        through = Amqp(broker_proxy.url(vhost.url))
        happened = broker_proxy.cut_at("basic.publish", UP, "before", skip=1)
        through.publish("", "q", b"first")
        with pytest.raises(pika.exceptions.AMQPConnectionError):
            through.publish("", "q", b"second")
        assert happened.wait(10)
        assert amqp.depth("q") == 1


def test_a_frozen_broker_thaws(own_broker, own_vhost):
    own_broker.freeze()
    assert own_broker.is_running()
    with socket.create_connection(("127.0.0.1", own_broker.port), timeout=0.3) as connection:
        connection.sendall(b"AMQP\x00\x00\x09\x01")
        assert is_silent(connection)
        own_broker.thaw()
        assert connection.recv(1) == b"\x01"


def test_a_memory_alarm_holds_publishes_back(own_broker, own_vhost):
    with own_vhost.amqp() as amqp:
        amqp.channel.queue_declare("q", durable=True)
        own_broker.set_alarm(True)
        publisher = Amqp(own_vhost.url)
        thread = threading.Thread(target=publisher.publish, args=("", "q", b"body"))
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
        own_broker.set_alarm(False)
        thread.join(60)
        assert not thread.is_alive()
        eventually(lambda: amqp.depth("q") == 1)


def test_a_killed_broker_comes_back_with_its_port_and_data(own_broker, own_vhost):
    with own_vhost.amqp() as amqp:
        amqp.channel.queue_declare("kept", durable=True, arguments={"x-queue-type": "quorum"})
        amqp.publish("", "kept", b"body")
        port = own_broker.port
        own_broker.kill()
    assert not is_open(port)
    own_broker.start()
    assert own_broker.port == port
    eventually(lambda: own_vhost.depth("kept") == 1, timeout=60)


def test_raw_http_reads_lengths_chunks_and_closes():
    answers = iter([
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nabc",
    ])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def serve():
            for answer in answers:
                connection, _ = listener.accept()
                connection.recv(65536)
                connection.sendall(answer)
                connection.close()

        threading.Thread(target=serve, daemon=True).start()
        port = listener.getsockname()[1]
        assert exchange(port, b"GET / HTTP/1.1\r\n\r\n") == (200, {"content-length": "3"}, b"abc")
        assert exchange(port, b"GET / HTTP/1.1\r\n\r\n")[2] == b"abc"
        with RawConnection(port) as raw:
            raw.send("GET / HTTP/1.1\r\n\r\n")
            assert raw.response()[2] == b"abc"
            assert raw.is_closed()


def runs(pid):
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        return False


def test_a_broker_whose_starter_is_killed_half_way_ends_with_its_companion(tmp_path):
    companion = subprocess.Popen(["sleep", "600"])
    starter = subprocess.Popen([RABBITMQ, "start", tmp_path, "--with", str(companion.pid)], start_new_session=True)
    pid_file = tmp_path / "server.pid"
    pid = eventually(lambda: pid_file.exists() and int((pid_file.read_text().split() or [0])[0]), what="it is launched")
    os.killpg(starter.pid, signal.SIGKILL)
    starter.wait()
    assert runs(pid)
    companion.kill()
    companion.wait()
    eventually(lambda: not runs(pid), timeout=60, what="the broker ends")
    eventually(lambda: not (tmp_path / "watch.pid").exists(), what="nothing is left running")
