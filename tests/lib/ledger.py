"""What was promised and what became of it: every 202 ends in exactly one terminal outcome.

    with Ledger(stack.client) as ledger:
        ledger.submit_from(threads=8, make=lambda n: ("echo", {"n": n}))
        … break things …
    ledger.check()
"""
import collections
import itertools
import threading
import time

import requests

from lib.client import TERMINAL
from lib.wait import eventually

Answer = collections.namedtuple("Answer", "status seconds body")


class Ledger:
    def __init__(self, client):
        self.client = client
        self.accepted = {}  # id -> (task, payload)
        self.unknown = set()  # ids that a 503 called of unknown outcome
        self.refused = []  # Answer of every other submission; status 0: no answer at all
        self.accepted_seconds = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = []
        self._numbers = itertools.count()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def submit_from(self, threads, make, total=None, pause_s=0.0, **options):
        """`make(n)` gives task and payload of the n-th submission; goes on until stop(), or until `total` were tried.
        `options` go into every envelope."""
        def work():
            while not self._stop.is_set():
                n = next(self._numbers)
                if total is not None and n >= total:
                    return
                self.submit(*make(n), **options)
                if pause_s:
                    self._stop.wait(pause_s)

        started = [threading.Thread(target=work, daemon=True) for _ in range(threads)]
        self._threads += started
        for thread in started:
            thread.start()

    def submit(self, task, payload, **options):
        """One submission, whatever comes of it; returns the id when it was accepted."""
        began = time.monotonic()
        try:
            response = self.client.envelope(task, payload, **options)
            status, body = response.status_code, response.json()
        except (requests.RequestException, ValueError) as error:
            status, body = 0, {"detail": str(error)}
        seconds = time.monotonic() - began
        with self._lock:
            if status == 202:
                assert body["id"] not in self.accepted, f"the id {body['id']} was given twice"
                self.accepted[body["id"]] = (task, payload)
                self.accepted_seconds.append(seconds)
                return body["id"]
            if body.get("outcome") == "unknown":
                self.unknown.add(body["id"])
            self.refused.append(Answer(status, seconds, body))
        return None

    def stop(self):
        self._stop.set()
        self.join()

    def join(self, timeout=120):
        """Waits for submissions with a `total`."""
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0, deadline - time.monotonic()))
            assert not thread.is_alive(), "a submission hangs"
        self._threads.clear()

    def await_accepted(self, more, timeout=90):
        """Until `more` submissions than now were accepted."""
        target = len(self.accepted) + more
        eventually(lambda: len(self.accepted) >= target, timeout=timeout, what=f"{target} accepted submissions")

    def await_refused(self, more, timeout=90):
        target = len(self.refused) + more
        eventually(lambda: len(self.refused) >= target, timeout=timeout, what=f"{target} refused submissions")

    def check(self, expect=("succeeded",), timeout=180):
        """Waits until every accepted task has ended, in one of the states `expect`, and sees that none changes
        afterwards. What was called unknown may have run or not, but has not ended twice either. Returns the
        documents by id."""
        self.join()
        ended = self._await_all(timeout)
        wrong = {task: document["status"] for task, document in ended.items() if document["status"] not in expect}
        assert not wrong, f"{len(wrong)} of {len(ended)} ended otherwise: {dict(list(wrong.items())[:10])}"
        for task, before in ended.items():
            now = self.client.status(task)
            assert (now["status"], now.get("result")) == (before["status"], before.get("result")), \
                f"{task} changed after its end: {before} -> {now}"
        return ended

    def _await_all(self, timeout):
        deadline = time.monotonic() + timeout
        ended, open_ids = {}, set(self.accepted)
        while open_ids:
            for task in list(open_ids):
                document = self.client.status(task)
                if document["status"] in TERMINAL:
                    ended[task] = document
                    open_ids.discard(task)
            if open_ids and time.monotonic() > deadline:
                states = collections.Counter(self.client.status(task)["status"] for task in open_ids)
                raise AssertionError(
                    f"{len(open_ids)} of {len(self.accepted)} accepted tasks have not ended after {timeout} s: "
                    f"{dict(states)}, e.g. {sorted(open_ids)[:3]}")
            if open_ids:
                time.sleep(0.1)
        return ended
