"""What a service tells whoever started it, by systemd's protocol; and the unit that goes with it."""
import contextlib
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from lib.paths import BIN, EXAMPLES
from lib.ports import free_port
from lib.wait import eventually

SERVICES = ("gateway", "processor", "notifier")
WATCHDOG_S = 1.0


class Supervisor:
    """The socket on which the service says how it is."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.env = {"NOTIFY_SOCKET": str(path)}
        self.said = []

    def hears(self, word, timeout=60):
        """Waits until it is said again."""
        self.socket.settimeout(timeout)
        while True:
            self.said.append(self.socket.recv(4096).decode())
            if self.said[-1] == word:
                return True

    def is_silent_for(self, seconds):
        self.socket.settimeout(seconds)
        with contextlib.suppress(TimeoutError):
            self.socket.recv(4096)
            return False
        return True

    def drain(self):
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.said.append(self.socket.recv(4096).decode())


@pytest.fixture
def supervisor(tmp_path):
    supervisor = Supervisor(tmp_path / "notify")
    yield supervisor
    supervisor.socket.close()


@pytest.mark.parametrize("kind", SERVICES)
def test_ready_and_stopping_are_told(stack, supervisor, kind):
    stack.start(only=(kind,), ready=False, env=supervisor.env)
    assert supervisor.hears("READY=1")
    assert stack.client_of(kind).get("/readyz").status_code == 200
    stack.services[kind].stop()
    assert supervisor.hears("STOPPING=1")
    assert supervisor.said == ["READY=1", "STOPPING=1"]


def test_what_cannot_work_does_not_say_that_it_is_ready(make_stack, supervisor):
    stack = make_stack(f"amqp://guest:guest@127.0.0.1:{free_port()}/")
    stack.start(only=("notifier",), ready=False, env=supervisor.env)
    eventually(lambda: "broker_down" in stack.notifier.log_text(), what="it has tried")
    stack.notifier.stop()
    assert supervisor.hears("STOPPING=1")
    assert "READY=1" not in supervisor.said


def is_stopped(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@pytest.mark.parametrize("kind", SERVICES)
def test_the_watchdog_is_fed_while_the_loop_turns(make_stack, supervisor, kind):
    stack = make_stack(f"amqp://guest:guest@127.0.0.1:{free_port()}/")
    stack.start(only=(kind,), ready=False, env={**supervisor.env, "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6))})
    for _ in range(3):
        assert supervisor.hears("WATCHDOG=1")
    stack.services[kind].freeze()
    eventually(lambda: is_stopped(stack.services[kind].pid), what="it stands still")
    supervisor.drain()
    assert supervisor.is_silent_for(WATCHDOG_S)
    stack.services[kind].thaw()
    assert supervisor.hears("WATCHDOG=1")


def test_the_second_signal_ends_it_at_once_and_the_log_says_so(stack):
    stack.start({"processor": {"handlers": [{"task": "sleep", "builtin": "sleep"}]}})
    task = stack.client.submit("sleep", {"seconds": 60})
    eventually(lambda: stack.client.status(task)["status"] == "running", what="the task runs")
    service = stack.processor
    service.signal(signal.SIGTERM)
    eventually(lambda: "event=stopping" in service.log_text(), what="the end has begun")
    service.signal(signal.SIGTERM)
    assert service.await_end(60) == 1
    assert 'event=cut_short why="a second signal"' in service.log_text()


UNIT = EXAMPLES / "systemd/postback@.service"


def test_the_unit_is_one_that_systemd_takes(tmp_path):
    """With this build's programs in the places of those that it names."""
    text = UNIT.read_text(encoding="utf-8")
    for kind in SERVICES:
        unit = tmp_path / f"postback@{kind}.service"
        unit.write_text(text.replace("/usr/local/bin/", f"{BIN}/"), encoding="utf-8")
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=one", unit], timeout=60,
                              capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_lets_every_service_end_in_order():
    settings = dict(re.findall(r"^(\w+)=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE))
    longest = [30 + 5, 30 + 19, 30 + 20]  # docs/operations.md: gateway, processor, notifier as they are by default
    assert int(settings["TimeoutStopSec"]) > max(longest)
    assert int(settings["LimitNOFILE"]) >= 10000 + 100
    assert (settings["Type"], settings["KillMode"]) == ("notify", "mixed")
