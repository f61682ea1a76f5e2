"""The console blocks of a document: what a reader types, and what is shown as the answer."""
import re
import shlex
import subprocess

from lib.wait import eventually

GATEWAY = "http://127.0.0.1:8080"
BLOCK = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)
UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
LAST_ID = "019a…"
# What differs from one run to the next, and what it looks like.
TIME = r"\d{4}-\d\d-\d\dT[\d:.]+Z"
REQUEST_ID = r"\b[0-9a-f]{16}\b"
VARIES = re.compile(rf"(?P<id>{UUID}|{LAST_ID})|(?P<time>{TIME})|(?P<request>{REQUEST_ID})|(?P<any>…)")
LOOKS = {"time": TIME, "request": REQUEST_ID, "any": ".*?"}
SENDS = {"--json", "-d", "--data", "--data-binary", "-X"}


def examples(text):
    """[(command, shown)] of the curl lines that call the gateway."""
    found = []
    for block in BLOCK.findall(text):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, shown = re.fullmatch(r"((?:[^\n]*\\\n)*[^\n]*)\n(.*)", part, re.DOTALL).groups()
            if command.startswith("curl ") and GATEWAY in command:
                found.append((command.replace("\\\n", ""), shown.strip()))
    return found


class Reader:
    """Types the examples of one document in their order; ids that the document shows stand for those that came."""

    def __init__(self, base, folder):
        self.base = base
        self.folder = folder
        self._ids = {}

    def follow(self, command, shown):
        words = shlex.split(command)

        def fits():
            status, said = self._type(words)
            if shown:
                self._compare(shown, said)
            else:
                assert status < 400, f"{status}: {said}"
            return True

        # A reader looks a moment later than the test.
        if SENDS.isdisjoint(words):
            eventually(fits, timeout=20, every=0.1, what=command)
        else:
            fits()

    def _type(self, words):
        words = [self._with_ids(word.replace(GATEWAY, self.base)) for word in words[1:]]
        done = subprocess.run(
            ["curl", "-sS", "--noproxy", "*", "--max-time", "60", "-w", "\n%{http_code}", *words], cwd=self.folder,
            capture_output=True, text=True, check=True, timeout=90)
        said, _, status = done.stdout.rpartition("\n")
        return int(status), said.replace("\r\n", "\n")

    def _with_ids(self, word):
        for shown, real in self._ids.items():
            word = word.replace(shown, real)
        return word

    def _compare(self, shown, said):
        if shown.startswith("HTTP/"):
            shown_head, _, shown = shown.partition("\n\n")
            head, _, said = said.partition("\n\n")
            for line in shown_head.splitlines():
                assert any(self._matches(line, real) for real in head.splitlines()), f"{line!r} is not in {head}"
        if shown:
            assert self._matches(shown, said), f"{shown}\n-- is shown; came --\n{said}"

    def _matches(self, shown, said):
        shown, said = re.sub(r"\s+", "", shown), re.sub(r"\s+", "", said)
        names, pattern, end = [], "", 0
        for varies in VARIES.finditer(shown):
            pattern += re.escape(shown[end:varies.start()])
            end = varies.end()
            if varies["id"]:
                known = names.index(varies["id"]) + 1 if varies["id"] in names else 0
                pattern += rf"(?:\{known})" if known else f"({UUID})"
                names += [] if known else [varies["id"]]
            else:
                pattern += LOOKS[varies.lastgroup]
        match = re.fullmatch(pattern + re.escape(shown[end:]), said, re.DOTALL)
        if match and names:
            self._ids.update(zip(names, match.groups()))
            self._ids[LAST_ID] = match[1]
        return match is not None
