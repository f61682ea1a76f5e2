"""runtime/broker alone, driven through broker_probe: what it does when the broker or the way to it breaks."""
import asyncio
import os
import ssl
import subprocess
import threading
from urllib.parse import urlsplit

import pytest

from lib.paths import BIN
from lib.ports import free_port
from lib.proxy import DOWN, UP, FaultProxy
from lib.service import SANITIZER_ENV
from lib.wait import eventually

PROBE = BIN / "postback-broker-probe"
QUICK_MS = 2000  # the worst lateness of the loop on a busy small machine; one that waited for the broker would not answer
FREE_MS = 5000
QUEUE = "probe"


class Probe:
    """The program, and all that it has said."""

    def __init__(self, url, heartbeat=10, env=None):
        self._process = subprocess.Popen(
            [PROBE, url, str(heartbeat)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env={**os.environ, **SANITIZER_ENV, **(env or {})})
        self.events = []
        self.log = ""
        self._threads = [threading.Thread(target=read, daemon=True) for read in (self._read_events, self._read_log)]
        for thread in self._threads:
            thread.start()

    def _read_events(self):
        for line in self._process.stdout:
            self.events.append(line.rstrip("\n").split("\t"))

    def _read_log(self):
        for line in self._process.stderr:
            self.log += line

    def say(self, *words):
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()

    def of(self, kind):
        return [event[1:] for event in list(self.events) if event[0] == kind]

    def await_state(self, state, timeout=90):
        eventually(lambda: self.of("state") and self.of("state")[-1][0] == state, timeout, what=f"broker {state}")

    def ask(self, *words, answer):
        before = len(self.of(answer))
        self.say(*words)
        eventually(lambda: len(self.of(answer)) > before, 60, what=answer)
        return self.of(answer)[-1]

    def lag_ms(self):
        return int(self.ask("lag", answer="lag")[0])

    def publish(self, count, key, once_or_until="once", timeout_ms=1000, size=10, exchange="-"):
        self.say("publish", count, exchange, key, once_or_until, timeout_ms, size)

    def outcomes(self):
        """number -> (outcome, ms); each exactly once."""
        ended = self.of("outcome")
        outcomes = {int(number): (outcome, int(ms)) for number, outcome, ms in ended}
        assert len(outcomes) == len(ended), "two outcomes for one message"
        return outcomes

    def await_outcomes(self, count, timeout=60):
        return eventually(lambda: len(self.outcomes()) >= count and self.outcomes(), timeout,
                          what=f"{count} outcomes of {len(self.outcomes())}")

    def delivered(self):
        return [int(number) for number, *_ in self.of("delivery")]

    def close(self):
        self._process.stdin.close()
        code = self._process.wait(60)
        for thread in self._threads:
            thread.join(5)
        assert code == 0, self.log[-4000:]


@pytest.fixture
def make_probe():
    probes = []

    def make(url, heartbeat=10, env=None):
        probes.append(Probe(url, heartbeat, env))
        return probes[-1]

    yield make
    for probe in probes:
        probe.close()


@pytest.fixture
def publisher(make_probe, own_vhost):
    """Up, with the queue declared."""
    probe = make_probe(own_vhost.url)
    probe.say("queue", QUEUE, "quorum")
    probe.say("start")
    probe.await_state("up")
    return probe


@pytest.fixture
def proxy(own_vhost):
    target = urlsplit(own_vhost.url)
    with FaultProxy(target.port, target.hostname) as proxy:
        yield proxy


@pytest.fixture
def proxied(make_probe, own_vhost, proxy):
    """A probe behind the proxy, not started."""
    probe = make_probe(proxy.url(own_vhost.url))
    probe.say("queue", QUEUE, "quorum")
    return probe


def read_all(vhost, queue=QUEUE):
    """The numbers of all messages in the queue, which is emptied."""
    numbers = []
    with vhost.amqp() as amqp:
        while message := amqp.get(queue):
            numbers.append(int(message[2].split()[0]))
    return numbers


def confirmed(outcomes):
    return {number for number, (outcome, _) in outcomes.items() if outcome == "confirmed"}


# A broker that hangs.

@pytest.mark.parametrize("count, size", [(50, 10), (400, 100_000)], ids=["small", "full socket"])
def test_a_frozen_broker_gives_every_message_its_outcome_in_time(publisher, own_broker, own_vhost, count, size):
    publisher.publish(1, QUEUE)
    publisher.await_outcomes(1)
    publisher.lag_ms()
    own_broker.freeze()
    publisher.publish(count, QUEUE, timeout_ms=1000, size=size)
    outcomes = publisher.await_outcomes(count + 1)
    assert publisher.lag_ms() < QUICK_MS
    del outcomes[0]
    assert {outcome for outcome, _ in outcomes.values()} <= {"unknown", "withdrawn"}
    times = [ms for _, ms in outcomes.values()]
    # The time of all begins with the turn of the loop that publishes them, however long it takes to make them.
    assert 500 <= max(times) < 10000
    if size > 10:
        assert "withdrawn" in {outcome for outcome, _ in outcomes.values()}, "the socket held it all: send more"
    own_broker.thaw()
    eventually(lambda: publisher.of("state")[-1][0] == "up" and _publishes(publisher), timeout=90)
    withdrawn = {number for number, (outcome, _) in outcomes.items() if outcome == "withdrawn"}
    assert not withdrawn & set(read_all(own_vhost))


def _publishes(probe):
    before = len(probe.outcomes())
    probe.publish(1, QUEUE)
    outcomes = probe.await_outcomes(before + 1)
    return outcomes[max(outcomes)][0] == "confirmed"


@pytest.mark.parametrize("size", [10, 100_000], ids=["small", "full socket"])
def test_the_end_does_not_wait_for_a_frozen_broker(publisher, own_broker, size):
    own_broker.freeze()
    publisher.publish(400, QUEUE, "until", 0, size)
    eventually(lambda: int(publisher.ask("stats", answer="stats")[1]) == 400)
    assert int(publisher.ask("free", answer="freed")[0]) < FREE_MS


def test_the_end_does_not_wait_for_a_login_that_hangs(own_broker, own_vhost, make_probe):
    own_broker.freeze()
    probe = make_probe(own_vhost.url)
    probe.say("start")
    probe.say("stall", 300)
    assert int(probe.ask("free", answer="freed")[0]) < FREE_MS


def test_silence_is_noticed_by_the_heartbeat(make_probe, own_vhost, proxy):
    probe = make_probe(proxy.url(own_vhost.url), heartbeat=1)
    probe.say("queue", QUEUE, "quorum")
    probe.say("start")
    probe.await_state("up")
    proxy.swallow()
    probe.await_state("down")
    proxy.resume()
    probe.await_state("up")


def test_an_idle_connection_stays_up_by_its_heartbeats(make_probe, own_vhost, own_broker):
    probe = make_probe(own_vhost.url, heartbeat=1)
    probe.say("start")
    probe.await_state("up")
    # Five times the heartbeat: RabbitMQ gives up after two.
    probe.say("stall", 5000)
    eventually(lambda: probe.of("stalled"), timeout=60)
    assert [state for state, _ in probe.of("state")] == ["up"]
    assert probe.ask("stats", answer="stats")[0] == "1"


# A broker that goes away and comes back.

def kill(broker):
    broker.kill()
    broker.start()


def restart(broker):
    broker.restart()


@pytest.mark.parametrize("trouble", [kill, restart], ids=lambda trouble: trouble.__name__)
def test_what_must_be_confirmed_arrives_over_a_crash(publisher, own_broker, own_vhost, trouble):
    count = 4000
    publisher.publish(count, QUEUE, "until", 0, 1000)
    publisher.await_outcomes(200)
    trouble(own_broker)
    outcomes = publisher.await_outcomes(count)
    assert confirmed(outcomes) == set(range(count))
    assert set(read_all(own_vhost)) == set(range(count))
    assert publisher.log.count("event=broker_down") <= 5, "a line a change, not one a dial"


@pytest.mark.parametrize("trouble", [kill, restart], ids=lambda trouble: trouble.__name__)
def test_what_is_sent_once_is_never_sent_again(publisher, own_broker, own_vhost, trouble):
    count = 4000
    publisher.publish(count, QUEUE, "once", 5000, 1000)
    publisher.await_outcomes(200)
    trouble(own_broker)
    outcomes = publisher.await_outcomes(count)
    there = read_all(own_vhost)
    assert len(there) == len(set(there))
    assert confirmed(outcomes) <= set(there)
    never = {number for number, (outcome, _) in outcomes.items() if outcome == "withdrawn" or "refused" in outcome}
    assert not never & set(there)
    assert set(outcome for outcome, _ in outcomes.values()) <= {
        "confirmed", "unknown", "withdrawn", "refused 107"}


def test_down_is_told_with_its_reason_and_known_at_once(publisher, own_broker):
    own_broker.kill()
    publisher.await_state("down")
    eventually(lambda: "is RabbitMQ running" in publisher.of("state")[-1][1])
    publisher.publish(3, QUEUE)
    outcomes = publisher.await_outcomes(3)
    assert [outcome for outcome, _ in outcomes.values()] == ["refused 107"] * 3
    own_broker.start()
    publisher.await_state("up")


# Alarms.

def test_an_alarm_blocks_publishing_and_nothing_is_lost(publisher, own_broker, own_vhost, make_probe):
    consumer = make_probe(own_vhost.url)
    consumer.say("consume", QUEUE, 100, "hold")
    consumer.say("start")
    consumer.await_state("up")
    publisher.publish(10, QUEUE)
    publisher.await_outcomes(10)
    eventually(lambda: len(consumer.delivered()) == 10)
    own_broker.set_alarm(True)
    # RabbitMQ speaks of the alarm to those who publish.
    publisher.publish(20, QUEUE, "until", 0)
    publisher.await_state("blocked")
    assert "alarm" in publisher.of("state")[-1][1]
    publisher.publish(5, QUEUE)
    eventually(lambda: [outcome for outcome, _ in publisher.outcomes().values()].count("refused 107") == 5)
    # Settling goes on meanwhile.
    assert consumer.ask("ack", answer="acked") == ["10", "10"]
    eventually(lambda: own_vhost.queues()[QUEUE]["unacked"] == 0)
    assert consumer.of("state")[-1][0] == "up"
    own_broker.set_alarm(False)
    publisher.await_state("up")
    eventually(lambda: len(confirmed(publisher.outcomes())) == 30, timeout=60)
    eventually(lambda: sorted(consumer.delivered()) == list(range(30)))


def test_a_long_alarm_does_not_cost_the_connection(make_probe, own_vhost, own_broker):
    probe = make_probe(own_vhost.url, heartbeat=1)
    probe.say("queue", QUEUE, "quorum")
    probe.say("start")
    probe.await_state("up")
    own_broker.set_alarm(True)
    probe.publish(50, QUEUE, "until", 0)
    probe.await_state("blocked")
    probe.say("stall", 5000)
    eventually(lambda: probe.of("stalled"), timeout=60)
    own_broker.set_alarm(False)
    assert confirmed(probe.await_outcomes(50)) == set(range(50))
    assert [state for state, _ in probe.of("state")] == ["up", "blocked", "up"]


def test_an_outcome_comes_in_time_under_an_alarm(publisher, own_broker):
    own_broker.set_alarm(True)
    publisher.publish(200, QUEUE, "once", 500, 1000)
    outcomes = publisher.await_outcomes(200)
    assert set(outcome for outcome, _ in outcomes.values()) <= {"unknown", "withdrawn", "refused 107"}
    assert all(ms < 10000 for _, ms in outcomes.values())
    own_broker.set_alarm(False)
    publisher.await_state("up")
    eventually(lambda: int(publisher.ask("stats", answer="stats")[1]) == 0)


# Connections cut at a step of the protocol.

STEPS = [
    ("channel.open", UP, "before"), ("queue.declare", UP, "after"), ("confirm.select", UP, "after"),
    ("basic.publish", UP, "before"), ("basic.publish", UP, "after"),
    ("basic.ack", DOWN, "before"), ("basic.ack", DOWN, "after"),
]


@pytest.mark.parametrize("method, way, when", STEPS)
def test_a_cut_at_any_step_loses_nothing(proxied, proxy, own_vhost, method, way, when):
    cut = proxy.cut_at(method, way, when)
    proxied.say("start")
    proxied.publish(500, QUEUE, "until", 0)
    outcomes = proxied.await_outcomes(500)
    assert cut.is_set()
    assert confirmed(outcomes) == set(range(500))
    assert set(read_all(own_vhost)) == set(range(500))


def test_a_cut_inside_a_message_loses_nothing(proxied, proxy, own_vhost):
    proxied.say("start")
    proxied.await_state("up")
    for _ in range(5):
        before = len(proxied.outcomes())
        proxy.cut_after(123_457)
        proxied.publish(20, QUEUE, "until", 0, 50_000)
        proxied.await_outcomes(before + 20)
    assert set(read_all(own_vhost)) == set(range(100))


@pytest.mark.parametrize("method, way, when", [
    ("basic.consume", UP, "before"), ("basic.consume", UP, "after"), ("basic.deliver", DOWN, "before"),
    ("basic.deliver", DOWN, "after"), ("basic.ack", UP, "before"), ("basic.ack", UP, "after")])
def test_every_message_is_delivered_over_a_cut(proxied, proxy, own_vhost, publisher, method, way, when):
    publisher.publish(300, QUEUE, "until", 0)
    publisher.await_outcomes(300)
    cut = proxy.cut_at(method, way, when, skip=1 if method == "basic.deliver" else 0)
    proxied.say("consume", QUEUE, 50, "ack")
    proxied.say("start")
    eventually(cut.is_set)
    eventually(lambda: set(proxied.delivered()) == set(range(300)), timeout=60)
    eventually(lambda: own_vhost.queues()[QUEUE]["unacked"] == 0)
    assert read_all(own_vhost) == []


def test_acks_of_an_old_connection_settle_nothing(proxied, proxy, publisher, own_vhost):
    publisher.publish(10, QUEUE, "until", 0)
    proxied.say("consume", QUEUE, 100, "hold")
    proxied.say("start")
    eventually(lambda: len(proxied.delivered()) == 10)
    proxy.cut()
    eventually(lambda: len(proxied.delivered()) == 20, timeout=60)
    assert [again for _, again, _ in proxied.of("delivery")] == ["first"] * 10 + ["again"] * 10
    assert proxied.ask("ack", answer="acked") == ["20", "10"]
    eventually(lambda: own_vhost.queues()[QUEUE] == {"ready": 0, "unacked": 0, "consumers": 1})
    assert [state for state, _ in proxied.of("state")][-1] == "up"


def test_a_stream_goes_on_where_it_was(proxied, proxy, own_vhost, make_probe):
    writer = make_probe(own_vhost.url)
    writer.say("queue", "probe-stream", "stream")
    writer.say("start")
    writer.publish(500, "probe-stream", "until", 0)
    writer.await_outcomes(500)
    cut = proxy.cut_at("basic.deliver", DOWN, "after", skip=250)
    proxied.say("consume", "probe-stream", 50, "stream")
    proxied.say("start")
    eventually(lambda: len(proxied.delivered()) >= 500, timeout=60)
    assert cut.is_set()
    writer.publish(1, "probe-stream", "until", 0)
    eventually(lambda: len(proxied.delivered()) >= 501)
    assert proxied.delivered() == list(range(501))


def test_a_fresh_queue_has_another_name_on_the_next_connection(own_vhost, make_probe, proxy):
    probe = make_probe(proxy.url(own_vhost.url))
    probe.say("queue", "fresh.%", "classic", "exclusive")
    probe.say("consume", "fresh.%", 0, "no_ack")
    probe.say("start")
    probe.await_state("up")
    probe.publish(1, "-", "until", 0)
    eventually(lambda: probe.delivered() == [0])
    # The old connection lives on at the broker, and with it the old queue.
    proxy.swallow(DOWN)
    probe.publish(1, "-", "until", 0)
    proxy.cut()
    proxy.resume()
    eventually(lambda: len([1 for is_on, *_ in probe.of("consuming") if is_on == "1"]) == 2, timeout=60)
    names = [queue for is_on, _, queue in probe.of("consuming") if is_on == "1"]
    assert len(set(names)) == 2
    assert all(name.startswith("fresh.") and len(name) == len("fresh.") + 8 for name in names)


# Limits.

def test_a_stalled_loop_makes_the_broker_wait(publisher, proxied, proxy):
    count, size = 20_000, 10_000
    publisher.publish(count, QUEUE, "until", 0, size)
    publisher.await_outcomes(count)
    proxied.say("start")
    proxied.await_state("up")
    proxied.say("consume", QUEUE, 0, "no_ack")
    proxied.say("stall", 3000)
    while not proxied.of("stalled"):
        passed = proxy.passed[DOWN]
    # 32 MiB may wait for the loop, and some in sockets.
    assert passed < count * size / 2
    eventually(lambda: len(proxied.delivered()) == count, timeout=60)
    assert proxied.delivered() == list(range(count))


# Permissions.

@pytest.fixture
def poor_url(own_broker, own_vhost):
    """A user who may declare nothing and write only to the default exchange."""
    user = f"poor-{own_vhost.name}"
    own_broker.eval(
        f'rabbit_auth_backend_internal:add_user(<<"{user}">>, <<"sesame">>, <<"test">>),'
        f'rabbit_auth_backend_internal:set_permissions('
        f'<<"{user}">>, <<"{own_vhost.name}">>, <<"^$">>, <<"^amq.default$">>, <<".*">>, <<"test">>)')
    yield own_vhost.url.replace("guest:guest", f"{user}:sesame")
    own_broker.eval(f'rabbit_auth_backend_internal:delete_user(<<"{user}">>, <<"test">>)')


def test_one_who_may_not_declare_uses_what_is_there(publisher, make_probe, poor_url):
    probe = make_probe(poor_url)
    probe.say("queue", QUEUE, "quorum")
    probe.say("start")
    probe.await_state("up")
    probe.publish(1, QUEUE)
    assert confirmed(probe.await_outcomes(1)) == {0}
    assert "ACCESS_REFUSED" in probe.log and "sesame" not in probe.log


def test_a_missing_permission_is_named(make_probe, poor_url):
    probe = make_probe(poor_url)
    probe.say("queue", "not-there", "quorum")
    probe.say("start")
    eventually(lambda: probe.of("state"))
    assert "not-there" in probe.of("state")[-1][1]
    assert "sesame" not in probe.log


def test_a_publish_that_is_not_permitted_is_nacked(publisher, make_probe, poor_url):
    probe = make_probe(poor_url)
    probe.say("start")
    probe.await_state("up")
    probe.publish(1, QUEUE, exchange="amq.direct")
    assert probe.await_outcomes(1)[0][0] == "nacked"
    probe.publish(1, QUEUE)
    assert confirmed(probe.await_outcomes(2)) == {1}


# TLS.

class TlsFront:
    """Takes TLS and passes the plain bytes on to a port of 127.0.0.1."""

    def __init__(self, certificate, key, port):
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._target = port
        self.port = free_port()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._context), self._loop).result(10)

    async def _serve(self, from_client, to_client):
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._target)
        await asyncio.gather(self._pump(from_client, to_server), self._pump(from_server, to_client))

    @staticmethod
    async def _pump(source, sink):
        try:
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        except OSError:
            pass
        sink.close()

    def close(self):
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)


def make_certificate(folder, host):
    certificate, key = folder / f"{host}.pem", folder / f"{host}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}", "-out", certificate, "-keyout", key],
        check=True, capture_output=True)
    return certificate, key


@pytest.fixture
def tls(own_vhost, own_broker, tmp_path):
    """tls(host in the certificate) gives (amqps URL for localhost, the certificate)."""
    fronts = []

    def make(host):
        certificate, key = make_certificate(tmp_path, host)
        fronts.append(TlsFront(certificate, key, own_broker.port))
        path = urlsplit(own_vhost.url).path
        return f"amqps://guest:guest@localhost:{fronts[-1].port}{path}", certificate

    yield make
    for front in fronts:
        front.close()


def test_messages_travel_over_tls(tls, make_probe):
    url, certificate = tls("localhost")
    probe = make_probe(url, env={"SSL_CERT_FILE": str(certificate)})
    probe.say("queue", QUEUE, "quorum")
    probe.say("consume", QUEUE, 50, "ack")
    probe.say("start")
    probe.await_state("up")
    probe.publish(300, QUEUE, "until", 0, 40_000)
    assert confirmed(probe.await_outcomes(300)) == set(range(300))
    eventually(lambda: probe.delivered() == list(range(300)))


def test_a_certificate_nobody_vouches_for_is_refused(tls, make_probe):
    url, _ = tls("localhost")
    probe = make_probe(url)
    probe.say("start")
    eventually(lambda: probe.of("state"))
    assert probe.of("state")[-1][0] == "down"
    assert "SSL_CERT_FILE" in probe.of("state")[-1][1]


def test_a_certificate_for_another_host_is_refused(tls, make_probe):
    url, certificate = tls("elsewhere.example")
    probe = make_probe(url, env={"SSL_CERT_FILE": str(certificate)})
    probe.say("start")
    eventually(lambda: probe.of("state"))
    assert probe.of("state")[-1][0] == "down"
    assert "host name" in probe.of("state")[-1][1]
