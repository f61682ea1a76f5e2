"""HTTP by hand, for what no client library would send."""
import re
import socket


class RawConnection:
    def __init__(self, port, host="127.0.0.1", timeout=60):
        self.socket = socket.create_connection((host, port), timeout=timeout)
        self._received = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def _fill(self):
        data = self.socket.recv(65536)
        self._received += data
        return bool(data)

    def _take(self, size):
        while len(self._received) < size:
            if not self._fill():
                raise ConnectionError(f"closed within a body: {self._received[:200]!r}")
        taken, self._received = self._received[:size], self._received[size:]
        return taken

    def response(self, is_head=False):
        """Reads one response: (status, headers with names in small letters, body). ConnectionError when it was closed
        before one was there."""
        while b"\r\n\r\n" not in self._received:
            if not self._fill():
                raise ConnectionError(f"closed before a response: {self._received[:200]!r}")
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        status = int(re.match(r"HTTP/1\.[01] (\d{3})", line).group(1))
        headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        return status, headers, self._body(status, headers, is_head)

    def _body(self, status, headers, is_head):
        if is_head or status in (204, 304) or status < 200:
            return b""
        if headers.get("transfer-encoding") == "chunked":
            return b"".join(self._chunks())
        if "content-length" in headers:
            return self._take(int(headers["content-length"]))
        while self._fill():
            pass
        return self._take(len(self._received))

    def _line(self):
        while b"\r\n" not in self._received:
            if not self._fill():
                raise ConnectionError("closed within chunks")
        line, _, self._received = self._received.partition(b"\r\n")
        return line

    def _chunks(self):
        while size := int(self._line().split(b";")[0], 16):
            yield self._take(size)
            self._line()
        while self._line():
            pass

    def is_closed(self, timeout=60):
        """True when the other side closes within `timeout` without saying more."""
        self.socket.settimeout(timeout)
        try:
            return not self._received and not self._fill()
        except ConnectionError:
            return True
        except socket.timeout:
            return False


def exchange(port, data, **options):
    """One request on a connection of its own: (status, headers, body)."""
    with RawConnection(port, **options) as connection:
        connection.send(data)
        return connection.response()
