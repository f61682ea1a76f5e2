"""The store of a stack from outside, whichever it is: read, held, and its leases ended before their time.

Statements are the same for both, with a `?` for each id, given as text. Reading never waits, a held store neither.
"""
import contextlib
import json
import sqlite3
import subprocess
import uuid

# Rows that somebody has claimed become due again, as they do a minute after he died.
END_LEASES = "UPDATE due SET ready_at = due_at WHERE owner IS NOT NULL AND ready_at IS NOT NULL"


class SqliteStore:
    def __init__(self, file):
        self.file = file
        self.url = f"sqlite:{file}"

    def read(self, statement, *ids):
        database = sqlite3.connect(f"file:{self.file}?mode=ro", uri=True, timeout=10)
        try:
            return database.execute(statement, [uuid.UUID(one).bytes for one in ids]).fetchall()
        finally:
            database.close()

    @staticmethod
    def id_text(value):
        return str(uuid.UUID(bytes=value))

    @contextlib.contextmanager
    def held(self):
        database = sqlite3.connect(self.file, timeout=10, isolation_level=None)
        try:
            database.execute("BEGIN IMMEDIATE")
            yield
        finally:
            database.close()

    def end_leases(self):
        database = sqlite3.connect(self.file, timeout=10, isolation_level=None)
        try:
            database.execute(END_LEASES)
        finally:
            database.close()


class PostgresStore:
    """A new database of a lib.postgres.Postgres."""

    def __init__(self, server):
        self.server = server
        self.url = server.database()
        self.name = self.url.rsplit("/", 1)[1]

    def _run(self, statement):
        return self.server.run(self.name, f"SET search_path = postback; {statement}")

    def read(self, statement, *ids):
        for one in ids:
            statement = statement.replace("?", f"'{uuid.UUID(one)}'", 1)
        rows = self._run(f"SELECT row_to_json(r) FROM ({statement}) r")
        return [tuple(_plain(value) for value in json.loads(row).values()) for row in rows]

    @staticmethod
    def id_text(value):
        return value

    @contextlib.contextmanager
    def held(self):
        """Whatever writes, but for claims of due rows, locks its task first; with one lock nobody waits in a circle."""
        session = subprocess.Popen(self.server.psql(self.name), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            session.stdin.write("BEGIN; LOCK TABLE postback.tasks IN EXCLUSIVE MODE; SELECT 'held';\n")
            session.stdin.flush()
            assert session.stdout.readline() == "held\n"
            yield
        finally:
            session.communicate("ROLLBACK;\n", timeout=20)

    def end_leases(self):
        self._run(END_LEASES)


def _plain(value):
    """Texts are bytes to the store."""
    return bytes.fromhex(value[2:]).decode() if isinstance(value, str) and value.startswith("\\x") else value
