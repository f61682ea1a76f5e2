"""The benchmark table: our own numbers beside the broker's own limit, both measured in the same run, round by round.

    script/bench [--rounds N] [--seconds S]
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib.broker import Broker  # noqa: E402
from lib.client import Client  # noqa: E402
from lib.paths import BIN, ROOT  # noqa: E402
from lib.stack import Stack  # noqa: E402
from lib.wait import eventually  # noqa: E402

import live  # noqa: E402
import webhooks  # noqa: E402

LOAD = ROOT / "tests/bench/load.lua"
LIMIT = BIN.parent / "tests/bench/broker_limit"
ENVELOPE = json.dumps({"task": "echo", "payload": {"name": "Bob", "n": 12345, "text": "x" * 100}})
PAYLOAD = json.dumps({"name": "Bob", "n": 12345})
HANDLERS = [{"task": "echo", "builtin": "echo", "concurrency": 512, "timeout": "5s"}]
IN_FLIGHT = 1000  # as many as the limit is measured with
MIB = 1024 * 1024


def numbers(line):
    return {key: float(value) for key, value in re.findall(r"(\w+)=([0-9.]+)", line)}


def load(url, connections, seconds, what=""):
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", LOAD, url, "--", what]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    result = numbers(next(line for line in said.splitlines() if line.startswith("RESULT")))
    if result["other"]:
        print(f"  {result['other']:.0f} refused or lost at {url}", file=sys.stderr)
    return result


def broker_limit(url, mode, seconds, *more):
    said = subprocess.run([LIMIT, "--url", url, "--mode", mode, "--seconds", str(seconds), *more],
                          capture_output=True, text=True, check=True).stdout
    return numbers(said)


def metric(client, name):
    text = client.get("/metrics").text
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))


def memory(stack):
    """Of the three services together, in bytes: what is resident, and that with pages they share counted once."""
    resident = shared_once = 0
    for service in stack.services.values():
        rollup = Path(f"/proc/{service.pid}/smaps_rollup").read_text(encoding="ascii")
        resident += int(re.search(r"^Rss:\s+(\d+)", rollup, re.M).group(1)) * 1024
        shared_once += int(re.search(r"^Pss:\s+(\d+)", rollup, re.M).group(1)) * 1024
    return {"resident": resident, "shared_once": shared_once}


def end_to_end(stack, seconds):
    """Submissions as fast as they are taken; the clock stops when the last of them has ended in the store."""
    notifier = stack.client_of("notifier")
    before = metric(notifier, "postback_tasks_total")
    began = time.monotonic()
    result = load(f"{stack.client.base}/v1/tasks", IN_FLIGHT, seconds, ENVELOPE)
    eventually(lambda: metric(notifier, "postback_tasks_total") - before >= result["good"], timeout=120,
               what="every submission ends")
    return {"submissions": result["good"] / result["seconds"], "tasks": result["good"] / (time.monotonic() - began)}


def polls(stack, seconds, folder):
    ids = [stack.client.submit("echo", {"n": n}) for n in range(200)]
    for task in ids[-5:]:
        stack.client.await_end(task)
    paths = folder / "paths"
    paths.write_text("".join(f"/v1/tasks/{task}\n" for task in ids), encoding="ascii")
    result = load(stack.client.base, 64, seconds, f"@{paths}")
    return result["good"] / result["seconds"]


def connected(stack, vhost, upstream, seconds, folder):
    """What clients that are connected know and cost."""
    row = live.latencies(stack, upstream)
    row["stream_bytes"] = live.idle_memory(stack)
    row.update(live.crowd(stack, vhost, folder, lambda: end_to_end(stack, seconds)["submissions"]))
    return row


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def settle(broker, share=0.1, window=0.5):
    """Until RabbitMQ is done with what the measurement before left it to do (its log is written behind)."""
    def is_idle():
        before = cpu_seconds(broker.pid)
        time.sleep(window)
        return cpu_seconds(broker.pid) - before < share * window

    eventually(is_idle, timeout=60, what="RabbitMQ is idle")


def one_round(broker, stack, peer, seconds, folder):
    row = {}
    settle(broker)
    row["limit"] = broker_limit(peer.url, "quorum", seconds)["round_trips_per_s"]
    settle(broker)
    row["plain"] = broker_limit(peer.url, "quorum", seconds, "--ack-every", "1")["round_trips_per_s"]
    settle(broker)
    row.update(end_to_end(stack, seconds))
    settle(broker)
    bare = broker_limit(peer.url, "transient", max(2, seconds // 2))
    held = load(f"{stack.client.base}/v1/run/echo?mode=sync", 1, max(2, seconds // 2), PAYLOAD)
    row["rpc_p50"], row["rpc_p99"] = bare["p50_us"], bare["p99_us"]
    row["sync_p50"], row["sync_p99"] = held["p50_us"], held["p99_us"]
    row["polls"] = polls(stack, max(2, seconds // 2), folder)
    row.update(memory(stack))
    return row


def table(rows):
    def median(key):
        return statistics.median(row[key] for row in rows)

    def ratio(a, b):
        return statistics.median(row[a] / row[b] for row in rows)

    def largest(key):
        return max(row[key] for row in rows) / MIB

    lines = [
        ("broker's own limit, acks by 64, round trips/s", f"{median('limit'):,.0f}", "1.00"),
        ("the same, each message acked by itself", f"{median('plain'):,.0f}", f"{ratio('plain', 'limit'):.2f}"),
        ("submissions/s (202 after the confirm)", f"{median('submissions'):,.0f}", f"{ratio('submissions', 'limit'):.2f}"),
        ("end-to-end tasks/s (ended in the store)", f"{median('tasks'):,.0f}", f"{ratio('tasks', 'limit'):.2f}"),
        ("bare transient RPC, p50 / p99", f"{median('rpc_p50'):,.0f} / {median('rpc_p99'):,.0f} us", "1.00"),
        ("sync over HTTP, p50 / p99", f"{median('sync_p50'):,.0f} / {median('sync_p99'):,.0f} us",
         f"{ratio('sync_p50', 'rpc_p50'):.2f}"),
        ("polls/s of finished tasks", f"{median('polls'):,.0f}", ""),
        ("handler's end to polling's answer, every 100 ms, p50 / p99",
         f"{median('polling_p50'):.1f} / {median('polling_p99'):.1f} ms", ""),
        ("handler's end to the server-sent event, p50 / p99",
         f"{median('sse_p50'):.1f} / {median('sse_p99'):.1f} ms", ""),
        ("handler's end to the WebSocket frame, p50 / p99",
         f"{median('websocket_p50'):.1f} / {median('websocket_p99'):.1f} ms", ""),
        ("submissions/s beside 5,000 WebSockets that hear 100 events/s", f"{median('beside'):,.0f}",
         f"{ratio('beside', 'alone'):.2f}"),
        ("memory of the gateway for each idle WebSocket", f"{median('socket_bytes') / 1024:.1f} KiB", ""),
        ("the same for each event stream", f"{median('stream_bytes') / 1024:.1f} KiB", ""),
        *webhooks.lines(median, ratio),
        ("memory of the services after the tasks, RSS summed", f"{largest('resident'):.1f} MiB", ""),
        ("the same, shared libraries counted once (PSS)", f"{largest('shared_once'):.1f} MiB", ""),
    ]
    width = max(len(line[0]) for line in lines)
    print(f"| {'median of ' + str(len(rows)) + ' rounds':{width}} | {'value':>20} | ratio |")
    print(f"|{'-' * (width + 2)}|{'-' * 21}:|------:|")
    for name, value, share in lines:
        print(f"| {name:{width}} | {value:>20} | {share:>5} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="postback-bench-") as name:
        folder = Path(name)
        broker = Broker(folder / "broker")
        stack = None
        upstream = live.Upstream()
        try:
            vhost, peer = broker.vhost_new(), broker.vhost_new()
            stack = Stack(vhost.url, folder)
            stack.start({"gateway": {"tasks": [live.PARKED]},
                         "processor": {"handlers": [*HANDLERS, upstream.handler()]}, "notifier": {"webhook": webhooks.OPTIONS}, "log": {"level": "warn"}})
            end_to_end(stack, 2)
            rows = []
            for n in range(options.rounds):
                print(f"round {n + 1} of {options.rounds} …", file=sys.stderr)
                rows.append(one_round(broker, stack, peer, options.seconds, folder))
            for row in rows:
                settle(broker)
                row.update(webhooks.at_all(stack, folder))
            for row in rows:
                settle(broker)
                row.update(connected(stack, vhost, upstream, options.seconds, folder))
            table(rows)
        finally:
            upstream.close()
            if stack:
                stack.close()
            broker.stop()


main()
