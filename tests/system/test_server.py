"""script/server less its installing and building: what a newcomer runs."""
import os
import re
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from lib.client import Client
from lib.paths import BIN, PYTHON, ROOT
from lib.ports import free_port, is_open
from lib.service import environment
from lib.wait import eventually

START_TIMEOUT_S = 90
STOP_TIMEOUT_S = 90


class Server:
    """script/supervise on a state folder and a port of its own."""

    def __init__(self, state, *arguments, port=None, **env):
        self.state = state
        self.port = port or free_port()
        self.lines = []
        self.process = subprocess.Popen(
            [PYTHON, ROOT / "script/supervise", "--bin", BIN, *arguments], text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=environment({"POSTBACK_STATE_DIR": str(state), "POSTBACK_LISTEN": f"127.0.0.1:{self.port}", **env}))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.client = Client(f"http://127.0.0.1:{self.port}")

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)

    @property
    def output(self):
        return "".join(self.lines)

    def await_ready(self):
        def is_ready():
            assert self.process.poll() is None, self.output
            return "Ctrl-C stops everything" in self.output
        eventually(is_ready, timeout=START_TIMEOUT_S, what="the server is ready")

    def processes(self):
        """pid -> command of every process below it."""
        found = {}
        waiting = [self.process.pid]
        while waiting:
            for task in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
                for pid in map(int, task.read_text().split()):
                    found[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                    waiting.append(pid)
        return found

    def pid_of(self, name):
        return next(pid for pid, command in self.processes().items() if name in command)

    def run_to_end(self, timeout):
        code = self.process.wait(timeout)
        self._reader.join(10)
        return code

    def stop(self, number=signal.SIGINT):
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.run_to_end(STOP_TIMEOUT_S)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("a state"))
    try:
        server.await_ready()
        yield server
    finally:
        code = server.stop()
        print(server.output[-5000:])
    assert code == 0


def is_gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def ends_well(server, task="echo"):
    return server.client.await_end(server.client.submit(task, {"a": 1}))["status"] == "succeeded"


def test_the_lines_to_try_work(server):
    commands = [line.strip() for line in server.output.splitlines() if line.startswith("  curl")]
    assert len(commands) >= 3

    def curl(command):
        done = subprocess.run(["bash", "-c", command + " -sS --fail-with-body"], capture_output=True, text=True,
                              timeout=60, cwd=server.state)
        assert done.returncode == 0, f"{command}: {done.stdout} {done.stderr}"
        return done.stdout

    task = re.search(r'"id": ?"([0-9a-f-]+)"', curl(commands[0])).group(1)
    assert '"succeeded"' in curl(commands[1].replace("ID", task))
    assert curl(commands[2]) == '{"hello": "world"}'


@pytest.mark.parametrize("kind", ["gateway", "processor", "notifier"])
def test_a_service_that_dies_is_started_again(server, kind):
    pid = server.pid_of(f"postback-{kind}")
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: is_gone(pid))
    eventually(lambda: f"postback-{kind}" in " ".join(server.processes().values()), timeout=60)
    eventually(lambda: server.client.get("/readyz").status_code == 200, timeout=90)
    eventually(lambda: ends_well(server), timeout=60)


def test_a_broker_that_dies_is_started_again(server):
    assert ends_well(server)
    os.kill(server.pid_of("beam.smp"), signal.SIGKILL)
    eventually(lambda: server.client.get("/readyz").status_code == 503, timeout=90)
    eventually(lambda: server.client.get("/readyz").status_code == 200, timeout=60)
    eventually(lambda: ends_well(server), timeout=60)


def test_a_second_server_on_the_same_state_is_refused(server):
    second = Server(server.state)
    assert second.run_to_end(90) == 1
    assert "another script/server runs on" in second.output
    assert server.client.get("/livez").status_code == 200


def test_a_taken_port_is_told_before_anything_starts(server, tmp_path):
    second = Server(tmp_path, port=server.port)
    assert second.run_to_end(90) == 1
    assert f"gateway cannot listen on 127.0.0.1:{server.port}: Address already in use" in second.output
    assert not (tmp_path / "broker").exists()


def test_a_wrong_configuration_is_told_before_anything_starts(tmp_path):
    config = tmp_path / "wrong.yaml"
    config.write_text("gateway:\n  lissten: 127.0.0.1:1\n")
    server = Server(tmp_path / "state", "--config", config)
    assert server.run_to_end(90) == 1
    assert f"{config}:2: gateway.lissten" in server.output
    assert not (tmp_path / "state/broker").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_leaves_nothing_running_even_when_a_child_hangs(tmp_path, number):
    server = Server(tmp_path / "state")
    try:
        server.await_ready()
        assert ends_well(server, "upper")
        os.kill(server.pid_of("postback-notifier"), signal.SIGSTOP)
        pids = server.processes()
        assert any("beam.smp" in command for command in pids.values())
    finally:
        code = server.stop(number)
    assert code == 0, server.output
    eventually(lambda: not [command for pid, command in pids.items() if not is_gone(pid)], timeout=90)
    assert not is_open(server.port)
