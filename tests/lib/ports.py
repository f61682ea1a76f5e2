"""Free TCP ports below the kernel's range for outgoing connections, so that nobody's client takes one meanwhile."""
import random
import socket
import threading

_given = set()
_lock = threading.Lock()


def free_port():
    while True:
        port = random.randrange(20000, 32000)
        with _lock:
            if port in _given:
                continue
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
            _given.add(port)
            return port


def is_open(port, host="127.0.0.1"):
    try:
        socket.create_connection((host, port), timeout=1).close()
        return True
    except OSError:
        return False
