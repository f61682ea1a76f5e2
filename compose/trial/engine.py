"""A Docker engine: the one that answers, or else a private one from Debian's packages.

The private one leaves this machine as it was: no rule of the firewall, no bridge of its own, no forwarding. Containers
reach each other and are reached through published ports; the world outside they do not reach, so builds use the host's
network.
"""
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from lib.wait import eventually
from trial.tool import LAST_WORDS, Refused, succeeds

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 60
UNTOUCHED = ("--iptables=false", "--ip6tables=false", "--ip-masq=false", "--ip-forward=false", "--bridge=none")


@contextlib.contextmanager
def engine(state, keep):
    """DOCKER_HOST says where it is as long as this lasts. `state`: the data of a private one, which stays with `keep`."""
    if succeeds("docker", "version"):
        yield
        return
    private = PrivateEngine(state / "engine")
    private.start()
    before = os.environ.get("DOCKER_HOST")
    os.environ["DOCKER_HOST"] = private.host
    try:
        yield
    finally:
        private.stop()
        if not keep:
            shutil.rmtree(private.data)
        if before is None:
            del os.environ["DOCKER_HOST"]
        else:
            os.environ["DOCKER_HOST"] = before


class PrivateEngine:
    def __init__(self, data):
        self.data = data
        # The path of a socket has to be short.
        self.folder = Path(tempfile.mkdtemp(prefix="postback-engine-"))
        self.host = f"unix://{self.folder}/docker.sock"
        self.log = self.folder / "log"
        self.process = None

    def start(self):
        if os.geteuid() != 0:
            raise Refused("no Docker engine answers, and to start one needs root")
        if not shutil.which("dockerd"):
            raise Refused("no Docker engine answers, and none is installed: run script/setup --ci")
        self.data.mkdir(parents=True, exist_ok=True)
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["dockerd", "--host", self.host, "--data-root", self.data, "--exec-root", self.folder / "exec",
                 "--pidfile", self.folder / "pid", *UNTOUCHED],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        try:
            eventually(self._answers, timeout=START_TIMEOUT_S, every=0.2, what="the engine answers")
        except AssertionError:
            said = self.log.read_text(errors="replace")[-LAST_WORDS:]
            self.stop()
            raise Refused(f"the Docker engine does not start:\n{said}") from None

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"dockerd ended with {self.process.returncode}")
        return succeeds("docker", "--host", self.host, "version")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self._unmount()
        shutil.rmtree(self.folder)

    def _unmount(self):
        """What an engine that was killed left mounted."""
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for mount in sorted(mounts, reverse=True):
            if mount.startswith((f"{self.folder}/", f"{self.data}/")):
                subprocess.run(["umount", "--lazy", mount], check=False)
