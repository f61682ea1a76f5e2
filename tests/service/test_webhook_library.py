"""The Standard Webhooks library that consumers use accepts what is sent, and refuses what was changed."""
import base64
import json
import subprocess

import pytest

from lib.deliveries import await_deliveries
from lib.paths import ROOT
from lib.receiver import OTHER_SECRET, SECRET, Receiver


@pytest.fixture(scope="module")
def verify(tmp_path_factory):
    """verify(secret, headers, body) gives "ok" or the library's refusal."""
    folder = tmp_path_factory.mktemp("npm")
    subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, "standardwebhooks@1"],
                   check=True, capture_output=True, timeout=300)

    def one(secret, headers, body):
        line = json.dumps({"secret": secret, "headers": headers, "body": base64.b64encode(body).decode()})
        done = subprocess.run(["node", ROOT / "tests/lib/verify.mjs", folder], input=line + "\n", text=True, check=True,
                              capture_output=True, timeout=60)
        return done.stdout.strip()

    return one


@pytest.fixture
def hook(stack):
    """One that was really sent, signed with two secrets."""
    with Receiver() as receiver:
        stack.start({"notifier": {"webhook": {"secrets": [OTHER_SECRET, SECRET], "allow": ["127.0.0.0/8"]}}})
        task = stack.client.submit("echo", {"text": "Grüße, \U0001f600"}, deliver={"webhook": receiver.url()})
        await_deliveries(stack, task, delivered=1)
        return receiver.hooks[0]


def test_the_library_accepts_it_and_refuses_any_change(hook, verify):
    assert verify(SECRET, hook.headers, hook.body) == "ok"
    assert verify(OTHER_SECRET, hook.headers, hook.body) == "ok"
    changed = hook.body.replace(b"succeeded", b"succeedee", 1)
    assert changed != hook.body
    assert "No matching signature" in verify(SECRET, hook.headers, changed)
    foreign = {**hook.headers, "webhook-id": hook.headers["webhook-id"][:-1] + "x"}
    assert "No matching signature" in verify(SECRET, foreign, hook.body)
    newer = {**hook.headers, "webhook-timestamp": str(int(hook.headers["webhook-timestamp"]) + 1)}
    assert "No matching signature" in verify(SECRET, newer, hook.body)
    old = {**hook.headers, "webhook-timestamp": str(int(hook.headers["webhook-timestamp"]) - 3600)}
    assert "too old" in verify(SECRET, old, hook.body)
    stranger = "whsec_" + base64.b64encode(b"a secret that nobody has").decode()
    assert "No matching signature" in verify(stranger, hook.headers, hook.body)
