"""WebSocket frames by hand, for what no client library would send."""
import json
import os
import socket
import struct

from lib.raw import RawConnection

TEXT, BINARY, CLOSE, PING, PONG, CONTINUATION = 1, 2, 8, 9, 10, 0


def frame(opcode, payload=b"", fin=True, mask=True, bits=0, length=None):
    """One frame as bytes; `length`: what its head says in place of the truth."""
    payload = payload.encode() if isinstance(payload, str) else payload
    size = len(payload) if length is None else length
    head = bytes([(0x80 if fin else 0) | bits << 4 | opcode])
    bit = 0x80 if mask else 0
    if size < 126:
        head += bytes([bit | size])
    elif size < 65536:
        head += bytes([bit | 126]) + struct.pack(">H", size)
    else:
        head += bytes([bit | 127]) + struct.pack(">Q", size)
    if not mask:
        return head + payload
    key = os.urandom(4)
    return head + key + bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))


def handshake(target, headers=None, host="localhost", key="dGhlIHNhbXBsZSBub25jZQ=="):
    fields = {"Host": host, "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
              "Sec-WebSocket-Key": key, **(headers or {})}
    lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items() if value is not None)]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


class RawSocket(RawConnection):
    """Connected and upgraded, unless opened with opens=False."""

    def __init__(self, port, target="/v1/socket", headers=None, opens=True, early=b"", receive_buffer=None, **options):
        if receive_buffer is None:
            super().__init__(port, **options)
        else:
            self.socket = socket.socket()
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            self.socket.settimeout(60)
            self.socket.connect(("127.0.0.1", port))
            self._received = b""
        if opens:
            self.send(handshake(target, headers) + early)
            self.headers = self.upgraded()

    def upgraded(self):
        """The headers of the 101, which has to come."""
        while b"\r\n\r\n" not in self._received:
            if not self._fill():
                raise ConnectionError(f"closed before a response: {self._received[:200]!r}")
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        assert line == "HTTP/1.1 101 Switching Protocols", head
        return {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}

    def say(self, *args, **options):
        self.send(frame(*args, **options))

    def next_frame(self):
        """(opcode, payload) of the next frame, which is whole and not masked."""
        first, second = self._take(2)
        assert first & 0x70 == 0 and not second & 0x80
        size = second & 0x7f
        if size == 126:
            size = struct.unpack(">H", self._take(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", self._take(8))[0]
        assert first & 0x80
        return first & 0xf, self._take(size)

    def text(self):
        """The next text, past pings (which are answered)."""
        while True:
            opcode, payload = self.next_frame()
            if opcode == PING:
                self.say(PONG, payload)
            elif opcode != PONG:
                assert opcode == TEXT, (opcode, payload)
                return payload.decode()

    def document(self):
        return json.loads(self.text())

    def close_code(self):
        """The code of the close frame that comes next but for other frames; 0: it bears none."""
        while True:
            opcode, payload = self.next_frame()
            if opcode == CLOSE:
                return struct.unpack(">H", payload[:2])[0] if payload else 0

    def ends_with(self, code, answer=False):
        """Asserts the close frame and then the end of the connection."""
        got = self.close_code()
        assert got == code, got
        if answer:
            self.say(CLOSE, struct.pack(">H", code))
        assert self.is_closed()
