"""Receivers by https: only whom its certificate names under an authority that is trusted is sent anything."""
import pytest

from gateway_rig import ECHO, module_stack
from lib.authority import Authority
from lib.deliveries import await_deliveries
from lib.receiver import SECRET, Receiver, is_signed

api = module_stack(processor={"handlers": [ECHO]})


@pytest.fixture(scope="module")
def trusted(api, tmp_path_factory):
    """The authority of the options; its certificates are for 127.0.0.1."""
    made = Authority(tmp_path_factory.mktemp("trusted"))
    made.issue("IP:127.0.0.1")
    api.configure({"notifier": {"webhook": {"secrets": [SECRET], "allow": ["127.0.0.0/8"], "schedule": ["0s", "100ms"],
                                            "ca_file": str(made.file)}}})
    api.notifier.restart()
    api.await_ready("notifier")
    return made


def test_an_outcome_arrives_by_https(api, trusted):
    with Receiver(certificate=trusted) as receiver:
        assert receiver.url().startswith("https://")
        task = api.client.submit("echo", {"n": 1}, deliver={"webhook": receiver.url()})
        await_deliveries(api, task, delivered=1)
        assert is_signed(receiver.hooks[0], SECRET)


def refusals(api, receiver, **where):
    """The errors of what was not sent."""
    task = api.client.submit("echo", {"n": 1}, deliver={"webhook": receiver.url(**where)})
    made = await_deliveries(api, task, dead=1)
    assert [a.status for a in made] == [0, 0] and receiver.hooks == []
    return {a.error for a in made}


def test_a_certificate_of_another_authority_is_refused(api, trusted, tmp_path):
    other = Authority(tmp_path, "Other CA")
    other.issue("IP:127.0.0.1")
    with Receiver(certificate=other) as receiver:
        (error,) = refusals(api, receiver)
        assert "certificate" in error


def test_a_certificate_for_another_name_is_refused(api, trusted):
    with Receiver(certificate=trusted) as receiver:
        (error,) = refusals(api, receiver, host="other.localhost")
        assert "certificate" in error and "other.localhost" in error


def test_who_speaks_no_tls_gets_nothing(api, trusted):
    with Receiver() as receiver:
        task = api.client.submit("echo", 1, deliver={"webhook": f"https://127.0.0.1:{receiver.port}/"})
        made = await_deliveries(api, task, dead=1)
        assert all(a.status == 0 and a.error for a in made) and receiver.hooks == []
