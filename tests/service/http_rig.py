"""The gateway's HTTP side alone: postback-http-probe with a configuration, and requests made by hand."""
import hashlib
import json
import subprocess

import pytest

from lib.paths import BIN
from lib.ports import free_port
from lib.raw import RawConnection, exchange
from lib.service import Service, environment
from lib.wait import eventually

KEY = "a-key-of-the-tests"
KEY_SHA256 = hashlib.sha256(KEY.encode()).hexdigest()


def request(method="GET", target="/livez", headers=None, body=b"", version="1.1", host="localhost"):
    """A whole request as bytes; Content-Length is added when there is a body."""
    fields = dict(headers or {})
    if host is not None:
        fields.setdefault("Host", host)
    if body:
        fields.setdefault("Content-Length", str(len(body)))
    lines = [f"{method} {target} HTTP/{version}", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Probe:
    def __init__(self, folder, gateway, prefix=(), env=None):
        self.port = free_port()
        self._config = folder / "probe.yaml"
        gateway = {"listen": f"127.0.0.1:{self.port}", **gateway}
        self._config.write_text(json.dumps({"gateway": gateway}))
        self.service = Service("http-probe", self._config, self.port, folder / "probe.log", env)
        self._prefix = prefix

    def start(self):
        if self._prefix:
            with open(self.service.log, "ab") as log:
                self.service.process = subprocess.Popen(
                    [*self._prefix, BIN / "postback-http-probe", "--config", self._config], stdout=log, stderr=log,
                    stdin=subprocess.DEVNULL, env=environment())
        else:
            self.service.start()
        eventually(self.is_well, what="the probe answers")

    def close(self):
        if self.service.is_running():
            self.service.stop()
        assert not self.service.complaints(), self.service.complaints()

    def connect(self, **options):
        return RawConnection(self.port, **options)

    def ask(self, *args, **options):
        """One request on a connection of its own: (status, headers, body)."""
        return exchange(self.port, request(*args, **options))

    def json(self, *args, **options):
        status, _, body = self.ask(*args, **options)
        assert status == 200, body
        return json.loads(body)

    def is_well(self):
        return self.ask()[0] == 200

    def count(self, **options):
        return self.json(target="/v1/count", **options)

    def metric(self, name, **labels):
        """The value of a series, 0 when it is not there."""
        wanted = ",".join(f'{label}="{value}"' for label, value in labels.items())
        text = self.ask(target="/metrics")[2].decode()
        for line in text.splitlines():
            series, _, value = line.rpartition(" ")
            if series == (f"{name}{{{wanted}}}" if labels else name):
                return float(value)
        return 0.0


def is_problem(answer, status, kind):
    """Asserts that an answer is that problem document with all that it must bear."""
    got, headers, body = answer
    assert got == status, (got, body)
    assert headers["content-type"] == "application/problem+json"
    assert headers["x-request-id"]
    assert headers["date"].endswith(" GMT")
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers
    document = json.loads(body)
    assert document["type"] == f"/problems/{kind}"
    assert document["status"] == status
    assert document["request_id"] == headers["x-request-id"]
    assert document["title"] and document["detail"]
    return document


@pytest.fixture
def make_probe(tmp_path):
    """make_probe(limits={…}, auth=…) gives a running Probe, ended and judged after the test."""
    probes = []

    def make(prefix=(), env=None, **gateway):
        folder = tmp_path / f"probe{len(probes)}"
        folder.mkdir()
        probes.append(Probe(folder, gateway, prefix, env))
        probes[-1].start()
        return probes[-1]

    yield make
    for probe in probes:
        probe.close()


@pytest.fixture
def probe(make_probe):
    return make_probe()
