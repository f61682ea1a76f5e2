"""A store that nobody can write to for a while, so that a service is surely caught before its commit."""
import contextlib
import sqlite3


@contextlib.contextmanager
def held_store(stack):
    """What is to be written waits until the end of the `with`; reading goes on."""
    database = sqlite3.connect(stack.database, timeout=10, isolation_level=None)
    try:
        database.execute("BEGIN IMMEDIATE")
        yield
    finally:
        database.close()
