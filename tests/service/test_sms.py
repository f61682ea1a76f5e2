"""Outcomes pushed as short messages: through a real Kannel, a server that speaks as Twilio does, and any with HTTP."""
import base64
import itertools
import json
import re
import urllib.parse

import pytest

from gateway_rig import module_stack, problem
from lib.deliveries import attempts, await_deliveries, metric
from lib.kannel import PASSWORD, USER, Kannel
from lib.paths import ROOT
from lib.receiver import Receiver, answer, hang, reset
from lib.service import run
from lib.twilio import SID, TOKEN, Twilio, created, refusal
from lib.wait import eventually

FAST = ["0s", "200ms", "200ms"]
HANDLERS = [
    {"task": "echo", "builtin": "echo", "concurrency": 8},
    {"task": "fail", "exec": ["/bin/sh", "-c", "echo 'no disk' >&2; exit 64"]},
]
_numbers = itertools.count(4915100000000)


def new_number():
    return f"+{next(_numbers)}"


@pytest.fixture(scope="module")
def kannel(tmp_path_factory):
    with Kannel(tmp_path_factory.mktemp("kannel")) as running:
        yield running


@pytest.fixture(scope="module")
def twilio():
    with Twilio() as running:
        yield running


@pytest.fixture(scope="module")
def receiver():
    with Receiver() as running:
        yield running


# One stack for all; use() says how its notifier sends.
api = module_stack(processor={"handlers": HANDLERS})


def use(api, **sms):
    """The notifier with these options, restarted when they are others than before."""
    wanted = {"schedule": FAST, "timeout": "2s", "rate": 0, "from": "Postback", "text": "{result}", **sms}
    if api.config["notifier"].get("sms") == wanted:
        return api
    api.config["notifier"]["sms"] = wanted
    api.configure()
    api.notifier.restart()
    api.await_ready("notifier")
    return api


def use_kannel(api, kannel, **sms):
    return use(api, provider="kannel", url=kannel.url, username=USER, password=PASSWORD, **sms)


def use_twilio(api, twilio, **sms):
    return use(api, provider="twilio", url=twilio.base, username=SID, password=TOKEN, **sms)


def send(api, to, text, **deliver):
    return api.client.submit("echo", text, deliver={"sms": {"to": to, **deliver} if deliver else to})


# Kannel.

@pytest.mark.parametrize("text", [
    "Hallo Wält, 100 % & mehr+mehr",
    "it costs €20 {all} [of] ~it^ \\ |",
    "¡ÆØÅ ΔΦΓ à la carte!",
], ids=["letters", "extension", "more letters"])
def test_a_gsm_text_arrives_at_the_centre_as_it_is(api, kannel, text):
    to = new_number()
    task = send(use_kannel(api, kannel), to, text)
    (made,) = await_deliveries(api, task, delivered=1)
    assert (made.status, made.error) == (202, None)
    assert b"Accepted" in made.response
    (message,) = kannel.await_messages(to, 1)
    assert message == ("Postback", to, "gsm", b"", text)


@pytest.mark.parametrize("text", ["你好，世界", "Zażółć gęślą jaźń", "done \U0001f600\U0001f468‍\U0001f469‍\U0001f467"],
                         ids=["han", "polish", "emoji"])
def test_any_other_text_arrives_as_ucs2(api, kannel, text):
    to = new_number()
    await_deliveries(api, send(use_kannel(api, kannel), to, text), delivered=1)
    (message,) = kannel.await_messages(to, 1)
    assert message == ("Postback", to, "ucs2", b"", text)


def test_control_characters_cost_no_more_than_a_space(api, kannel):
    to = new_number()
    await_deliveries(api, send(use_kannel(api, kannel), to, "\x1b[31mERROR\x1b[0m" + "x" * 100), delivered=1)
    (message,) = kannel.await_messages(to, 1)
    assert (message.coding, message.text) == ("gsm", "[31mERROR [0m" + "x" * 100)


@pytest.mark.parametrize("piece,count,kept,encoding", [("0123456789", 46, 459, "utf-8"), ("€", 240, 228, "utf-8"),
                                                       ("世", 300, 201, "utf-16-be")], ids=["gsm", "extension", "ucs2"])
def test_a_long_text_is_cut_to_its_segments(api, kannel, piece, count, kept, encoding):
    to, whole = new_number(), piece * count
    await_deliveries(api, send(use_kannel(api, kannel, segments=3), to, whole), delivered=1)
    parts = kannel.await_messages(to, 3)
    assert len(parts) == 3
    assert [(part.udh[:3], part.udh[4:]) for part in parts] == [(b"\x05\x00\x03", bytes((3, n))) for n in (1, 2, 3)]
    assert b"".join(part.text for part in parts).decode(encoding) == whole[:kept]


def test_the_text_tells_of_the_outcome(api, kannel):
    to = new_number()
    task = api.client.submit("fail", 1, deliver={"sms": to})
    use_kannel(api, kannel, text="{task}: {status}")
    await_deliveries(api, task, delivered=1)
    assert [m.text for m in kannel.await_messages(to, 1)] == ["fail: failed"]


def test_each_receiver_gets_the_outcomes_that_it_wants(api, kannel):
    use_kannel(api, kannel)
    good, bad, both = new_number(), new_number(), [new_number(), new_number()]
    task = api.client.submit("echo", "yes", deliver={"sms": [
        {"to": good, "on": ["succeeded"]}, {"to": bad, "on": ["failed", "dead"]}, {"to": both}]})
    await_deliveries(api, task, delivered=3)
    for number in (good, *both):
        assert len(kannel.await_messages(number, 1)) == 1
    assert kannel.messages(bad) == []


@pytest.mark.parametrize("form", ["%2B{}", "+{}"], ids=["encoded", "as it is"])
def test_run_takes_a_number_in_the_query(api, kannel, form):
    to = new_number()
    use_kannel(api, kannel)
    answered = api.client.post(f"/v1/run/echo?sms={form.format(to[1:])}", data=b'"by query"',
                               headers={"Content-Type": "application/json"})
    assert answered.status_code == 202
    await_deliveries(api, answered.json()["id"], delivered=1)
    assert [m.text for m in kannel.await_messages(to, 1)] == ["by query"]


def test_a_number_that_kannel_has_no_route_to_is_dead_at_once(api, kannel):
    (made,) = await_deliveries(api, send(use_kannel(api, kannel), "+33123456789", "x"), dead=1)
    assert made.status == 403
    assert "no route" in made.error


def test_a_wrong_password_is_told_and_tried_again(api, kannel):
    wrong = "some other password"
    task = send(use(api, provider="kannel", url=kannel.url, username=USER, password=wrong), new_number(), "x")
    made = await_deliveries(api, task, dead=1)
    assert [a.status for a in made] == [403] * len(FAST)
    assert all("password is wrong" in a.error for a in made)
    assert wrong not in api.notifier.log_text()


def test_no_password_gets_into_a_log(api, kannel):
    def mentions():
        return kannel.logs()["smsbox.log"].count(PASSWORD)

    to, before = new_number(), mentions()  # it tells its configuration
    await_deliveries(api, send(use_kannel(api, kannel), to, "x"), delivered=1)
    kannel.await_messages(to, 1)
    assert mentions() == before
    assert PASSWORD not in api.notifier.log_text()


def test_a_provider_that_is_not_there_gets_it_when_it_is(api, tmp_path):
    late = Kannel(tmp_path)
    task = send(use_kannel(api, late, schedule=["0s"] + ["300ms"] * 30), "+4915112345678", "at last")
    eventually(lambda: len(attempts(api, task)) >= 2, what="two attempts have failed")
    assert {a.status for a in attempts(api, task)} == {0}
    with late:
        await_deliveries(api, task, delivered=1)
        assert [m.text for m in late.await_messages("+4915112345678", 1)] == ["at last"]


# Twilio.

def test_twilio_gets_what_its_interface_wants(api, twilio):
    to = new_number()
    text = "Wält & 世界 = 100% +1\nnext \U0001f600"
    task = send(use_twilio(api, twilio, **{"from": "+15005550006"}), to, text)
    (made,) = await_deliveries(api, task, delivered=1)
    assert made.status == 201
    assert twilio.forms(to) == [{"To": to, "From": "+15005550006", "Body": text}]


def test_a_messaging_service_is_named_as_one(api, twilio):
    to, service = new_number(), "MG" + "0123456789abcdef" * 2
    await_deliveries(api, send(use_twilio(api, twilio, **{"from": service}), to, "x"), delivered=1)
    assert twilio.forms(to) == [{"To": to, "MessagingServiceSid": service, "Body": "x"}]


@pytest.mark.parametrize("status,code,word", [(400, 21211, "no valid number"), (400, 21610, "does not want"),
                                              (400, 99999, "99999")])
def test_what_twilio_refuses_for_good_is_dead_with_its_code(api, twilio, status, code, word):
    twilio.answer_with(refusal(status, code))
    (made,) = await_deliveries(api, send(use_twilio(api, twilio), new_number(), "x"), dead=1)
    twilio.answer_with(created)
    assert made.status == status
    assert str(code) in made.error and word in made.error
    assert b"What is wrong in words" in made.response


@pytest.mark.parametrize("trouble", [refusal(500, 20500), refusal(503, 20503), refusal(401, 20003), refusal(400, 21606),
                                     answer(502, {}, b"<html>")],
                         ids=["500", "503", "401", "wrong sender", "a proxy's 502"])
def test_what_may_pass_is_tried_again(api, twilio, trouble):
    to = new_number()
    twilio.answer_with(trouble, trouble, created)
    made = await_deliveries(api, send(use_twilio(api, twilio), to, "x"), delivered=1)
    assert [a.number for a in made] == [1, 2, 3]
    assert all(a.error for a in made[:2]) and made[2].status == 201


def test_what_says_nothing_or_hangs_up_is_tried_again(api, twilio):
    to = new_number()
    # Over a kept connection a reset is tried once more at once, as HTTP clients do.
    twilio.answer_with(refusal(500, 20500, {"Connection": "close"}), reset, created)
    made = await_deliveries(api, send(use_twilio(api, twilio), to, "x"), delivered=1)
    assert [a.status for a in made] == [500, 0, 201]
    twilio.answer_with(hang, created)
    made = await_deliveries(api, send(use_twilio(api, twilio, timeout="1s"), to, "x"), delivered=1)
    assert [a.status for a in made] == [0, 201]
    assert "1000 ms" in made[0].error


def test_a_wrong_token_is_told(api, twilio):
    task = send(use(api, provider="twilio", url=twilio.base, username=SID, password="guessed"), new_number(), "x")
    made = await_deliveries(api, task, dead=1)
    assert [a.status for a in made] == [401] * len(FAST)
    assert all("token is wrong" in a.error for a in made)
    assert "guessed" not in api.notifier.log_text()


def test_too_many_requests_holds_all_of_them_back(api, twilio):
    use_twilio(api, twilio)
    first, second = new_number(), new_number()
    twilio.answer_with(refusal(429, 20429, {"Retry-After": "2"}), created)
    one = send(api, first, "x")
    eventually(lambda: len(attempts(api, one)) == 1, what="the first has been refused")
    other = send(api, second, "y")
    await_deliveries(api, one, delivered=1)
    (made,) = await_deliveries(api, other, delivered=1)
    refused, taken = attempts(api, one)
    assert (refused.status, taken.status) == (429, 201)
    assert taken.at - refused.at >= 1900
    assert made.at - refused.at >= 1900


# Any other, by HTTP.

def test_an_http_provider_gets_json_with_every_value_escaped(api, receiver):
    to, text = new_number(), 'say "hi" \\ 世界\nnext {to}'
    use(api, provider="http", url=receiver.url("/json"), username="me", password='pass"word',
        headers=["Authorization: Basic {credentials}", "Idempotency-Key: {delivery}", "X-Task: {task}/{id}"],
        body='{"to": ["{to}"], "text": "{text}", "key": "{password}"}')
    task = send(api, to, text)
    (made,) = await_deliveries(api, task, delivered=1)
    (hook,) = receiver.of("/json")
    assert json.loads(hook.body) == {"to": [to], "text": text, "key": 'pass"word'}
    assert hook.headers["content-type"] == "application/json"
    assert hook.headers["authorization"] == "Basic " + base64.b64encode(b'me:pass"word').decode()
    assert hook.headers["idempotency-key"] == made.delivery
    assert hook.headers["x-task"] == f"echo/{task}"


def test_an_http_provider_is_given_the_same_key_with_every_attempt(api, receiver):
    receiver.behave("/key", 500, 503, 200)
    use(api, provider="http", url=receiver.url("/key"), headers=["Idempotency-Key: {delivery}"])
    made = await_deliveries(api, send(api, new_number(), "x"), delivered=1)
    assert [a.number for a in made] == [1, 2, 3]
    assert {hook.headers["idempotency-key"] for hook in receiver.of("/key")} == {made[0].delivery}


def test_an_http_provider_may_want_a_form(api, receiver):
    to, text = new_number(), "a=b&c d+e%f 世界"
    use(api, provider="http", url=receiver.url("/form"), body="to={to}&text={text}&from={from}", body_format="form",
        method="PUT")
    await_deliveries(api, send(api, to, text), delivered=1)
    (hook,) = receiver.of("/form")
    assert hook.headers["content-type"] == "application/x-www-form-urlencoded"
    assert dict(urllib.parse.parse_qsl(hook.body.decode())) == {"to": to, "text": text, "from": "Postback"}


def test_an_http_provider_may_want_all_in_its_url(api, receiver):
    to, text = new_number(), "a/b?c&d=e #f 世界"
    use(api, provider="http", url=receiver.url("/get/{to}?text={text}&u={username}"), username="m&m", method="GET")
    await_deliveries(api, send(api, to, text), delivered=1)
    (hook,) = [hook for hook in receiver.hooks if hook.path.startswith("/get/")]
    path, _, query = hook.path.partition("?")
    assert path == "/get/" + urllib.parse.quote(to)
    assert dict(urllib.parse.parse_qsl(query)) == {"text": text, "u": "m&m"}
    assert hook.body == b""


def test_nothing_in_a_text_makes_a_header(api, receiver):
    use(api, provider="http", url=receiver.url("/head"), headers=["X-Text: {text} {result}"])
    await_deliveries(api, send(api, new_number(), "a\r\nX-Evil: 1\r\n\r\nbody"), delivered=1)
    (hook,) = receiver.of("/head")
    assert "x-evil" not in hook.headers
    assert "X-Evil: 1" in hook.headers["x-text"]


@pytest.mark.parametrize("status,tries", [(400, 1), (422, 1), (404, 3), (302, 3), (500, 3)])
def test_the_status_of_an_http_provider_says_whether_it_is_tried_again(api, receiver, status, tries):
    path = f"/status{status}"
    receiver.behave(path, answer(status, {"Location": receiver.url("/followed")}, b"why not"))
    use(api, provider="http", url=receiver.url("/status{result}"))
    made = await_deliveries(api, send(api, new_number(), str(status)), dead=1)
    assert [a.status for a in made] == [status] * tries
    assert all(a.response == b"why not" for a in made)
    assert receiver.of("/followed") == []


# Who may be sent what.

@pytest.mark.parametrize("deliver,field", [
    ({"sms": "4915112345678"}, "/deliver/sms"),
    ({"sms": "+49 151 12345678"}, "/deliver/sms"),
    ({"sms": ["+4915112345678", "+1"]}, "/deliver/sms/1"),
    ({"sms": {"to": "+0123456789"}}, "/deliver/sms/to"),
    ({"sms": {"to": "+4915112345678", "on": ["queued"]}}, "/deliver/sms/on/0"),
])
def test_a_number_that_is_none_is_refused_with_its_place(api, deliver, field):
    problem(api.client.envelope("echo", 1, deliver=deliver), 422, "invalid-field", field)


def test_a_query_with_a_number_that_is_none_is_refused(api):
    problem(api.client.run("echo", b"1", sms="0151/12345678"), 422, "invalid-field", "sms")


def test_only_allowed_numbers_are_sent_to(api, receiver):
    use(api, provider="http", url=receiver.url("/allowed"), allow_to=["+49151", "+8613"])
    task = api.client.submit("echo", "x", deliver={"sms": ["+4915112345678", "+4916012345678", "+8613800138000", "+12025550123"]})
    made = await_deliveries(api, task, delivered=2, dead=2)
    assert sorted(json.loads(hook.body)["to"] for hook in receiver.of("/allowed")) == ["+4915112345678", "+8613800138000"]
    assert len([a for a in made if a.error and "allow_to" in a.error]) == 2


def test_without_a_provider_it_is_dead_and_says_so(api):
    (made,) = await_deliveries(api, send(use(api), new_number(), "x"), dead=1)
    assert "notifier.sms.url" in made.error


@pytest.mark.parametrize("text", ["", " \r\n\t "])
def test_a_text_without_anything_in_it_is_not_sent(api, receiver, text):
    use(api, provider="http", url=receiver.url("/empty"))
    (made,) = await_deliveries(api, send(api, new_number(), text), dead=1)
    assert "empty" in made.error
    assert receiver.of("/empty") == []


def test_a_result_of_megabytes_is_no_trouble(api, receiver):
    use(api, provider="http", url=receiver.url("/large"))
    await_deliveries(api, send(api, new_number(), "x" * 4_000_000), delivered=1)
    (hook,) = receiver.of("/large")
    assert json.loads(hook.body)["text"] == "x" * 160


def test_what_passes_the_rate_waits_and_is_not_lost(api, receiver):
    use(api, provider="http", url=receiver.url("/rate"), rate=120)
    before = metric(api, "postback_notifier_deliveries_total", channel="sms", outcome="put_off")
    tasks = [send(api, new_number(), str(n)) for n in range(6)]
    for task in tasks:
        (made,) = await_deliveries(api, task, delivered=1)
        assert made.number == 1
    times = sorted(hook.at for hook in receiver.of("/rate"))
    assert times[-1] - times[0] > 1.5
    assert metric(api, "postback_notifier_deliveries_total", channel="sms", outcome="put_off") > before


def test_a_provider_that_hangs_delays_no_webhook(api, receiver):
    api.config["notifier"]["webhook"] = {"secrets": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], "allow": ["127.0.0.0/8"]}
    receiver.behave("/hangs", hang)
    use(api, provider="http", url=receiver.url("/hangs"), timeout="10s", concurrency=2)
    stuck = [send(api, new_number(), "x") for _ in range(5)]
    receiver.await_hooks("/hangs", 2)
    task = api.client.submit("echo", 1, deliver={"webhook": receiver.url("/quick")})
    await_deliveries(api, task, delivered=1, timeout=9)
    assert all(api.client.status(task)["deliveries"]["pending"] == 1 for task in stuck)
    receiver.behave("/hangs", 200)
    for task in stuck:
        await_deliveries(api, task, delivered=1)


# The configuration.

@pytest.mark.parametrize("sms,word", [
    ({"provider": "pigeon"}, "kannel"),
    ({"url": "ftp://x/"}, "url"),
    ({"provider": "twilio", "url": "https://api.twilio.com", "from": "x"}, "username"),
    ({"provider": "http", "url": "https://{to}.example.com/"}, "before its path"),
    ({"provider": "http", "url": "https://example.com:{to}/"}, "before its path"),
    ({"provider": "http", "url": "https://example.com{to}"}, "before its path"),
    ({"provider": "http", "url": "{to}://example.com/"}, "url"),
    ({"provider": "http", "url": "https://user:{password}@example.com/"}, "before its path"),
    ({"provider": "http", "url": "https://example.com/", "headers": ["no header"]}, "headers[0]"),
    ({"provider": "http", "url": "https://example.com/", "headers": ["Content-Length: 7"]}, "headers[0]"),
    ({"provider": "http", "url": "https://example.com/", "body": "{to"}, "body"),
    ({"text": "{status"}, "text"),
    ({"segments": 11}, "segments"),
    ({"allow_to": ["49"]}, "allow_to"),
    ({"schedule": []}, "schedule"),
    ({"from": "a\nb"}, "from"),
])
def test_a_wrong_option_is_told(tmp_path, sms, word):
    config = tmp_path / "postback.yaml"
    config.write_text(json.dumps({"notifier": {"sms": sms}}), encoding="utf-8")
    done = run("notifier", "--check", "--config", config)
    assert done.returncode == 2 and word in done.stderr and "notifier.sms" in done.stderr, done.stderr


def test_the_configurations_of_the_manual_are_valid(tmp_path):
    blocks = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "docs/sms.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 5
    for block in blocks:
        for name in re.findall(r"/etc/postback/(\S+)", block):
            (tmp_path / name).write_text("a secret\n", encoding="utf-8")
        config = tmp_path / "postback.yaml"
        config.write_text(block.replace("/etc/postback/", f"{tmp_path}/"), encoding="utf-8")
        done = run("notifier", "--check", "--config", config)
        assert done.returncode == 0, f"{block}\n{done.stderr}"


def test_the_password_may_come_from_a_file(api, twilio, tmp_path):
    secret = tmp_path / "token"
    secret.write_text(TOKEN + "\n", encoding="utf-8")
    to = new_number()
    task = send(use(api, provider="twilio", url=twilio.base, username=SID, password_file=str(secret)), to, "x")
    await_deliveries(api, task, delivered=1)
    assert len(twilio.forms(to)) == 1
