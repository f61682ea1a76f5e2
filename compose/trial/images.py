"""Images without a registry: the base by debootstrap, and stand-ins for those of RabbitMQ and PostgreSQL."""
import os
import subprocess
import tempfile
from pathlib import Path

from trial.tool import Refused, run, succeeds

COMPOSE = Path(__file__).resolve().parents[1]
SUITE = "bookworm"
BASE = f"debian:{SUITE}-slim"
TAG = "trial"
STAND_INS = {"RABBITMQ_IMAGE": "rabbitmq", "POSTGRES_IMAGE": "postgres"}
BUILT = ("secrets", "gateway", "processor", "notifier", "consumer")


class Images:
    """`environment` is what compose.yaml is to be told of them."""

    def __init__(self, state):
        self.state = state
        self.environment = {"POSTBACK_TAG": TAG, "BUILD_NETWORK": "host"}
        self._made = []

    def make(self):
        base = os.environ.get("BASE_IMAGE") or self._base()
        self.environment["BASE_IMAGE"] = base
        for variable, name in STAND_INS.items():
            self.environment[variable] = os.environ.get(variable) or self._stand_in(name, base)
        self._made += [f"postback-{name}:{TAG}" for name in BUILT]

    def _base(self):
        if not succeeds("docker", "image", "inspect", BASE):
            tar = self.state / f"{SUITE}.tar"
            if not tar.exists():
                self._bootstrap(tar)
            run("docker", "import", tar, BASE)
            self._made.append(BASE)
        return BASE

    def _bootstrap(self, tar):
        """From where this machine's own packages come."""
        if os.geteuid() != 0:
            raise Refused(f"there is no image {BASE}, and to make one needs root")
        self.state.mkdir(parents=True, exist_ok=True)
        aside = tar.with_suffix(".new")
        with tempfile.TemporaryDirectory(dir=self.state, prefix="base-") as folder:
            run("debootstrap", "--variant=minbase", SUITE, folder, mirror())
            run("tar", "-C", folder, "-cf", aside, "--exclude=./var/cache/apt/*", "--exclude=./var/lib/apt/lists/*",
                "--exclude=./var/log/*", "--exclude=./dev/*", ".")
        aside.rename(tar)

    def _stand_in(self, name, base):
        image = f"postback-stand-in-{name}:{TAG}"
        run("docker", "build", "--network", "host", "--build-arg", f"BASE_IMAGE={base}", "--tag", image,
            COMPOSE / "stand-in" / name, env={**os.environ, "DOCKER_BUILDKIT": "0"})
        self._made.append(image)
        return image

    def remove(self):
        """All that was made here, and the layers that nothing else uses."""
        for image in reversed(self._made):
            subprocess.run(["docker", "image", "rm", "--force", image], capture_output=True, check=False)
        run("docker", "image", "prune", "--force", "--filter", "label=postback.stage=build")


def mirror():
    listed = run("apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)", "Created-By: Packages")
    for line in listed.splitlines():
        release, component, uri = line.split()
        if (release, component) == (SUITE, "main"):
            return uri
    raise Refused(f"apt has no source for {SUITE}; set BASE_IMAGE")
