"""Live connections through nginx, configured as docs/live.md says."""
import json
import re
import subprocess

import pytest

from lib.client import Client
from lib.paths import ROOT
from lib.ports import free_port
from lib.rawsocket import RawSocket
from lib.sse import EventStream
from lib.wait import eventually

SERVER = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {map}
    server {{
        listen 127.0.0.1:{port};
        {location}
    }}
}}
"""


@pytest.fixture
def proxied(stack, tmp_path):
    """(the stack, the port of nginx in front of it)"""
    stack.start({"gateway": {"live": {"ping": "1s"}}})
    page = (ROOT / "docs/live.md").read_text(encoding="utf-8")
    location = re.search(r"```nginx\n(.*?)```", page, re.DOTALL).group(1)
    upgrade = re.search(r"`(map \$http_upgrade .*?})`", page).group(1)
    port = free_port()
    config = tmp_path / "nginx.conf"
    config.write_text(SERVER.format(
        folder=tmp_path, port=port, map=upgrade, location=location.replace("127.0.0.1:8080", f"127.0.0.1:{stack.ports['gateway']}")))
    process = subprocess.Popen(["/usr/sbin/nginx", "-c", config], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: Client(f"http://127.0.0.1:{port}").get("/livez").status_code == 200, what="nginx answers")
        yield stack, port
    finally:
        process.kill()
        process.wait()


def test_a_websocket_is_passed_on_with_pings_and_closes(proxied):
    stack, port = proxied
    task = stack.client.submit("sleep", {"seconds": 2})
    with RawSocket(port, target=f"/v1/tasks/{task}/ws") as connection:
        document = connection.document()
        while document["status"] != "succeeded":
            document = connection.document()
        connection.ends_with(1000, answer=True)


def test_a_websocket_that_is_told_what_to_follow(proxied):
    stack, port = proxied
    task = stack.client.submit("echo", 1, delay="1h")
    origin = f"http://127.0.0.1:{port}"
    with RawSocket(port, target="/v1/ws", headers={"Host": f"127.0.0.1:{port}", "Origin": origin}) as connection:
        connection.say(1, json.dumps({"subscribe": task}))
        assert connection.document() == {"subscribed": task}
        assert connection.document()["status"] == "scheduled"
        stack.client.delete(f"/v1/tasks/{task}")
        assert connection.document()["status"] == "canceled"


def test_events_come_as_they_happen(proxied):
    stack, port = proxied
    task = stack.client.submit("echo", 1, delay="1h")
    with EventStream(port, f"/v1/tasks/{task}/events") as stream:
        stream.await_events(1)
        stack.client.delete(f"/v1/tasks/{task}")
        stream.await_events(2)
        assert stream.statuses() == ["scheduled", "canceled"]


def test_plain_calls_pass_as_before(proxied):
    stack, port = proxied
    client = Client(f"http://127.0.0.1:{port}")
    answer = client.run("echo", '{"n": 1.10}', mode="sync")
    assert (answer.status_code, answer.text) == (200, '{"n": 1.10}')
    assert client.get("/v1/ws").status_code == 426
