"""Outcomes pushed by email through a real Postfix, and through servers that misbehave."""
import datetime
import email.utils
import hashlib
import json
import re
import time

import pytest

from gateway_rig import problem
from lib.authority import Authority
from lib.deliveries import attempts, await_deliveries, metric
from lib.paths import ROOT
from lib.postfix import PASSWORD, USER, Postfix
from lib.receiver import SECRET, Receiver
from lib.service import run
from lib.smtp import SmtpServer, drop, endless_line, endless_reply, garbage, hang, hang_up
from lib.stack import Stack
from lib.wait import eventually

FROM = "Pöstback & Co <no-reply@example.com>"
HANDLERS = [
    {"task": "echo", "builtin": "echo", "concurrency": 8},
    {"task": "fail", "exec": ["/bin/sh", "-c", "echo 'no <luck>' >&2; exit 64"]},
    {"task": "picture", "exec": ["/bin/cat"], "content_type": "image/png"},
]
TEMPLATES = [
    {"name": "titled", "subject": "{metadata.title}", "text": "Dear {to},\n{result}\nError: {error.type?}\n",
     "html": "<b>{metadata.title}</b>"},
    {"name": "plain", "text": "{result}"},
]


def options(**more):
    return {
        "processor": {"handlers": HANDLERS},
        "notifier": {"email": {"from": FROM, "allow_to": ["*@example.com"], "schedule": ["0s", "200ms"], "timeout": "10s",
                               "attachment_max": "64KiB", "templates": TEMPLATES, **more}},
    }


@pytest.fixture(scope="module")
def postfix():
    with Postfix(access={"late@example.com": "451 4.7.1 greylisted"}) as running:
        yield running


@pytest.fixture(scope="module")
def make_module_stack(broker, tmp_path_factory):
    made = []

    def make(name, **email_options):
        vhost = broker.vhost_new()
        made.append((Stack(vhost.url, tmp_path_factory.mktemp(name)), vhost))
        return made[-1][0].start(options(**email_options))

    yield make
    wrong = []
    for stack, vhost in made:
        try:
            stack.close()
        except AssertionError as error:
            wrong.append(str(error))
        broker.vhost_delete(vhost)
    assert not wrong, "\n".join(wrong)


@pytest.fixture(scope="module")
def api(make_module_stack, postfix):
    """Over STARTTLS and AUTH."""
    return make_module_stack("email", url=postfix.url("submission"), username=USER, password=PASSWORD,
                             ca_file=postfix.ca_file)


@pytest.fixture(scope="module")
def bad_server():
    with SmtpServer() as server:
        yield server


@pytest.fixture(scope="module")
def bad(make_module_stack, bad_server):
    """Whose mail server is bad_server."""
    return make_module_stack("bad", url=bad_server.url, timeout="2s", schedule=["0s", "100ms", "100ms"])


@pytest.fixture
def misbehave(bad_server):
    yield bad_server.behave
    bad_server.behave_well()
    bad_server.features = ()
    bad_server.commands.clear()


def part(mail, kind):
    return mail.get_body((kind,)).get_content()


# What arrives.

def test_an_outcome_arrives_as_text_and_html(api, postfix):
    task = api.client.submit("echo", b'{"b":1.10,"a":12345678901234567890}', deliver={"email": "ann@example.com"})
    (made,) = await_deliveries(api, task, delivered=1)
    mail = next(mail for mail in postfix.await_mails("ann") if mail["X-Postback-Task"] == task)
    assert mail["From"].addresses[0].display_name == "Pöstback & Co"
    assert mail["From"].addresses[0].addr_spec == mail["Return-Path"].strip("<>") == "no-reply@example.com"
    assert [address.addr_spec for address in mail["To"].addresses] == ["ann@example.com"]
    assert mail["Subject"] == "echo: succeeded"
    assert mail["Message-ID"] == f"<{made.delivery}@example.com>"
    assert mail["Auto-Submitted"] == "auto-generated"
    age = datetime.datetime.now(datetime.timezone.utc) - email.utils.parsedate_to_datetime(mail["Date"])
    assert abs(age.total_seconds()) < 60
    assert '{"b":1.10,"a":12345678901234567890}' in part(mail, "plain")
    assert "{&quot;b&quot;:1.10," in part(mail, "html")
    assert "Error" not in part(mail, "plain") and "attachment" not in part(mail, "plain")
    assert not mail.defects
    assert (made.number, made.status, made.error) == (1, 250, None)
    assert b"queued as" in made.response


def test_a_failure_is_told_with_its_reason(api, postfix):
    task = api.client.submit("fail", 1, deliver={"email": {"to": "ann@example.com", "on": ["failed"]}}, metadata={})
    await_deliveries(api, task, delivered=1)
    mail = postfix.await_mails("ann", subject="fail: failed")[-1]
    message = api.client.status(task)["error"]["message"]
    assert f"Error: {message}" in part(mail, "plain") and "Result" not in part(mail, "plain")


def test_a_subject_may_be_in_any_script(api, postfix):
    title = "grüß 你好 " + "長い件名" * 20 + " 🎉"
    task = api.client.submit("echo", "你好", metadata={"title": title},
                             deliver={"email": {"to": "ann@example.com", "template": "titled"}})
    await_deliveries(api, task, delivered=1)
    (mail,) = postfix.await_mails("ann", subject=title)
    assert part(mail, "plain") == "Dear ann@example.com,\n你好\n"
    assert not mail.defects
    # As every server takes it: not all of them know SMTPUTF8.
    assert mail.source.isascii()


def test_nothing_that_a_client_says_makes_a_header_or_markup(api, postfix):
    title = "x\r\nBcc: bob@example.com\r\n\r\n.\r\n<script>"
    before = len(postfix.mails("bob"))
    task = api.client.submit("echo", 1, metadata={"title": title},
                             deliver={"email": {"to": "ann@example.com", "template": "titled"}})
    await_deliveries(api, task, delivered=1)
    (mail,) = postfix.await_mails("ann", subject="x  Bcc: bob@example.com    .  <script>")
    assert mail["Bcc"] is None and not mail.defects
    assert part(mail, "html").rstrip() == "<b>x\nBcc: bob@example.com\n\n.\n&lt;script&gt;</b>"
    assert len(postfix.mails("bob")) == before


def test_text_arrives_line_for_line(api, postfix):
    text = ".\n..\n.x\nFrom me\n \nblank at the end \n\ttab\t\n=3D\n" + "long " * 400 + "\n" + "x" * 3000 + "\n.\nend\n"
    task = api.client.submit("echo", text, deliver={"email": {"to": "bob@example.com", "template": "plain"}})
    await_deliveries(api, task, delivered=1)
    (mail,) = [mail for mail in postfix.await_mails("bob") if mail["X-Postback-Task"] == task]
    assert mail.get_content_type() == "text/plain"
    assert part(mail, "plain") == text


def test_a_binary_result_is_attached_byte_for_byte(api, postfix):
    octets = bytes(range(256)) * 200
    task = api.client.run("picture", octets, content_type="image/png", email="ann@example.com").json()["id"]
    await_deliveries(api, task, delivered=1)
    (mail,) = postfix.await_mails("ann", subject="picture: succeeded")
    (attached,) = mail.iter_attachments()
    assert attached.get_content() == octets
    assert (attached.get_content_type(), attached.get_filename()) == ("image/png", "picture.png")
    assert "picture.png" in part(mail, "plain") and "picture.png" in part(mail, "html")


def test_a_large_result_is_not_attached(api, postfix):
    task = api.client.run("picture", b"\xff" * (64 * 1024 + 1), content_type="image/png", email="bob@example.com").json()["id"]
    await_deliveries(api, task, delivered=1)
    (mail,) = postfix.await_mails("bob", subject="picture: succeeded")
    assert list(mail.iter_attachments()) == [] and "Result" not in part(mail, "plain")


def test_each_receiver_is_a_delivery_of_its_own(api, postfix):
    task = api.client.submit("echo", 1, deliver={"email": {"to": ["ann@example.com", "nobody@example.com"]}})
    good, refused = await_deliveries(api, task, delivered=1, dead=1)
    assert good.status == 250
    assert (refused.status, refused.number) == (550, 1)
    assert "550 to RCPT" in refused.error and b"User unknown" in refused.response
    assert good.delivery != refused.delivery
    assert [mail["X-Postback-Task"] for mail in postfix.await_mails("ann")].count(task) == 1


def test_who_is_asked_to_wait_is_tried_again(api):
    task = api.client.submit("echo", 1, deliver={"email": "late@example.com"})
    made = await_deliveries(api, task, dead=1)
    assert [a.status for a in made] == [451, 451]
    assert all(b"greylisted" in a.response for a in made)


def test_only_allowed_addresses_are_written_to(api):
    task = api.client.submit("echo", 1, deliver={"email": ["ann@example.org", "ann@example.com.evil.example",
                                                           "ANN@EXAMPLE.COM"]})
    made = await_deliveries(api, task, delivered=1, dead=2)
    assert [a.status for a in made] == [0, 0, 250]
    assert all("notifier.email.allow_to" in a.error for a in made[:2])


def test_a_template_that_is_not_there_is_told(api):
    task = api.client.submit("echo", 1, deliver={"email": {"to": "ann@example.com", "template": "nonsense"}})
    (made,) = await_deliveries(api, task, dead=1)
    assert "notifier.email.templates" in made.error


def test_a_canceled_task_is_told_of(api, postfix):
    task = api.client.submit("echo", 1, delay="1h", deliver={"email": "bob@example.com"})
    eventually(lambda: api.client.status(task)["status"] == "scheduled", what="it is scheduled")
    assert api.client.delete(f"/v1/tasks/{task}").status_code in (200, 202)
    await_deliveries(api, task, delivered=1)
    postfix.await_mails("bob", subject="echo: canceled")


@pytest.mark.parametrize("deliver,field", [
    ("ann", "/deliver/email"),
    ("Ann <ann@example.com>", "/deliver/email"),
    ("ann@example.com, bob@example.com", "/deliver/email"),
    ("ann@example.com\r\nBcc: bob@example.com", "/deliver/email"),
    ("müller@example.com", "/deliver/email"),
    (["ann@example.com", ""], "/deliver/email/1"),
    ({"to": ["ann@example.com", "a%b@example.com"]}, "/deliver/email/to/1"),
    ({"to": []}, "/deliver/email/to"),
    ({"on": ["failed"]}, "/deliver/email/to"),
    ({"to": "ann@example.com", "cc": "bob@example.com"}, "/deliver/email/cc"),
    ({"to": "ann@example.com", "template": "a b"}, "/deliver/email/template"),
    ({"to": [f"a{n}@example.com" for n in range(101)]}, "/deliver/email/to/100"),
])
def test_what_can_be_seen_to_be_wrong_is_refused_with_its_place(api, deliver, field):
    problem(api.client.envelope("echo", 1, deliver={"email": deliver}), 422, "invalid-field", field)


def test_run_refuses_what_is_no_address(api):
    problem(api.client.run("echo", b"1", email="ann at example.com"), 422, "invalid-field", "email")


def test_metrics_tell_of_deliveries(api):
    def count():
        return [metric(api, "postback_notifier_deliveries_total", channel="email", outcome=outcome)
                for outcome in ("delivered", "dead")] + \
               [metric(api, "postback_notifier_attempt_seconds_count", channel="email")]

    before = count()
    task = api.client.submit("echo", 1, deliver={"email": ["ann@example.com", "nobody@example.com"]})
    await_deliveries(api, task, delivered=1, dead=1)
    assert [b - a for a, b in zip(before, count())] == [1, 1, 2]


def test_no_secret_gets_into_the_log(api):
    assert PASSWORD not in api.notifier.log_text()


# Ways to the server.

@pytest.fixture(scope="module")
def ways(make_module_stack):
    """ways(url=…): a stack whose notifier has begun anew with these options."""
    made = make_module_stack("ways")

    def use(**email_options):
        made.configure({"notifier": {"email": {"url": None, "username": None, "password": None, "ca_file": None,
                                               "starttls": None, "rate": None, **email_options}}})
        made.notifier.restart()
        made.await_ready("notifier")
        return made

    return use


def submit(stack, to="ann@example.com"):
    return stack.client.submit("echo", 1, deliver={"email": to})


@pytest.mark.parametrize("service,more,protocol", [
    ("clear", {}, "ESMTP"),
    ("starttls", {"starttls": "required"}, "ESMTPS"),
    ("starttls", {"starttls": "optional"}, "ESMTPS"),
    ("starttls", {}, "ESMTP"),
    ("submissions", {"username": USER, "password": PASSWORD}, "ESMTPSA"),
    ("clear-auth", {"username": USER, "password": PASSWORD, "starttls": "never"}, "ESMTPA"),
], ids=["in clear", "STARTTLS", "STARTTLS as offered", "no TLS toward loopback", "TLS and AUTH", "AUTH toward loopback"])
def test_each_way_to_a_server_works(ways, postfix, service, more, protocol):
    stack = ways(url=postfix.url(service), ca_file=postfix.ca_file, **more)
    task = submit(stack)
    await_deliveries(stack, task, delivered=1)
    (mail,) = [mail for mail in postfix.await_mails("ann") if mail["X-Postback-Task"] == task]
    assert f"with {protocol} " in mail["Received"]


def expect_failures(stack, words, status, event=None):
    made = await_deliveries(stack, submit(stack), dead=1)
    assert len(made) == 2 and all(a.status == status for a in made)
    assert all(words in a.error for a in made), made
    if event:
        assert event in stack.notifier.log_text()
    assert PASSWORD not in stack.notifier.log_text()


def test_a_certificate_of_another_authority_is_refused(ways, postfix, tmp_path):
    other = Authority(tmp_path, "Other CA")
    stack = ways(url=postfix.url("submission"), ca_file=str(other.file), username=USER, password=PASSWORD)
    expect_failures(stack, "TLS with the server failed: SSL certificate problem", 0, "email_tls_failed")
    ways(url=postfix.url("submissions"), ca_file=str(other.file), username=USER, password=PASSWORD)
    expect_failures(stack, "TLS with the server failed: SSL certificate problem", 0)


def test_a_certificate_for_another_name_is_refused(ways, postfix):
    # Every name under localhost is a loopback address.
    url = postfix.url("submission").replace("127.0.0.1", "other.localhost")
    stack = ways(url=url, ca_file=postfix.ca_file, username=USER, password=PASSWORD)
    expect_failures(stack, "TLS with the server failed: SSL: no alternative certificate subject name matches", 0)


def test_a_password_never_goes_where_tls_is_not_offered(ways, bad_server, misbehave):
    bad_server.features = ("AUTH PLAIN LOGIN",)
    stack = ways(url=bad_server.url, username=USER, password=PASSWORD)
    expect_failures(stack, "the server does not offer STARTTLS", 0, "email_tls_failed")
    assert "AUTH" not in bad_server.commands and "MAIL" not in bad_server.commands


def test_a_wrong_password_is_told_and_kept_to_itself(ways, postfix):
    stack = ways(url=postfix.url("submission"), ca_file=postfix.ca_file, username=USER, password="wrong " + PASSWORD)
    expect_failures(stack, "refused the username and password (535)", 535, "email_login_failed")


def test_a_no_where_the_login_was_not_offered_is_not_final(ways, bad_server, misbehave):
    misbehave("RCPT", "554 5.7.1 Relay access denied")
    stack = ways(url=bad_server.url, username=USER, password=PASSWORD, starttls="never")
    expect_failures(stack, "the server offers no AUTH", 554, "email_login_failed")


def test_without_a_server_a_delivery_says_so(ways):
    stack = ways()
    (made,) = await_deliveries(stack, submit(stack), dead=1)
    assert "notifier.email.url" in made.error


def test_without_patterns_nobody_is_written_to(ways, bad_server):
    stack = ways(url=bad_server.url, allow_to=[])
    (made,) = await_deliveries(stack, submit(stack), dead=1)
    assert "notifier.email.allow_to" in made.error
    ways(url=bad_server.url, allow_to=["*@example.com"])


def test_what_passes_the_rate_is_put_off_and_not_lost(ways, bad_server):
    stack = ways(url=bad_server.url, rate=120)
    tasks = [submit(stack, "rated@example.com") for _ in range(6)]
    for task in tasks:
        (made,) = await_deliveries(stack, task, delivered=1)
        assert made.number == 1
    assert metric(stack, "postback_notifier_deliveries_total", channel="email", outcome="put_off") > 0
    assert len(bad_server.of("rated@example.com")) == 6


def test_what_waits_when_the_service_ends_is_sent_by_the_next(ways, bad_server, misbehave):
    # One connection, which hangs: the others have not begun.
    misbehave("DATA", hang)
    stack = ways(url=bad_server.url, concurrency=1, timeout="6s")
    tasks = [submit(stack, "waiting@example.com") for _ in range(8)]
    eventually(lambda: bad_server.commands.count("DATA") and metric(stack, "postback_notifier_due_in_flight") == 8,
               what="all are in hand")
    stack.notifier.stop()
    bad_server.behave_well()
    stack.notifier.start()
    stack.await_ready("notifier")
    for task in tasks:
        await_deliveries(stack, task, delivered=1)
    assert len(bad_server.of("waiting@example.com")) == 8
    ways(concurrency=None, timeout="10s")


def test_a_server_that_is_slow_at_one_mail_holds_up_no_other(ways, bad_server, misbehave):
    misbehave("CONTENT", hang, None)
    stack = ways(url=bad_server.url, timeout="8s")
    slow = submit(stack, "slow@example.com")
    eventually(lambda: "DATA" in bad_server.commands, what="the first has begun")
    await_deliveries(stack, submit(stack, "quick@example.com"), delivered=1)
    assert attempts(stack, slow) == []
    assert len(await_deliveries(stack, slow, delivered=1)) == 2
    ways(timeout="10s")


def test_a_connection_serves_all_mails_that_wait(ways, bad_server):
    stack = ways(url=bad_server.url, concurrency=2)
    before = bad_server.connections
    task = stack.client.submit("echo", 1, deliver={"email": [f"row{n}@example.com" for n in range(30)]})
    await_deliveries(stack, task, delivered=30)
    assert bad_server.connections - before <= 2
    ways(concurrency=None)


@pytest.mark.parametrize("behaviour", [drop, hang_up])
def test_a_connection_that_was_kept_too_long_costs_no_attempt(ways, misbehave, bad_server, behaviour):
    misbehave("MAIL", None, None, behaviour, None)
    stack = ways(url=bad_server.url, concurrency=1)
    task = stack.client.submit("echo", 1, deliver={"email": [f"kept{n}@example.com" for n in range(6)]})
    made = await_deliveries(stack, task, delivered=6)
    assert [(a.number, a.status) for a in made] == [(1, 250)] * 6
    ways(concurrency=None)


def test_a_tenant_may_have_patterns_of_its_own(make_stack, vhost, bad_server):
    keys = [{"tenant": name, "sha256": hashlib.sha256(f"key of {name}".encode()).hexdigest()} for name in ("acme", "other")]
    stack = make_stack(vhost.url)
    stack.start({**options(url=bad_server.url, tenants=[{"tenant": "acme", "allow_to": ["*@acme.example"]}]),
                 "gateway": {"auth": {"keys": keys}}})
    for tenant, states in (("acme", [250, 0]), ("other", [0, 250])):
        client = stack.client_of("gateway", key=f"key of {tenant}")
        task = client.submit("echo", 1, deliver={"email": ["a@acme.example", "a@example.com"]})
        ended = {"pending": 0, "delivered": 1, "dead": 1}
        eventually(lambda client=client, task=task: client.status(task)["deliveries"] == ended, what="both have ended")
        assert [a.status for a in attempts(stack, task)] == states


# Configurations that are refused.

@pytest.mark.parametrize("email_options,words", [
    ({"url": "http://127.0.0.1"}, "must be smtp://"),
    ({"url": "smtp://user:secret@mail.example", "from": "a@b"}, "without user and password"),
    ({"url": "smtp://mail.example"}, "no from"),
    ({"from": "nobody"}, "must be an address"),
    ({"from": "A\nB <a@b>"}, "control characters"),
    ({"url": "smtp://mail.example", "from": "a@b", "username": "u"}, "neither password"),
    ({"url": "smtp://mail.example", "from": "a@b", "username": "u", "password": "s3cret", "starttls": "never"}, "in clear"),
    ({"url": "smtp://mail.example", "from": "a@b", "username": "u", "password": "s3cret", "starttls": "optional"},
     "in clear"),
    ({"allow_to": ["*", "*example.com"]}, "entry 1 is neither * nor a pattern"),
    ({"templates": [{"text": "{task"}]}, "has no placeholder"),
    ({"templates": [{"subject": "x"}]}, "text: is missing"),
    ({"templates": [{"name": "a", "text": "x"}, {"name": "a", "text": "y"}]}, "two templates of one name"),
    ({"tenants": [{"tenant": "a", "allow_to": ["*"]}, {"tenant": "a"}]}, "names a tenant twice"),
    ({"timeout": "50s"}, "40s"),
])
def test_a_wrong_configuration_is_told(tmp_path, email_options, words):
    config = tmp_path / "postback.yaml"
    config.write_text(json.dumps({"notifier": {"email": email_options}}), encoding="utf-8")
    done = run("notifier", "--check", "--config", config)
    assert done.returncode == 2 and words in done.stderr and "s3cret" not in done.stderr, done.stderr


def test_the_configurations_of_the_manual_are_good(tmp_path):
    password, config = tmp_path / "password", tmp_path / "postback.yaml"
    password.write_text("secret\n", encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/email.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        config.write_text(block.replace("/etc/postback/mail-password", str(password)), encoding="utf-8")
        done = run("notifier", "--check", "--config", config)
        assert done.returncode == 0, done.stderr


# Servers that misbehave.

STEPS = ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "CONTENT")


@pytest.mark.parametrize("step", STEPS)
def test_a_server_that_hangs_is_left_and_tried_again(bad, misbehave, step):
    misbehave(step, hang, None)
    failed, delivered = await_deliveries(bad, submit(bad), delivered=1)
    assert (failed.status, delivered.status) == (0, 250)
    called = {"CONNECT": "the connection", "CONTENT": "the message"}.get(step, step)
    assert failed.error == f"timed out after 2000 ms, waiting for an answer to {called}"
    assert failed.took_ms < 20000


@pytest.mark.parametrize("step", STEPS)
def test_not_now_is_tried_again_at_every_step(bad, misbehave, step):
    # A server that does not know EHLO is asked by HELO.
    misbehave(step, *["450 4.2.0 not now"] * (2 if step == "EHLO" else 1), None)
    misbehave("HELO", "450 4.2.0 not now", None)
    failed, delivered = await_deliveries(bad, submit(bad), delivered=1)
    assert failed.status == 450 and b"450 4.2.0 not now" in failed.response
    assert delivered.status == 250


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA", "CONTENT"])
def test_never_is_final_where_it_is_about_the_mail(bad, misbehave, step):
    misbehave(step, "550 5.7.1 never")
    (made,) = await_deliveries(bad, submit(bad), dead=1)
    assert made.status == 550 and made.response == b"550 5.7.1 never"


def test_never_is_not_final_where_it_is_about_us(bad, misbehave):
    misbehave("CONNECT", "554 5.7.1 go away", None)
    failed, _ = await_deliveries(bad, submit(bad), delivered=1)
    assert failed.status == 554


@pytest.mark.parametrize("behaviour", [drop, hang_up])
@pytest.mark.parametrize("step", STEPS)
def test_a_connection_that_breaks_is_made_again(bad, misbehave, step, behaviour):
    misbehave(step, behaviour, None)
    failed, delivered = await_deliveries(bad, submit(bad), delivered=1)
    assert failed.error and delivered.status == 250


@pytest.mark.parametrize("behaviour", [garbage, endless_reply, endless_line])
@pytest.mark.parametrize("step", ["CONNECT", "EHLO", "RCPT", "CONTENT"])
def test_a_server_that_talks_nonsense_is_survived(bad, misbehave, step, behaviour):
    misbehave(step, behaviour, None)
    failed, delivered = await_deliveries(bad, submit(bad), delivered=1)
    assert failed.error and len(failed.response or b"") <= 1024
    assert delivered.status == 250
    assert bad.notifier.rss_bytes() < 600 << 20


@pytest.mark.parametrize("behaviour", [hang, drop, garbage, endless_reply])
def test_an_ill_goodbye_changes_nothing(bad, bad_server, misbehave, behaviour):
    misbehave("QUIT", behaviour)
    to = f"bye-{behaviour.__name__}@example.com"
    tasks = [submit(bad, to) for _ in range(12)]
    for task in tasks:
        (made,) = await_deliveries(bad, task, delivered=1)
        assert made.status == 250
    assert len(bad_server.of(to)) == 12


def test_a_server_that_hangs_delays_no_other_channel(bad, misbehave):
    misbehave("DATA", hang)
    with Receiver() as receiver:
        bad.configure({"notifier": {"webhook": {"secrets": [SECRET], "allow": ["127.0.0.0/8"]}}})
        bad.notifier.restart()
        bad.await_ready("notifier")
        stuck = [submit(bad) for _ in range(20)]
        began = time.monotonic()
        task = bad.client.submit("echo", 1, deliver={"webhook": receiver.url()})
        await_deliveries(bad, task, delivered=1)
        assert time.monotonic() - began < 10
    misbehave("DATA", None)
    for task in stuck:
        eventually(lambda task=task: bad.client.status(task)["deliveries"]["pending"] == 0, timeout=60, what="it has ended")


def test_nobody_there_is_a_failure(ways):
    with SmtpServer() as gone:
        url = gone.url
    stack = ways(url=url)
    expect_failures(stack, "Failed to connect", 0)
