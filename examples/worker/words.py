#!/usr/bin/env python3
"""A handler of kind `worker`: a process that lives on and takes one task after the other.

Requests come on stdin and replies go to stdout: msgpack maps, each behind its length in four big-endian bytes. This
one counts the words of a text and tells how far it is.
"""
import collections
import json
import os
import struct
import sys
import time

import msgpack


# What any library prints must not get between the frames.
replies = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)


def read_request():
    head = sys.stdin.buffer.read(4)
    if len(head) < 4:
        sys.exit(0)  # the processor has closed the pipe: it stops
    return msgpack.unpackb(sys.stdin.buffer.read(struct.unpack(">I", head)[0]))


def reply(request, kind, **more):
    message = {"v": 1, "id": request["id"], "attempt": request["attempt"], "kind": kind, **more}
    if "context" in request:
        message["context"] = request["context"]
    body = msgpack.packb(message)
    replies.write(struct.pack(">I", len(body)) + body)
    replies.flush()


def now_ms():
    return int(time.time() * 1000)


def count(request):
    lines = request["payload"].decode().splitlines()
    words = collections.Counter()
    for number, line in enumerate(lines, 1):
        words.update(line.split())
        if number % 1000 == 0:
            progress = {"percent": 100 * number // len(lines), "message": f"{number} lines"}
            reply(request, "progress", seq=number, progress=progress)
    return json.dumps({"lines": len(lines), "words": words.total(), "top": words.most_common(10)}).encode()


while True:
    task = read_request()
    started = now_ms()
    try:
        result = count(task)
    except UnicodeDecodeError as error:
        wrong = {"type": "not-text", "message": str(error), "retryable": False}
        reply(task, "failed", error=wrong, started_at=started, finished_at=now_ms())
    else:
        reply(task, "succeeded", result=result, content_type="application/json", started_at=started,
              finished_at=now_ms())
