"""A handler that reports its progress, for those who follow tasks."""
import sys

WORKER = """
import struct, sys, time
import msgpack

def send(**body):
    data = msgpack.packb(body)
    sys.stdout.buffer.write(struct.pack(">I", len(data)) + data)
    sys.stdout.buffer.flush()

while head := sys.stdin.buffer.read(4):
    request = msgpack.unpackb(sys.stdin.buffer.read(struct.unpack(">I", head)[0]))
    about = dict(v=1, id=request["id"], attempt=request["attempt"])
    for n in range(int(sys.argv[1])):
        send(**about, kind="progress", seq=n + 1, progress={"step": n})
        time.sleep(0.11)
    send(**about, kind="succeeded", result=request["payload"], content_type="application/json")
"""


def handler(folder, steps, concurrency):
    """The task "steps": so many steps, reported as often as they are passed on; the result is the payload."""
    program = folder / "steps.py"
    program.write_text(WORKER)
    return {"task": "steps", "worker": [sys.executable, str(program), str(steps)], "concurrency": concurrency}
