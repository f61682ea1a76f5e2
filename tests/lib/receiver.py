"""Receivers of webhooks: an HTTP server in this process that keeps what came and behaves as a test wants."""
import collections
import base64
import hashlib
import hmac
import http.server
import socketserver
import ssl
import struct
import socket
import threading
import time

from lib.ports import free_port
from lib.wait import eventually

Hook = collections.namedtuple("Hook", "at path headers body connection")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_b3RoZXIgc2VjcmV0IG9mIHRoZSByZWNlaXZlcg=="


def signature(secret, message_id, timestamp, body):
    """As the Standard Webhooks specification says, written anew."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def is_signed(hook, secret):
    expected = signature(secret, hook.headers["webhook-id"], hook.headers["webhook-timestamp"], hook.body)
    return expected in hook.headers["webhook-signature"].split(" ")


class Receiver:
    """`with Receiver() as receiver`: answers 200 to everything unless a path behaves otherwise:
    receiver.behave("/x", 500), …("/x", answer(429, {"Retry-After": "2"})), or a function of the request handler, or a
    list of those, one for each call, the last for all further ones. With a `certificate`, an Authority that has issued
    one, by https."""

    def __init__(self, port=None, host="127.0.0.1", certificate=None):
        self.port = port or free_port()
        self.host = host
        self.certificate = certificate
        self.hooks = []
        self._behaviours = {}
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._server = None
        self.connections = 0

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        self._released.clear()
        self._server = _Server((self.host, self.port), _Handler)
        self._server.receiver = self
        if self.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate.folder / "server.pem", self.certificate.folder / "server.key")
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        """Hanging requests end, too."""
        self._released.set()
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def url(self, path="/hook", host=None):
        return f"{'https' if self.certificate else 'http'}://{host or self.host}:{self.port}{path}"

    def behave(self, path, *behaviours):
        self._behaviours[path] = collections.deque(behaviours)

    def of(self, path):
        """The requests to a path, in the order in which they came."""
        return [hook for hook in list(self.hooks) if hook.path == path]

    def await_hooks(self, path, count, timeout=60):
        eventually(lambda: len(self.of(path)) >= count, timeout=timeout,
                   what=f"{count} webhooks at {path}; there are {len(self.of(path))}")
        return self.of(path)

    def take(self, handler, body):
        with self._lock:
            self.hooks.append(Hook(time.time(), handler.path, dict(
                (name.lower(), value) for name, value in handler.headers.items()), body, handler.client_address[1]))
            line = self._behaviours.get(handler.path)
            if not line:
                return 200
            return line.popleft() if len(line) > 1 else line[0]

    def hold(self):
        """For behaviours that hang: until the receiver stops."""
        self._released.wait(120)

    def is_released(self):
        return self._released.is_set()


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 1024
    allow_reuse_address = True

    def server_bind(self):
        # HTTPServer's would look the host's name up.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]

    def process_request(self, request, client_address):
        self.receiver.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request, client_address):
        """A client that went away is what many tests are about."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        """Silent."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        behaviour = self.server.receiver.take(self, body)
        if isinstance(behaviour, int):
            behaviour = answer(behaviour)
        behaviour(self)

    do_GET = do_PUT = do_POST


# Behaviours.

def answer(status, headers=None, body=b""):
    def behaviour(handler):
        handler.send_response(status)
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
    return behaviour


def hang(handler):
    """Takes the request and says nothing."""
    handler.server.receiver.hold()
    handler.close_connection = True


def reset(handler):
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def drip(handler):
    """One byte a second, without end."""
    receiver = handler.server.receiver
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 1000:
        handler.connection.sendall(bytes([byte]))
        if receiver._released.wait(1):
            break
    handler.close_connection = True


def flood(handler):
    """A gibibyte, or as much of it as is taken."""
    handler.server.receiver.flooded = 0
    handler.send_response(200)
    handler.send_header("Content-Length", str(1 << 30))
    handler.end_headers()
    try:
        for _ in range(1 << 14):
            handler.connection.sendall(b"x" * (1 << 16))
            handler.server.receiver.flooded += 1 << 16
    except OSError:
        pass
    handler.close_connection = True
