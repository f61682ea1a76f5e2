"""The house keeps its order: who may include whom, and nothing of one machine in the files."""
import re
import subprocess

import pytest

from lib.paths import ROOT

SHARED = {"base", "proto", "runtime", "store", "service"}
MAY_INCLUDE = {
    "base": {"base"},
    "proto": {"base", "proto"},
    "runtime": {"base", "runtime"},
    "store": {"base", "proto", "runtime", "store"},
    "service": SHARED,
    "gateway": SHARED | {"gateway"},
    "processor": SHARED | {"processor"},
    "notifier": SHARED | {"notifier"},
}
ELSEWHERE = SHARED | {"gateway", "processor", "notifier", "tests"}  # tests, examples, benchmarks
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
# Written so that this file does not hold them.
MACHINE_PATHS = re.compile(r"(?<![\w.$}])/(?:wor[k]|roo[t]|hom[e]/[a-z]\w*)/[\w.]")


def tracked(*patterns):
    listed = subprocess.run(["git", "ls-files", "-z", "--", *patterns], cwd=ROOT, capture_output=True, check=True)
    return sorted(path for path in listed.stdout.decode().split("\0") if path and (ROOT / path).is_file())


def texts(*patterns):
    for path in tracked(*patterns):
        try:
            yield path, (ROOT / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def included():
    return [(path, name) for path, text in texts("*.c", "*.h") for name in INCLUDE.findall(text)]


def test_includes_are_written_from_the_root():
    generated = {"generated"}
    wrong = [f"{path}: {name}" for path, name in included()
             if not (ROOT / name).is_file() and name.split("/")[0] not in generated]
    assert not wrong


@pytest.mark.parametrize("layer", MAY_INCLUDE)
def test_a_layer_includes_only_what_is_below_it(layer):
    wrong = [f"{path}: {name}" for path, name in included()
             if path.split("/")[0] == layer and name.split("/")[0] not in MAY_INCLUDE[layer]]
    assert not wrong


def test_nothing_includes_an_unknown_folder():
    wrong = [f"{path}: {name}" for path, name in included() if name.split("/")[0] not in ELSEWHERE | {"examples"}]
    assert not wrong


def test_links_hold_the_same_order():
    """A library of a layer links only libraries of the layers that it may include."""
    wrong = []
    for layer, allowed in MAY_INCLUDE.items():
        for path, text in texts(f"{layer}/CMakeLists.txt"):
            for name in re.findall(r"\bpostback_(base|proto|runtime|store|service|gateway|processor|notifier)\b", text):
                if name not in allowed:
                    wrong.append(f"{path}: postback_{name}")
    assert not wrong


def test_no_path_of_one_machine_is_committed():
    wrong = []
    for path, text in texts():
        for number, line in enumerate(text.splitlines(), 1):
            if MACHINE_PATHS.search(line) or str(ROOT) + "/" in line:
                wrong.append(f"{path}:{number}: {line.strip()[:120]}")
    assert not wrong


def test_scripts_can_be_run():
    wrong = [path for path, text in texts("script", ".ci") if text.startswith("#!") and not (ROOT / path).stat().st_mode & 0o100]
    assert not wrong
