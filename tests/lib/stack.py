"""The three services on one configuration."""
import copy

import yaml

from lib.client import Client
from lib.ports import free_port
from lib.service import Service
from lib.stores import SqliteStore
from lib.wait import eventually

KINDS = ("notifier", "processor", "gateway")
READY_TIMEOUT_S = 90


def merged(base, over):
    """Maps are merged key by key; anything else, lists too, is replaced. None takes a key out."""
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return copy.deepcopy(over)
    out = dict(base)
    for key, value in over.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = merged(out.get(key), value)
    return out


class Stack:
    """Not started yet: `stack.start({"processor": {"handlers": […]}})` writes the configuration and starts all three
    services, or those named. stack.gateway, .processor, .notifier are the processes, stack.client talks to the
    gateway."""

    def __init__(self, amqp_url, folder):
        self.folder = folder
        self.services = {}
        self.ports = {kind: free_port() for kind in KINDS}
        self.config_file = folder / "postback.yaml"
        self.database = folder / "postback.db"
        self.store = SqliteStore(self.database)
        self.config = {
            "amqp": {"url": amqp_url},
            "store": {"url": self.store.url},
            "gateway": {"listen": f"127.0.0.1:{self.ports['gateway']}"},
            "processor": {
                "admin": f"127.0.0.1:{self.ports['processor']}",
                "handlers": [{"task": "echo", "builtin": "echo"}, {"task": "sleep", "builtin": "sleep"}],
            },
            "notifier": {"admin": f"127.0.0.1:{self.ports['notifier']}"},
        }
        self.client = Client(f"http://127.0.0.1:{self.ports['gateway']}")

    def use_store(self, store):
        """Another one than a new SQLite file; one of lib.stores."""
        self.store = store
        self.config["store"]["url"] = store.url

    def configure(self, overrides=None):
        """Writes the configuration; services that run keep theirs until they are restarted."""
        self.config = merged(self.config, overrides or {})
        self.config_file.write_text(yaml.safe_dump(self.config, sort_keys=False), encoding="utf-8")

    def start(self, overrides=None, only=KINDS, ready=True, env=None):
        self.configure(overrides)
        for kind in KINDS:
            if kind in only:
                self.add(kind, env=env)
        if ready:
            self.await_ready()
        return self

    def add(self, kind, name=None, env=None):
        """Starts a service; with a `name` of its own another instance beside the first, on ports of its own."""
        name = name or kind
        port = self.ports.setdefault(name, free_port())
        option = "LISTEN" if kind == "gateway" else "ADMIN"
        env = {f"POSTBACK_{kind.upper()}_{option}": f"127.0.0.1:{port}", **(env or {})}
        # Files of the repository are never written to by a service that runs in a folder of the test.
        service = Service(kind, self.config_file, port, self.folder / f"{name}.log", env, name, cwd=self.folder)
        self.services[name] = service
        service.start()
        return service

    def __getattr__(self, name):
        try:
            return self.__dict__["services"][name]
        except KeyError:
            raise AttributeError(f"no service {name} was started") from None

    def client_of(self, name, **options):
        return Client(f"http://127.0.0.1:{self.ports[name]}", **options)

    def await_ready(self, *names, timeout=READY_TIMEOUT_S):
        for name in names or self.services:
            self._await(name, "/readyz", lambda status: status == 200, timeout)

    def await_live(self, *names, timeout=READY_TIMEOUT_S):
        for name in names or self.services:
            self._await(name, "/livez", lambda status: status == 200, timeout)

    def await_unready(self, *names, timeout=READY_TIMEOUT_S):
        for name in names or self.services:
            self._await(name, "/readyz", lambda status: status == 503, timeout)

    def _await(self, name, path, is_good, timeout):
        service, client = self.services[name], self.client_of(name)

        def answers():
            complaints = service.complaints()
            if complaints:
                # Not an AssertionError: waiting on is of no use.
                raise RuntimeError("; ".join(complaints) + "\n" + service.log_text()[-3000:])
            return is_good(client.get(path).status_code)

        eventually(answers, timeout=timeout, what=f"{name} answers {path}")

    def logs(self):
        return {name: service.log_text() for name, service in self.services.items()}

    def close(self):
        """Ends all, the gateway first, and raises what any of them did wrong."""
        wrong = []
        for service in self.services.values():
            wrong += service.complaints()
        for kind in reversed(KINDS):
            for service in self.services.values():
                if service.kind == kind:
                    wrong += self._ended(service)
        self.client.close()
        assert not wrong, "\n".join(dict.fromkeys(wrong))

    @staticmethod
    def _ended(service):
        wrong = []
        if service.is_running():
            try:
                service.stop()
            except AssertionError as error:
                wrong.append(str(error))
        return wrong + service.complaints()
