#!/usr/bin/python3
"""A worker: a program that stays, and takes requests as frames on its stdin.

    processor:
      handlers:
        - {task: report, worker: [/usr/bin/python3, examples/worker/report.py], concurrency: 4}

Each frame is a 4-byte big-endian length and a msgpack map: docs/protocol.md tells what is in it. This one counts the
words of a text, slowly if it is asked to.
"""
import json
import os
import sys
import time
from collections import Counter

import msgpack

# What any library prints must not get between the frames.
replies = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)


def send(request, kind, **more):
    body = msgpack.packb({"v": 1, "id": request["id"], "attempt": request["attempt"], "kind": kind, **more})
    replies.write(len(body).to_bytes(4, "big") + body)
    replies.flush()


def requests():
    while head := sys.stdin.buffer.read(4):
        yield msgpack.unpackb(sys.stdin.buffer.read(int.from_bytes(head, "big")))


def handle(request):
    wish = json.loads(request["payload"] or b"{}")
    words = Counter(wish["text"].lower().split())
    for percent in range(0, 100, 10):
        time.sleep(wish.get("seconds", 0) / 10)
        send(request, "progress", progress={"percent": percent, "message": "counting"}, seq=percent)
    return {"words": sum(words.values()), "most_common": words.most_common(3)}


for wanted in requests():
    try:
        result = json.dumps(handle(wanted)).encode()
        send(wanted, "succeeded", result=result, content_type="application/json")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        send(wanted, "failed", error={"type": "bad_payload", "message": f"{type(error).__name__}: {error}"})
    except Exception as error:  # pylint: disable=broad-except
        send(wanted, "retry", error={"type": "failed", "message": str(error), "retryable": True})
