"""Names that lead to other addresses than they seem to: a real name server that changes its mind."""
import statistics
import time
from urllib.parse import urlsplit

import pytest

from lib.deliveries import await_deliveries
from lib.island import PUBLIC, PUBLIC_6, SILENT, Island
from lib.receiver import SECRET
from lib.stack import Stack
from lib.wait import eventually

ATTEMPTS = ["0s", "1500ms"]


@pytest.fixture(scope="module")
def running(broker, tmp_path_factory):
    vhost = broker.vhost_new()
    stack = Stack(vhost.url, tmp_path_factory.mktemp("names"))
    try:
        stack.start({"notifier": {"webhook": {"secrets": [SECRET], "schedule": ATTEMPTS, "timeout": "5s"}}},
                    only=("gateway", "processor"))
        with Island(stack, urlsplit(vhost.url).port) as island:
            yield stack, island
    finally:
        try:
            stack.close()
        finally:
            broker.vhost_delete(vhost)


@pytest.fixture
def stack(running):
    return running[0]


@pytest.fixture
def island(running):
    running[1].tell(forget=True, status=200)
    return running[1]


def send(stack, url):
    return stack.client.submit("echo", 1, deliver={"webhook": url})


def test_the_address_is_checked_after_the_look_up_on_every_attempt(stack, island):
    island.tell(names={"rebind.test": [PUBLIC]}, status=500)
    task = send(stack, "http://rebind.test/")
    eventually(lambda: island.tell()["hits"] == [PUBLIC], what="the public address is called")
    island.tell(names={"rebind.test": ["127.0.0.1"]}, status=200)
    made = await_deliveries(stack, task, dead=1)
    assert [a.status for a in made] == [500, 0]
    assert "may not be called" in made[1].error
    assert island.tell()["hits"] == [PUBLIC]


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["10.0.0.7"], ["::1"], ["::ffff:127.0.0.1"], ["169.254.169.254"],
                                       ["127.0.0.1", "10.0.0.7", "::1"], ["0.0.0.0"], ["64:ff9b::7f00:1"]],
                         ids=",".join)
def test_a_name_for_what_is_not_public_is_not_called(stack, island, addresses):
    island.tell(names={"inside.test": addresses})
    made = await_deliveries(stack, send(stack, "http://inside.test/"), dead=1)
    assert len(made) == len(ATTEMPTS)
    assert all("may not be called" in a.error for a in made)
    seen = island.tell()
    assert seen["hits"] == []
    assert "inside.test" in seen["asked"]


def test_of_several_addresses_only_the_public_ones_are_called(stack, island):
    island.tell(names={"both.test": ["127.0.0.1", PUBLIC, "10.0.0.7"], "six.test": ["::1", PUBLIC_6]})
    await_deliveries(stack, send(stack, "http://both.test/"), delivered=1)
    await_deliveries(stack, send(stack, "http://six.test/"), delivered=1)
    assert sorted(island.tell()["hits"]) == sorted([PUBLIC, PUBLIC_6])


def test_a_public_address_that_does_not_answer_leads_to_no_other(stack, island):
    island.tell(names={"closed.test": [SILENT, "127.0.0.1"]})
    made = await_deliveries(stack, send(stack, "http://closed.test/"), dead=1)
    assert len(made) == len(ATTEMPTS)
    assert island.tell()["hits"] == []


def call_the_good_one(stack):
    """The seconds that it took; those who judge them look at the median, since the machine itself may hold one up."""
    began = time.monotonic()
    await_deliveries(stack, send(stack, "http://good.test/"), delivered=1)
    return time.monotonic() - began


def test_a_name_server_that_says_nothing_delays_nobody(stack, island):
    island.tell(names={"hung.test": None, "good.test": [PUBLIC]})
    stuck = [stack.client.submit("echo", n, deliver={"webhook": ["http://hung.test/"] * 20}) for n in range(5)]
    eventually(lambda: "hung.test" in island.tell()["asked"], what="the name is looked up")
    # Also while what hangs is given up.
    took = []
    while any(stack.client.status(task)["deliveries"]["pending"] for task in stuck):
        took.append(call_the_good_one(stack))
    assert statistics.median(took) < 3
    for task in stuck:
        await_deliveries(stack, task, dead=20)


def test_a_domain_whose_names_all_hang_delays_nobody(stack, island):
    hung = [f"n{n}.hung.test" for n in range(64)]
    island.tell(names={"good.test": [PUBLIC], **dict.fromkeys(hung)})
    stuck = stack.client.submit("echo", 1, deliver={"webhook": [f"http://{name}/" for name in hung]})
    eventually(lambda: set(hung) & set(island.tell()["asked"]), what="they are looked up")
    assert statistics.median(call_the_good_one(stack) for _ in range(3)) < 3
    await_deliveries(stack, stuck, dead=len(hung), timeout=60)


def test_a_name_that_does_not_exist_is_told(stack, island):
    made = await_deliveries(stack, send(stack, "http://nowhere.test/"), dead=1)
    assert all("resolve" in a.error for a in made)
