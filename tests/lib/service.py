"""One service process: started, watched, signalled and ended by a test."""
import ctypes
import os
import re
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor

from lib.paths import BIN

SANITIZER_REPORT = re.compile(
    rb"ERROR: AddressSanitizer|runtime error:|LeakSanitizer|WARNING: ThreadSanitizer|Assertion .* failed")
STOP_TIMEOUT_S = 40  # a little over the services' own limit for draining
SANITIZER_ENV = {
    "ASAN_OPTIONS": "exitcode=99:detect_leaks=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "exitcode=66:second_deadlock_stack=1",
}
PR_SET_PDEATHSIG = 1


def environment(more=None):
    """Without the caller's POSTBACK_… variables, which would win over a test's configuration."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("POSTBACK_")}
    return {**kept, **SANITIZER_ENV, **(more or {})}


_libc = ctypes.CDLL(None)
# The kernel kills the children when the *thread* that forked them ends, so one that never ends forks them all.
_spawner = ThreadPoolExecutor(max_workers=1)


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def spawn(args, log, **options):
    """A process whose output is appended to a file and that does not outlive this one."""
    with open(log, "ab") as out:
        return _spawner.submit(subprocess.Popen, args, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                               preexec_fn=_die_with_parent, **options).result()


def run(*args, timeout=120, env=None):
    """A service's program to its end: `run("gateway", "--check", "--config", path)`."""
    program = BIN / f"postback-{args[0]}"
    return subprocess.run([program, *map(str, args[1:])], capture_output=True, text=True, timeout=timeout,
                          stdin=subprocess.DEVNULL, env=environment(env), check=False)


class Service:
    """`kind`: gateway, processor or notifier. `port` answers /livez and /readyz."""

    def __init__(self, kind, config, port, log, env=None, name=None, cwd=None):
        self.kind = kind
        self.name = name or kind
        self.config = config
        self.port = port
        self.log = log
        self.cwd = cwd
        self.env = environment(env)
        self.process = None
        self._is_wanted = False

    @property
    def pid(self):
        return self.process.pid

    def start(self):
        assert not self.is_running(), f"{self.name} runs already"
        program = BIN / f"postback-{self.kind}"
        self.process = spawn([program, "--config", str(self.config)], self.log, env=self.env, cwd=self.cwd)
        self._is_wanted = True

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """As a crash: SIGKILL, and gone when this returns."""
        self._is_wanted = False
        self.process.kill()
        self.process.wait()

    def stop(self, timeout=STOP_TIMEOUT_S):
        """SIGTERM; asserts that it ends well, and within `timeout` seconds."""
        self._is_wanted = False
        if self.process is None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.name} still ran {timeout} s after SIGTERM") from None
        assert code == 0, f"{self.name} ended with {code} after SIGTERM"

    def await_end(self, timeout):
        """Of one that was asked to end otherwise; its exit code."""
        self._is_wanted = False
        return self.process.wait(timeout)

    def restart(self):
        self.stop()
        self.start()

    def signal(self, number):
        self.process.send_signal(number)

    def freeze(self):
        self.signal(signal.SIGSTOP)

    def thaw(self):
        self.signal(signal.SIGCONT)

    def log_bytes(self):
        return self.log.read_bytes() if self.log.exists() else b""

    def log_text(self):
        return self.log_bytes().decode("utf-8", "replace")

    def rss_bytes(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1)) * 1024

    def fd_count(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def complaints(self):
        """What no service may do, whatever the test is about."""
        found = []
        if self._is_wanted and not self.is_running():
            found.append(f"{self.name} ended by itself with {self.process.returncode}")
        report = SANITIZER_REPORT.search(self.log_bytes())
        if report:
            found.append(f"{self.name} reports: {self.log_bytes()[report.start():][:2000].decode(errors='replace')}")
        return found
