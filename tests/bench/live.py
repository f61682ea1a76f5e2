"""How soon a client knows: from the end of the handler to the last frame, and what connected clients cost."""
import base64
import http.server
import json
import os
import random
import re
import resource
import selectors
import socket
import statistics
import subprocess
import threading
import time
from pathlib import Path

import msgpack

from lib.paths import BIN
from lib.ports import free_port
from lib.wait import eventually

TASK = "measured"
PARKED = "parked"
CLIENTS = BIN.parent / "tests/bench/live_clients"
BATCH = 1000


class Upstream:
    """The handler: it ends each task when it is told to, and notes when it did."""

    def __init__(self):
        self.port = free_port()
        self.go = {}
        self.ended = {}
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):  # noqa: N802
                n = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["n"]
                outer.go.setdefault(n, threading.Event()).wait(30)
                body = b'{"done":true}'
                answer = (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
                          + str(len(body)).encode() + b"\r\n\r\n" + body)
                # Before and not after: the send itself may give way to whoever reads it.
                outer.ended[n] = time.monotonic()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def handler(self):
        return {"task": TASK, "http": {"url": f"http://127.0.0.1:{self.port}/"}, "concurrency": 8, "timeout": "60s"}

    def end(self, n):
        self.go.setdefault(n, threading.Event()).set()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def connect(port):
    s = socket.create_connection(("127.0.0.1", port), timeout=30)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def read_until(s, mark, seen=b""):
    while mark not in seen:
        data = s.recv(65536)
        assert data, f"ended before {mark}: {seen[-300:]}"
        seen += data
    return seen


def open_sse(port, task_id):
    s = connect(port)
    s.sendall(f"GET /v1/tasks/{task_id}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return s


def open_websocket(port, task_id):
    s = connect(port)
    key = base64.b64encode(os.urandom(16)).decode()
    s.sendall((f"GET /v1/tasks/{task_id}/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
               f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n").encode())
    return s


def pushed(opened):
    """Until the frame with the end has come over a connection that told of the beginning before."""
    def measure(stack, task_id, release):
        with opened(stack.ports["gateway"], task_id) as s:
            # Queued, or running when it took long to begin.
            seen = read_until(s, b'"links"')
            release()
            read_until(s, b'"status":"succeeded"', seen)
            return time.monotonic()

    return measure


def polled(stack, task_id, release, every_s=0.1):
    """Asks every 100 ms, at any time of the handler's."""
    request = f"GET /v1/tasks/{task_id} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with connect(stack.ports["gateway"]) as s:
        threading.Timer(random.uniform(0, every_s), release).start()
        while True:
            s.sendall(request)
            seen = read_until(s, b'"links"')
            now = time.monotonic()
            if b'"status":"succeeded"' in seen:
                return now
            time.sleep(every_s)


WAYS = {"sse": (pushed(open_sse), 300), "websocket": (pushed(open_websocket), 300), "polling": (polled, 60)}


def latencies(stack, upstream):
    """{"sse_p50": …} in ms, one task at a time."""
    out = {}
    for name, (measure, count) in WAYS.items():
        took = []
        for n in range(count):
            key = f"{name}{n}"
            task_id = stack.client.submit(TASK, {"n": key})
            frame = measure(stack, task_id, lambda key=key: upstream.end(key))
            took.append((frame - upstream.ended[key]) * 1000)
        took.sort()
        out[f"{name}_p50"] = statistics.median(took)
        out[f"{name}_p99"] = took[int(len(took) * 0.99)]
    return out


def allow_descriptors():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def private_bytes(pid):
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return sum(int(size) for size in re.findall(r"^Private_\w+:\s+(\d+)", rollup, re.M)) * 1024


class Crowd:
    """Many event streams, read and counted by one thread."""

    def __init__(self, port, ids):
        self.events = 0
        self.selector = selectors.DefaultSelector()
        self.sockets = []
        for task_id in ids:
            s = open_sse(port, task_id)
            self.sockets.append(s)
            self.selector.register(s, selectors.EVENT_READ)
        self.running = True
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        while self.running:
            for key, _ in self.selector.select(0.2):
                data = key.fileobj.recv(65536)
                self.events += data.count(b"event: status")
                if not data:
                    self.selector.unregister(key.fileobj)

    def close(self):
        self.running = False
        self.thread.join()
        for s in self.sockets:
            s.close()


def idle_memory(stack, count=5000):
    """Bytes of the gateway for each stream that follows a task of its own and hears nothing."""
    allow_descriptors()
    ids = [stack.client.submit(TASK, {"n": "idle"}, delay="1h") for _ in range(100)]
    before = private_bytes(stack.gateway.pid)
    crowd = Crowd(stack.ports["gateway"], [ids[n % len(ids)] for n in range(count)])
    try:
        eventually(lambda: crowd.events >= count, timeout=60, what="every stream tells of its task")
        return (private_bytes(stack.gateway.pid) - before) / count
    finally:
        crowd.close()
        for task_id in ids:
            stack.client.delete(f"/v1/tasks/{task_id}")


# ---- many that hear something ----

class Parked:
    """Tasks that nobody runs; their progress is reported from here, at a steady rate."""

    def __init__(self, stack, vhost, count):
        self.ids, self.requests, self.told = [], [], 0
        while len(self.ids) < count:
            items = [{"task": PARKED, "payload": n} for n in range(min(BATCH, count - len(self.ids)))]
            answer = stack.client.post("/v1/batches", json=items).json()
            self.ids += [item["id"] for item in answer["items"]]
        self.amqp = vhost.amqp()
        queue = f"postback.tasks.{PARKED}"
        for method, properties, body in self.amqp.channel.consume(queue, auto_ack=True, inactivity_timeout=10):
            if method:
                self.requests.append((msgpack.unpackb(body), properties.reply_to))
            if len(self.requests) == count or not method:
                break
        self.amqp.channel.cancel()
        self.ending = threading.Event()
        self.thread = None

    def report(self, per_s):
        """In the background: one task after the other."""
        def work():
            began, first = time.monotonic(), self.told
            while not self.ending.is_set():
                request, reply_to = self.requests[self.told % len(self.requests)]
                body = {"v": 1, "id": request["id"], "attempt": 1, "kind": "progress", "seq": self.told + 1,
                        "progress": {"n": self.told}, "context": request["context"]}
                self.amqp.publish("postback.reply", reply_to, msgpack.packb(body))
                self.told += 1
                self.ending.wait(max(0, began + (self.told - first) / per_s - time.monotonic()))

        self.thread = threading.Thread(target=work)
        self.thread.start()

    def stop(self):
        self.ending.set()
        if self.thread:
            self.thread.join()
        self.amqp.close()


class Sockets:
    """A process with a WebSocket for each task."""

    def __init__(self, stack, ids, folder):
        paths = folder / "live-paths"
        paths.write_text("".join(f"/v1/tasks/{task_id}/ws\n" for task_id in ids), encoding="ascii")
        self.process = subprocess.Popen([CLIENTS, str(stack.ports["gateway"]), paths], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def count(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", self.process.stdout.readline())}

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)


def crowd(stack, vhost, folder, submissions, count=5000, per_s=100):
    """`submissions()` alone, beside `count` WebSockets that hear `per_s` events a second in all, and alone again; what a
    socket costs; and that each event was told once."""
    parked = Parked(stack, vhost, count)
    sockets = None
    try:
        before_bytes = private_bytes(stack.gateway.pid)
        alone = submissions()
        before_bytes = max(before_bytes, private_bytes(stack.gateway.pid))
        sockets = Sockets(stack, parked.ids, folder)
        eventually(lambda: (seen := sockets.count())["open"] == count and seen["silent"] == 0, timeout=120,
                   what="every socket is told of its task")
        each = (private_bytes(stack.gateway.pid) - before_bytes) / count
        parked.report(per_s)
        beside = submissions()
        parked.stop()
        eventually(lambda: sockets.count()["texts"] >= count + parked.told, timeout=30, what="every event is told")
        seen = sockets.count()
        assert seen["texts"] == count + parked.told and not seen["wrong"] and not seen["cut"], seen
        sockets.close()
        again = submissions()
        return {"socket_bytes": each, "alone": (alone + again) / 2, "beside": beside, "events": parked.told}
    finally:
        parked.stop()
        if sockets:
            sockets.process.kill()
            sockets.process.wait()
