"""Free TCP ports below the kernel's range for outgoing connections, so that nobody's client takes one meanwhile."""
import os
import random
import socket
import threading

FIRST, END = 20000, 32000

_given = set()
_lock = threading.Lock()


def _own_ports():
    """A share for each process of pytest: a port that one has given out and nobody listens on yet is free to another."""
    nth = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    share = (END - FIRST) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return range(FIRST + nth * share, FIRST + (nth + 1) * share)


def free_port():
    while True:
        port = random.choice(_own_ports())
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
