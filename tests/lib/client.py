"""An HTTP client for the gateway, usable from many threads."""
import json
import threading

import requests

from lib.wait import eventually

TERMINAL = ("succeeded", "failed", "canceled", "dead")


class Client:
    """Paths are given from the root; `key` is sent as Authorization: Bearer. No redirect is followed, no proxy used."""

    def __init__(self, base, key=None, timeout=60):
        self.base = base
        self.key = key
        self.timeout = timeout
        self._local = threading.local()

    @property
    def session(self):
        session = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.trust_env = False
            # A kept connection that a stopping service closed would look like a failure of the next request.
            session.headers["Connection"] = "close"
            if self.key:
                session.headers["Authorization"] = f"Bearer {self.key}"
        return session

    def close(self):
        if getattr(self._local, "session", None):
            self._local.session.close()

    def request(self, method, path, **options):
        options.setdefault("timeout", self.timeout)
        options.setdefault("allow_redirects", False)
        return self.session.request(method, self.base + path, **options)

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, **options):
        return self.request("POST", path, **options)

    def delete(self, path, **options):
        return self.request("DELETE", path, **options)

    # What tests say most often.

    def envelope(self, task, payload=None, headers=None, **options):
        """POST /v1/tasks; `payload` as bytes goes into the envelope byte for byte. Returns the response."""
        if isinstance(payload, bytes):
            rest = json.dumps({"task": task, **options}).encode()
            body = rest[:-1] + b',"payload":' + payload + b"}"
        else:
            body = json.dumps({"task": task, "payload": payload, **options}).encode()
        return self.post("/v1/tasks", data=body, headers={"Content-Type": "application/json", **(headers or {})})

    def submit(self, task, payload=None, **options):
        """As envelope, but asserts the 202 and returns the id."""
        response = self.envelope(task, payload, **options)
        assert response.status_code == 202, f"{response.status_code}: {response.text}"
        return response.json()["id"]

    def run(self, task, data=b"", content_type="application/json", headers=None, **params):
        """POST /v1/run/{task}: `data` is the payload, `params` are options."""
        headers = {"Content-Type": content_type, **(headers or {})}
        return self.post(f"/v1/run/{task}", data=data, params=params, headers=headers)

    def status(self, task_id):
        response = self.get(f"/v1/tasks/{task_id}")
        assert response.status_code == 200, f"{response.status_code}: {response.text}"
        return response.json()

    def result(self, task_id):
        return self.get(f"/v1/tasks/{task_id}/result")

    def await_end(self, task_id, timeout=60):
        """The status document once it is terminal."""
        document = {}

        def has_ended():
            document.update(self.status(task_id))
            return document["status"] in TERMINAL

        eventually(has_ended, timeout=timeout, every=0.05, what=f"task {task_id} ends; {document}")
        return document

    def await_status(self, task_id, status, timeout=60):
        eventually(lambda: self.status(task_id)["status"] == status, timeout=timeout, what=f"{task_id} is {status}")
