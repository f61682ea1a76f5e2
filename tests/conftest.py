"""Fixtures: a real broker, a place of its own on it for each test, the services on top."""
from urllib.parse import urlsplit

import pytest

from lib.broker import Broker, broker_for_tests
from lib.postgres import Postgres
from lib.proxy import FaultProxy
from lib.stack import Stack
from lib.stores import PostgresStore

LOG_TAIL = 6000


@pytest.fixture(scope="session")
def broker(tmp_path_factory):
    """Shared by all tests; who stops, kills or alarms a broker takes own_broker."""
    broker = broker_for_tests(tmp_path_factory.mktemp("broker"))
    yield broker
    broker.stop()


@pytest.fixture(scope="module")
def own_broker(tmp_path_factory):
    """A private broker for this module, to be broken."""
    broker = Broker(tmp_path_factory.mktemp("own-broker"))
    yield broker
    broker.stop()


@pytest.fixture(autouse=True)
def vhosts_used():
    """Set up before and so torn down after all other fixtures: a vhost goes when the services on it have ended."""
    used = []
    yield used
    for vhost in used:
        vhost.broker.vhost_delete(vhost)


@pytest.fixture
def vhost(broker, vhosts_used):
    vhosts_used.append(broker.vhost_new())
    return vhosts_used[-1]


@pytest.fixture
def own_vhost(own_broker, vhosts_used):
    """On own_broker, which works again after the test, whatever state that left it in."""
    vhosts_used.append(own_broker.vhost_new())
    yield vhosts_used[-1]
    own_broker.heal()


@pytest.fixture
def make_stack(request, tmp_path):
    """make_stack(amqp_url) gives a Stack, not started, that is ended and judged after the test."""
    stacks = []
    request.node.stacks = stacks

    def make(amqp_url):
        folder = tmp_path / f"stack{len(stacks)}"
        folder.mkdir()
        stacks.append(Stack(amqp_url, folder))
        return stacks[-1]

    yield make
    wrong = []
    for stack in stacks:
        try:
            stack.close()
        except AssertionError as error:
            wrong.append(str(error))
    assert not wrong, "\n".join(wrong)


@pytest.fixture
def stack(make_stack, vhost):
    return make_stack(vhost.url)


@pytest.fixture(scope="module")
def postgres():
    """A private PostgreSQL for this module; it may be broken."""
    server = Postgres()
    yield server
    server.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def stack_on_each(request, stack):
    """A stack for each store."""
    if request.param == "postgresql":
        stack.use_store(PostgresStore(request.getfixturevalue("postgres")))
    return stack


@pytest.fixture
def own_stack(make_stack, own_vhost):
    """On own_broker."""
    return make_stack(own_vhost.url)


@pytest.fixture
def broker_proxy(vhost):
    """Between a service and the broker: configure amqp.url as broker_proxy.url(vhost.url)."""
    target = urlsplit(vhost.url)
    with FaultProxy(target.port or 5672, target.hostname) as proxy:
        yield proxy


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for stack in getattr(item, "stacks", []):
            for name, text in stack.logs().items():
                report.sections.append((f"{name} log", text[-LOG_TAIL:]))
