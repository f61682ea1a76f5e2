"""A private PostgreSQL for tests."""
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

from lib.paths import ROOT
from lib.wait import eventually

SCRIPT = ROOT / "tests" / "lib" / "postgres.sh"


class Postgres:
    """Ends with this process at the latest. `database()` gives the URL of a new, empty database."""

    # As it stands in the URL, and as it is.
    password = ("p%40ss%20word", "p@ss word")

    def __init__(self):
        self._databases = 0
        self.folder, self._url = self._script("start", "--with", os.getpid()).split("\n")

    def _script(self, verb, *args):
        done = subprocess.run([SCRIPT, verb, *map(str, args)], capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"postgres.sh {verb}: {done.stderr or done.stdout}")
        return done.stdout.strip()

    def start(self):
        """Again after stop or kill: same port, same data."""
        self._script("start", self.folder)

    def stop(self):
        self._script("stop", self.folder)

    def restart(self):
        self.stop()
        self.start()

    def abort(self):
        """As pg_ctl -m immediate."""
        self._script("abort", self.folder)

    def kill(self):
        """As a crash would."""
        self._script("kill", self.folder)

    def remove(self):
        self._script("remove", self.folder)

    def use_tls(self, authority):
        """From now on it has a certificate of this authority, for localhost, and takes no connection without TLS."""
        authority.issue("DNS:localhost")
        data = Path(self.folder) / "data"
        owner = data.stat()
        for name in ("server.pem", "server.key"):
            shutil.copy(authority.folder / name, data / name)
            os.chown(data / name, owner.st_uid, owner.st_gid)
            (data / name).chmod(0o600)
        with open(data / "postgresql.conf", "a", encoding="ascii") as conf:
            conf.write("ssl = on\nssl_cert_file = 'server.pem'\nssl_key_file = 'server.key'\n")
        rules = data / "pg_hba.conf"
        rules.write_text(re.sub("^host ", "hostssl ", rules.read_text(encoding="utf-8"), flags=re.MULTILINE), encoding="utf-8")
        self.restart()

    def database(self):
        self._databases += 1
        name = f"test_{self._databases}"
        self.run("postgres", f"CREATE DATABASE {name} OWNER postback")
        return self._url + name

    def psql(self, database):
        """The command of a session as the superuser; rows as text, columns parted by |."""
        port = self._url.rsplit(":", 1)[1].rstrip("/")
        return ["psql", "-qAtX", "-h", self.folder, "-p", port, "-U", "postgres", "-d", database, "-v", "ON_ERROR_STOP=1"]

    def run(self, database, text):
        """As the superuser; rows as text, columns parted by |."""
        done = subprocess.run([*self.psql(database), "-c", text], capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{text}: {done.stderr}")
        return done.stdout.splitlines()

    def ask(self, url, text):
        """One value out of the store's tables, in the database of this URL."""
        rows = self.run(url.rsplit("/", 1)[1], f"SET search_path = postback; {text}")
        return rows[0] if rows else None

    def freeze(self, url):
        """The sessions of this database stay open and answer nothing. Returns what thaws them."""
        name = url.rsplit("/", 1)[1]
        pids = [int(pid) for pid in self.run("postgres", f"SELECT pid FROM pg_stat_activity WHERE datname = '{name}'")]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)

        def thaw():
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGCONT)
                except ProcessLookupError:
                    pass
        return thaw

    def await_sessions(self, url, count, timeout=20):
        name = url.rsplit("/", 1)[1]
        ask = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'"
        eventually(lambda: int(self.run("postgres", ask)[0]) >= count, timeout=timeout, what=f"{count} sessions")
