"""A private Kannel: bearerbox, smsbox and a fake SMS centre that tells what got there."""
import collections
import re
import urllib.parse
import urllib.request

from lib.ports import free_port, is_open
from lib.service import spawn
from lib.wait import eventually

# `text` is what the telephone shows and `coding` "gsm" or "ucs2"; of a part of several the centre tells no coding, `text`
# is its bytes, and `udh` its header, else b"".
Message = collections.namedtuple("Message", "sender to coding udh text")

USER, PASSWORD = "postback", "a secret of kannel's"
CENTRE = "/usr/lib/kannel/test/fakesmsc"
STOP_TIMEOUT_S = 10
CONFIG = """
group = core
admin-port = {admin}
admin-interface = 127.0.0.1
admin-password = {password}
smsbox-port = {boxes}
smsbox-interface = 127.0.0.1
log-file = "{folder}/bearerbox.log"
log-level = 1
box-allow-ip = "127.0.0.1"

group = smsc
smsc = fake
smsc-id = FAKE
port = {centre}
connect-allow-ip = 127.0.0.1
allowed-prefix = "{prefixes}"

group = smsbox
bearerbox-host = 127.0.0.1
bearerbox-port = {boxes}
sendsms-port = {sendsms}
sendsms-interface = 127.0.0.1
log-file = "{folder}/smsbox.log"
log-level = 0

group = sendsms-user
username = {user}
password = "{password}"
max-messages = 10
concatenation = true
"""


class Kannel:
    """`with Kannel(folder) as kannel`: takes messages at kannel.url; sends only to numbers with one of `prefixes`."""

    def __init__(self, folder, prefixes=("+49", "+86")):
        self.folder = folder
        self.ports = {name: free_port() for name in ("admin", "boxes", "centre", "sendsms")}
        self.url = f"http://127.0.0.1:{self.ports['sendsms']}/cgi-bin/sendsms"
        self.config = folder / "kannel.conf"
        self.config.write_text(CONFIG.format(folder=folder, user=USER, password=PASSWORD, prefixes=";".join(prefixes),
                                             **self.ports), encoding="utf-8")
        self._processes = []

    def __enter__(self):
        try:
            self._start("bearerbox", "/usr/sbin/bearerbox", "-v", "4", str(self.config))
            eventually(lambda: is_open(self.ports["boxes"]) and is_open(self.ports["admin"]), what="bearerbox listens")
            self._start("smsbox", "/usr/sbin/smsbox", "-v", "4", str(self.config))
            self._start("centre", CENTRE, "-H", "127.0.0.1", "-r", str(self.ports["centre"]), "-m", "0", "1 2 text none")
            eventually(self._is_up, what="Kannel is up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self._processes):
            process.kill()
            process.wait(STOP_TIMEOUT_S)
        self._processes.clear()

    def _start(self, name, *command):
        self._processes.append(spawn(command, self.folder / f"{name}.out", cwd=self.folder))

    def _is_up(self):
        query = urllib.parse.urlencode({"password": PASSWORD})
        url = f"http://127.0.0.1:{self.ports['admin']}/status.txt?{query}"
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=30) as answer:
            status = answer.read().decode()
        return re.search(r"smsbox:.*127\.0\.0\.1", status) and re.search(r"FAKE.*\(online", status) and is_open(
            self.ports["sendsms"])

    def messages(self, to=None):
        """What got to the centre, in order; of one receiver or of all."""
        seen = (self.folder / "centre.out").read_text(encoding="utf-8")
        found = [_message(line) for line in re.findall(r"Got message \d+: <(.*)>$", seen, re.MULTILINE)]
        return [message for message in found if message and to in (None, message.to)]

    def await_messages(self, to, count, timeout=60):
        eventually(lambda: len(self.messages(to)) >= count, timeout=timeout, what=f"{count} messages to {to}")
        return self.messages(to)

    def logs(self):
        return {path.name: path.read_text(encoding="utf-8", errors="replace") for path in self.folder.iterdir()}


def _message(line):
    """sender receiver [udh HEADER] KIND CONTENT; None: the next line of a text with line ends."""
    found = re.match(r"(\S*) (\S+) (?:udh (\S+) )?(text|data|ucs-2) ?(.*)$", line)
    if not found:
        return None
    sender, to, udh, kind, content = found.groups()
    if kind != "text":
        content = urllib.parse.unquote_to_bytes(content.replace("+", " "))
    if kind == "ucs-2":
        content = content.decode("utf-16-be")
    return Message(sender, to, {"text": "gsm", "ucs-2": "ucs2"}.get(kind), urllib.parse.unquote_to_bytes(udh or ""), content)
