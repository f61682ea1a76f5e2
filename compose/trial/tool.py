"""Running commands; what goes wrong is told with their last words."""
import subprocess

LAST_WORDS = 3000


class Refused(Exception):
    """The trial cannot go on; the text says why."""


def run(*command, stdin=None, timeout=600, env=None, cwd=None):
    """Returns stdout."""
    done = subprocess.run([str(word) for word in command], input=stdin, stdin=subprocess.DEVNULL if stdin is None else None,
                          capture_output=True, text=True, timeout=timeout, env=env, cwd=cwd, check=False)
    if done.returncode != 0:
        words = " ".join(str(word) for word in command)
        raise Refused(f"{words}\nended with {done.returncode}: {(done.stdout + done.stderr)[-LAST_WORDS:]}")
    return done.stdout


def succeeds(*command, timeout=60):
    try:
        run(*command, timeout=timeout)
        return True
    except (Refused, OSError, subprocess.TimeoutExpired):
        return False
