"""The notifier killed (-9) while it sends text messages: none is lost, and what comes twice bears the same id."""
import json

from lib.deliveries import attempts, await_deliveries, metric
from lib.receiver import Receiver, answer
from lib.wait import eventually


def test_no_text_message_is_lost_when_the_notifier_dies(stack_on_each):
    stack = stack_on_each

    def die(handler):
        stack.notifier.kill()
        handler.close_connection = True

    def delivered():
        return metric(stack, "postback_notifier_deliveries_total", channel="sms", outcome="delivered")

    def answer_and_die(handler):
        before = delivered()
        with stack.store.held():
            answer(200)(handler)
            eventually(lambda: delivered() > before, what="the answer is heard")
            stack.notifier.kill()

    def submit(way, number):
        return stack.client.submit("echo", way[1:], deliver={"sms": number})

    def await_death(task):
        eventually(lambda: not stack.notifier.is_running(), what="the notifier is killed")
        assert attempts(stack, task) == []
        stack.store.end_leases()
        stack.notifier.start()
        stack.await_ready("notifier")
        # What is being sent at the next kill would come once more.
        await_deliveries(stack, task, delivered=1)

    with Receiver() as receiver:
        receiver.behave("/while", die, 200)
        receiver.behave("/after", answer_and_die, 200)
        stack.start({"notifier": {"sms": {
            "provider": "http", "url": receiver.url("/{result}"), "rate": 0, "headers": ["Idempotency-Key: {delivery}"],
            "body": '{"task": "{id}", "to": "{to}"}', "schedule": ["0s"] + ["1s"] * 9}}})
        tasks = {"/while": submit("/while", "+4915100000001")}
        await_death(tasks["/while"])
        tasks["/after"] = submit("/after", "+4915100000002")
        await_death(tasks["/after"])
        tasks["/recorded"] = submit("/recorded", "+4915100000003")
        await_deliveries(stack, tasks["/recorded"], delivered=1)
        stack.notifier.kill()
        stack.notifier.start()
        for way, task in tasks.items():
            await_deliveries(stack, task, delivered=1)
            hooks = receiver.of(way)
            assert {json.loads(hook.body)["task"] for hook in hooks} == {task}
            assert len({hook.headers["idempotency-key"] for hook in hooks}) == 1
        assert [len(receiver.of(way)) for way in tasks] == [2, 2, 1]
