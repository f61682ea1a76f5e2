"""The handler kinds to the letter of docs/handlers.md, and handlers that misbehave."""
import hashlib
import json
import os
import signal
import subprocess
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgpack
import pytest

from lib.paths import BIN, EXAMPLES, PYTHON, ROOT
from lib.service import run as run_service
from lib.wait import eventually
from processor_rig import rig  # pylint: disable=unused-import

ONCE = {"retry": {"attempts": 1}}


def shell(script, task="sh", **more):
    return {"task": task, "exec": ["/bin/sh", "-c", script], **more}


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def pid_in(path):
    return int(eventually(lambda: path.exists() and path.read_text().strip(), what=f"a pid in {path}"))


def children_of(pid):
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as children:
            found += children.read().split()
    return found


# exec.


def test_exec_gives_stdin_to_stdout_under_its_content_type(rig):
    r = rig([shell("tr a-z A-Z", content_type="text/plain"), {"task": "cat", "exec": ["cat"]}])
    reply = r.run("sh", b"loud\n")
    assert (reply["result"], reply["content_type"]) == (b"LOUD\n", "text/plain")
    payload = os.urandom(3 * 1024 * 1024)
    reply = r.run("cat", payload)
    assert (reply["result"], reply["content_type"]) == (payload, "application/octet-stream")


def test_exec_tells_the_task_in_the_environment_and_nothing_of_ours(rig, tmp_path):
    r = rig([{"task": "env", "exec": ["/usr/bin/env"], "env": ["COLOR=blue green"], "cwd": str(tmp_path)},
             {"task": "pwd", "exec": ["/bin/pwd"], "cwd": str(tmp_path)}])
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    before = int(time.time() * 1000)
    task_id = r.send("env", b"", attempt=2, content_type="text/csv", headers={"traceparent": trace})
    seen = dict(line.split("=", 1) for line in r.await_reply(task_id)["result"].decode().splitlines())
    ours = {name: value for name, value in seen.items() if name.startswith("POSTBACK_")}
    deadline = int(ours.pop("POSTBACK_DEADLINE"))
    assert before + 29000 <= deadline <= int(time.time() * 1000) + 30000
    assert ours.pop("POSTBACK_TASK_ID").replace("-", "") == task_id.hex()
    assert ours == {"POSTBACK_TASK": "env", "POSTBACK_ATTEMPT": "2", "POSTBACK_CONTENT_TYPE": "text/csv"}
    assert seen["TRACEPARENT"] == trace
    assert seen["COLOR"] == "blue green"
    assert "PATH" in seen
    second = r.run("env", b"")["result"]
    assert b"TRACEPARENT" not in second
    assert r.run("pwd")["result"].decode().strip() == str(tmp_path)


@pytest.mark.parametrize("code, kind", [(1, "retry"), (64, "failed"), (65, "failed"), (66, "retry"), (255, "retry")])
def test_exec_exit_codes(rig, code, kind):
    r = rig([shell(f"echo nonsense; echo first >&2; echo oh no >&2; exit {code}")])
    reply = r.run("sh")
    assert reply["kind"] == kind
    assert reply["error"]["type"] == "exit"
    assert reply["error"]["status"] == code
    assert reply["error"]["data"] == "first\noh no"
    assert bool(reply["error"].get("retryable")) == (kind == "retry")


def test_exec_signals_are_retried(rig):
    r = rig([shell("kill -SEGV $$")])
    reply = r.run("sh")
    assert (reply["kind"], reply["error"]["type"]) == ("retry", "signal")
    assert "11" in reply["error"]["message"]


def test_exec_keeps_only_the_end_of_stderr(rig):
    r = rig([shell("head -c 9000000 /dev/zero | tr '\\0' x >&2; echo end >&2; printf '\\377' >&2; exit 64")])
    data = r.run("sh")["error"]["data"]
    assert data.endswith("xxxend\n\ufffd")
    assert 4000 < len(data) <= 4096


def test_exec_that_reads_nothing_is_fine(rig):
    r = rig([shell("exec 0<&-; echo fine", content_type="text/plain")])
    assert r.run("sh", b"x" * 3_000_000)["result"] == b"fine\n"


def test_exec_inherits_no_descriptor_and_clean_signals(rig):
    r = rig([shell("ls /proc/self/fd | wc -l; grep -E 'SigBlk|SigIgn' /proc/self/status; ps -o pgid= -p $$; echo $$")])
    fds, blocked, ignored, group, pid = r.run("sh")["result"].decode().splitlines()
    # 0, 1, 2 and the folder that ls reads.
    assert int(fds) == 4
    assert int(blocked.split()[1], 16) == 0
    # 32 and 33 are glibc's own: posix_spawn leaves them ignored, and no program can tell.
    assert int(ignored.split()[1], 16) & ~(3 << 31) == 0
    assert group.strip() == pid


# Programs that misbehave; the next request must work each time.


@pytest.fixture
def hostile(rig, tmp_path):
    """Starts a processor with one hostile handler beside a good one, runs it and then checks the good one."""
    started = []

    def start(handler, **overrides):
        r = rig([{"task": "bad", "timeout": "1s", **ONCE, **handler}, shell("cat", task="good")], **overrides)
        started.append(r)
        return r

    yield start
    r = started[0]
    assert r.run("good", b"still here")["result"] == b"still here"
    assert r.stack.processor.is_running()
    eventually(lambda: r.metric("postback_processor_running") == 0, what="nothing runs")
    r.await_acked("bad")


def test_a_program_that_prints_without_end(hostile):
    r = hostile({"exec": ["/usr/bin/yes"], "output_limit": "1MiB", "timeout": "20s"})
    reply = r.run("bad")
    assert (reply["kind"], reply["error"]["type"]) == ("failed", "output_too_large")
    assert not reply["error"].get("retryable")
    assert r.stack.processor.rss_bytes() < 300 * 1024 * 1024


def test_a_program_that_complains_without_end(hostile):
    r = hostile({"exec": ["/bin/sh", "-c", "exec yes complaint >&2"]})
    reply = r.run("bad")
    assert reply["error"]["type"] == "timeout"
    assert len(reply["error"]["data"]) <= 4096


def test_a_program_that_never_ends(hostile, tmp_path):
    r = hostile({"exec": ["/bin/sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 1000"], "timeout": "3s"})
    reply = r.run("bad")
    assert reply["error"]["type"] == "timeout"
    assert not is_alive(pid_in(tmp_path / "pid"))


def test_a_program_that_ignores_term(hostile, tmp_path):
    script = f"trap '' TERM INT HUP; echo $$ > {tmp_path}/pid; while :; do sleep 1; done"
    r = hostile({"exec": ["/bin/sh", "-c", script], "timeout": "3s"})
    reply = r.run("bad")
    assert reply["error"]["type"] == "timeout"
    assert not is_alive(pid_in(tmp_path / "pid"))


def test_a_program_that_stops_itself(hostile):
    r = hostile({"exec": ["/bin/sh", "-c", "kill -STOP $$"]})
    assert r.run("bad")["error"]["type"] == "timeout"


def test_a_program_that_crashes(hostile):
    r = hostile({"exec": ["/bin/sh", "-c", "kill -ABRT $$"], "timeout": "30s"})
    assert r.run("bad")["error"]["type"] == "signal"


def test_a_program_that_closes_its_pipes_and_goes_on(hostile):
    r = hostile({"exec": ["/bin/sh", "-c", "exec 0<&- 1>&- 2>&-; sleep 1000"]})
    assert r.run("bad", b"x" * 1_000_000)["error"]["type"] == "timeout"


def test_a_program_that_closes_its_pipes_and_succeeds(hostile):
    r = hostile({"exec": ["/bin/sh", "-c", "echo done; exec 0<&- 1>&- 2>&-; sleep 0.2"], "timeout": "30s"})
    assert r.run("bad", b"x" * 1_000_000)["result"] == b"done\n"


def test_a_grandchild_that_hides_and_holds_stdout_is_not_waited_for(hostile, tmp_path):
    script = f"setsid sh -c 'echo $$ > {tmp_path}/pid; exec sleep 1000' & while [ ! -s {tmp_path}/pid ]; do sleep 0.01; " \
             "done; echo done"
    r = hostile({"exec": ["/bin/sh", "-c", script], "timeout": "30s"})
    assert r.run("bad")["result"] == b"done\n"
    hidden = pid_in(tmp_path / "pid")
    eventually(lambda: not is_alive(hidden), what="the hidden grandchild is killed")
    eventually(lambda: r.metric("postback_processor_strays_killed_total") >= 1)
    eventually(lambda: not children_of(r.stack.processor.pid), what="all are reaped")


def test_a_grandchild_in_the_group_goes_with_it(hostile, tmp_path):
    r = hostile({"exec": ["/bin/sh", "-c", f"sleep 1000 & echo $! > {tmp_path}/pid; echo done"], "timeout": "30s"})
    assert r.run("bad")["result"] == b"done\n"
    eventually(lambda: not is_alive(pid_in(tmp_path / "pid")), what="the grandchild is killed")


def test_generations_that_hide_are_all_reaped(hostile, tmp_path):
    script = f"setsid sh -c 'setsid sh -c \"setsid sleep 1000 & setsid sleep 1001 & echo > {tmp_path}/up; sleep 999\" & " \
             f"sleep 998' & while [ ! -e {tmp_path}/up ]; do sleep 0.01; done; echo done"
    r = hostile({"exec": ["/bin/sh", "-c", script], "timeout": "30s"})
    assert r.run("bad")["result"] == b"done\n"
    eventually(lambda: not children_of(r.stack.processor.pid), what="all are killed and reaped")


def test_a_program_that_prints_after_its_parent_ended_is_bounded(hostile):
    r = hostile({"exec": ["/bin/sh", "-c", "setsid yes & sleep 0.1"], "output_limit": "100MiB", "timeout": "30s"},
                amqp={"max_message": "120MiB"})
    reply = r.run("bad")
    assert reply["kind"] in ("succeeded", "failed")


def test_a_program_that_has_gone_is_a_failed_attempt(hostile, tmp_path):
    program = tmp_path / "here"
    program.write_text("#!/bin/sh\necho here\n")
    program.chmod(0o755)
    r = hostile({"exec": [str(program)], "timeout": "30s", "retry": {"attempts": 2}})
    assert r.run("bad")["result"] == b"here\n"
    program.unlink()
    reply = r.run("bad")
    assert (reply["kind"], reply["error"]["type"]) == ("retry", "not_started")


def test_many_runs_leave_no_descriptor(rig):
    r = rig([shell("cat", concurrency=4)])
    r.run("sh", b"first")
    before = r.stack.processor.fd_count()
    for task_id in [r.send("sh", b"x") for _ in range(60)]:
        assert r.await_reply(task_id)["result"] == b"x"
    eventually(lambda: r.stack.processor.fd_count() <= before, what="no descriptor more than before")


# worker.

WORKER = '''
import os, signal, sys, time, msgpack
out = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)
def send(request, kind, **more):
    raw(msgpack.packb({"v": 1, "id": request["id"], "attempt": request["attempt"], "kind": kind, **more}))
def raw(body, length=None):
    out.write((len(body) if length is None else length).to_bytes(4, "big") + body)
    out.flush()
while head := sys.stdin.buffer.read(4):
    request = msgpack.unpackb(sys.stdin.buffer.read(int.from_bytes(head, "big")))
    exec(request["payload"])
'''


@pytest.fixture
def worker(tmp_path):
    """A handler that runs the payload as Python inside a worker."""
    program = tmp_path / "worker.py"
    program.write_text(WORKER)
    return {"task": "bad", "worker": [PYTHON, "-u", str(program)], "timeout": "25s", **ONCE}


GOOD = b'send(request, "succeeded", result=b"%d" % os.getpid(), content_type="text/plain")'


def test_a_worker_stays_between_requests(rig, worker):
    r = rig([worker])
    first = r.run("bad", GOOD)
    assert first["content_type"] == "text/plain"
    assert r.run("bad", GOOD)["result"] == first["result"]
    assert r.run("bad", GOOD, lane="inline")["result"] == first["result"]


def test_a_worker_pool_is_as_large_as_the_concurrency(rig, worker):
    r = rig([{**worker, "concurrency": 3}])
    slow = b"time.sleep(0.5)\n" + GOOD
    pids = {r.await_reply(task_id)["result"] for task_id in [r.send("bad", slow) for _ in range(6)]}
    assert len(pids) == 3


def test_a_worker_says_failed_and_retry(rig, worker):
    r = rig([{**worker, "retry": {"attempts": 3}}])
    error = b'error={"type": "no_luck", "message": "why", "status": 7, "data": {"a": [1, 2]}}'
    reply = r.run("bad", b'send(request, "failed", ' + error + b")")
    assert reply["kind"] == "failed"
    assert reply["error"] == {"type": "no_luck", "message": "why", "status": 7, "data": {"a": [1, 2]}}
    reply = r.run("bad", b'send(request, "retry", retry_after_ms=1234, ' + error + b")")
    assert reply["kind"] == "retry"
    assert reply["retry_after_ms"] == 1234
    assert reply["error"]["retryable"]


def test_a_worker_tells_progress_latest_wins_and_in_order(rig, worker):
    r = rig([worker])
    script = b'for i in range(400):\n  send(request, "progress", progress={"percent": i}, seq=i)\n  time.sleep(0.002)\n' + GOOD
    task_id = r.send("bad", script, context=b"c")
    reply = r.await_reply(task_id)
    assert reply["kind"] == "succeeded"
    progress = r.said(task_id, "progress")
    # Ten a second.
    assert 3 <= len(progress) <= 5 + (reply["finished_at"] - reply["started_at"]) / 100
    assert [reply["seq"] for reply in progress] == list(range(1, len(progress) + 1))
    percents = [reply["progress"]["percent"] for reply in progress]
    assert percents == sorted(percents)
    assert all(reply["context"] == b"c" for reply in progress)


MISDEEDS = {
    "dies": (b"os._exit(3)", "worker_died"),
    "crashes": (b"os.kill(os.getpid(), signal.SIGSEGV)", "worker_died"),
    "prints text": (b'out.write(b"hello, world\\n" * 10); out.flush(); time.sleep(9)', "bad_frame"),
    "no msgpack": (b'raw(b"hello"); time.sleep(9)', "bad_frame"),
    "no reply": (b"raw(msgpack.packb([1, 2])); time.sleep(9)", "bad_frame"),
    "another id": (b'send({"id": b"y" * 16, "attempt": 1}, "succeeded", result=b""); time.sleep(9)', "bad_frame"),
    "another attempt": (b'send({"id": request["id"], "attempt": 7}, "succeeded", result=b""); time.sleep(9)', "bad_frame"),
    "a bomb": (b'raw(bytes.fromhex("df0fffffffc0")); time.sleep(9)', "bad_frame"),
    "half a frame": (b'raw(b"abc", 100); os._exit(0)', "worker_died"),
    "closes stdout": (b"out.close(); time.sleep(9)", "timeout"),
    "too much progress": (b'send(request, "progress", progress="x" * 70000); time.sleep(9)', "bad_frame"),
    "hangs": (b"time.sleep(1000)", "timeout"),
    "hangs and ignores TERM": (b"signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1000)", "timeout"),
}


@pytest.mark.parametrize("misdeed", MISDEEDS)
def test_a_worker_that_misbehaves_fails_one_run(rig, worker, misdeed):
    r = rig([{**worker, "retry": {"attempts": 2}}])
    script, error_type = MISDEEDS[misdeed]
    reply = r.run("bad", script, timeout_ms=3000 if error_type == "timeout" else None)
    assert (reply["kind"], reply["error"]["type"]) == ("retry", error_type)
    assert r.run("bad", GOOD)["kind"] == "succeeded"
    r.await_acked("bad")


@pytest.mark.parametrize("script", [
    b'send(request, "succeeded", result=b"x" * 2000000)',
    b'raw(b"", 100_000_000); time.sleep(9)',
])
def test_a_worker_with_too_large_a_result_has_failed_for_good(rig, worker, script):
    r = rig([{**worker, "output_limit": "1MiB", "retry": {"attempts": 2}}])
    reply = r.run("bad", script)
    assert (reply["kind"], reply["error"]["type"]) == ("failed", "output_too_large")
    assert r.run("bad", GOOD)["kind"] == "succeeded"


def test_a_worker_that_answers_twice_does_not_answer_the_next(rig, worker):
    r = rig([{**worker, "retry": {"attempts": 2}}])
    assert r.run("bad", GOOD + b"\n" + GOOD)["kind"] == "succeeded"
    reply = r.run("bad", b'send(request, "succeeded", result=b"own")')
    # The second answer may come while the child is idle, or as the answer to this one: it is killed either way.
    assert reply["kind"] == "retry" or reply["result"] == b"own"
    assert r.run("bad", GOOD)["kind"] == "succeeded"


def test_a_worker_that_cannot_start_is_a_failed_attempt(rig, tmp_path):
    r = rig([{"task": "bad", "worker": ["/bin/false"], "timeout": "1s"}, {"task": "echo", "builtin": "echo"}],
            ready=False)
    reply = r.run("bad")
    assert reply["kind"] == "retry"
    assert reply["error"]["type"] in ("worker_died", "timeout")
    assert r.run("echo", b"x")["result"] == b"x"
    # It is started again with growing pauses, not as fast as it dies.
    assert r.metric("postback_processor_child_restarts_total") < 20


def test_a_worker_is_canceled_by_its_end(rig, worker):
    r = rig([{**worker, "timeout": "60s"}])
    task_id = r.send("bad", b"time.sleep(1000)")
    eventually(lambda: r.metric("postback_processor_running") == 1)
    r.cancel(task_id)
    assert r.await_reply(task_id)["kind"] == "canceled"
    assert r.run("bad", GOOD)["kind"] == "succeeded"


def test_what_workers_say_goes_to_the_log_bounded(rig, worker):
    r = rig([worker])
    pid = r.run("bad", b'print("hello \\"log\\"\\x1b[31m"); ' + GOOD)["result"].decode()
    eventually(lambda: f'pid={pid} text="hello \\"log\\"\\x1b[31m"' in r.stack.processor.log_text())
    r.run("bad", b'print("line\\n" * 100000); ' + GOOD)
    assert r.stack.processor.log_text().count("event=handler_says") < 200
    r.run("bad", b"os._exit(3)")
    eventually(lambda: f"event=worker_died task=bad pid={pid} " in r.stack.processor.log_text())


def test_workers_leave_with_the_processor(rig, worker):
    r = rig([{**worker, "concurrency": 2}])
    pid = int(r.run("bad", GOOD)["result"])
    r.stack.processor.stop()
    assert not is_alive(pid)


def test_the_example_worker(rig):
    r = rig([{"task": "words", "worker": [PYTHON, str(EXAMPLES / "worker/words.py")], **ONCE}])
    reply = r.run("words", b"a rose is\na rose")
    assert json.loads(reply["result"]) == {"lines": 2, "words": 5, "top": [["a", 2], ["rose", 2], ["is", 1]]}
    assert r.run("words", b"\xff")["error"]["type"] == "not-text"
    task_id = r.send("words", b"line\n" * 300_000)
    r.await_reply(task_id)
    assert r.said(task_id, "progress")[0]["progress"]["message"].endswith(" lines")


# plugin.

PLUGIN = r'''
#include <postback/plugin.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int start(const char *config, void **state)
{
	*state = strdup(config);
	return strcmp(config, "refuse") ? 0 : -1;
}

static int run(void *state, const struct postback_task *task, struct postback_call *call)
{
	const char *what = task->payload_len ? task->payload : "";
	char text[200];

	if (!strncmp(what, "crash", 5))
		raise(SIGSEGV);
	if (!strncmp(what, "exit", 4))
		exit(0);
	if (!strncmp(what, "hang", 4))
		sleep(1000);
	if (!strncmp(what, "large", 5)) {
		static char big[2000000];
		return call->result(call, big, sizeof big, NULL) == POSTBACK_OK ? POSTBACK_OK : POSTBACK_FAILED;
	}
	if (!strncmp(what, "fail", 4))
		return call->error(call, "no_luck", "bad \xff bytes");
	if (!strncmp(what, "retry", 5))
		return POSTBACK_RETRY;
	if (!strncmp(what, "print", 5)) {
		puts("printed by a plug-in");
		fflush(stdout);
	}
	if (!strncmp(what, "progress", 8))
		for (int i = 0; i <= 100; i++)
			call->progress(call, i, "on");
	snprintf(text, sizeof text, "%s %s %s %u %zu %s", task->task, task->id, task->content_type, task->attempt,
		task->payload_len, (char *)state);
	return call->result(call, text, strlen(text), "text/plain");
}

static void stop(void *state)
{
	fprintf(stderr, "stopped in order\n");
	free(state);
}

const struct postback_plugin *postback_plugin(void)
{
	static const struct postback_plugin plugin = {ABI, sizeof plugin, "trial", start, run, stop};
	return &plugin;
}
'''


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    """Builds the trial plug-in against the public header alone; trial(abi) is its path."""
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "postback").mkdir()
    (folder / "postback/plugin.h").write_text((ROOT / "processor/plugin.h").read_text())
    (folder / "trial.c").write_text(PLUGIN)

    def build(abi="POSTBACK_PLUGIN_ABI"):
        out = folder / f"trial-{abi}.so"
        subprocess.run(["cc", "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Werror", "-shared", "-fPIC", f"-DABI={abi}",
                        "-I", folder, folder / "trial.c", "-o", out], check=True)
        return str(out)

    return build


def test_a_plugin_is_told_the_task_and_gives_a_result(rig, trial):
    r = rig([{"task": "trial", "plugin": trial(), "plugin_config": "blue"}])
    task_id = r.send("trial", b"abc", attempt=3, content_type="text/x")
    reply = r.await_reply(task_id)
    told = reply["result"].decode().split()
    assert told[1].replace("-", "") == task_id.hex()
    assert told[:1] + told[2:] == ["trial", "text/x", "3", "3", "blue"]
    assert reply["content_type"] == "text/plain"


def test_a_plugin_fails_alone(rig, trial):
    # A sanitizer in the host would report the crash that is meant.
    r = rig([{"task": "trial", "plugin": trial(), "timeout": "30s", "output_limit": "1MiB", "retry": {"attempts": 2},
              "env": ["ASAN_OPTIONS=handle_segv=0", "TSAN_OPTIONS=handle_segv=0"]}])
    outcomes = {what: r.run("trial", what, timeout_ms=2000 if what == b"hang" else None)
                for what in (b"crash", b"exit", b"hang", b"large", b"fail", b"retry")}
    seen = {what: (reply["kind"], reply["error"]["type"]) for what, reply in outcomes.items()}
    assert seen == {
        b"crash": ("retry", "worker_died"),
        b"exit": ("retry", "worker_died"),
        b"hang": ("retry", "timeout"),
        b"large": ("failed", "output_too_large"),
        b"fail": ("failed", "no_luck"),
        b"retry": ("retry", "failed"),
    }
    assert outcomes[b"fail"]["error"]["message"] == "bad \ufffd bytes"
    assert r.run("trial", b"after")["kind"] == "succeeded"


def test_a_plugin_prints_to_the_log_and_tells_progress(rig, trial):
    r = rig([{"task": "trial", "plugin": trial()}])
    assert r.run("trial", b"print")["kind"] == "succeeded"
    eventually(lambda: "printed by a plug-in" in r.stack.processor.log_text())
    task_id = r.send("trial", b"progress")
    assert r.await_reply(task_id)["kind"] == "succeeded"
    assert r.said(task_id, "progress")[0]["progress"]["message"] == "on"
    r.stack.processor.stop()
    assert "stopped in order" in r.stack.processor.log_text()


def test_a_plugin_of_another_abi_is_not_run(rig, trial):
    r = rig([{"task": "trial", "plugin": trial("99"), "timeout": "3s"}], ready=False)
    assert r.run("trial")["kind"] == "retry"
    eventually(lambda: "is no plug-in of ABI 1" in r.stack.processor.log_text())


def test_the_example_plugin(rig):
    library = next(path for path in (BIN.parent / "lib/postback/libhash.so", ) if path.exists())
    assert library
    r = rig([{"task": "hash", "plugin": "libhash.so"}])
    payload = os.urandom(5_000_000)
    reply = r.run("hash", payload)
    assert reply["result"].decode() == hashlib.sha256(payload).hexdigest()
    assert r.run("hash", b"")["error"]["type"] == "empty_payload"


# http.


class Upstream(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.command, self.path, dict(self.headers.items()), body))
        status, headers, answer = self.server.answers(self.path, body)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        try:
            self.wfile.write(answer)
        except OSError:
            pass

    do_PUT = do_GET = do_POST

    def log_message(self, *_):
        pass


@pytest.fixture
def upstream():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    server.daemon_threads = True
    server.seen = []
    server.answers = lambda path, body: (200, {"Content-Type": "application/json"}, b'{"ok":1.10}')
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def http(url, task="web", **more):
    options = more.pop("options", {})
    return {"task": task, "http": {"url": url, **options}, **more}


def test_http_sends_the_payload_and_gives_the_answer(rig, upstream):
    r = rig([http(upstream.url + "/score?x=1", options={"headers": ["X-Own: yes"]})])
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    task_id = r.send("web", b'{"n": 1.10}', headers={"traceparent": trace, "tracestate": "a=b"})
    reply = r.await_reply(task_id)
    assert reply["kind"] == "succeeded"
    assert (reply["result"], reply["content_type"]) == (b'{"ok":1.10}', "application/json")
    method, path, headers, body = upstream.seen[0]
    assert (method, path, body) == ("POST", "/score?x=1", b'{"n": 1.10}')
    assert headers["Content-Type"] == "application/json"
    assert headers["Idempotency-Key"].replace("-", "") == task_id.hex()
    assert headers["traceparent"] == trace
    assert headers["tracestate"] == "a=b"
    assert headers["X-Own"] == "yes"
    assert "Expect" not in headers


def test_http_fills_the_url_from_the_payload(rig, upstream):
    r = rig([http(upstream.url + "/u/{name}/x?n={n}", options={"method": "PUT"})])
    assert r.run("web", json.dumps({"name": "a/b ü?", "n": 1.5}).encode())["kind"] == "succeeded"
    assert upstream.seen[0][:2] == ("PUT", "/u/a%2Fb%20%C3%BC%3F/x?n=1.5")
    for payload in (b"{}", b"[]", b"nonsense", b'{"name": "..", "n": 1}', b'{"name": {}, "n": 1}', b'{"name": "", "n": 1}'):
        reply = r.run("web", payload)
        assert (reply["kind"], reply["error"]["type"]) == ("failed", "bad_payload"), payload
    assert len(upstream.seen) == 1


STATUSES = {200: "succeeded", 201: "succeeded", 204: "succeeded", 301: "failed", 400: "failed", 404: "failed", 408: "retry",
            409: "failed", 422: "failed", 425: "retry", 429: "retry", 500: "retry", 502: "retry", 503: "retry"}


def test_http_statuses(rig, upstream):
    r = rig([http(upstream.url + "/{status}")])
    upstream.answers = lambda path, _: (int(path[1:]), {"Content-Type": "application/json"},
                                        b"" if path == "/204" else b'{"detail":  [1.10]}')
    for status, kind in STATUSES.items():
        reply = r.run("web", b'{"status": %d}' % status)
        assert reply["kind"] == kind, status
        if kind != "succeeded":
            assert reply["error"]["type"] == "upstream_status"
            assert reply["error"]["status"] == status
            assert reply["error"]["data"] == b'{"detail":  [1.10]}'
            assert reply["content_type"] == "application/json"


def test_http_honours_retry_after(rig, upstream):
    r = rig([http(upstream.url)])
    upstream.answers = lambda *_: (503, {"Retry-After": "120"}, b"")
    assert r.run("web")["retry_after_ms"] == 120000
    upstream.answers = lambda *_: (429, {"Retry-After": formatdate(time.time() + 60, usegmt=True)}, b"")
    assert 50000 < r.run("web")["retry_after_ms"] <= 61000
    upstream.answers = lambda *_: (500, {"Retry-After": "soon"}, b"")
    assert "retry_after_ms" not in r.run("web")


def test_http_follows_307_and_308_within_the_origin(rig, upstream):
    r = rig([http(upstream.url + "/a")])
    moves = {"/a": (307, "/b"), "/b": (308, upstream.url + "/c")}

    def answers(path, _):
        if path in moves:
            status, location = moves[path]
            return status, {"Location": location}, b""
        return 200, {"Content-Type": "text/plain"}, b"here"

    upstream.answers = answers
    assert r.run("web", b'{"a":1}')["result"] == b"here"
    assert [(path, body) for _, path, _, body in upstream.seen] == [(p, b'{"a":1}') for p in ("/a", "/b", "/c")]
    moves["/c"] = (307, "http://localhost:1/d")
    reply = r.run("web", b'{"a":1}')
    assert (reply["kind"], reply["error"]["type"]) == ("failed", "upstream_redirect")
    moves["/c"] = (307, "/a")
    reply = r.run("web", b'{"a":1}')
    assert (reply["kind"], reply["error"]["type"]) == ("failed", "upstream_redirect")


def test_http_nobody_there_is_retried(rig, upstream):
    r = rig([http("http://127.0.0.1:1/")])
    reply = r.run("web")
    assert (reply["kind"], reply["error"]["type"]) == ("retry", "upstream_unreachable")


def test_http_too_large_an_answer_is_a_failure(rig, upstream):
    r = rig([http(upstream.url, output_limit="64KiB")])
    upstream.answers = lambda *_: (200, {}, b"x" * 200_000)
    reply = r.run("web")
    assert (reply["kind"], reply["error"]["type"]) == ("failed", "output_too_large")


def test_http_that_hangs_times_out_and_the_next_works(rig, upstream):
    hold = threading.Event()

    def answers(path, body):
        if body == b"hang":
            hold.wait(30)
        return 200, {}, b"ok"

    upstream.answers = answers
    r = rig([http(upstream.url, concurrency=2)])
    reply = r.run("web", b"hang", timeout_ms=500)
    assert (reply["kind"], reply["error"]["type"]) == ("retry", "timeout")
    assert r.run("web", b"go")["result"] == b"ok"
    task_id = r.send("web", b"hang", timeout_ms=60000)
    eventually(lambda: r.metric("postback_processor_running") == 1)
    r.cancel(task_id)
    assert r.await_reply(task_id)["kind"] == "canceled"
    hold.set()


# builtin.


def test_sleep_takes_seconds_and_refuses_nonsense(rig):
    r = rig([{"task": "sleep", "builtin": "sleep"}])
    for payload in (b"0.05", b'{"seconds": 0.05}', b'{"ms": 50}', b"", b"null", b"{}"):
        reply = r.run("sleep", payload)
        assert (reply["kind"], reply["result"]) == ("succeeded", payload)
    for payload in (b"-1", b"1e9", b'"x"', b"nonsense", b"[1]"):
        assert r.run("sleep", payload)["error"]["type"] == "bad_payload"


# What --check refuses.


def check(tmp_path, text):
    path = tmp_path / "check.yaml"
    path.write_text(text)
    return run_service("processor", "--check", "--config", path)


def test_check_accepts_the_example(tmp_path):
    done = check(tmp_path, "processor: {handlers: [{task: a, exec: [cat]}, {task: b, builtin: echo}]}")
    assert (done.returncode, done.stderr) == (0, "")


WRONG = {
    "{task: a}": "processor.handlers[0]: one of exec, worker, http, plugin and builtin is needed",
    "{task: a, exec: [cat], builtin: echo}": "processor.handlers[0]: only one of",
    "{task: a, exec: [/no/such]}": "processor.handlers[0].exec: /no/such: no such program",
    "{task: a, exec: [/etc/passwd]}": "processor.handlers[0].exec: /etc/passwd: is not an executable file",
    "{task: a, worker: [nobody-has-this]}": "processor.handlers[0].worker: nobody-has-this: no such program",
    "{task: a, plugin: /no/lib.so}": "processor.handlers[0].plugin: /no/lib.so: cannot be read",
    "{task: a, builtin: dance}": "processor.handlers[0].builtin: no such builtin",
    "{task: a, http: {url: 'ftp://x/'}}": "processor.handlers[0].http.url: is no http:// or https:// URL",
    "{task: a, http: {url: 'http://{host}/'}}": "may have {name} in its path and query only",
    "{task: a, http: {url: 'http://x/{a'}}": "has braces that do not match",
    "{task: a, http: {url: 'http://x/', headers: [nonsense]}}": "processor.handlers[0].http.headers: entry 0",
    "{task: a, builtin: echo, timeout: 40m}": "processor.handlers[0].timeout: is too long for amqp.consumer_timeout",
    "{task: a, builtin: echo, prefetch: 500}": "processor.handlers[0].prefetch: 500 runs of 30000 ms",
    "{task: a, builtin: echo, concurrency: 9, prefetch: 5}": "is less than the concurrency",
    "{task: a, builtin: echo, output_limit: 15MiB}": "processor.handlers[0].output_limit: must be",
    "{task: a, exec: [cat], env: [POSTBACK_X=1]}": "processor.handlers[0].env: entry 0",
    "{task: a, exec: [cat], cwd: /no/such}": "processor.handlers[0].cwd: /no/such: no such folder",
    "{task: a, builtin: echo, retry: {attempts: 101}}": "processor.handlers[0].retry.attempts: must be between 1 and 100",
    "{task: a, builtin: echo, retry: {base: 1h}}": "processor.handlers[0].retry: base is longer than cap, 10m",
    "{task: a, builtin: echo, retry: {base: 2s, cap: 1s}}": "processor.handlers[0].retry: base is longer than cap, 1s",
    "{task: a, builtin: echo, retry: {cap: 8d}}": "processor.handlers[0].retry.cap: must be between 0",
    "{task: a b, builtin: echo}": "processor.handlers[0].task: is no task name",
    "{task: a, builtin: echo}, {task: a, builtin: echo}": "processor.handlers[1].task: handlers[0] runs a already",
}


@pytest.mark.parametrize("handler", WRONG)
def test_check_refuses(tmp_path, handler):
    done = check(tmp_path, f"processor:\n  handlers: [{handler}]\n")
    assert done.returncode == 2
    assert WRONG[handler] in done.stderr
    assert f"{tmp_path}/check.yaml:2: " in done.stderr
