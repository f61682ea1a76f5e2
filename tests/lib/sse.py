"""A client of server-sent events, by the HTML standard's rules for parsing them."""
import collections
import http.client
import json
import socket
import threading

from lib.wait import eventually

Event = collections.namedtuple("Event", "id name data")


class EventStream:
    """GET of a stream, read by a thread of its own. `events` are those that came, `comments` how many; `ended` is set when
    the server has ended it."""

    def __init__(self, port, path, headers=None, timeout=60):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        self.connection.request("GET", path, headers={"Accept": "text/event-stream", **(headers or {})})
        self.socket = self.connection.sock
        self.response = self.connection.getresponse()
        self.status = self.response.status
        self.headers = self.response.headers
        self.events, self.comments, self.retry, self.last_id = [], 0, None, None
        self.ended = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.ended.wait(10)
        self.response.close()
        self.connection.close()

    def _read(self):
        fields = {}
        try:
            while line := self.response.readline():
                fields = self._take(line.rstrip(b"\r\n").decode(), fields)
        except (OSError, ValueError, http.client.HTTPException, AttributeError):
            pass
        with self._changed:
            self.ended.set()
            self._changed.notify_all()

    def _take(self, line, fields):
        with self._changed:
            if line == "":
                if "data" in fields:
                    self.events.append(Event(self.last_id, fields.get("event", "message"), fields["data"]))
                fields = {}
            elif line.startswith(":"):
                self.comments += 1
            else:
                name, _, value = line.partition(":")
                value = value[1:] if value.startswith(" ") else value
                if name == "id":
                    self.last_id = value
                elif name == "retry":
                    self.retry = int(value)
                elif name == "data" and "data" in fields:
                    fields["data"] += "\n" + value
                else:
                    fields[name] = value
            self._changed.notify_all()
        return fields

    # What tests want to know.

    def await_events(self, count, timeout=60):
        eventually(lambda: len(self.events) >= count, timeout=timeout, what=f"{count} events; {self.events}")
        return self.events

    def await_end(self, timeout=60):
        assert self.ended.wait(timeout), f"the stream goes on: {self.events}"
        return self.events

    def documents(self):
        return [json.loads(event.data) for event in list(self.events) if event.name == "status"]

    def statuses(self):
        return [document["status"] for document in self.documents()]

    def revs(self):
        return [document["rev"] for document in self.documents()]
