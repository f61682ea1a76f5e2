"""A TCP proxy that breaks connections on demand, between the services and the broker (or anything else).

`up` is from the client to the target, `down` is back. AMQP steps can be named: proxy.cut_at("basic.ack", "down",
"before") cuts the connection when the next ack arrives from the broker, without passing it on.
"""
import socket
import struct
import threading
import time
from urllib.parse import urlsplit, urlunsplit

from lib.ports import free_port

UP, DOWN = "up", "down"
BOTH = (UP, DOWN)

# AMQP 0-9-1 class and method numbers.
METHODS = {
    "connection.start": (10, 10), "connection.open-ok": (10, 41), "connection.blocked": (10, 60),
    "channel.open": (20, 10), "queue.declare": (50, 10), "queue.bind": (50, 20), "queue.bind-ok": (50, 21),
    "confirm.select": (85, 10),
    "basic.consume": (60, 20), "basic.publish": (60, 40), "basic.return": (60, 50), "basic.deliver": (60, 60),
    "basic.ack": (60, 80), "basic.reject": (60, 90), "basic.nack": (60, 120), "basic.cancel": (60, 30),
}
WITH_CONTENT = {METHODS[name] for name in ("basic.publish", "basic.return", "basic.deliver")}


class _Units:
    """Splits one direction of an AMQP connection into units: a method with its whole content, or another frame."""

    def __init__(self):
        self._bytes = b""
        self._unit = b""
        self._method = None
        self._missing = None  # of the content's body; None: its header has not come yet

    def feed(self, data):
        """Yields (method or None, bytes). What is not a whole unit yet is kept back."""
        self._bytes += data
        if self._bytes[:4] == b"AMQP" and len(self._bytes) >= 8:
            yield None, self._take(8)
        while len(self._bytes) >= 7:
            kind, channel, size = struct.unpack(">BHI", self._bytes[:7])
            if len(self._bytes) < size + 8:
                return
            yield from self._frame(kind, self._take(size + 8))

    def _take(self, size):
        taken, self._bytes = self._bytes[:size], self._bytes[size:]
        return taken

    def _frame(self, kind, frame):
        if kind == 8:  # a heartbeat may stand between a method and its content
            yield None, frame
            return
        self._unit += frame
        if kind == 1:
            self._method = struct.unpack(">HH", frame[7:11])
            self._missing = None if self._method in WITH_CONTENT else 0
        elif kind == 2:
            self._missing = struct.unpack(">Q", frame[11:19])[0]
        else:
            self._missing -= len(frame) - 8
        if self._missing == 0:
            unit, self._unit = self._unit, b""
            yield self._method, unit


class _Link:
    """One proxied connection: two sockets, a thread for each direction."""

    def __init__(self, proxy, client, server):
        self.proxy = proxy
        self.sockets = {UP: (client, server), DOWN: (server, client)}
        self.threads = [threading.Thread(target=self._pump, args=(way,), daemon=True) for way in BOTH]
        for thread in self.threads:
            thread.start()

    def _pump(self, way):
        source, sink = self.sockets[way]
        units = _Units() if self.proxy.is_amqp else None
        try:
            while data := source.recv(65536):
                for method, piece in (units.feed(data) if units else [(None, data)]):
                    if not self.proxy.pass_on(self, way, method, piece, sink):
                        return
            self.proxy.await_open(way)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            self.cut()

    def cut(self):
        """With a reset, so that both sides see it at once."""
        for end in self.sockets[UP]:
            try:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RD)
            except OSError:
                pass
            end.close()


class _Step:
    """A cut, or somebody, that waits for a protocol step."""

    def __init__(self, name, way, when, skip):
        self.method, self.way, self.when, self.skip = METHODS[name], way, when, skip
        self.happened = threading.Event()


class FaultProxy:
    def __init__(self, port, host="127.0.0.1", is_amqp=True):
        self.target = (host, port)
        self.is_amqp = is_amqp
        self.passed = {UP: 0, DOWN: 0}  # bytes
        self._links = []
        self._changed = threading.Condition()
        self._paused = set()
        self._swallowed = set()
        self._delay_s = 0.0
        self._left = {}  # direction -> bytes until the cut
        self._steps = []
        self._closed = False
        self._listener = None
        self.port = None
        self.accept()
        self._acceptor = threading.Thread(target=self._accept_loop, daemon=True)
        self._acceptor.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def url(self, url):
        """The AMQP (or any) URL with host and port changed to the proxy's."""
        parts = urlsplit(url)
        account = parts.netloc.rpartition("@")[0]
        netloc = f"{account}@127.0.0.1:{self.port}" if account else f"127.0.0.1:{self.port}"
        return urlunsplit(parts._replace(netloc=netloc))

    # Faults. All but cut() hold for connections that come later too, until taken back.

    def pause(self, *ways):
        """Bytes wait here and connections stay open; no argument: both directions."""
        with self._changed:
            self._paused.update(ways or BOTH)

    def resume(self):
        """Takes back pause and swallow."""
        with self._changed:
            self._paused.clear()
            self._swallowed.clear()
            self._changed.notify_all()

    def swallow(self, *ways):
        """Bytes are taken and thrown away."""
        with self._changed:
            self._swallowed.update(ways or BOTH)

    def delay(self, seconds):
        """Each piece waits so long in each direction."""
        self._delay_s = seconds

    def cut(self):
        """Resets every connection there is; new ones pass."""
        with self._changed:
            links, self._links = self._links, []
            self._changed.notify_all()
        for link in links:
            link.cut()

    def cut_after(self, length, way=UP):
        """Passes `length` more bytes in that direction, then cuts, once."""
        with self._changed:
            self._left[way] = length

    def cut_at(self, method, way, when, skip=0):
        """Cuts `before` or `after` the (skip+1)-th next unit with this AMQP method, once. Returns an Event that is set
        then."""
        assert when in ("before", "after")
        return self._add_step(_Step(method, way, when, skip))

    def await_passing(self, method, way):
        """Returns an Event that is set when the next unit with this AMQP method has passed."""
        return self._add_step(_Step(method, way, "passing", 0))

    def _add_step(self, step):
        assert self.is_amqp and step.way in BOTH
        with self._changed:
            self._steps.append(step)
        return step.happened

    def refuse(self):
        """New connections are refused, as with no process behind the port."""
        with self._changed:
            listener, self._listener = self._listener, None
        if listener:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def accept(self):
        """Takes back refuse, on the same port."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.port is None:
            self.port = free_port()
        listener.bind(("127.0.0.1", self.port))
        listener.listen(128)
        with self._changed:
            self._listener = listener
            self._changed.notify_all()

    def connection_count(self):
        with self._changed:
            return sum(any(thread.is_alive() for thread in link.threads) for link in self._links)

    def close(self):
        self._closed = True
        self.refuse()
        with self._changed:
            self._changed.notify_all()
        self._acceptor.join(5)
        self.resume()
        self.cut()

    # The working side.

    def _accept_loop(self):
        while not self._closed:
            with self._changed:
                self._changed.wait_for(lambda: self._listener or self._closed)
                listener = self._listener
            if not listener:
                continue
            try:
                client, _ = listener.accept()
            except OSError:
                continue
            try:
                server = socket.create_connection(self.target, timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._changed:
                self._links.append(_Link(self, client, server))

    def await_open(self, way):
        with self._changed:
            self._changed.wait_for(lambda: way not in self._paused or self._closed)

    def pass_on(self, link, way, method, piece, sink):
        """Called by a link's thread for each piece; false when that connection was cut."""
        if self._delay_s:
            time.sleep(self._delay_s)
        self.await_open(way)
        step = self._step_for(way, method)
        if step and step.when == "before":
            return self._cut_link(link, step.happened)
        with self._changed:
            is_swallowed = way in self._swallowed
            left = self._left.get(way)
            if left is not None and len(piece) > left:
                piece = piece[:left]
                del self._left[way]
            else:
                left = None
                if way in self._left:
                    self._left[way] -= len(piece)
            self.passed[way] += len(piece)
        if not is_swallowed:
            sink.sendall(piece)
        if left is not None:
            return self._cut_link(link)
        if step and step.when == "after":
            return self._cut_link(link, step.happened)
        if step:
            step.happened.set()
        return True

    def _step_for(self, way, method):
        with self._changed:
            for step in self._steps:
                if step.way == way and step.method == method:
                    if step.skip:
                        step.skip -= 1
                        continue
                    self._steps.remove(step)
                    return step
        return None

    def _cut_link(self, link, event=None):
        with self._changed:
            if link in self._links:
                self._links.remove(link)
        link.cut()
        if event:
            event.set()
        return False
