"""How many webhooks a second reach receivers of several kinds, and how many plain libcurl brings to the same one."""
import base64
import hashlib
import hmac
import json
import subprocess
import time
from pathlib import Path

from lib.client import Client
from lib.paths import BIN
from lib.ports import free_port
from lib.wait import eventually

FOLDER = Path(__file__).resolve().parent
LIMIT = BIN.parent / "tests/bench/webhook_limit"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OPTIONS = {"secrets": [SECRET], "allow": ["127.0.0.0/8"]}
RECEIVERS = {  # name: what it is, its command, messages
    "bare": ("that answers 204 to everything (C)", [LIMIT, "sink"], 10000),
    "node": ("that checks them, on Node.js", ["node", FOLDER / "receiver.mjs"], 10000),
    "fastapi": ("that checks them, on FastAPI", ["/usr/bin/python3", FOLDER / "receiver.py"], 5000),
}
EACH = 100  # receivers of one task
TIMEOUT_S = 120


def message(folder):
    """One as ours are, signed: the file with its body, and its headers."""
    data = {"id": "task_01a2b3c4d5", "task": "echo", "status": "succeeded", "result": {"n": 1}, "filler": "x" * 760}
    body = json.dumps({"type": "task.succeeded", "timestamp": "2026-01-01T00:00:00.000Z", "data": data}).encode()
    signed = f"dlv_1.{int(time.time())}".encode()
    digest = hmac.digest(base64.b64decode(SECRET.removeprefix("whsec_")), signed + b"." + body, hashlib.sha256)
    path = folder / "message.json"
    path.write_bytes(body)
    return path, ["content-type: application/json", "webhook-id: dlv_1", f"webhook-timestamp: {signed.decode()[6:]}",
                  f"webhook-signature: v1,{base64.b64encode(digest).decode()}"]


def by_libcurl(url, count, folder):
    path, headers = message(folder)
    said = subprocess.run([LIMIT, "send", url, str(count), path, "32", *headers], capture_output=True, text=True, check=True)
    return float(said.stdout.rpartition("=")[2])


def by_us(stack, url, count, receiver):
    def taken():
        return int(receiver.get("/count").text)

    before = taken()
    began = time.monotonic()
    tasks = [{"task": "echo", "payload": {"n": n}, "deliver": {"webhook": [url] * EACH}} for n in range(count // EACH)]
    stack.client.post("/v1/batches", json=tasks).raise_for_status()
    eventually(lambda: taken() >= before + count, timeout=TIMEOUT_S, every=0.005, what="every webhook arrives")
    return count / (time.monotonic() - began)


def at(stack, name, folder):
    """Libcurl's rate and ours at one receiver."""
    _, command, count = RECEIVERS[name]
    port = free_port()
    process = subprocess.Popen([*command, str(port), SECRET])
    try:
        receiver = Client(f"http://127.0.0.1:{port}")
        eventually(lambda: receiver.get("/count").text == "0", what="the receiver is there")
        url = f"http://127.0.0.1:{port}/hook"
        return {f"curl_{name}": by_libcurl(url, count, folder), f"webhooks_{name}": by_us(stack, url, count, receiver)}
    finally:
        process.kill()
        process.wait()


def at_all(stack, folder):
    row = {}
    for name in RECEIVERS:
        row.update(at(stack, name, folder))
    return row


def lines(median, ratio):
    for name, (what, _, _) in RECEIVERS.items():
        yield f"plain libcurl to a receiver {what}, POSTs/s", f"{median(f'curl_{name}'):,.0f}", "1.00"
        yield ("webhooks to it/s, each kept until it is taken", f"{median(f'webhooks_{name}'):,.0f}",
               f"{ratio(f'webhooks_{name}', f'curl_{name}'):.2f}")
