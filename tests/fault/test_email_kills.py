"""The notifier killed (-9) at every step of an email: none is lost, and what comes twice bears the same Message-ID."""
from lib.deliveries import attempts, await_deliveries, metric
from lib.smtp import SmtpServer
from lib.wait import eventually


class Rig:
    def __init__(self, stack, server):
        self.stack, self.server = stack, server
        stack.start({"notifier": {"email": {"url": server.url, "from": "no-reply@example.com", "allow_to": ["*"],
                                            "schedule": ["0s"] + ["1s"] * 9, "timeout": "10s"}}})

    def submit(self, to):
        return self.stack.client.submit("echo", {"n": 1}, deliver={"email": to})

    def kill(self):
        self.stack.notifier.kill()

    def revive(self):
        self.stack.store.end_leases()
        self.stack.notifier.start()
        self.stack.await_ready("notifier")


def killed_at(step):
    """When the server has heard that step, before it says anything."""
    def kill(rig, to):
        def die(session):
            rig.kill()
            session.is_open = False

        rig.server.behave(step, die, None)
        task = rig.submit(to)
        eventually(lambda: not rig.stack.notifier.is_running(), what="the notifier is killed")
        return task

    return kill


def killed_after_the_servers_word(rig, to):
    """The mail was taken, and nobody has written that down."""
    def delivered():
        return metric(rig.stack, "postback_notifier_deliveries_total", channel="email", outcome="delivered")

    def answer_and_kill(session):
        before = delivered()
        with rig.stack.store.held():
            session.take()
            eventually(lambda: delivered() > before, what="the answer is heard")
            rig.kill()
        session.is_open = False

    rig.server.behave("CONTENT", answer_and_kill, None)
    task = rig.submit(to)
    eventually(lambda: not rig.stack.notifier.is_running(), what="the notifier is killed")
    assert attempts(rig.stack, task) == []
    return task


def killed_after_the_record(rig, to):
    task = rig.submit(to)
    await_deliveries(rig.stack, task, delivered=1)
    rig.kill()
    return task


STEPS = {
    "connect": killed_at("CONNECT"),
    "rcpt": killed_at("RCPT"),
    "content": killed_at("CONTENT"),
    "answered": killed_after_the_servers_word,
    "recorded": killed_after_the_record,
}


def test_no_email_is_lost_at_whatever_step_the_notifier_dies(stack_on_each):
    with SmtpServer() as server:
        rig = Rig(stack_on_each, server)
        tasks = {}
        for name, step in STEPS.items():
            tasks[name] = step(rig, f"{name}@example.com")
            rig.revive()
            # What is being sent when the next step kills would come once more.
            await_deliveries(rig.stack, tasks[name], delivered=1)
        ids = {name: [mail["Message-ID"] for mail in server.of(f"{name}@example.com")] for name in tasks}
        assert {name: len(found) for name, found in ids.items()} == {
            "connect": 1, "rcpt": 1, "content": 1, "answered": 2, "recorded": 1}
        assert ids["answered"][0] == ids["answered"][1]
        assert len({found[0] for found in ids.values()}) == len(tasks)
