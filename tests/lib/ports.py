"""Free TCP ports, as script/port gives them to everything that tests start."""
import socket
import subprocess

from lib.paths import ROOT


def free_port():
    return int(subprocess.run([ROOT / "script/port"], capture_output=True, check=True, timeout=60).stdout)


def is_open(port, host="127.0.0.1"):
    try:
        socket.create_connection((host, port), timeout=1).close()
        return True
    except OSError:
        return False
