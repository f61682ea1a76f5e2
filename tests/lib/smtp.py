"""A mail server that behaves as a test wants, badly as a rule; for good ones there is lib/postfix.py."""
import collections
import email
import email.policy
import socket
import socketserver
import struct
import threading

from lib.ports import free_port

Mail = collections.namedtuple("Mail", "to message")

GOOD = {
    "CONNECT": "220 mail.example ESMTP", "HELO": "250 mail.example", "MAIL": "250 2.1.0 Ok", "RCPT": "250 2.1.5 Ok",
    "DATA": "354 go on", "CONTENT": "250 2.0.0 Ok: queued", "RSET": "250 2.0.0 Ok", "AUTH": "235 2.7.0 in",
    "STARTTLS": "454 4.7.0 not now", "QUIT": "221 2.0.0 Bye",
}


class SmtpServer:
    """`with SmtpServer() as server`: takes everything in `server.mails`, unless a step behaves otherwise:
    server.behave("RCPT", "450 4.2.0 later", None) answers so once and then well; a behaviour is a reply, None, or a
    function of the session. The last one stays. Steps: CONNECT, EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA, CONTENT, QUIT."""

    def __init__(self, features=()):
        self.port = free_port()
        self.url = f"smtp://127.0.0.1:{self.port}"
        self.features = features
        self.mails = []
        self.commands = []
        self.connections = 0
        self._behaviours = {}
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._server = _Server(("127.0.0.1", self.port), _Session)
        self._server.smtp = self

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        """Hanging sessions end, too."""
        self._released.set()
        self._server.shutdown()
        self._server.server_close()

    def behave(self, step, *behaviours):
        with self._lock:
            self._behaviours[step] = collections.deque(behaviours)

    def behave_well(self):
        """What hangs goes on hanging."""
        with self._lock:
            self._behaviours.clear()

    def of(self, address):
        """What was taken for an address, parsed."""
        return [mail.message for mail in list(self.mails) if mail.to == address]

    def behaviour(self, step):
        with self._lock:
            line = self._behaviours.get(step)
            found = None
            if line:
                found = line.popleft() if len(line) > 1 else line[0]
            return self._good(step) if found is None else found

    def _good(self, step):
        if step == "EHLO":
            return "\r\n".join(f"250-{line}" for line in ("mail.example", *self.features)) + "\r\n250 8BITMIME"
        return GOOD.get(step)

    def count(self, command):
        with self._lock:
            self.commands.append(command)

    def hold(self):
        self._released.wait(120)

    def is_released(self):
        return self._released.is_set()


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 256

    def handle_error(self, request, client_address):
        """A client that went away is what many tests are about."""


class _Session(socketserver.StreamRequestHandler):
    def handle(self):
        self.smtp = self.server.smtp
        self.smtp.connections += 1
        self.is_open = True
        self.receiver = None
        self.answer("CONNECT")
        while self.is_open:
            line = self.rfile.readline(65536)
            if not line:
                break
            self.command(line.decode("ascii", "replace").strip())

    def command(self, line):
        verb = line.split(" ")[0].upper()
        self.smtp.count(verb)
        if verb == "RCPT":
            self.receiver = line.partition("<")[2].partition(">")[0]
        if self.answer(verb) and verb == "DATA":
            self.content()
        if verb == "QUIT":
            self.is_open = False

    def content(self):
        lines = []
        while (line := self.rfile.readline(65536)) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b".") else line)
        self.message = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
        if line and self.answer("CONTENT"):
            self.keep()

    def keep(self):
        self.smtp.mails.append(Mail(self.receiver, self.message))

    def take(self):
        """As a good answer to the content, for behaviours."""
        self.keep()
        self.reply(GOOD["CONTENT"])

    def answer(self, step):
        """True when the step was answered well."""
        behaviour = self.smtp.behaviour(step) or "502 5.5.1 what?"
        if callable(behaviour):
            behaviour(self)
            return False
        self.reply(behaviour)
        return behaviour[0] in "23"

    def reply(self, text):
        self.wfile.write(text.encode() + b"\r\n")


# Behaviours.

def hang(session):
    """Says nothing any more."""
    session.smtp.hold()
    session.is_open = False


def drop(session):
    session.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # Readers and writers hold the socket as well.
    session.rfile.close()
    session.connection.close()
    session.is_open = False


def hang_up(session):
    """As a server that is told to stop."""
    session.reply("421 4.3.2 shutting down")
    session.is_open = False


def garbage(session):
    session.reply("\x00\xff HTTP/1.1 418 what\r\n\r\n\r\n25\r\nx 250 Ok")


def endless_reply(session):
    """Lines and lines of one reply."""
    while not session.smtp.is_released():
        session.wfile.write(b"250-and another one\r\n" * 1000)


def endless_line(session):
    while not session.smtp.is_released():
        session.wfile.write(b"2" * 65536)
