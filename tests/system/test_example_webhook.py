"""examples/webhook-consumer and the code of docs/webhooks.md take what is really sent, and nothing else."""
import base64
import contextlib
import json
import os
import re
import socket
import subprocess
import time

import pytest
import requests
import yaml

from lib.deliveries import await_deliveries
from lib.paths import EXAMPLES, PYTHON, ROOT
from lib.ports import free_port
from lib.receiver import Receiver, signature
from lib.stack import Stack
from lib.wait import eventually

PAGE = (ROOT / "docs/webhooks.md").read_text(encoding="utf-8")
STRANGER = "whsec_" + base64.b64encode(b"a secret that nobody has").decode()
SAMPLE = yaml.safe_load((EXAMPLES / "postback.yaml").read_text(encoding="utf-8"))["notifier"]
(SECRET,) = SAMPLE["webhook"]["secrets"]


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """(private, public): an ed25519 key as the page says how to make it."""
    folder = tmp_path_factory.mktemp("ed25519")
    commands = code("sh", "genpkey") + code("sh", "whpk_")
    made = subprocess.run(["/bin/sh", "-e", "-c", commands], cwd=folder, check=True, capture_output=True, text=True,
                          timeout=60)
    return tuple(made.stdout.split())


@pytest.fixture(scope="module")
def api(broker, tmp_path_factory, keys):
    """The sample configuration, and a second secret, an ed25519 key and CloudEvents beside it."""
    vhost = broker.vhost_new()
    stack = Stack(vhost.url, tmp_path_factory.mktemp("webhook-example"))
    more = {"secrets": [new_secret(), SECRET], "signing_key": keys[0], "cloudevents": True}
    try:
        yield stack.start({"notifier": SAMPLE | {"webhook": SAMPLE["webhook"] | more}})
    finally:
        try:
            stack.close()
        finally:
            broker.vhost_delete(vhost)


def new_secret():
    """As the page says how to make one."""
    made = subprocess.run(["/bin/sh", "-e", "-c", code("sh", "whsec_$(")], check=True, capture_output=True, text=True,
                          timeout=60)
    return made.stdout.strip()


def code(language, words):
    """The one block of the page in that language with those words."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    (found,) = [block for block in blocks if words in block]
    return found


# The consumer.

class Consumer:
    """The example as a process; `with` starts it, and again with what it had taken."""

    def __init__(self, folder, secrets):
        self.folder = folder
        self.secrets = secrets
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.log = folder / "consumer.log"

    def __enter__(self):
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                [PYTHON, EXAMPLES / "webhook-consumer/consumer.py", str(self.port)], cwd=self.folder, stdout=log,
                stderr=subprocess.STDOUT, env={**os.environ, "WEBHOOK_SECRETS": self.secrets})
        eventually(self._listens, what="the consumer listens")
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait(10)

    def _listens(self):
        with contextlib.closing(socket.create_connection(("127.0.0.1", self.port), timeout=5)):
            return True

    def printed(self):
        return [line for line in self.log.read_text(encoding="utf-8").splitlines() if line.startswith("task.")]

    def post(self, hook):
        headers = {name: value for name, value in hook.headers.items() if name.startswith("webhook-")}
        return requests.post(self.url, data=hook.body, headers=headers, timeout=20).status_code


@pytest.fixture
def consumer(tmp_path):
    with Consumer(tmp_path, f"{STRANGER} {SECRET}") as running:
        yield running


@pytest.fixture(scope="module")
def hook(api):
    """One that was really sent, with characters that are more than a byte."""
    with Receiver() as receiver:
        task = api.client.submit("echo", {"text": "Grüße, \U0001f600"}, deliver={"webhook": receiver.url("/done")},
                                 metadata={"order": "1234"})
        await_deliveries(api, task, delivered=1)
        return receiver.hooks[0]


def tampered(hook):
    body = hook.body.replace(b"succeeded", b"succeedee", 1)
    assert body != hook.body
    return hook._replace(body=body)


def signed_at(hook, timestamp):
    """As the sender would have signed it then."""
    timestamp = str(int(timestamp))
    return hook._replace(headers=hook.headers | {
        "webhook-timestamp": timestamp,
        "webhook-signature": signature(SECRET, hook.headers["webhook-id"], timestamp, hook.body)})


def test_the_consumer_prints_what_is_sent_to_it(api, consumer):
    task = api.client.submit("echo", {"n": 1}, deliver={"webhook": consumer.url})
    (made,) = await_deliveries(api, task, delivered=1)
    assert made.status == 204
    assert consumer.printed() == [f'task.succeeded {task} {{"n": 1}}']


def test_the_consumer_takes_many_at_once(api, consumer):
    tasks = [api.client.submit("echo", n, deliver={"webhook": consumer.url}) for n in range(60)]
    for task in tasks:
        (made,) = await_deliveries(api, task, delivered=1)
        assert made.status == 204
    assert sorted(consumer.printed()) == sorted(f"task.succeeded {task} {n}" for n, task in enumerate(tasks))


def test_the_consumer_takes_a_message_once(tmp_path, hook):
    consumer = Consumer(tmp_path, SECRET)
    with consumer:
        assert [consumer.post(hook), consumer.post(signed_at(hook, time.time() + 1))] == [204, 204]
        assert len(consumer.printed()) == 1
    with consumer:
        assert consumer.post(hook) == 204
        assert len(consumer.printed()) == 1


def test_the_consumer_refuses_what_was_changed_or_is_old(consumer, hook):
    now = time.time()
    assert consumer.post(tampered(hook)) == 401
    assert consumer.post(signed_at(hook, now - 3600)) == 401
    assert consumer.post(signed_at(hook, now + 3600)) == 401
    for name in ("id", "timestamp", "signature"):
        assert consumer.post(hook._replace(headers=hook.headers | {f"webhook-{name}": "1"})) == 401
        assert consumer.post(hook._replace(headers=hook.headers | {f"webhook-{name}": "é"})) == 401
        without = {key: value for key, value in hook.headers.items() if key != f"webhook-{name}"}
        assert consumer.post(hook._replace(headers=without)) == 401
    assert consumer.printed() == []
    assert consumer.post(signed_at(hook, now - 200)) == 204


def test_the_consumer_with_another_secret_takes_nothing(tmp_path, hook):
    with Consumer(tmp_path, STRANGER) as consumer:
        assert consumer.post(hook) == 401
        assert consumer.printed() == []


# The code of the page, each as command that gives "true" or "false": `words` picks the block, and behind it stands what
# calls it with a message on stdin.

PYTHON_MAIN = """
import json, sys
m = json.load(sys.stdin)
print(json.dumps(verify(m["secrets"], m["headers"], base64.b64decode(m["body"]))))
"""
NODE_MAIN = """
import { readFileSync } from "node:fs";
const m = JSON.parse(readFileSync(0, "utf8"));
console.log(verify(m.secrets, m.headers, Buffer.from(m.body, "base64")));
"""
PHP_MAIN = """
$m = json_decode(stream_get_contents(STDIN), true);
echo json_encode(verify($m["secrets"], $m["headers"], base64_decode($m["body"]))), "\\n";
"""
RUBY_MAIN = """
require "json"
m = JSON.parse($stdin.read)
puts verify(m["secrets"], m["headers"], m["body"].unpack1("m"))
"""
GO_MAIN = """
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
)

func main() {
	var m struct {
		Secrets []string
		Headers map[string]string
		Body    []byte
	}
	if err := json.NewDecoder(os.Stdin).Decode(&m); err != nil {
		panic(err)
	}
	h := http.Header{}
	for name, value := range m.Headers {
		h.Set(name, value)
	}
	fmt.Println(Verify(m.Secrets, h, m.Body))
}
"""


def go(folder):
    (folder / "verify.go").write_text("package main\n\n" + code("go", "func Verify("), encoding="utf-8")
    (folder / "main.go").write_text(GO_MAIN, encoding="utf-8")
    subprocess.run(["go", "build", "-o", "verify", "verify.go", "main.go"], cwd=folder, check=True, timeout=300)
    return [folder / "verify"]


def script(interpreter, name, language, words, main):
    def make(folder):
        (folder / name).write_text(code(language, words) + main, encoding="utf-8")
        return [interpreter, folder / name]
    return make


LANGUAGES = {
    "python": script(PYTHON, "verify.py", "python", "def verify(", PYTHON_MAIN),
    "node": script("node", "verify.mjs", "js", "export function verify(", NODE_MAIN),
    "go": go,
    "php": script("php", "verify.php", "php", "function verify(", PHP_MAIN),
    "ruby": script("ruby", "verify.rb", "ruby", "def verify(", RUBY_MAIN),
}


@pytest.fixture(scope="module", params=LANGUAGES)
def accepts(request, tmp_path_factory):
    """accepts(secrets, hook) by the page's code."""
    command = LANGUAGES[request.param](tmp_path_factory.mktemp(request.param))

    def one(secrets, hook):
        message = {"secrets": secrets, "headers": hook.headers, "body": base64.b64encode(hook.body).decode()}
        done = subprocess.run(command, input=json.dumps(message), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return one


def test_the_code_of_the_page_accepts_what_is_sent_and_refuses_any_change(accepts, hook):
    assert accepts([SECRET], hook)
    assert accepts([STRANGER, SECRET], hook)
    assert not accepts([STRANGER], hook)
    assert not accepts([], hook)
    assert not accepts([SECRET], tampered(hook))
    for name in ("id", "timestamp", "signature"):
        assert not accepts([SECRET], hook._replace(headers=hook.headers | {f"webhook-{name}": "1"}))
        without = {key: value for key, value in hook.headers.items() if key != f"webhook-{name}"}
        assert not accepts([SECRET], hook._replace(headers=without))


def test_the_code_of_the_page_refuses_what_is_old(accepts, hook):
    now = time.time()
    assert accepts([SECRET], signed_at(hook, now - 200))
    assert not accepts([SECRET], signed_at(hook, now - 3600))
    assert not accepts([SECRET], signed_at(hook, now + 3600))


def test_the_commands_of_the_page_show_the_signature(hook, tmp_path):
    (tmp_path / "body").write_bytes(hook.body)
    settings = {"secret": SECRET, "id": hook.headers["webhook-id"], "timestamp": hook.headers["webhook-timestamp"]}
    shown = subprocess.run(["/bin/sh", "-e", "-c", code("sh", "openssl dgst")], cwd=tmp_path, check=True, text=True,
                           capture_output=True, timeout=60, env={**os.environ, **settings}).stdout.strip()
    assert shown in hook.headers["webhook-signature"].split(" ")
    assert shown == signature(SECRET, settings["id"], settings["timestamp"], hook.body)


def test_the_code_of_the_page_for_ed25519(hook, keys, tmp_path):
    main = NODE_MAIN.replace("verify(m.secrets", "verifyEd25519(m.secrets[0]")
    (tmp_path / "verify.mjs").write_text(code("js", "export function verifyEd25519(") + main, encoding="utf-8")

    def accepts(hook):
        message = {"secrets": [keys[1]], "headers": hook.headers, "body": base64.b64encode(hook.body).decode()}
        done = subprocess.run(["node", tmp_path / "verify.mjs"], input=json.dumps(message), capture_output=True,
                              text=True, check=True, timeout=60)
        return json.loads(done.stdout)

    assert accepts(hook)
    assert not accepts(tampered(hook))
    assert not accepts(signed_at(hook, time.time()))


# What the page shows.

def shape(value):
    return {key: shape(inner) for key, inner in value.items()} if isinstance(value, dict) else type(value).__name__


def test_the_message_on_the_page_has_the_shape_of_a_real_one(hook):
    shown = code("http", "webhook-signature")
    real, documented = json.loads(hook.body), json.loads(code("json", '"type": "task.succeeded"'))
    for message in (real, documented):
        message["data"]["result"] = None
    assert shape(documented) == shape(real)
    names = {line.split(":")[0].lower() for line in shown.splitlines()[1:] if line}
    own = {name for name in hook.headers if not name.startswith("ce-")}
    assert names == own


def test_the_schedule_of_the_page_is_the_default():
    waits = re.search(r"^\| waits \| (.*) \|$", PAGE, re.MULTILINE).group(1)
    shown = waits.replace(" min", "m").replace(" ", "").replace("|", ", ")
    assert f"`[{shown}]`" in (ROOT / "docs/configuration.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", ["docs/tutorial.md", "examples/webhook-consumer/README.md",
                                  "examples/fastapi/postback.yaml"])
def test_the_sample_secret_is_the_same_everywhere(path):
    found = re.findall(r"whsec_[A-Za-z0-9+/=]{20,}", (ROOT / path).read_text(encoding="utf-8"))
    assert found and set(found) == {SECRET}


def test_the_page_lists_the_headers_of_cloudevents(hook):
    assert set(re.findall(r"`(ce-\w+)`", PAGE)) == {name for name in hook.headers if name.startswith("ce-")}
