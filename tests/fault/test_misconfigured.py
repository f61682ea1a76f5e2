"""What is configured wrong is told in one line of the log, with how to mend it; the service waits, is not ready, and
works once it is mended."""
import json
import os
import re
import socket
import subprocess
from urllib.parse import quote, urlsplit, urlunsplit

import pytest

from lib.paths import ROOT
from lib.ports import free_port
from lib.service import run
from lib.wait import eventually

SERVICES = ("gateway", "processor", "notifier")
DEFINITIONS = json.loads((ROOT / "compose/definitions.json").read_text(encoding="utf-8"))
GRANTED = {one["user"]: one for one in DEFINITIONS["permissions"]}
POSTGRES = ROOT / "tests/lib/postgres.sh"


class Operator:
    """Who runs RabbitMQ, and mends it."""

    def __init__(self, broker):
        self._broker = broker
        self.users = []

    def _call(self, function, *texts):
        """RabbitMQ's own, as rabbitmqctl would."""
        arguments = ", ".join(f'<<"{text}">>' for text in [*(text.replace("\\", "\\\\") for text in texts), "test"])
        self._broker.eval(f"{function}({arguments})")

    def add_user(self, name, password):
        self._call("rabbit_auth_backend_internal:add_user", name, password)
        self.users.append(name)

    def delete_user(self, name):
        self._call("rabbit_auth_backend_internal:delete_user", name)

    def set_password(self, name, password):
        self._call("rabbit_auth_backend_internal:change_password", name, password)

    def permit(self, name, vhost, **permissions):
        rights = [permissions.get(kind, ".*") for kind in ("configure", "write", "read")]
        self._call("rabbit_auth_backend_internal:set_permissions", name, vhost, *rights)

    def add_vhost(self, name):
        self._call("rabbit_vhost:add", name)

    def delete_vhost(self, name):
        self._call("rabbit_vhost:delete", name)


@pytest.fixture
def operator(broker):
    operator = Operator(broker)
    yield operator
    for name in operator.users:
        operator.delete_user(name)


def as_user(url, user, password, vhost=None):
    parts = urlsplit(url)
    path = parts.path if vhost is None else "/" + quote(vhost, safe="")
    return urlunsplit(parts._replace(netloc=f"{user}:{password}@{parts.hostname}:{parts.port}", path=path))


def lines(service, event):
    return [line for line in service.log_text().splitlines() if f" event={event} " in line]


def await_word(stack, kind, event, *words):
    """One line with all these words, not one for each attempt; and /readyz says it too."""
    service = stack.services[kind]

    def told():
        fitting = [line for line in lines(service, event) if all(word in line for word in words)]
        assert fitting, f"{words} in {lines(service, event)}"
        return fitting

    (line, *more) = eventually(told, timeout=60, what=f"{kind} says {event}")
    connections = {re.search(r'connection="[^"]* (\w+)"', one)[1] for one in [line, *more] if "connection=" in one}
    assert len(more) + 1 <= max(1, len(connections)), [line, *more]
    answer = stack.client_of(kind).get("/readyz")
    assert answer.status_code == 503
    return line


def assert_keeps_secret(stack, *secrets):
    for name, text in stack.logs().items():
        for secret in secrets:
            assert secret not in text, f"{name} logs a password"


@pytest.mark.parametrize("kind", SERVICES)
def test_a_wrong_password_is_told_and_mended(make_stack, vhost, operator, kind):
    user = f"mistaken-{kind}"
    operator.add_user(user, "the-right-one")
    operator.permit(user, vhost.name)
    stack = make_stack(as_user(vhost.url, user, "a-wrong-one")).start(only=(kind,), ready=False)
    await_word(stack, kind, "broker_down", "ACCESS_REFUSED", "check user and password in amqp.url")
    assert_keeps_secret(stack, "a-wrong-one")
    operator.set_password(user, "a-wrong-one")
    stack.await_ready(kind)


@pytest.mark.parametrize("kind", SERVICES)
def test_a_wrong_vhost_is_told_and_mended(make_stack, broker, operator, kind):
    missing = f"missing-{kind}"
    stack = make_stack(broker.url(missing)).start(only=(kind,), ready=False)
    await_word(stack, kind, "broker_down", f"vhost {missing} not found", "check the vhost in amqp.url")
    operator.add_vhost(missing)
    try:
        await_word(stack, kind, "broker_down", f"access to vhost '{missing}' refused", "and the user's permissions")
        operator.permit("guest", missing)
        stack.await_ready(kind)
        stack.close()
    finally:
        operator.delete_vhost(missing)


@pytest.fixture
def imported(make_stack, vhost, operator):
    """imported(kind): that service as compose.yaml runs it, as its own user, not started; and a function that sets
    what the user may do, as it should be but for what is named."""
    stack = make_stack(vhost.url).start(only=(), ready=False)

    def prepare(kind):
        user, rights = f"{vhost.name}-{kind}", GRANTED[kind]
        operator.add_user(user, "secret")

        def permit(**but):
            operator.permit(user, vhost.name, **{name: rights[name] for name in ("configure", "write", "read")} | but)

        permit()
        return stack, {"POSTBACK_AMQP_URL": as_user(vhost.url, user, "secret"), "POSTBACK_AMQP_DECLARE": "false"}, permit

    return prepare


def import_shared(vhost):
    """What definitions.json holds besides the users."""
    with vhost.amqp() as amqp:
        for one in DEFINITIONS["exchanges"]:
            amqp.channel.exchange_declare(one["name"], one["type"], durable=one["durable"])
        for one in DEFINITIONS["queues"]:
            amqp.channel.queue_declare(one["name"], durable=one["durable"], arguments=one["arguments"])
        for one in DEFINITIONS["bindings"]:
            amqp.channel.queue_bind(one["destination"], one["source"], one["routing_key"])


MISSING = [
    ("gateway", "configure", "queue postback.gateway.", "the configure and the read permission on this queue"),
    ("gateway", "write", "cannot publish to the exchange postback.tasks", "the write permission on this exchange"),
    ("gateway", "read", "postback.reply", "the read permission on this exchange"),
    ("processor", "configure", "queue postback.tasks.echo", "the configure and the read permission on this queue"),
    ("processor", "write", "cannot publish to the exchange postback.reply", "the write permission on this exchange"),
    ("processor", "write", "access to exchange 'postback.dead'", "where the queue's dead letters go"),
    ("processor", "read", "queue postback.tasks.echo", "the read permission on this queue"),
    ("notifier", "write", "cannot publish to the exchange postback.tasks", "the write permission on this exchange"),
]


@pytest.mark.parametrize("kind, permission, what, mend", MISSING, ids=lambda value: value.replace(" ", "-"))
def test_a_missing_permission_is_named_and_mended(imported, vhost, kind, permission, what, mend):
    import_shared(vhost)
    stack, env, permit = imported(kind)
    permit(**{permission: "^$"})
    stack.add(kind, env=env)
    await_word(stack, kind, "broker_down", "ACCESS_REFUSED", what, mend)
    permit()
    stack.await_ready(kind)


def test_a_queue_that_may_not_be_read_is_named_and_mended(imported, vhost):
    import_shared(vhost)
    stack, env, permit = imported("notifier")
    permit(read="^$")
    stack.add("notifier", env=env)
    await_word(stack, "notifier", "broker_consumer_lost", "postback.replies", "the read permission on this queue")
    permit()
    stack.await_ready("notifier")


@pytest.mark.parametrize("kind", SERVICES)
def test_what_was_not_imported_is_named_and_mended(imported, vhost, kind):
    stack, env, _ = imported(kind)
    stack.add(kind, env=env)
    await_word(stack, kind, "broker_down", "exchange postback.tasks", "404", "import the definitions")
    import_shared(vhost)
    stack.await_ready(kind)


def test_with_the_narrow_permissions_all_work_together(imported, vhost):
    import_shared(vhost)
    for kind in SERVICES:
        stack, env, _ = imported(kind)
        stack.add(kind, env=env)
    stack.await_ready()
    task = stack.client.submit("echo", {"n": 1}, delay="100ms")
    assert stack.client.await_end(task)["result"] == {"n": 1}
    assert stack.client.run("echo", b"1.10", mode="sync").content == b"1.10"
    for service in stack.services.values():
        assert not lines(service, "broker_down") and "ACCESS_REFUSED" not in service.log_text()


# ---- the store ----


class Postgres:
    """A private one; `url` names its database."""

    def __init__(self, database):
        said = self._script("start", "--with", os.getpid())
        self.folder, base = said.splitlines()
        self.port = urlsplit(base).port
        self.url = base + database

    @staticmethod
    def _script(*words):
        done = subprocess.run([POSTGRES, *map(str, words)], stdout=subprocess.PIPE, text=True, check=True, timeout=120,
                              stdin=subprocess.DEVNULL)
        return done.stdout

    def stop(self):
        self._script("stop", self.folder)

    def start(self):
        self._script("start", self.folder)

    def create(self, database):
        subprocess.run(["psql", "-q", "-h", self.folder, "-p", str(self.port), "-U", "postgres", "-d", "postgres", "-c",
                        f'CREATE DATABASE "{database}" OWNER postback'], check=True, timeout=60)

    def remove(self):
        self._script("remove", self.folder)


@pytest.fixture(scope="module")
def postgres():
    postgres = Postgres("misconfigured")
    postgres.create("misconfigured")
    yield postgres
    postgres.remove()


STORED = ("gateway", "notifier")


def await_down(stack, *words):
    for kind in STORED:
        await_word(stack, kind, "store_down", *words)


def test_an_unreachable_store_is_told_and_mended(stack, postgres):
    postgres.stop()
    stack.start({"store": {"url": postgres.url}}, only=STORED, ready=False)
    await_down(stack, f"127.0.0.1:{postgres.port}", "start the server, or correct host and port in store.url")
    postgres.start()
    stack.await_ready()


def test_a_wrong_password_of_the_store_is_told_and_kept_secret(stack, postgres):
    parts = urlsplit(postgres.url)
    wrong = parts._replace(netloc=f"postback:not-this-one@127.0.0.1:{postgres.port}").geturl()
    stack.start({"store": {"url": wrong}}, only=STORED, ready=False)
    await_down(stack, "check user and password in store.url")
    assert_keeps_secret(stack, "not-this-one")


def test_a_missing_database_is_told_and_mended(stack, postgres):
    stack.start({"store": {"url": postgres.url + "-2"}}, only=STORED, ready=False)
    await_down(stack, "misconfigured-2", "create the database")
    postgres.create("misconfigured-2")
    stack.await_ready()


def test_which_file_a_relative_path_means_is_told(stack):
    stack.start({"store": {"url": "sqlite:here/postback.db"}}, only=STORED)
    for kind in STORED:
        assert f"event=store_up url={stack.folder}/here/postback.db" in stack.services[kind].log_text()


def test_a_broker_that_is_not_there_is_told(make_stack):
    port = free_port()
    stack = make_stack(f"amqp://guest:guest@127.0.0.1:{port}/").start(ready=False)
    for kind in SERVICES:
        await_word(stack, kind, "broker_down", f"host=127.0.0.1:{port}", "is RabbitMQ running, and is this its address?")


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "amqp://u:hunter2@h:99999/", "amqp://u:hunter2@h/a/b", "127.0.0.1"])
@pytest.mark.parametrize("kind", SERVICES)
def test_a_url_of_no_broker_is_told_before_anything_starts(kind, url):
    done = run(kind, env={"POSTBACK_AMQP_URL": url})
    assert done.returncode == 2
    assert "POSTBACK_AMQP_URL: must be amqp://" in done.stderr and "hunter2" not in done.stderr, done.stderr


@pytest.mark.parametrize("channel", ["WEBHOOK", "SMS"])
@pytest.mark.parametrize("url", ["nonsense", "proxy.example.com:3128", "http://ann:hunter2@proxy.example.com"])
def test_a_proxy_that_is_none_is_told_before_anything_starts(channel, url):
    done = run("notifier", "--check", env={f"POSTBACK_NOTIFIER_{channel}_PROXY": url})
    assert done.returncode == 2
    assert f"POSTBACK_NOTIFIER_{channel}_PROXY: must be http://HOST:PORT" in done.stderr, done.stderr
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize("kind", ["processor", "notifier"])
def test_an_admin_address_that_is_none_is_told_before_anything_starts(kind):
    done = run(kind, "--check", env={f"POSTBACK_{kind.upper()}_ADMIN": "nowhere"})
    assert done.returncode == 2
    assert f"POSTBACK_{kind.upper()}_ADMIN: must be host:port" in done.stderr, done.stderr


@pytest.mark.parametrize("kind,option", [("gateway", "LISTEN"), ("processor", "ADMIN"), ("notifier", "ADMIN")])
def test_a_taken_address_is_named(tmp_path, kind, option):
    config = tmp_path / "postback.yaml"
    config.write_text(json.dumps({"store": {"url": f"sqlite:{tmp_path}/postback.db"}, "processor": {"handlers": [
        {"task": "echo", "builtin": "echo"}]}}), encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run(kind, "--config", config, env={f"POSTBACK_{kind.upper()}_{option}": address})
    assert done.returncode == 1
    assert f"event=listen_failed address={address} " in done.stderr, done.stderr
