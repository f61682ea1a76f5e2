"""compose.yaml as it runs: brought up, looked at, broken and taken away again."""
import json
import os
import re
import shlex
import socket
import subprocess

import requests
import yaml

from lib.client import Client
from lib.wait import eventually
from trial.images import COMPOSE
from trial.tool import Refused, run

PROJECT = "postback-trial"
MINE = f"label=com.docker.compose.project={PROJECT}"
OURS = ("gateway", "processor", "notifier")
LASTING = (*OURS, "rabbitmq", "postgres", "consumer")
HEALTHY_TIMEOUT_S = 120
RESTARTS_MAX = 5
# Below Linux's range for outgoing connections.
PORTS_FROM, PORTS_BELOW = 18100, 28000


class Container:
    def __init__(self, container_id, name):
        self.id = container_id
        self.name = name

    def inspect(self):
        return json.loads(run("docker", "inspect", self.id))[0]

    def is_healthy(self):
        seen = self.inspect()
        state = seen["State"]
        if seen["RestartCount"] > RESTARTS_MAX:
            raise Refused(f"{self.name} ends again and again, at last with {state['ExitCode']}")
        return state["Running"] and state["Health"]["Status"] == "healthy"

    def await_healthy(self):
        eventually(self.is_healthy, timeout=HEALTHY_TIMEOUT_S, every=0.5, what=f"{self.name} is healthy")

    def port(self, inside):
        """Where a port is published; another one after every start."""
        return int(self.inspect()["NetworkSettings"]["Ports"][f"{inside}/tcp"][0]["HostPort"])

    def kill(self):
        """As a crash would. Docker takes it for somebody's wish and leaves the container down."""
        run("docker", "kill", "--signal", "KILL", self.id)

    def start(self):
        run("docker", "start", self.id)

    def execute(self, *command):
        return run("docker", "exec", self.id, *command).strip()

    def logs(self):
        done = subprocess.run(["docker", "logs", self.id], capture_output=True, text=True, errors="replace", check=False)
        return done.stdout + done.stderr


class Deployment:
    """`environment`: what images to use. Whose docker-compose: COMPOSE="docker compose" for another one."""

    def __init__(self, environment, folder, changes):
        self.ports = free_ports(8)
        config = folder / "postback.yaml"
        config.write_text(yaml.safe_dump(merged(yaml.safe_load((COMPOSE / "postback.yaml").read_text()), changes)))
        config.chmod(0o644)
        self.environment = {
            **os.environ, **environment, "POSTBACK_CONFIG": str(config), "DOCKER_BUILDKIT": "0",
            "POSTBACK_PORTS": f"{self.ports[0]}-{self.ports[-2]}", "MANAGEMENT_PORT": str(self.ports[-1])}
        self._command = [*shlex.split(os.environ.get("COMPOSE", "docker-compose")), "--project-name", PROJECT,
                         "--file", str(COMPOSE / "compose.yaml")]

    def compose(self, *arguments, timeout=900):
        return run(*self._command, *arguments, env=self.environment, timeout=timeout)

    def build(self):
        self.compose("build")

    def up(self, **scale):
        """scale: how many of which service."""
        self.compose("up", "--detach", "--no-build", *(f"--scale={name}={count}" for name, count in scale.items()))
        for container in self.containers():
            container.await_healthy()

    def down(self):
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "60")

    def containers(self, *services):
        """Those that are meant to run, by their names."""
        listed = run("docker", "ps", "--all", "--filter", MINE, "--format",
                     '{{.Names}} {{.ID}} {{.Label "com.docker.compose.service"}}')
        found = [line.split() for line in sorted(listed.splitlines())]
        return [Container(container_id, name) for name, container_id, service in found
                if service in (services or LASTING)]

    def the(self, service):
        (container,) = self.containers(service)
        return container

    def what_is_left(self):
        """Everything on the engine that belongs to this project."""
        return {kind: run("docker", *command, "--filter", MINE, "-q").split()
                for kind, command in {"containers": ("ps", "--all"), "networks": ("network", "ls"),
                                      "volumes": ("volume", "ls")}.items()}

    def management(self):
        return Management(self.ports[-1], self.the("rabbitmq").execute("cat", "/run/secrets/operator_password"))

    def taken_webhooks(self):
        """[(type, task id, result)] as the sample receiver printed what it verified and took."""
        found = re.findall(r"^(task\.\w+) (\S+) (.*)$", self.the("consumer").logs(), re.MULTILINE)
        return [(kind, task, json.loads(result)) for kind, task, result in found]


    def count_of_webhook_ids(self):
        """In the sample receiver's own database."""
        count = ("import sqlite3; "
                 "print(sqlite3.connect('consumer.db', timeout=10).execute('SELECT count(*) FROM seen').fetchone()[0])")
        return int(self.the("consumer").execute("python3", "-c", count))


class Gateways:
    """A client that goes from one gateway to the next, as a balancer would. For Ledger."""

    def __init__(self, deployment):
        self._containers = deployment.containers("gateway")
        self.clients = []
        self._turn = 0
        self.look_again()

    def look_again(self):
        """At their ports; one that is down keeps its old one."""
        for number, container in enumerate(self._containers):
            if container.inspect()["State"]["Running"]:
                client = Client(f"http://127.0.0.1:{container.port(8080)}", timeout=10)
                self.clients[number:number + 1] = [client]

    def await_ready(self):
        """Docker calls a container healthy until several looks in a row have failed."""
        for client in self.clients:
            eventually(lambda at=client: at.get("/readyz").status_code == 200, timeout=HEALTHY_TIMEOUT_S, every=0.2,
                       what=f"{client.base} is ready")

    def _next(self):
        self._turn += 1
        return self.clients[self._turn % len(self.clients)]

    def envelope(self, *arguments, **options):
        return self._next().envelope(*arguments, **options)

    def status(self, task):
        return self._next().status(task)


class Management:
    """RabbitMQ's management API, as the operator sees it."""

    def __init__(self, port, password):
        self.base = f"http://127.0.0.1:{port}/api"
        self.auth = ("operator", password)

    def get(self, path):
        answer = requests.get(f"{self.base}/{path}", auth=self.auth, timeout=20, proxies={"http": None})
        if answer.status_code != 200:
            raise AssertionError(f"{path}: {answer.status_code} {answer.text}")
        return answer.json()


def merged(base, over):
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    return base | {key: merged(base.get(key), value) for key, value in over.items()}


def free_ports(count):
    """That many in a row, nobody listening."""
    for first in range(PORTS_FROM, PORTS_BELOW, count):
        if all(is_free(port) for port in range(first, first + count)):
            return list(range(first, first + count))
    raise Refused("no ports are free")


def is_free(port):
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False
