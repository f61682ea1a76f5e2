"""A worker that dies at every start: its processor is not ready and says why, until one holds."""
import os
import signal

import pytest

from lib.paths import PYTHON
from lib.wait import eventually
from processor_rig import rig  # pylint: disable=unused-import

# The payload is Python; without the file it dies at its start.
WORKER = r"""
import msgpack, os, sys
if not os.path.exists(sys.argv[1]):
    sys.exit(7)
while head := sys.stdin.buffer.read(4):
    request = msgpack.unpackb(sys.stdin.buffer.read(int.from_bytes(head, "big")))
    reply = {"v": 1, "id": request["id"], "attempt": request["attempt"], "kind": "succeeded",
             "result": b"%d" % os.getpid(), "content_type": "text/plain"}
    exec(request["payload"])
    data = msgpack.packb(reply)
    sys.stdout.buffer.write(len(data).to_bytes(4, "big") + data)
    sys.stdout.buffer.flush()
"""
ECHO = {"task": "echo", "builtin": "echo"}


class Worker:
    def __init__(self, folder):
        self.file = folder / "is-fine"
        program = folder / "worker.py"
        program.write_text(WORKER)
        self.handler = {"task": "report", "worker": [PYTHON, str(program), str(self.file)], "timeout": "20s"}
        self.mend()

    def spoil(self):
        self.file.unlink()

    def mend(self):
        self.file.touch()


@pytest.fixture
def worker(tmp_path):
    return Worker(tmp_path)


def handlers_check(r):
    return r.stack.client_of("processor").get("/readyz").json()["checks"]["handlers"]


def is_up(r, task):
    return r.metric("postback_processor_handler_up", task=task)


def die_at_every_start(r, worker):
    pid = int(r.run("report")["result"])
    worker.spoil()
    os.kill(pid, signal.SIGKILL)
    r.stack.await_unready("processor")


def test_a_processor_whose_worker_dies_at_every_start_is_not_ready_until_one_answers(rig, worker):
    r = rig([worker.handler, ECHO])
    assert (is_up(r, "report"), is_up(r, "echo")) == (1, 1)
    die_at_every_start(r, worker)
    assert handlers_check(r) == {
        "status": "down", "reason": "cannot run report: the worker exited with 7, again and again"}
    assert (is_up(r, "report"), is_up(r, "echo")) == (0, 1)
    # What comes meanwhile has a failed attempt, and others do not notice.
    reply = r.run("report")
    assert (reply["kind"], reply["error"]["type"]) == ("retry", "worker_died")
    assert r.run("echo", b"x")["result"] == b"x"
    worker.mend()
    assert r.run("report", timeout=30)["kind"] in ("succeeded", "retry")
    eventually(lambda: r.run("report")["kind"] == "succeeded", timeout=60, what="a worker that holds")
    assert handlers_check(r) == {"status": "up"}
    assert is_up(r, "report") == 1
    log = r.stack.processor.log_text()
    assert log.count("event=handler_down") == 1 and log.count("event=handler_up") == 1


def test_a_worker_that_holds_without_work_makes_its_processor_ready_again(rig, worker):
    r = rig([worker.handler])
    die_at_every_start(r, worker)
    worker.mend()
    r.stack.await_ready("processor", timeout=60)


def test_a_worker_that_prints_text_at_every_start_is_told_so(rig, worker, tmp_path):
    program = tmp_path / "worker.py"
    program.write_text(program.read_text().replace("sys.exit(7)", "print('hello', flush=True)"))
    r = rig([worker.handler])
    die_at_every_start(r, worker)
    assert handlers_check(r)["reason"] == \
        "cannot run report: the worker was ended: no frame, perhaps text printed to stdout, again and again"


def test_one_worker_that_holds_is_enough(rig, worker, tmp_path):
    second = tmp_path / "second"
    # The first child to come makes the file; whoever finds it dies.
    once = f"import os\nif os.path.exists({str(second)!r}): os._exit(7)\nopen({str(second)!r}, 'x').close()\n"
    program = tmp_path / "worker.py"
    program.write_text(once + program.read_text())
    r = rig([{**worker.handler, "concurrency": 2}])
    # It may be given to the one that dies.
    eventually(lambda: r.run("report")["kind"] == "succeeded", timeout=60, what="the one that holds has it")
    eventually(lambda: r.metric("postback_processor_child_restarts_total") >= 5, timeout=30, what="the other one dies")
    assert handlers_check(r) == {"status": "up"}


def test_requests_that_kill_workers_spoil_the_readiness_no_longer_than_they_come(rig, worker):
    r = rig([{**worker.handler, "retry": {"attempts": 1}}])
    for _ in range(4):
        assert r.run("report", b"os._exit(3)")["error"]["type"] == "worker_died"
    eventually(lambda: "event=handler_down task=report" in r.stack.processor.log_text(), what="it is told")
    assert r.run("report")["kind"] == "succeeded"
    assert handlers_check(r) == {"status": "up"}
