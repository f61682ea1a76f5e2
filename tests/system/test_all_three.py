"""One task that asks for a webhook, an email and a text message gets all three."""
import json

import pytest

from lib.deliveries import await_deliveries
from lib.kannel import PASSWORD as KANNEL_PASSWORD, USER as KANNEL_USER, Kannel
from lib.postfix import PASSWORD as POSTFIX_PASSWORD, USER as POSTFIX_USER, DOMAIN, Postfix
from lib.receiver import SECRET, Receiver, is_signed

HANDLERS = [{"task": "echo", "builtin": "echo"}, {"task": "fail", "exec": ["/bin/sh", "-c", "exit 64"]}]


@pytest.fixture(scope="module")
def postfix():
    with Postfix() as running:
        yield running


@pytest.fixture(scope="module")
def kannel(tmp_path_factory):
    with Kannel(tmp_path_factory.mktemp("kannel")) as running:
        yield running


@pytest.fixture(scope="module")
def receiver():
    with Receiver() as running:
        yield running


def options(postfix, kannel):
    return {
        "processor": {"handlers": HANDLERS},
        "notifier": {
            "webhook": {"secrets": [SECRET], "allow": ["127.0.0.0/8"]},
            "email": {"url": postfix.url("submission"), "from": f"Postback <postback@{DOMAIN}>",
                      "username": f"{POSTFIX_USER}@{DOMAIN}", "password": POSTFIX_PASSWORD, "ca_file": postfix.ca_file,
                      "allow_to": [f"*@{DOMAIN}"]},
            "sms": {"provider": "kannel", "url": kannel.url, "username": KANNEL_USER, "password": KANNEL_PASSWORD,
                    "from": "Postback", "text": "{task}: {status}"},
        },
    }


def test_one_task_reaches_its_receivers_through_all_channels(stack, postfix, kannel, receiver):
    stack.start(options(postfix, kannel))
    to = "+4915112345678"
    task = stack.client.submit("echo", {"n": 1}, deliver={
        "webhook": receiver.url("/all"), "email": {"to": f"ann@{DOMAIN}"}, "sms": to})
    made = await_deliveries(stack, task, delivered=3)
    assert len({attempt.delivery for attempt in made}) == 3
    (hook,) = receiver.of("/all")
    (mail,) = postfix.await_mails("ann")
    (message,) = kannel.await_messages(to, 1)
    assert is_signed(hook, SECRET) and json.loads(hook.body)["data"]["id"] == task
    assert "echo" in mail["subject"]
    assert message == ("Postback", to, "gsm", b"", "echo: succeeded")


def test_each_may_want_other_outcomes_and_one_that_fails_stops_no_other(stack, postfix, kannel, receiver):
    stack.start(options(postfix, kannel))
    to = "+4915112345679"
    receiver.behave("/gone", 410)
    task = stack.client.submit("fail", 1, deliver={
        "webhook": [receiver.url("/gone"), {"url": receiver.url("/good"), "on": ["succeeded"]}],
        "email": {"to": [f"bob@{DOMAIN}", f"nobody@{DOMAIN}"], "on": ["failed", "dead"]},
        "sms": {"to": [to, "+33123456789"], "on": ["failed"]}})
    await_deliveries(stack, task, delivered=2, dead=3)
    assert len(postfix.await_mails("bob")) == 1
    assert [m.text for m in kannel.await_messages(to, 1)] == ["fail: failed"]
    assert receiver.of("/good") == []
