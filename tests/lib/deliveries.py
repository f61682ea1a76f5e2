"""What the store keeps of deliveries, read from the database."""
import collections

from lib.wait import eventually

Attempt = collections.namedtuple("Attempt", "delivery number at took_ms status error response")

Row = collections.namedtuple("Row", "owner due_at ready_at tries state")


def attempts(stack, task):
    """Of all deliveries of a task, by delivery and number."""
    rows = stack.store.read(
        "SELECT a.row, number, at, took_ms, status, error, response FROM attempts a JOIN due d ON d.row = a.row "
        "WHERE d.task_id = ? ORDER BY d.ordinal, number", task)
    return [Attempt(stack.store.id_text(row[0]), *row[1:]) for row in rows]


def rows(stack, task):
    """The deliveries of a task as the due loop sees them; none before its outcome is committed."""
    return [Row(*row) for row in stack.store.read(
        "SELECT owner, due_at, ready_at, tries, state FROM due WHERE task_id = ? AND channel <> 'task' ORDER BY ordinal",
        task)]


def of_endpoint(stack, endpoint):
    """How many of a registered endpoint are (pending, delivered, dead)."""
    counts = dict(stack.store.read("SELECT state, count(*) FROM due WHERE endpoint = ? GROUP BY state", endpoint))
    return tuple(counts.get(state, 0) for state in range(3))


def await_deliveries(stack, task, timeout=60, **wanted):
    """Until the status document counts so: await_deliveries(stack, id, delivered=1, dead=2). Returns the attempts."""
    counts = {"pending": 0, "delivered": 0, "dead": 0, **wanted}

    def now():
        seen = stack.client.status(task)["deliveries"]
        assert seen == counts, seen
        return True

    eventually(now, timeout=timeout, what=f"deliveries of {task} are {counts}")
    return attempts(stack, task)


def metric(stack, name, **labels):
    """The notifier's metric, 0 when it is not there."""
    wanted = {f'{key}="{value}"' for key, value in labels.items()}
    for line in stack.client_of("notifier").get("/metrics").text.splitlines():
        head, _, value = line.rpartition(" ")
        series, _, rest = head.partition("{")
        if series == name and wanted <= set(rest.rstrip("}").split(",")) - {""}:
            return float(value)
    return 0.0
