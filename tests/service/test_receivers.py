"""An address that is none is refused where it comes in, and the answer names it: every spelling, at every door."""
import json

import pytest

from gateway_rig import ECHO, module_stack, problem
from lib.service import run

WRONG = {
    "webhook": ["", "x", "example.com", "//example.com/", "/hook", "ftp://example.com/", "file:///etc/passwd",
                "javascript:alert(1)", "https:/example.com", "https:example.com", "http://", "http://:80/",
                "http://user@example.com/", "http://user:secret@example.com/", "http://exam ple.com/",
                "http://example.com/\r\nX: y", "http://example.com/\t", "http://bücher.example/",
                "http://example.com:99999/", "http://[::1/", "http://b%C3%BCcher.example/", "http://a..b/", "http://a:0/",
                "https://example.com/" + "x" * 2048, "http://a/\0"],
    "email": ["", "ann", "@example.com", "ann@", "ann@@example.com", "Ann <ann@example.com>", "<ann@example.com>",
              "ann@example.com, bob@example.com", "ann@example.com\r\nBcc: bob@example.com", "ann@exa mple.com",
              "müller@example.com", "ann@bücher.example", "a%b@example.com", "a!b@example.com", '"a b"@example.com',
              "ann@[127.0.0.1]", ".ann@example.com", "ann.@example.com", "a..b@example.com", "ann@example..com",
              "ann@-example.com", "a" * 65 + "@example.com", "ann@" + "x." * 126 + "com", "ann@example.com\0"],
    "sms": ["", "+", "4915112345678", "004915112345678", "0151 12345678", "+0151123456", "+49", "+123456",
            "+4915112345678901", "+49 151 12345678", "+49-151-12345678", "+49(151)12345678", "++4915112345678",
            "tel:+4915112345678", "+4915112345678x", "+49151123456٣", "+4915112345678\n"],
}
KEY = {"webhook": "url", "email": "to", "sms": "to"}
GOOD = {"webhook": "https://example.com/", "email": "ann@example.com", "sms": "+4915112345678"}

api = module_stack(processor={"handlers": [ECHO]})


def envelope(channel, receiver):
    return {"task": "echo", "deliver": {channel: receiver}}


# Each gives the answer to an address that comes in there, and the field that the answer should name.

def as_text(client, channel, address):
    return client.post("/v1/tasks", json=envelope(channel, address)), f"/deliver/{channel}"


def as_object(client, channel, address):
    return (client.post("/v1/tasks", json=envelope(channel, {KEY[channel]: address, "on": ["dead"]})),
            f"/deliver/{channel}/{KEY[channel]}")


def in_a_list(client, channel, address):
    return client.post("/v1/tasks", json=envelope(channel, [GOOD[channel], address])), f"/deliver/{channel}/1"


def of_what_follows(client, channel, address):
    chain = {"task": "echo", "then": {"task": "echo", "then": envelope(channel, address)}}
    return client.post("/v1/tasks", json=chain), f"/then/then/deliver/{channel}"


def of_a_delayed_task(client, channel, address):
    return client.post("/v1/tasks", json={**envelope(channel, address), "delay": "1h"}), f"/deliver/{channel}"


def in_the_query(client, channel, address):
    return client.run("echo", b"1", **{channel: address}), channel


def in_a_batch(client, channel, address):
    answer = client.post("/v1/batches", json=[envelope(channel, address)])
    assert answer.json()["items"][0]["problem"]["field"] == f"/0/deliver/{channel}"
    return answer, f"/0/deliver/{channel}"


def after_a_batch(client, channel, address):
    return (client.post("/v1/batches", json={"tasks": [{"task": "echo"}], "then": envelope(channel, address)}),
            f"/then/deliver/{channel}")


def of_an_endpoint(client, channel, address):
    return client.post("/v1/endpoints", json={"url": address}), "/url"


DOORS = [(door, channel) for channel in WRONG
         for door in (as_text, as_object, in_a_list, of_what_follows, of_a_delayed_task, in_the_query, in_a_batch,
                      after_a_batch)] + [(of_an_endpoint, "webhook")]


@pytest.mark.parametrize("door, channel", DOORS, ids=[f"{channel}-{door.__name__}" for door, channel in DOORS])
def test_no_wrong_address_comes_in(api, door, channel):
    for address in WRONG[channel]:
        answer, field = door(api.client, channel, address)
        if door is in_the_query and "\0" in address:
            problem(answer, 400, "bad-request")
            continue
        document = problem(answer, 422, "invalid-field", field)
        assert document["detail"] and "secret" not in document["detail"], address


@pytest.mark.parametrize("channel", GOOD)
def test_a_right_one_comes_in_everywhere(api, channel):
    for door in {door for door, its in DOORS if its == channel}:
        if door is not in_a_batch:
            assert door(api.client, channel, GOOD[channel])[0].status_code in (201, 202), door.__name__
    assert api.client.post("/v1/batches", json=[envelope(channel, GOOD[channel])]).status_code == 202


@pytest.mark.parametrize("channel", WRONG)
def test_no_route_starts_with_a_wrong_address(api, tmp_path, channel):
    """An operator's mistake is told at the start, with its place in the file."""
    config = tmp_path / "postback.yaml"
    for address in (WRONG[channel][1], WRONG[channel][-3]):
        route = {"path": "POST /x", "task": "echo", "deliver": {channel: [GOOD[channel], address]}}
        config.write_text(json.dumps({"gateway": {"routes": [route]}}), encoding="utf-8")
        checked = run("gateway", "--check", "--config", config)
        assert checked.returncode != 0
        assert "gateway.routes[0].deliver" in checked.stderr and f"{channel}/1" in checked.stderr, checked.stderr
