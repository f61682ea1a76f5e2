"""All services on a PostgreSQL: several of each at once, each killed under load, the server restarted, killed and frozen."""
import random
import threading
import time
from urllib.parse import urlencode, urlsplit

import pytest

from lib.authority import Authority
from lib.deliveries import metric
from lib.ledger import Ledger
from lib.postgres import Postgres
from lib.proxy import FaultProxy
from lib.receiver import SECRET, Receiver, answer
from lib.service import run
from lib.wait import eventually

WEBHOOK = {"secrets": [SECRET], "allow": ["127.0.0.0/8"], "schedule": ["0s"] + ["1s"] * 9}
HANDLERS = [{"task": "echo", "builtin": "echo", "concurrency": 32}, {"task": "sleep", "builtin": "sleep", "concurrency": 16}]


@pytest.fixture
def database(postgres):
    return postgres.database()


@pytest.fixture
def settings(database):
    return {"store": {"url": database}, "notifier": {"webhook": WEBHOOK}, "processor": {"handlers": HANDLERS}}


@pytest.fixture
def pair(stack, settings):
    """Two of each service on one database."""
    stack.start(settings)
    for kind in ("notifier", "processor", "gateway"):
        stack.add(kind, f"{kind}2")
    stack.await_ready()
    return stack


def what(n):
    return ("sleep", {"ms": n % 50}) if n % 5 == 0 else ("echo", {"n": n})


def test_what_goes_in_at_one_gateway_is_known_at_the_other(pair, postgres, database):
    other = pair.client_of("gateway2")
    then = [{"task": "echo", "payload": {"last": n}} for n in range(20)]
    chains = [pair.client.envelope("echo", {"first": True}, then=step).json() for step in then]
    later = pair.client.submit("echo", {"late": True}, delay="300ms")
    for n, chain in enumerate(chains):
        assert other.await_end(chain["tasks"][-1]["id"])["result"]["last"] == n
    assert other.await_end(later)["result"] == {"late": True}
    key = {"Idempotency-Key": "once"}
    first = pair.client.envelope("echo", {"n": 1}, headers=key)
    second = other.envelope("echo", {"n": 1}, headers=key)
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["id"] == second.json()["id"]
    batch = other.post("/v1/batches", json={"tasks": [{"task": "echo", "payload": n} for n in range(100)], "then": "echo"}).json()
    assert pair.client.await_end(batch["then"])["result"]["previous"]["succeeded"] == 100
    assert int(postgres.ask(database, "SELECT count(*) FROM tasks WHERE state = 3")) == 20 * 2 + 1 + 1 + 100 + 1


def test_every_202_has_one_outcome_whatever_of_the_pairs_is_killed(pair):
    dice = random.Random(11)
    with Ledger(pair.client_of("gateway2")) as ledger:
        ledger.submit_from(4, what, pause_s=0.02)
        for name in dice.sample(["notifier", "notifier2", "processor", "processor2", "gateway"] * 2, 10):
            ledger.await_accepted(20)
            pair.services[name].kill()
            time.sleep(dice.random() * 0.2)
            pair.services[name].start()
            pair.await_ready()
    ended = ledger.check()
    assert len(ended) >= 200
    assert not ledger.refused


def test_every_202_has_one_outcome_and_is_delivered_while_the_server_is_restarted_and_killed(pair, postgres):
    with Receiver() as receiver:
        with Ledger(pair.client) as ledger:
            ledger.submit_from(4, what, pause_s=0.02, deliver={"webhook": receiver.url()})
            for trouble in (postgres.restart, lambda: (postgres.kill(), postgres.start()), postgres.restart):
                ledger.await_accepted(40)
                trouble()
                pair.await_ready()
            ledger.await_accepted(40)
        ended = ledger.check()
        assert len(ended) >= 160
        delivered = {"pending": 0, "delivered": 1, "dead": 0}
        for task in ended:
            eventually(lambda task=task: pair.client.status(task)["deliveries"] == delivered, timeout=90,
                       what=f"the delivery of {task} is written down")
        assert len({hook.headers["webhook-id"] for hook in receiver.hooks}) == len(ended)


def test_what_was_delivered_while_the_server_was_away_for_longer_than_a_lease_is_not_delivered_again(
        stack, settings, postgres, database):
    count, came, go = 4, threading.Semaphore(0), threading.Event()

    def wait(handler):
        came.release()
        go.wait(30)
        answer(200)(handler)

    with Receiver() as receiver, FaultProxy(urlsplit(database).port, is_amqp=False) as proxy:
        receiver.behave("/hook", wait)
        stack.start(settings, only=("gateway", "processor"))
        stack.add("notifier", env={"POSTBACK_STORE_URL": proxy.url(database)})
        stack.await_ready()
        tasks = [stack.client.submit("echo", {"n": n}, deliver={"webhook": receiver.url()}) for n in range(count)]
        for _ in tasks:
            assert came.acquire(timeout=60)
        proxy.refuse()
        proxy.cut()
        eventually(lambda: "store_down" in stack.notifier.log_text(), what="the notifier has lost its store")
        go.set()
        eventually(lambda: metric(stack, "postback_notifier_attempt_seconds_count", channel="webhook") >= count,
                   what="the receiver has answered")
        postgres.run(urlsplit(database).path[1:], "UPDATE postback.due SET ready_at = due_at WHERE ready_at IS NOT NULL")
        proxy.accept()
        for task in tasks:
            eventually(lambda task=task: stack.client.status(task)["deliveries"]["delivered"] == 1, timeout=30,
                       what=f"the delivery of {task} is written down")
        assert len(receiver.of("/hook")) == count


def test_sessions_that_hang_are_left_and_the_work_goes_on(stack, settings, postgres, database):
    stack.start(settings)
    before = stack.client.submit("echo", {"n": 1})
    stack.client.await_end(before)
    thaw = postgres.freeze(database)
    try:
        after = stack.client.submit("echo", {"n": 2})
        eventually(lambda: "does not answer" in stack.notifier.log_text(), timeout=90, what="the silence is noticed")
        assert stack.client.get("/livez").status_code == 200
        stack.await_ready("notifier", timeout=90)
        assert stack.client.await_end(after, timeout=90)["result"] == {"n": 2}
    finally:
        thaw()


def test_a_server_that_is_away_is_told_with_what_to_do_and_never_with_the_password(stack, settings, postgres):
    postgres.stop()
    try:
        stack.start(settings, ready=False)
        stack.await_unready("notifier", "gateway")
        eventually(lambda: "start the server" in stack.notifier.log_text(), what="why it is not ready")
    finally:
        postgres.start()
    stack.await_ready()
    assert stack.client.await_end(stack.client.submit("echo", {"n": 1}))["status"] == "succeeded"
    for log in stack.logs().values():
        for password in postgres.password:
            assert password not in log


def test_the_password_may_come_from_a_file(stack, settings, postgres, database, tmp_path):
    secret = tmp_path / "password"
    secret.write_text(postgres.password[1] + "\n", encoding="utf-8")
    url = database.replace(":" + postgres.password[0], "")
    stack.start({**settings, "store": {"url": url, "password_file": str(secret)}})
    assert stack.client.await_end(stack.client.submit("echo", {"n": 1}))["status"] == "succeeded"


# ---- over TLS ----


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def guarded(authority):
    """A server that takes nothing without TLS; its certificate is for localhost."""
    server = Postgres()
    server.use_tls(authority)
    yield server
    server.remove()


def by_tls(url, **parameters):
    return url.replace("127.0.0.1", "localhost") + "?" + urlencode(parameters)


def test_the_server_is_verified_and_nothing_goes_to_it_in_the_clear(stack, guarded, authority):
    url = guarded.database()
    stack.start({"store": {"url": by_tls(url, sslmode="verify-full", sslrootcert=authority.file)}})
    assert stack.client.await_end(stack.client.submit("echo", {"n": 1}))["result"] == {"n": 1}
    sessions = guarded.run("postgres", "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
                                       f"WHERE datname = '{urlsplit(url).path[1:]}'")
    assert sessions and set(sessions) == {"t"}


def test_a_server_that_goes_is_not_taken_for_a_wrong_certificate(stack, guarded, authority):
    url = by_tls(guarded.database(), sslmode="verify-full", sslrootcert=authority.file)
    stack.start({"store": {"url": url}}, only=("notifier",))
    guarded.restart()
    eventually(lambda: stack.notifier.log_text().count("event=store_up") >= 2, timeout=60, what="the store is there again")
    for line in stack.notifier.log_text().splitlines():
        assert "event=store_down" not in line or "it is tried again by itself" in line


def told_of_the_store(stack, url):
    """What the notifier says of a store that it cannot use."""
    stack.start({"store": {"url": url}}, only=("notifier",), ready=False)
    line = eventually(lambda: next((one for one in stack.notifier.log_text().splitlines() if "store_down" in one), None),
                      what="why the store is down")
    assert stack.client_of("notifier").get("/readyz").status_code == 503
    for password in Postgres.password:
        assert password not in line
    return line


def test_a_server_certified_by_somebody_else_is_refused(stack, guarded, tmp_path):
    other = Authority(tmp_path / "other", "Another CA")
    line = told_of_the_store(stack, by_tls(guarded.database(), sslmode="verify-full", sslrootcert=other.file))
    assert "certificate verify failed" in line and "name the right file" in line


def test_a_server_under_another_name_than_its_certificate_is_refused(stack, guarded, authority):
    url = by_tls(guarded.database(), sslmode="verify-full", sslrootcert=authority.file)
    line = told_of_the_store(stack, url.replace("localhost", "127.0.0.1"))
    assert "does not match host name" in line and "use a name of the server's certificate" in line


def test_a_missing_file_of_authorities_is_named(stack, guarded, tmp_path):
    missing = tmp_path / "missing.pem"
    line = told_of_the_store(stack, by_tls(guarded.database(), sslmode="verify-full", sslrootcert=missing))
    assert f"{missing}" in line and "sslrootcert=FILE" in line


def test_a_session_without_tls_is_refused_by_the_server_with_what_to_do(stack, guarded):
    assert "ask for TLS with ?sslmode=" in told_of_the_store(stack, by_tls(guarded.database(), sslmode="disable"))


def test_tls_that_the_server_does_not_speak_is_told(stack, database):
    assert "switch TLS on at the server" in told_of_the_store(stack, by_tls(database, sslmode="require"))


@pytest.mark.parametrize("mode", ["verify-ful", "on", "VERIFY-FULL"])
def test_a_sslmode_that_is_none_is_told_before_anything_starts(mode):
    done = run("gateway", "--check", env={"POSTBACK_STORE_URL": f"postgresql://postback:hunter2@db/postback?sslmode={mode}"})
    assert done.returncode == 2
    assert "POSTBACK_STORE_URL: sslmode must be disable" in done.stderr and "hunter2" not in done.stderr, done.stderr
