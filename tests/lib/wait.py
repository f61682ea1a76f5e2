"""Waiting for a condition; no test sleeps for a fixed time."""
import time


def eventually(condition, timeout=30.0, every=0.02, what=None):
    """Calls `condition` until it returns something true and returns that. An AssertionError or a connection that is
    refused or cut counts as not yet; what was seen last is told when the time is over."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            seen = condition()
            if seen:
                return seen
        except (AssertionError, OSError) as error:
            seen = error
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {timeout} s: {what or condition}; last seen: {seen!r}")
        time.sleep(every)
