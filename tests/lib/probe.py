"""A client in a process of its own that asks for one path all the time and keeps the latencies, so that what it
measures is the service and not the test program's own threads.

    with Probe(port, "/livez") as probe: …
    probe.quantile(0.5), probe.wrong
"""
import http.client
import json
import subprocess
import sys
import time

PYTHON = "/usr/bin/python3"


class Probe:
    def __init__(self, port, path, expect=200, every=0.01):
        self.path, self.seconds, self.wrong = path, [], []
        self._command = [PYTHON, __file__, str(port), path, str(expect), str(every)]
        self._process = None

    def __enter__(self):
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout.readline() == "asking\n"
        return self

    def __exit__(self, *_):
        said, _ = self._process.communicate("stop\n", timeout=60)
        self.seconds, self.wrong = json.loads(said)

    def quantile(self, q):
        ordered = sorted(self.seconds)
        assert ordered, f"{self.path} was never answered"
        return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def ask(connection, path, expect, wrong):
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        if response.status != expect:
            wrong.append(response.status)
    except (OSError, http.client.HTTPException) as error:
        wrong.append(str(error))
        connection.close()


def main(port, path, expect, every):
    import select

    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=30)
    seconds, wrong = [], []
    print("asking", flush=True)
    while not select.select([sys.stdin], [], [], float(every))[0]:
        began = time.monotonic()
        ask(connection, path, int(expect), wrong)
        seconds.append(time.monotonic() - began)
    print(json.dumps([seconds, wrong]))


if __name__ == "__main__":
    main(*sys.argv[1:])
